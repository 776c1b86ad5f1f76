//! The reading half of a repository.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::ReadError;
use crate::event::Event;
use crate::query::{Position, Query};

/// The reading half: everything that was stored when it was taken, and nothing that came later.
pub trait Snapshot: Send + Sync {
    /// Figures about the whole.
    fn stats(&self) -> Stats;

    /// Hands the event with this id to `sink`, if there is one; the answer says whether there was.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the storage cannot give back what it holds.
    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError>;

    /// Begins a query. The run keeps the snapshot alive and may be dropped at any point.
    fn find(self: Arc<Self>, query: &Query) -> Box<dyn Find>;
}

/// A query under way: a state machine that does a bounded amount of work a call.
///
/// Call [`poll_head`](Self::poll_head) until it gives the head, then [`poll_events`](Self::poll_events) until it says
/// [`FindStep::Done`].
pub trait Find: Send {
    /// Finds out what has to be known before the first event is sent. Examines about `budget` events at most; `None`
    /// means that it wants to be called again.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the run is of no further use.
    fn poll_head(&mut self, budget: u32) -> Result<Option<FindHead>, ReadError>;

    /// Hands matching events to `sink` in the order of the query, until `sink` says [`Flow::Stop`] (it has taken the
    /// event; the run goes on behind it), about `budget` events were examined, or none is left.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the run is of no further use.
    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<FindStep, ReadError>;
}

/// What is known before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindHead {
    /// Where the next page begins (behind this position), if the query has a limit and there is more than that.
    pub next: Option<Position>,
}

/// Whether [`Find::poll_events`] shall hand over more in this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// Return after this event.
    Stop,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindStep {
    /// Call again.
    Pending,
    /// Every matching event was handed over.
    Done,
}

/// Figures about a [`Snapshot`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events stored.
    pub events: u64,
    /// Bytes that they take, with their indexes.
    pub bytes: u64,
    /// Immutable parts that a query may have to visit.
    pub segments: u64,
    /// The highest sequence number, 0 while there is none.
    pub last_seq: u64,
    /// Different event types of the events stored.
    pub event_types: u64,
    /// How many of them there may be at most.
    pub event_types_max: u64,
}
