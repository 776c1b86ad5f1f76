//! Which events a caller means.

mod bounds;
mod conditions;
mod cursor;
mod filter;
mod run;
mod source;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;

pub use conditions::{Conditions, Examined};
pub use cursor::{CursorError, decode_cursor, encode_cursor};
pub use filter::{Operand, PathError, PayloadFilter, PayloadPath, Test};

pub(crate) use run::Run;

use crate::event::Timestamp;

/// Largest `limit` of a page.
pub const LIMIT_MAX: u32 = 10_000;
/// Most conditions on the payload in a query.
pub const PAYLOAD_FILTERS_MAX: usize = 256;
/// Longest path of a condition, in bytes, as [`PayloadPath::parse`] reads it.
pub const PAYLOAD_PATH_BYTES_MAX: usize = 1024;
/// Longest text that a condition compares values with, in bytes.
pub const OPERAND_BYTES_MAX: usize = 4096;

/// A question: all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Any of these types; `None` for every type. An empty list, or a text that cannot be a type, matches nothing.
    pub types: Option<Vec<Box<str>>>,
    /// Not before this time.
    pub start: Option<Timestamp>,
    /// Not after this time.
    pub end: Option<Timestamp>,
    /// Conditions on the payload.
    pub payload: Vec<PayloadFilter>,
    /// Only events with a higher sequence number.
    pub after_seq: Option<u64>,
    /// In which direction.
    pub order: Order,
    /// At most so many.
    pub limit: Option<NonZeroU32>,
    /// Only what lies behind this position, in the direction of `order`.
    pub from: Option<Position>,
}

/// Direction of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// A place in the total order of all events: by time, then by sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The event's time.
    pub timestamp: Timestamp,
    /// The event's sequence number.
    pub seq: u64,
}
