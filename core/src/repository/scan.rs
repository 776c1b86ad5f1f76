//! Running scans.

use core::task::Poll;

use super::error::ReadError;
use crate::event::Event;
use crate::query::Position;

/// A running scan: a state machine that does a bounded amount of work per call. [`Poll::Pending`] means "call again";
/// no waker is registered. Calls may wait for the storage.
///
/// Call [`poll_head`](Self::poll_head) until it returns the head, then [`poll_events`](Self::poll_events) until it is
/// ready.
pub trait ScanRun: Send {
    /// Determines the head of the scan, which must be known before the first event is sent. Examines about `budget`
    /// events at most.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the scan cannot be continued.
    fn poll_head(&mut self, budget: u32) -> Result<Poll<ScanHead>, ReadError>;

    /// Ends a page before it is full, so that it has the events found so far. Returns the position after which the next
    /// page begins; [`ScanHead::next`] has it too. Returns `None` and changes nothing if no event was examined yet, or
    /// if the scan does not support this. Call this while [`poll_head`](Self::poll_head) is pending.
    fn end_page(&mut self) -> Option<Position> {
        None
    }

    /// The number of events of the page that [`poll_head`](Self::poll_head) has chosen, and the position of the last
    /// one; `None` if unknown. A scan that begins where this one has [`reached`](Self::reached) chooses the others.
    fn chosen(&self) -> Option<(u32, Option<Position>)> {
        None
    }

    /// All events up to this position were examined, and passed on if they match, or chosen while
    /// [`poll_head`](Self::poll_head) is pending; `None` if unknown. A scan from this position yields the remaining
    /// events.
    fn reached(&self) -> Option<Position> {
        None
    }

    /// Bytes of memory that the run holds. Memory that it shares with other runs counts by its share. Cheap.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Bytes of stored events that the run has read so far, as they are in memory; 0 if unknown. Some may have been
    /// read twice. Cheap.
    fn scanned_bytes(&self) -> u64 {
        0
    }

    /// Passes matching events to `sink` in the order of the scan. Returns when `sink` returns [`Flow::Stop`] (the next
    /// call continues after that event), when about `budget` events were examined, or when none is left. Ready once all
    /// events were passed on.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the scan cannot be continued.
    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<Poll<()>, ReadError>;
}

/// What is known about a scan before its first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanHead {
    /// The next page begins after this position. `None` if the scan has no limit or there are no more events.
    pub next: Option<Position>,
}

/// Whether [`ScanRun::poll_events`] continues in this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Continue.
    More,
    /// Return after this event.
    Stop,
}
