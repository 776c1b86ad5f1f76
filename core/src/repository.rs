//! What a host needs of a place that keeps events, whoever implements it.
//!
//! [`Engine`](crate::engine::Engine) implements these traits over any [`Storage`](crate::storage::Storage); a database
//! with indexes of its own would implement them directly. Hosts know nothing else.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;

use crate::batch::Batch;
use crate::cause::Cause;
use crate::clock::{ClockDoubt, Moment};
use crate::damage::Damage;
pub use crate::engine::{Chore, ChoreStep};
use crate::event::{Event, Timestamp, Uuid};
use crate::query::{Position, Query};

/// The writing half: one owner, one thread.
pub trait Repository: Send {
    /// Stores a group of batches with as few syncs as possible, and gives a receipt for each, in their order.
    ///
    /// Events get the next sequence numbers in order of batches and of events within. An event whose client id is
    /// already held, or came earlier in the same group, is a duplicate: acknowledged, not stored again. An event whose
    /// type would be one too many is not stored: see [`Receipt::surplus`]. When this returns `Ok`, all else of the
    /// group is as durable as the storage promises and every later [`snapshot`](Self::snapshot) shows it.
    ///
    /// `now` is the wall clock. It is noted as the time of the commit, generated ids are made of it, and it tells which
    /// events have expired already ([`Receipt::expired`]).
    ///
    /// # Errors
    ///
    /// None of the group is acknowledged. The variant of [`CommitError`] says what that means for what may be stored.
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError>;

    /// Whether [`commit`](Self::commit) returns at once, without waiting for a device. A host may then call it from
    /// threads that must not wait.
    fn is_immediate(&self) -> bool {
        false
    }

    /// Makes durable what was committed and is not durable yet, where commits do not wait for that.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit): whether the last commits are durable is unknown.
    fn flush(&mut self) -> Result<(), CommitError> {
        Ok(())
    }

    /// To be called when nothing waits to be committed, and at the beginning. A log notes then what is durable, so that
    /// damage to its last record is not taken for a commit that was interrupted. Does not wait for the device.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit).
    fn rest(&mut self) -> Result<(), CommitError> {
        Ok(())
    }

    /// To be called once at the end, when nothing else uses the repository any more: makes all of it durable and notes
    /// that it was closed, so that the next one who opens it can tell whether anything is missing. Where there is no
    /// room for the note, it is as after a crash.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    fn close(&mut self) -> Result<(), CommitError> {
        self.flush()
    }

    /// The next piece of housekeeping (merging, sealing, compacting, giving up what has expired by `now`), if there is
    /// any that can be done beside those that are under way. To be asked for until there is none, after commits, when
    /// one is settled, and now and then (every minute at least: a wall clock that is set wrong is noticed here); never
    /// needed for correctness. A repository that looks after itself has none.
    fn chore(&mut self, now: Moment) -> Option<Chore> {
        let _nothing_expires = now;
        None
    }

    /// Why the wall clock is not believed, as of the last call of [`chore`](Self::chore), if so. Nothing expires by age
    /// meanwhile.
    fn clock_doubt(&self) -> Option<ClockDoubt> {
        None
    }

    /// Takes a chore back that is done, and puts what came of it in place. Quick: the work is in the chore. Says which
    /// events are gone by it because they have expired.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit); what was readable stays readable.
    fn settle(&mut self, chore: Chore) -> Result<Vec<Expired>, CommitError> {
        let _from_elsewhere = chore;
        Ok(Vec::new())
    }

    /// Whether housekeeping is so far behind that the next commit had better wait until a chore is settled. Never, as
    /// long as no chore is under way or to be had.
    fn is_behind(&self) -> bool {
        false
    }

    /// What is stored at this moment, for readers to keep as long as they like. Cheap.
    fn snapshot(&self) -> Arc<dyn Snapshot>;
}

/// What became of one [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// How many of the events stored anew had expired already when they came. Housekeeping removes them, most often
    /// within seconds; a query may see them until then. 0 while the wall clock is not believed.
    pub expired: u32,
    /// Whether the events survive the end of the process and the loss of power.
    pub durable: bool,
}

/// Events that were not stored because there are as many event types as there may be, and theirs would have been new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surplus {
    /// Their indexes in the batch, ascending; at least one.
    pub indexes: Box<[u32]>,
    /// How many different types there may be.
    pub types_max: u64,
}

