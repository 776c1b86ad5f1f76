//! Numbers of events, from a repository that can count.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::error::ReadError;
use crate::event::Timestamp;
use crate::query::Position;

/// Counts the events of a scan, in the order of time, without passing them on. It may be dropped at any time.
pub trait EventCounter: Send {
    /// Counts the next events after this position, or from the first event on: about `max` of them, or all that there
    /// are. Events of one time may be more than that. May wait.
    ///
    /// Events of different cells are counted apart. Cells are equal parts of the days of UTC, and have this number of
    /// seconds. `None` for one cell of all time.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; they can be counted again.
    fn count(
        &mut self,
        after: Option<Position>,
        max: u32,
        cell_seconds: Option<NonZeroU32>,
    ) -> Result<Counts, ReadError>;
}

/// What an [`EventCounter`] has to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Events of different types are counted apart.
    pub by_type: bool,
    /// The times of the first and the last event of each group are needed to the nanosecond.
    pub exact_times: bool,
}

/// What was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The groups, in any order.
    pub groups: Vec<Count>,
    /// All events up to here were counted, and no later ones. `None` if there are no later ones.
    pub reached: Option<Position>,
}

/// The number of the events of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Their type; `None` if types are not told apart.
    pub event_type: Option<Box<str>>,
    /// How many there are; at least one.
    pub events: u64,
    /// The times of the first and the last one. If they need not be [exact](Grouping::exact_times), another time of the
    /// same second may stand for each.
    pub times: (Timestamp, Timestamp),
}
