//! What a caller asks for: which events, in which order, from where on.
//!
//! This is only the question. What answers it is behind [`Snapshot`](crate::repository::Snapshot).

mod conditions;
mod cursor;
mod data;
mod filter;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;

pub use conditions::{Conditions, Examined};
pub use cursor::{CursorError, decode_cursor, encode_cursor};
pub use filter::{Operand, PathError, PayloadFilter, PayloadPath, Test};

use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

/// Largest `limit` of a page.
pub const LIMIT_MAX: u32 = 10_000;
/// Most conditions on the payload in a query.
pub const PAYLOAD_FILTERS_MAX: usize = 256;
/// Longest path of a condition, in bytes, as [`PayloadPath::parse`] reads it.
pub const PAYLOAD_PATH_BYTES_MAX: usize = 1024;
/// Longest text that a condition compares values with, in bytes.
pub const OPERAND_BYTES_MAX: usize = 4096;

/// Most ids in a [`Filter`]: each one is a look-up of its own.
pub const IDS_MAX: usize = 1_000;

/// Which events are meant. All conditions must hold. Every read route takes one.
///
/// Deserialized with any of its members left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Any of these types; `None` for every type. An empty list, or a text that cannot be a type, matches nothing.
    pub types: Option<Vec<Box<str>>>,
    /// Any of these ids; `None` for every id. An empty list, or a text that cannot be an id, matches nothing.
    pub ids: Option<Vec<Box<str>>>,
    /// Not before this time.
    pub start: Option<Timestamp>,
    /// Not after this time.
    pub end: Option<Timestamp>,
    /// Conditions on the payload.
    pub payload: Vec<PayloadFilter>,
    /// Only events with a higher sequence number.
    pub after_seq: Option<u64>,
}

/// In which order events come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By time and then by sequence number, oldest first.
    #[default]
    TimeAscending,
    /// The reverse of [`TimeAscending`](Self::TimeAscending).
    TimeDescending,
    /// By sequence number, lowest first: the order in which events were stored.
    Sequence,
}

/// A list of events: those that a filter means, in an order, from a position on.
///
/// Deserialized with any of its members left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scan {
    /// Which events.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// Only what lies behind this position, in the direction of `order`.
    pub from: Option<Position>,
    /// At most so many events: a page.
    pub limit: Option<NonZeroU32>,
    /// Nothing that lies behind this position, in the direction of `order`. The end of a page that is resumed.
    pub to: Option<Position>,
    /// Only events with at most this sequence number: those of an earlier snapshot, as far as they are still stored.
    pub up_to_seq: Option<u64>,
}

impl From<Filter> for Scan {
    /// All events that the filter means, oldest first.
    fn from(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }
}

/// A place among all events. There need not be an event.
///
/// It is compared as the order says: by time and then by sequence number, or by sequence number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The event's time. Means nothing in [`Order::Sequence`].
    pub timestamp: Timestamp,
    /// The event's sequence number.
    pub seq: u64,
}
