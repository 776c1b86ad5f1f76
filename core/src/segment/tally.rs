//! Proves that a segment has everything that it was made of.

use alloc::string::ToString as _;
use core::ops::{Add, AddAssign};

use thiserror::Error;

use super::{Part, Sealed, Segment};
use crate::storage::StorageError;

/// Events, counted, and the bytes of their ids and payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// A new segment does not have what its sources have. Its sources must be kept: they may be the only place where some
/// events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Imbalance {
    /// The events, or the bytes of their ids and payloads, do not add up.
    #[error(
        "a new segment has {} events ({} bytes), {} were left out ({} bytes), and its sources have {} ({} bytes); this is \
         a fault of Argus or of the memory, and the sources are kept: restart, and report it",
        written.events, written.bytes, left_out.events, left_out.bytes, read.events, read.bytes
    )]
    Count {
        /// What the sources say that they have.
        read: Tally,
        /// What the new segment says that it has, as it is read back from the medium.
        written: Tally,
        /// What was left out because it had expired, or was there already.
        left_out: Tally,
    },
    /// An event has a sequence number that another event of the segment has, or that no source answers for.
    #[error(
        "sequence number {0} is in a new segment twice, or in no source; this is a fault of Argus or of the memory, and \
         the sources are kept: restart, and report it"
    )]
    Seq(u64),
}

impl Tally {
    /// One event.
    pub(crate) fn one(id: &[u8], payload: &[u8]) -> Self {
        Self { events: 1, bytes: (id.len() + payload.len()) as u64 }
    }

    /// What a part says that it has.
    pub(crate) fn of(part: &Part) -> Self {
        match part {
            Part::Fresh(segment) => Self::of_fresh(segment),
            Part::Sealed(sealed) => Self::of_sealed(sealed),
        }
    }

    /// What a segment in memory has.
    pub(crate) fn of_fresh(segment: &Segment) -> Self {
        let rows = segment.rows();
        // Each text has one byte with the length of the id.
        Self { events: rows.len() as u64, bytes: (rows.text().len() - rows.len()) as u64 }
    }

    /// What the index of a segment says that there is in its blocks.
    pub(crate) fn of_sealed(sealed: &Sealed) -> Self {
        let index = sealed.index();
        let blocks = (0..index.blocks()).map(|number| index.tally(number));
        blocks.fold(Self::default(), Self::add)
    }
}

impl Add for Tally {
    type Output = Self;

    /// What is damaged may say anything: the sum must not panic, and need not be right.
    fn add(self, other: Self) -> Self {
        Self { events: self.events.saturating_add(other.events), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl From<Imbalance> for StorageError {
    fn from(imbalance: Imbalance) -> Self {
        Self::Failed(imbalance.to_string().into())
    }
}
