//! What a host needs of a place that keeps events, whoever implements it.
//!
//! [`Engine`](crate::engine::Engine) implements these traits over any [`Storage`](crate::storage::Storage); a database
//! with indexes of its own would implement them directly. Hosts know nothing else, once they have opened one.

mod error;
mod maintenance;
mod receipt;
mod snapshot;

use alloc::vec::Vec;

pub use error::{CommitError, Failure, ReadError};
pub use maintenance::{Maintenance, MaintenanceQueue, MaintenanceTask};
pub use receipt::{Duplicate, Expired, ExpiryCause, Receipt, Surplus};
pub use snapshot::{Flow, Reader, ScanHead, ScanRun, Snapshot, Stats, TakeSnapshot};

use crate::batch::Batch;
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

    /// To be called when nothing waits to be committed, and at the beginning. A log appends a durability mark then, so
    /// that recovery can tell corruption of its last record from a torn tail. Does not wait for the device.
    ///
    /// # Errors
    ///
    /// As for [`commit`](Self::commit).
    fn on_idle(&mut self) -> Result<(), CommitError> {
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

    /// The upkeep behind the commits, if the repository has any that a host has to see to.
    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        None
    }

    /// Why a commit would be refused at this moment without being tried, if so. It stands until [`recover`](Self::recover)
    /// succeeds, and for ever where nothing can be done but to open the repository anew. A commit that was refused for
    /// once, and could succeed next time, leaves none.
    fn failure(&self) -> Option<&Failure>;

    /// Tries to accept commits again. To be called now and then while there is a [`failure`](Self::failure). May wait, for
    /// a server that does not answer as an example. Does nothing where there is no failure.
    ///
    /// # Errors
    ///
    /// Why it still accepts nothing.
    fn recover(&mut self) -> Result<(), CommitError> {
        self.failure().map_or(Ok(()), |failure| Err(failure.clone().into()))
    }

    /// How readers get at what is stored. Cheap. To be asked for anew after each commit and each time housekeeping is
    /// settled: a [`Reader::Current`] stays at what was stored when it was asked for.
    fn reader(&self) -> Reader;
}
