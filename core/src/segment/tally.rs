//! Proves that a segment has everything that it was made of.

use alloc::string::ToString as _;
use core::ops::{Add, AddAssign};

use thiserror::Error;

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
