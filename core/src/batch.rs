//! Events on their way into storage: columns in the order of arrival, encoded once, by whichever thread parsed them.

use alloc::vec::Vec;

use crate::event::{ClientId, EventType, Payload, Timestamp};

/// Collects events into a [`Batch`].
#[derive(Debug, Default)]
pub struct BatchBuilder {
    events: Vec<u8>,
}

/// A few events, encoded and indexed, ready to be committed: what [`Repository::commit`](crate::repository::Repository::commit)
/// takes. Immutable and cheap to clone.
#[derive(Clone, Debug)]
pub struct Batch {
    count: u32,
}

/// One event of a [`Batch`], before it has a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEvent<'a> {
    /// What happened.
    pub event_type: EventType<'a>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The free-form part.
    pub payload: Payload<'a>,
    /// The caller's idempotency key, if it sent one.
    pub id: Option<ClientId<'a>>,
}

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends an event; the order of calls is the order of sequence numbers.
    ///
    /// # Errors
    ///
    /// [`BatchFull`] when the batch would outgrow 4 GiB; it then holds what it held before.
    pub fn push(&mut self, event: NewEvent<'_>) -> Result<(), BatchFull> {
        let _ = event;
        todo!()
    }
    /// Events so far.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether nothing was pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Encodes and indexes what was pushed.
    #[must_use]
    pub fn finish(self) -> Batch {
        todo!()
    }
}

/// A batch at its limit of 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a batch holds at most 4 GiB")]
pub struct BatchFull;

impl Batch {
    /// Number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
    /// Bytes that the batch takes in memory and in the log.
    #[must_use]
    pub fn bytes(&self) -> usize {
        todo!()
    }
    /// The events, in the order in which they were pushed.
    pub fn events(&self) -> impl Iterator<Item = NewEvent<'_>> {
        core::iter::empty()
    }
}
