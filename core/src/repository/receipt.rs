//! What became of a batch, and of events that need not be kept any more.

use alloc::boxed::Box;

use serde::Serialize;

use crate::event::{Timestamp, Uuid};

/// What became of one [`Batch`](crate::batch::Batch).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Sequence number of the first event that was stored anew; the others follow without gaps. Meaningless if `stored`
    /// is 0.
    pub first_seq: u64,
    /// Events stored anew.
    pub stored: u32,
    /// Events that were there already: their index in the batch and the sequence number of the first.
    pub duplicates: Box<[Duplicate]>,
    /// Events that were refused. If the batch is [strict](crate::batch::Handling::Strict) and there are any, nothing of
    /// it was stored and no duplicates are told.
    pub surplus: Option<Box<Surplus>>,
    /// The id that the first event stored anew was given, if it brought none of its own.
    pub generated_id: Option<Uuid>,
    /// How many of the events stored anew had expired already when they came. Maintenance removes them, most often
    /// within seconds; a query may see them until then. 0 while the wall clock is not believed.
    pub expired: u32,
    /// Whether the events survive the end of the process and the loss of power.
    pub durable: bool,
}

/// Events that were not stored because there are as many event types as there may be, and theirs would have been new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Surplus {
    /// Their indexes in the batch, ascending; at least one.
    pub indexes: Box<[u32]>,
    /// How many different types there may be.
    pub types_max: u64,
}

/// An event that was stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// Its index in the batch.
    pub index: u32,
    /// The sequence number under which it is stored.
    pub seq: u64,
}

/// Events that were dropped because they need not be kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// How many.
    pub events: u64,
    /// The time of the first event of the part that they were in…
    pub first: Timestamp,
    /// …and that of the last.
    pub last: Timestamp,
    /// Why they have expired.
    pub cause: ExpiryCause,
}

/// Why events have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpiryCause {
    /// They are too old.
    Age,
    /// Everything together takes too much room.
    Size,
}
