//! What the engine needs of a medium: one log and a set of immutable blobs.
//!
//! Everything that decides what the bytes mean lies above these traits, in [`engine`](crate::engine), so that every
//! medium, the simulated one included, runs the same recovery.

mod duplicate;
mod examined;
mod memory;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;
pub use duplicate::{Duplicate, Original};
pub use examined::Examined;
pub use memory::MemoryStorage;
use thiserror::Error;

use crate::cause::Cause;

/// A medium, with one owner.
///
/// The log is a sequence of bytes with absolute offsets that never change: it grows at its end
/// ([`append`](Self::append)), and is given up from its beginning ([`discard`](Self::discard)). Blobs are written once,
/// whole, and never change; they are written ([`create`](Self::create)), read ([`open`](Self::open)) and deleted
/// ([`delete`](Self::delete)) through handles that may go to other threads, so that nothing of that holds up the log.
pub trait Storage: Send {
    /// Whether everything is gone with the process. Then no method waits for a device, and a host may call them from
    /// threads that must not wait.
    fn is_volatile(&self) -> bool;

    /// Appends `parts`, one after the other, to the log. They are readable at once and durable after the next
    /// [`sync`](Self::sync); a crash before that may leave any part of them, in any mixture.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`]: the log is as it was. [`StorageError::Failed`]: its end
    /// is undefined, and the engine appends nothing more.
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError>;

    /// Makes everything appended so far durable before it returns, in a place where the next process finds it: a file
    /// that somebody has removed or moved away takes bytes and syncs all the same, and that must be an error here.
    ///
    /// # Errors
    ///
    /// Whatever was appended since the last successful sync may or may not be durable, for ever: the engine never calls
    /// this again on the same data.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// The offsets between which the log can be read. Before [`truncate`](Self::truncate) was called on a medium that
    /// was just opened, the end may lie behind what was ever written (a medium may take its room in advance): there are
    /// then zeros, what was written by appends that were never synced, or what another part of the log once held.
    fn log_range(&self) -> Range<u64>;

    /// What an operator calls this place in the log, where the log is more than one thing to them.
    fn log_place(&self, offset: u64) -> String {
        format!("the log at offset {offset}")
    }

    /// Reads up to `len` bytes of the log from `offset`; fewer only at its end.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`]; nothing has changed.
    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError>;

    /// Cuts the log's end back to `end`, durably: what was appended behind it and never acknowledged is gone for ever,
    /// and must not show up again behind a later append. Called once, when recovery has found the end, and not while
    /// serving.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`]; the log is as it was or cut.
    fn truncate(&mut self, end: u64) -> Result<(), StorageError>;

    /// Gives up a piece of the log before `offset`, whose content is durable elsewhere, and says whether there is more:
    /// commits wait during a call, so that one should be short. May keep more than it was told to give up, so that the
    /// log may begin within a record.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`]: the log begins where it did. [`StorageError::Failed`]: it begins at or before
    /// `offset`.
    fn discard(&mut self, offset: u64) -> Result<bool, StorageError>;

    /// The names of all blobs, in any order. Not those of drafts.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn list(&self) -> Result<Vec<String>, StorageError>;

    /// The blob of this name, or `None` if there is none. The handle goes on reading the same bytes after the blob was
    /// deleted or replaced.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`]: it cannot be opened for the time being. [`StorageError::Failed`].
    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError>;

    /// Begins a blob. Names consist of ASCII letters, digits, `-` and `.`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`], [`StorageError::Failed`]; nothing has changed.
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError>;

    /// Takes a finished blob in: from now on it is listed and can be opened, in place of one of the same name, if there
    /// was one.
    fn adopt(&mut self, published: Published);

    /// Gives what deletes a blob when it is called. Before that has returned, and after an error, the blob may be there
    /// or not; afterwards it is gone durably. Deleting what is not there is no error. No blob of this name is begun any
    /// more.
    fn delete(&mut self, name: &str) -> Deletion;
}

/// Deletes a blob, on any thread and beside everything else: the larger it is, the longer that takes. After
/// [`StorageError::Unavailable`] the blob is there, and may be deleted later.
pub type Deletion = Box<dyn FnOnce() -> Result<(), StorageError> + Send>;

/// A blob in the making. Dropped before it is finished, it leaves nothing that anybody sees.
pub trait Draft: Send {
    /// Adds bytes at the end.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`], [`StorageError::Failed`]: the draft is of no further use.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes the blob durable under its name, in place of one of the same name. After an error or a crash before this
    /// returns there is the old one or the new one, whole.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`], [`StorageError::Failed`]: the old one is there or the new
    /// one.
    fn finish(self: Box<Self>) -> Result<Published, StorageError>;
}

/// A blob that is durable under its name, to be [adopted](Storage::adopt).
pub struct Published {
    /// Its name.
    pub name: String,
    /// Its content.
    pub blob: Arc<dyn Blob>,
}

/// An immutable blob, shared by any number of threads.
pub trait Blob: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly the bytes of `range`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`], also when the blob is shorter.
    fn read(&self, range: Range<u64>) -> Result<Bytes, StorageError>;
}

/// What can go wrong with a medium.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StorageError {
    /// No room. Nothing was written, and a later try may succeed.
    #[error("no room: {0}")]
    Full(#[source] Cause),
    /// Something else is missing that may come back: a permission, a file descriptor, memory. Nothing was written, and
    /// a later try may succeed.
    #[error("not available: {0}")]
    Unavailable(#[source] Cause),
    /// Anything else; the text for operators names the operation and the place.
    #[error("{0}")]
    Failed(#[source] Cause),
}

impl StorageError {
    /// The cause alone.
    #[must_use]
    pub fn into_cause(self) -> Cause {
        match self {
            Self::Full(cause) | Self::Unavailable(cause) | Self::Failed(cause) => cause,
        }
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").field("name", &self.name).field("len", &self.blob.len()).finish()
    }
}
