//! What the engine needs of a medium: one log and a set of immutable blobs.
//!
//! A medium has a half for reading ([`StorageReader`]) and one for writing ([`StorageWriter`]). The engine needs both
//! and some more ([`Storage`]). A backup or a salvage reads from the one and writes to the other; a check only reads.
//!
//! Everything that decides what the bytes mean lies above these traits, in [`engine`](crate::engine), so that every
//! medium, the simulated one included, runs the same recovery.

mod backup_target;
mod memory;
mod reader;
mod writer;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;

pub use backup_target::BackupTarget;
use bytes::Bytes;
pub use memory::MemoryStorage;
pub use reader::StorageReader;
use thiserror::Error;
pub use writer::StorageWriter;

use crate::cause::Cause;

/// A medium, with one owner.
///
/// The log is a sequence of bytes with absolute offsets that never change: it grows at its end
/// ([`append`](StorageWriter::append)), and is trimmed from its beginning ([`discard`](Self::discard)). Blobs are
/// written once, whole, and never change; they are written ([`create`](StorageWriter::create)), read
/// ([`open`](StorageReader::open)) and deleted ([`delete`](Self::delete)) through handles that may go to other threads,
/// so that nothing of that holds up the log.
pub trait Storage: StorageReader + StorageWriter + Send {
    /// Whether everything is gone with the process. Then no method waits for a device, and a host may call them from
    /// threads that must not wait.
    fn is_volatile(&self) -> bool;

    /// The offset at which the next append begins; the end of the [range](StorageReader::log_range) that can be read.
    fn log_end(&self) -> u64;

    /// What an operator calls this place in the log, where the log is more than one thing to them.
    fn log_place(&self, offset: u64) -> String {
        format!("the log at offset {offset}")
    }

    /// Trims a piece of the log before `offset`, whose content is durable elsewhere, and says whether there is more:
    /// commits wait during a call, so that one should be short. May keep more than it was told to trim, so that the log
    /// may begin within a record.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`]: the log begins where it did. [`StorageError::Failed`]: it begins at or before
    /// `offset`.
    fn discard(&mut self, offset: u64) -> Result<bool, StorageError>;

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

/// A blob that is durable under its name, to be [adopted](StorageWriter::adopt).
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
