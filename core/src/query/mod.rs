//! Queries: which events, in which order, from which position. A [`Snapshot`](crate::repository::Snapshot) runs them.

mod candidate;
mod conditions;
mod cursor;
mod filter;
mod leaf_test;
mod operand;
mod serialization;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;

pub use crate::event::TypeTest;
pub use conditions::{Conditions, Evaluation};
pub use cursor::{CursorError, decode_cursor, encode_cursor};
pub use filter::{PathError, PayloadFilter, PayloadPath, Test};
pub(crate) use leaf_test::LeafTest;
pub use operand::Operand;

use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

/// Largest `limit` of a scan.
pub const LIMIT_MAX: u32 = 10_000;
/// Most payload conditions in a filter.
pub const PAYLOAD_FILTERS_MAX: usize = 256;
/// Longest path of a condition, in bytes of the text for [`PayloadPath::parse`].
pub const PAYLOAD_PATH_BYTES_MAX: usize = 1024;
/// Longest operand of a condition, in bytes.
pub const OPERAND_BYTES_MAX: usize = 4096;
/// Most ids in a [`Filter`]. Each id takes a lookup.
pub const IDS_MAX: usize = 1_000;
/// Most types and prefixes of types together in a [`Filter`] of a client.
pub const TYPES_MAX: usize = 1_000;

/// Selects the events for which all conditions hold. All read routes share it.
///
/// Deserializes with any members missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Events whose type matches any of these; `None` for all. An empty list matches nothing.
    pub types: Option<Vec<TypeTest>>,
    /// Events with these ids; `None` for all. An empty list, or a text that is not a valid id, matches nothing.
    pub ids: Option<Vec<Box<str>>>,
    /// Events at this time or later.
    pub start: Option<Timestamp>,
    /// Events at this time or earlier.
    pub end: Option<Timestamp>,
    /// Conditions on the payload.
    pub payload: Vec<PayloadFilter>,
    /// Events with a higher sequence number.
    pub after_seq: Option<u64>,
}

/// The order of the events of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// By time, then by sequence number; oldest first.
    #[default]
    TimeAscending,
    /// The reverse of [`TimeAscending`](Self::TimeAscending).
    TimeDescending,
    /// By sequence number, lowest first. That is the order in which events were stored.
    Sequence,
}

/// A query for events: a filter, an order, and where to start and end.
///
/// Deserializes with any members missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scan {
    /// Which events.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// Only events after this position in `order`.
    pub from: Option<Position>,
    /// The most events to return: the size of a page.
    pub limit: Option<NonZeroU32>,
    /// Only events up to this position in `order`. With `from`, it selects the rest of a page whose end is known.
    pub to: Option<Position>,
    /// Only events up to this sequence number. A query that goes on in a later snapshot sets it to the last sequence
    /// number of the first one, so that it returns the events of that one only.
    pub up_to_seq: Option<u64>,
}

impl From<Filter> for Scan {
    /// All events that the filter selects, oldest first.
    fn from(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }
}

/// A position in the order of all events. There may be no event at it.
///
/// The [`Order`] of a scan decides how it compares positions: by time and then by sequence number, or by sequence
/// number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The time. Not used with [`Order::Sequence`].
    pub timestamp: Timestamp,
    /// The sequence number.
    pub seq: u64,
}
