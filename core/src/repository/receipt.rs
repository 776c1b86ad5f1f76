//! The outcome of a commit, and of expiry.

use alloc::boxed::Box;

use serde::Serialize;

use crate::event::{Timestamp, Uuid};

/// The outcome of committing one [`Batch`](crate::batch::Batch).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Sequence number of the first event that was stored; the others follow without gaps. Meaningless if `stored` is
    /// 0.
    pub first_seq: u64,
    /// Number of events that were stored.
    pub stored: u32,
    /// Events whose ids were stored before.
    pub duplicates: Box<[Duplicate]>,
    /// Events that were refused because of their types. If a [strict](crate::batch::Handling::Strict) batch has any,
    /// none of its events was stored, and `duplicates` is empty.
    pub surplus: Option<Box<Surplus>>,
    /// The generated id of the first stored event, if it came without an id.
    pub generated_id: Option<Uuid>,
    /// How many of the stored events had expired on arrival. Maintenance removes them, usually within seconds; queries
    /// may see them until then. 0 while the wall clock is not trusted.
    pub expired: u32,
    /// Whether the events survive the end of the process and a loss of power.
    pub durable: bool,
}

/// Events that were not stored because their types would exceed the limit of event types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Surplus {
    /// Their indexes in the batch, ascending; at least one.
    pub indexes: Box<[u32]>,
    /// The limit.
    pub types_max: u64,
}

/// An event whose id was stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicate {
    /// Its index in the batch.
    pub index: u32,
    /// The sequence number of the stored event with this id.
    pub seq: u64,
}

/// Events that were removed by retention, or because they were erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Number of events.
    pub events: u64,
    /// The earliest timestamp in the segments that had these events…
    pub first: Timestamp,
    /// …and the latest one.
    pub last: Timestamp,
    /// Why.
    pub cause: ExpiryCause,
}

/// Why events were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpiryCause {
    /// They exceeded the maximum age.
    Age,
    /// The repository exceeded its maximum size.
    Size,
    /// They were erased. Readers did not see them before.
    Erasure,
}
