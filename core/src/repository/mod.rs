//! What a host needs of a place that keeps events, whoever implements it.
//!
//! [`Engine`](crate::engine::Engine) implements these traits over any [`Storage`](crate::storage::Storage); a database
//! with indexes of its own would implement them directly. Hosts know nothing else.

mod error;
mod housekeeper;
mod receipt;
mod snapshot;

use alloc::vec::Vec;

pub use error::{CommitError, Latch, ReadError};
pub use housekeeper::{Chores, Housekeeper, Housekeeping};
pub use receipt::{Duplicate, Expired, ExpiryCause, Receipt, Surplus};
pub use snapshot::{Flow, Reader, ScanHead, ScanRun, Snapshot, Stats, TakeSnapshot};

use crate::batch::Batch;
use crate::clock::{ClockDoubt, Moment};
pub use crate::engine::{Chore, ChoreStep};
use crate::event::Timestamp;

/// The writing half: one owner, one thread.
pub trait Repository: Send {
    /// Stores a group of batches with as few syncs as possible, and gives a receipt for each, in their order.
    ///
    /// Events get the next sequence numbers in order of batches and of events within. An event whose client id is
    /// already held, or came earlier in the same group, is a duplicate: acknowledged, not stored again. An event whose
    /// type would be one too many is not stored: see [`Receipt::surplus`]. When this returns `Ok`, all else of the
    /// group is as durable as the storage promises and every later [`reader`](Self::reader) shows it.
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

    /// How readers get at what is stored. Cheap. To be asked for anew after each commit and each time housekeeping is
    /// settled: a [`Reader::Current`] stays at what was stored when it was asked for.
    fn reader(&self) -> Reader;
}
