//! Proves that a new segment has all events of its sources.

use alloc::string::ToString as _;
use core::ops::{Add, AddAssign};

use thiserror::Error;

use crate::storage::StorageError;

/// A number of events, and the bytes of their ids and payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// A new segment does not have the events of its sources. The sources must be kept: some events may be nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Imbalance {
    /// The events, or the bytes of their ids and payloads, do not add up.
    #[error(
        "a new segment has {} events ({} bytes), {} were left out ({} bytes), and its sources have {} ({} bytes); \
         this is a bug in Argus or a memory error; no event is lost: restart Argus, and report the bug",
        written.events, written.bytes, left_out.events, left_out.bytes, read.events, read.bytes
    )]
    Count {
        /// The events of the sources.
        read: Tally,
        /// The events of the new segment, read back from the medium.
        written: Tally,
        /// The events that were left out, because they had expired or because another source has them too.
        left_out: Tally,
    },
    /// Two events of the new segment have this sequence number, or no source covers it.
    #[error(
        "a new segment has sequence number {0} twice, or no source covers it; \
         this is a bug in Argus or a memory error; no event is lost: restart Argus, and report the bug"
    )]
    Seq(u64),
}

impl Tally {
    /// One event.
    pub(crate) fn one(id: &[u8], payload: &[u8]) -> Self {
        Self { events: 1, bytes: (id.len() + payload.len()) as u64 }
    }
}

impl Add for Tally {
    type Output = Self;

    /// Saturates: a damaged segment may claim any numbers, and their sum must not overflow.
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
