//! The reading half of a repository.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::task::Poll;

use super::ReadError;
use crate::event::Event;
use crate::query::{Position, Scan};

/// Where readers get their snapshots from. Cheap to clone.
#[derive(Clone)]
pub enum Reader {
    /// This one: taking it neither waits nor fails.
    Current(Arc<dyn Snapshot>),
    /// One is taken for each read. That may wait and may fail, and sees what other processes have committed.
    Shared(Arc<dyn TakeSnapshot>),
}

/// Takes snapshots of a repository that other processes may write to.
pub trait TakeSnapshot: Send + Sync {
    /// What is stored now. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the repository cannot be reached.
    fn take_snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError>;
}

/// Everything that was stored when it was taken, and nothing that came later.
///
/// Aggregates will be one more method here, `aggregate`, whose default folds over a [`scan`](Self::scan), so that a
/// database can answer them by its own means.
pub trait Snapshot: Send + Sync {
    /// Figures about the whole. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the storage does not tell.
    fn stats(&self) -> Result<Stats, ReadError>;

    /// The highest sequence number, 0 while there is none. Whoever asks for the events behind it later on has lost
    /// none.
    fn last_seq(&self) -> u64;

    /// Hands the event with this id to `sink`, if there is one; the answer says whether there was. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the storage cannot give back what it holds.
    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError>;

    /// Begins a scan. The run keeps the snapshot alive and may be dropped at any point. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the storage cannot be asked.
    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError>;
}

/// A scan under way: a state machine that does a bounded amount of work a call. [`Poll::Pending`] means "call again";
/// nobody is woken. Calls may wait for the storage.
///
/// Call [`poll_head`](Self::poll_head) until it gives the head, then [`poll_events`](Self::poll_events) until it is
/// ready.
pub trait ScanRun: Send {
    /// Finds out what has to be known before the first event is sent. Examines about `budget` events at most.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the run is of no further use.
    fn poll_head(&mut self, budget: u32) -> Result<Poll<ScanHead>, ReadError>;

    /// Ends a page before it is full, if events were examined that the page does not begin with: the page then has what
    /// was found so far, and the next one begins behind the position given, which is the head's `next`. `None` where
    /// that is not possible; the run goes on as before. To be called while [`poll_head`](Self::poll_head) is pending.
    fn end_page(&mut self) -> Option<Position> {
        None
    }

    /// The position up to which everything was examined and handed over, if it is known. A scan from there on gives
    /// what is left of this one.
    fn reached(&self) -> Option<Position> {
        None
    }

    /// Bytes of memory that are freed when the run is dropped; what it shares with others counts in part. Cheap.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Hands matching events to `sink` in the order of the scan, until `sink` says [`Flow::Stop`] (it has taken the
    /// event; the run goes on behind it), about `budget` events were examined, or none is left. Ready once every event
    /// was handed over.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the run is of no further use.
    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<Poll<()>, ReadError>;
}

/// What is known before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanHead {
    /// Where the next page begins (behind this position), if the scan has a limit and there may be more than that.
    pub next: Option<Position>,
}

/// Whether [`ScanRun::poll_events`] shall hand over more in this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    More,
    /// Return after this event.
    Stop,
}

/// Figures about a [`Snapshot`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Events stored.
    pub events: u64,
    /// Bytes that they take, with their indexes.
    pub bytes: u64,
    /// Immutable parts that a scan may have to visit.
    pub segments: u64,
    /// The highest sequence number, 0 while there is none.
    pub last_seq: u64,
    /// Different event types of the events stored.
    pub event_types: u64,
    /// How many of them there may be at most.
    pub event_types_max: u64,
}

impl Reader {
    /// A snapshot. Where the reader is [`Shared`](Self::Shared), this may wait.
    ///
    /// # Errors
    ///
    /// As [`TakeSnapshot::take_snapshot`]; never where the reader is [`Current`](Self::Current).
    pub fn take(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
        match self {
            Self::Current(snapshot) => Ok(Arc::clone(snapshot)),
            Self::Shared(source) => source.take_snapshot(),
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current(_) => "Current",
            Self::Shared(_) => "Shared",
        })
    }
}
