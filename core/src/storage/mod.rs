//! The storage interface of the engine: one log and a set of immutable blobs.
//!
//! It has a read half ([`StorageReader`]) and a write half ([`StorageWriter`]). The engine needs both and more
//! ([`Storage`]). A backup or a salvage reads from one medium and writes to another; a check only reads.
//!
//! A medium stores bytes without interpreting them. Recovery and all other logic is in the [`engine`](crate::engine),
//! so that it is the same for every medium, including the simulated one.

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

/// A medium for log and blobs, with one owner.
///
/// The log is a sequence of bytes with absolute offsets that never change. It grows at its end
/// ([`append`](StorageWriter::append)) and is trimmed at its start ([`discard`](Self::discard)). Blobs are written
/// once, as a whole, and never change. They are written ([`create`](StorageWriter::create)), read
/// ([`open`](StorageReader::open)) and deleted ([`delete`](Self::delete)) through handles that other threads can use,
/// so that work on blobs does not delay the log.
pub trait Storage: StorageReader + StorageWriter + Send {
    /// Whether the content is lost with the process. Then no method waits for a device, and hosts may call them from
    /// threads that must not block.
    fn is_volatile(&self) -> bool;

    /// The offset of the next append, and the end of the readable [range](StorageReader::log_range).
    fn log_end(&self) -> u64;

    /// The name of a log offset for operators, for example the file and the offset in it.
    fn log_location(&self, offset: u64) -> String {
        format!("the log at offset {offset}")
    }

    /// Trims the log before `offset`, whose content is durable elsewhere. May trim only part of it and return `true` if
    /// more is left: commits wait during a call, so each should be short. May keep some bytes before `offset`, so the
    /// log may begin within a record.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`]: the log begins where it did. [`StorageError::Failed`]: it begins at or before
    /// `offset`.
    fn discard(&mut self, offset: u64) -> Result<bool, StorageError>;

    /// As [`discard`](Self::discard), and takes the bytes before `offset` off the medium: no file of the medium has
    /// them any more, not even one that is kept for reuse. What is erased must not be found on the medium by other
    /// programs. Nor is anything left of the drafts that were dropped before.
    ///
    /// # Errors
    ///
    /// As for [`discard`](Self::discard); also [`StorageError::Full`], which changes nothing. Some of the bytes may be
    /// gone.
    fn scrub(&mut self, offset: u64) -> Result<bool, StorageError>;

    /// Returns a function that deletes a blob. Once that function has succeeded, the blob is durably gone. Before, and
    /// after an error, the blob may or may not exist. Deleting a missing blob is no error. The engine never uses the
    /// name again. Nothing is left either of the drafts that were dropped before: they may have events of the blob.
    fn delete(&mut self, name: &str) -> Deletion;
}

/// Deletes a blob. It can run on any thread, in parallel with everything else, and takes longer for larger blobs. After
/// [`StorageError::Unavailable`], the blob still exists and can be deleted later.
pub type Deletion = Box<dyn FnOnce() -> Result<(), StorageError> + Send>;

/// A blob that is being written. If it is dropped before it is finished, nothing visible is left.
pub trait Draft: Send {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`], [`StorageError::Failed`]: the draft is useless.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes the blob durable under its name. Replaces an existing blob of this name. After an error, or a crash before
    /// this returns, either the old or the new blob exists, complete.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`], [`StorageError::Failed`]: the old or the new blob exists.
    fn finish(self: Box<Self>) -> Result<Published, StorageError>;
}

/// A durable blob, to be [adopted](StorageWriter::adopt).
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

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly the bytes of `range`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`], also if the blob is shorter.
    fn read(&self, range: Range<u64>) -> Result<Bytes, StorageError>;
}

/// An error of a medium.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StorageError {
    /// The medium is full. Nothing was written, and a later try may succeed.
    #[error("no room: {0}")]
    Full(#[source] Cause),
    /// The medium temporarily lacks something: a permission, a file descriptor, memory. Nothing was written, and a
    /// later try may succeed.
    #[error("not available: {0}")]
    Unavailable(#[source] Cause),
    /// Any other error. The text for operators names the operation and the place.
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
