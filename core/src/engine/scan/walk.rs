//! The walk of a scan: by time, by sequence number or by id.

use alloc::vec::Vec;

use super::bounds::Bounds;
use super::ids::IdWalk;
use super::merge::TimeMerge;
use super::sequence::SequenceWalk;
use super::step::Step;
use crate::engine::parts::Parts;
use crate::query::{Order, Position, Scan};
use crate::repository::ReadError;
use crate::segment::Part;

/// The rows that may match, in the order of the scan.
#[derive(Debug)]
pub(super) enum Walk {
    Time(TimeMerge),
    Sequence(SequenceWalk),
    Ids(IdWalk),
}

impl Walk {
    /// The walk, and the parts that the addresses of its rows refer to.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if an index cannot be read or is damaged.
    pub(super) fn of(parts: &Parts, scan: &Scan) -> Result<(Self, Vec<Part>), ReadError> {
        let (filter, bounds) = (&scan.filter, Bounds::of(scan));
        Ok(match (&filter.ids, scan.order) {
            (Some(ids), _) => (Self::Ids(IdWalk::among(parts.clone(), ids, filter, bounds)), parts.iter().collect()),
            (None, Order::TimeAscending | Order::TimeDescending) => {
                let (merge, held) = TimeMerge::over(parts.iter(), filter, bounds)?;
                (Self::Time(merge), held)
            }
            (None, Order::Sequence) => {
                let (sequence, held) = SequenceWalk::over(parts.iter(), filter, bounds)?;
                (Self::Sequence(sequence), held)
            }
        })
    }

    pub(super) fn step(&mut self) -> Result<Step, ReadError> {
        match self {
            Self::Time(merge) => merge.step(),
            Self::Sequence(sequence) => sequence.step(),
            Self::Ids(ids) => ids.step(),
        }
    }

    /// Its memory in bytes, without the parts.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Time(merge) => merge.held_bytes(),
            Self::Sequence(sequence) => sequence.held_bytes(),
            Self::Ids(ids) => ids.held_bytes(),
        }
    }

    /// Bytes of the blocks that it has read, as they are in memory.
    pub(super) fn read_bytes(&self) -> u64 {
        match self {
            Self::Time(merge) => merge.read_bytes(),
            Self::Sequence(sequence) => sequence.read_bytes(),
            // Looking up an id reads a block at most, and the number of ids is limited.
            Self::Ids(_) => 0,
        }
    }

    /// All events up to this position were examined; `None` if none was.
    pub(super) fn reached(&self) -> Option<Position> {
        match self {
            Self::Time(merge) => merge.reached(),
            Self::Sequence(sequence) => sequence.reached(),
            Self::Ids(ids) => ids.reached(),
        }
    }
}
