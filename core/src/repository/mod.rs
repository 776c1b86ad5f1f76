//! The traits through which hosts store and read events.
//!
//! [`Engine`](crate::engine::Engine) implements them over any [`Storage`](crate::storage::Storage). A database with its
//! own indexes implements them directly. Once a repository is open, hosts use nothing else.

mod analysis;
mod count_run;
mod counts;
mod erased;
mod erasure_stats;
mod error;
mod gaps;
mod maintenance;
mod receipt;
mod scan;
mod snapshot;

use alloc::vec::Vec;

pub(crate) use analysis::FoldRun;
pub use analysis::{AnalysisPart, AnalysisRun, Progress};
pub use counts::{Count, Counts, EventCounter, Grouping};
pub use erased::Erased;
pub use erasure_stats::ErasureStats;
pub use error::{CommitError, Failure, ImportError, ReadError};
pub use gaps::{Gap, GapRun};
pub use maintenance::{Maintenance, MaintenanceQueue, MaintenanceTask};
pub use receipt::{Duplicate, Expired, ExpiryCause, Receipt, Surplus};
pub use scan::{Flow, ScanHead, ScanRun};
pub use snapshot::{Reader, Snapshot, Stats, TakeSnapshot};

use crate::batch::Batch;
use crate::event::Timestamp;
use crate::query::Filter;
use crate::transfer::Transfer;

/// The write side of a repository. It has one owner, on one thread.
pub trait Repository: Send {
    /// Stores a group of batches with as few syncs as possible. Returns a receipt for each batch, in order.
    ///
    /// Events get the next sequence numbers, in order. An event whose caller's id is stored already, or came earlier in
    /// the group, is a duplicate: acknowledged, but not stored again. An event that would exceed the limit of event
    /// types is not stored: see [`Receipt::surplus`]. On `Ok`, all other events of the group are as durable as the
    /// storage promises, and every later [`reader`](Self::reader) shows them.
    ///
    /// `now` is the wall clock. It becomes the commit time and part of generated ids, and decides which events have
    /// already expired ([`Receipt::expired`]).
    ///
    /// # Errors
    ///
    /// None of the group is acknowledged. The variant of [`CommitError`] says whether some of it may be stored.
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError>;

    /// Erases the events that a filter selects among those stored so far. Later events are not affected, also if the
    /// filter selects them. Sequence numbers are not used again.
    ///
    /// On `Ok`, the erasure is as durable as the storage promises, also where commits return before they are durable.
    /// Every later [`reader`](Self::reader) shows none of the events, and tells their numbers as
    /// [gaps](Snapshot::gaps). Their ids are new again. A repository may remove the bytes later, in its
    /// [maintenance](Self::maintenance).
    ///
    /// `now` is the wall clock.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit): nothing was erased, or some events may be. [`CommitError::Unavailable`] also if
    /// too many erasures are under way.
    fn erase(&mut self, now: Timestamp, filter: &Filter) -> Result<Erased, CommitError>;

    /// Stores events of another repository with their numbers, ids and times of commit. The transfer begins after the
    /// last number of this repository. Numbers without an event become [gaps](Snapshot::gaps). On `Ok`, the last number
    /// of the transfer is that of this repository, so the next commit goes on after it; and the events are as durable
    /// and visible as those of a commit.
    ///
    /// An id that was generated there is found here like any other.
    ///
    /// # Errors
    ///
    /// [`ImportError::Refused`] if they cannot be stored here: they do not go on where the repository ends, have ids of
    /// other events, or more types than the limit allows. [`ImportError::Commit`] as for [`commit`](Self::commit); if
    /// that is in doubt, the events up to some number are stored, which a new [`reader`](Self::reader) shows once the
    /// repository has recovered or was opened anew.
    fn import(&mut self, transfer: &Transfer) -> Result<(), ImportError>;

    /// Whether [`commit`](Self::commit) and [`erase`](Self::erase) never wait for a device, so that a host may call it
    /// from threads that must not block.
    fn is_immediate(&self) -> bool {
        false
    }

    /// Makes all commits durable, if commits return before they are durable.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit). Whether the last commits are durable is unknown.
    fn flush(&mut self) -> Result<(), CommitError> {
        Ok(())
    }

    /// Call this once at the start, and each time no commit is waiting. The engine then appends a durability mark to
    /// its log, so that recovery can tell corruption of the last record from a torn tail. Does not wait for the device.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit).
    fn on_idle(&mut self) -> Result<(), CommitError> {
        Ok(())
    }

    /// Call this once at the end, when nothing else uses the repository. Makes all commits durable, and saves that the
    /// repository was closed, so that the next open can tell whether anything is missing. If the storage is too full to
    /// save that, the next open works as after a crash.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    fn close(&mut self) -> Result<(), CommitError> {
        self.flush()
    }

    /// The maintenance that the host must run; `None` if the repository needs none.
    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        None
    }

    /// Why the repository refuses all commits; `None` if it accepts them. The failure lasts until
    /// [`recover`](Self::recover) succeeds or the repository is opened anew. A temporary error of a commit is no
    /// failure.
    fn failure(&self) -> Option<&Failure>;

    /// Tries to accept commits again. Call it from time to time while there is a [`failure`](Self::failure). Without a
    /// failure it does nothing. May wait, for example for a server that does not answer.
    ///
    /// # Errors
    ///
    /// Why commits are still refused.
    fn recover(&mut self) -> Result<(), CommitError> {
        self.failure().map_or(Ok(()), |failure| Err(failure.clone().into()))
    }

    /// A reader of the stored events. Cheap. Take a new one after each commit and each installed maintenance task: a
    /// [`Reader::Current`] shows the events that were stored when it was taken.
    fn reader(&self) -> Reader;
}
