//! The walk of a scan: by time, by sequence number or by id.

use alloc::vec::Vec;

use super::bounds::Bounds;
use super::ids::Ids;
use super::merge::Merge;
use super::sequence::Sequence;
use super::step::Step;
use crate::engine::parts::Parts;
use crate::query::{Order, Position, Scan};
use crate::repository::ReadError;
use crate::segment::Part;

/// The rows that may match, in the order of the scan.
#[derive(Debug)]
pub(super) enum Walk {
    Time(Merge),
    Sequence(Sequence),
    Ids(Ids),
}

impl Walk {
    /// The walk, and the parts that addresses of its rows refer to.
    pub(super) fn of(parts: &Parts, scan: &Scan) -> (Self, Vec<Part>) {
        let (filter, bounds) = (&scan.filter, Bounds::of(scan));
        match (&filter.ids, scan.order) {
            (Some(ids), _) => (Self::Ids(Ids::among(parts.clone(), ids, filter, bounds)), parts.iter().collect()),
            (None, Order::TimeAscending | Order::TimeDescending) => {
                let (merge, held) = Merge::over(parts.iter(), filter, bounds);
                (Self::Time(merge), held)
            }
            (None, Order::Sequence) => {
                let (sequence, held) = Sequence::over(parts.iter(), filter, bounds);
                (Self::Sequence(sequence), held)
            }
        }
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

    /// Everything up to this position was examined; `None` if nothing was.
    pub(super) fn reached(&self) -> Option<Position> {
        match self {
            Self::Time(merge) => merge.reached(),
            Self::Sequence(sequence) => sequence.reached(),
            Self::Ids(ids) => ids.reached(),
        }
    }
}