/// Events that were given up because they need not be kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryCause {
    /// They are too old.
    Age,
    /// Everything together takes too much room.
    Size,
}

/// An event that was stored before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Its index in the batch.
    pub index: u32,
    /// The sequence number under which it is stored.
    pub seq: u64,
}

/// Keeps house where there is one thread for everything: a chore that was begun goes on at the next call. It does not
/// tell what expires: who wants to know works on the [chores](Repository::chore) and [settles](Repository::settle)
/// them.
#[derive(Debug, Default)]
pub struct Housekeeper {
    chores: Chores,
}

/// Chores that wait for somebody to work on them.
#[derive(Debug, Default)]
pub struct Chores {
    /// Those that were worked on last are behind the others.
    waiting: VecDeque<Chore>,
    /// How often in a row an urgent one was taken.
    urgent_taken: u32,
}

/// So often in a row are urgent chores taken, and then it is the turn of one that is not: while writers are as fast as
/// urgent chores let them, the others would stand still otherwise, and with them compaction and retention.
const URGENT_TAKEN_MAX: u32 = 7;

/// Whether there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Housekeeping {
    /// Nothing to do until the next commit.
    Idle,
    /// There is more to do.
    Pending,
}

impl Housekeeper {
    /// Does about `budget` events' worth of housekeeping, of what is due at `now`.
    ///
    /// # Errors
    ///
    /// As for [`Repository::settle`].
    pub fn step(
        &mut self,
        repository: &mut dyn Repository,
        now: Moment,
        budget: u32,
    ) -> Result<Housekeeping, CommitError> {
        while let Some(chore) = repository.chore(now) {
            self.chores.push(chore);
        }
        let Some(mut chore) = self.chores.take() else { return Ok(Housekeeping::Idle) };
        match chore.step(budget) {
            ChoreStep::Pending => self.chores.push(chore),
            ChoreStep::Done => drop(repository.settle(chore)?),
        }
        Ok(Housekeeping::Pending)
    }
}

impl Chores {
    /// Adds one that is new, or goes on.
    pub fn push(&mut self, chore: Chore) {
        self.waiting.push_back(chore);
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes out what is to be worked on next, if there is anything.
    pub fn take(&mut self) -> Option<Chore> {
        let is_turn_of_urgent = self.urgent_taken < URGENT_TAKEN_MAX;
        let first = self.waiting.iter().position(|chore| chore.is_urgent() == is_turn_of_urgent);
        let chore = self.waiting.remove(first.unwrap_or_default())?;
        self.urgent_taken = if chore.is_urgent() { self.urgent_taken.saturating_add(1) } else { 0 };
        Some(chore)
    }
}

/// Why a commit failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitError {
    /// No room; nothing was stored, and a later try may succeed.
    #[error("storage is full: {0}")]
    Full(Cause),
    /// Something that the storage needs is missing (a permission, a file descriptor); nothing was stored, and a later
    /// try may succeed.
    #[error("storage is not available: {0}")]
    Unavailable(Cause),
    /// The repository accepts nothing more until it is opened anew; reads go on.
    #[error("storage failed, {0}")]
    Latched(Latch),
}

/// Why a repository accepts nothing more, and what that means for what it was asked to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    /// Why.
    pub cause: Cause,
    /// Whether some of it may be stored. Otherwise none is, and none will be.
    pub in_doubt: bool,
}

impl Latch {
    /// The storage failed while it was at it: some may be stored.
    pub fn in_doubt(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), in_doubt: true }
    }

    /// It was not begun: nothing is stored.
    pub fn refusal(cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), in_doubt: false }
    }
}

impl fmt::Display for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, in_doubt } = self;
        write!(f, "{}: {cause}", if *in_doubt { "outcome unknown" } else { "nothing was stored" })
    }
}

impl CommitError {
    /// The cause alone.
    #[must_use]
    pub fn into_cause(self) -> Cause {
        match self {
            Self::Full(cause) | Self::Unavailable(cause) | Self::Latched(Latch { cause, in_doubt: _ }) => cause,
        }
    }
}

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

/// Why stored events could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The storage reported an error.
    #[error("storage could not be read: {0}")]
    Storage(Cause),
    /// What the storage gave back is not what was written.
    #[error("stored data is damaged: {0}")]
    Damaged(Damage),
}

impl From<ReadError> for Cause {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Storage(cause) => cause,
            ReadError::Damaged(damage) => damage.into(),
        }
    }
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
