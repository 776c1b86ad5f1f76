//! What the engine needs of a medium: one log and a set of immutable blobs.
//!
//! Everything that decides what the bytes mean lies above these traits, in [`engine`](crate::engine), so that every medium,
//! the simulated one included, runs the same recovery.

mod memory;

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
pub use memory::MemoryStorage;
use thiserror::Error;

/// The writing half of a medium: one owner.
///
/// The log is a sequence of bytes with absolute offsets that never change: it grows at its end ([`append`](Self::append)), and
/// is given up from its beginning ([`discard`](Self::discard)). Blobs are written once, whole, and never change.
pub trait Storage: Send {
    /// The shared reading half.
    type Blobs: Blobs;

    /// A handle for readers. It sees every blob that was there when it was taken, and perhaps later ones.
    fn blobs(&self) -> Self::Blobs;

    /// Appends `parts`, one after the other, to the log. They are readable at once and durable after the next
    /// [`sync`](Self::sync); a crash before that may leave any part of them, in any mixture.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`]: the log is as it was. [`StorageError::Failed`]: its end is undefined, and the engine appends
    /// nothing more.
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError>;

    /// Makes everything appended so far durable before it returns.
    ///
    /// # Errors
    ///
    /// Whatever was appended since the last successful sync may or may not be durable, for ever: the engine never calls this
    /// again on the same data.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// The offsets between which the log can be read.
    fn log_range(&self) -> core::ops::Range<u64>;

    /// Reads up to `len` bytes of the log from `offset`; fewer only at its end.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`]; nothing has changed.
    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError>;

    /// Cuts the log's end back to `end`, durably: the torn tail that recovery found. Not used while serving.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`]; the log is as it was or cut.
    fn truncate(&mut self, end: u64) -> Result<(), StorageError>;

    /// Gives up the log before `offset`, whose content is durable elsewhere. May keep more than it was told to give up.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`]; the log begins at or before `offset`.
    fn discard(&mut self, offset: u64) -> Result<(), StorageError>;

    /// Writes a blob, the concatenation of `parts`. When this returns it is durable under its name; after an error or a crash
    /// it is there whole or not at all.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Failed`]; there is no such blob, or it is whole.
    fn put(&mut self, name: &str, parts: &[Bytes]) -> Result<(), StorageError>;

    /// Deletes a blob, durably. Readers that hold its bytes keep them. Deleting what is not there is no error.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`]; the blob is there or not.
    fn delete(&mut self, name: &str) -> Result<(), StorageError>;
}

/// The reading half of a medium, shared by any number of threads.
pub trait Blobs: Clone + Send + Sync + 'static {
    /// The names of all blobs, in any order.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn list(&self) -> Result<Vec<String>, StorageError>;

    /// The length of a blob in bytes, or `None` if there is none of that name.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn len(&self, name: &str) -> Result<Option<u64>, StorageError>;

    /// Exactly the bytes of `range`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`], also when the blob is missing or shorter.
    fn read(&self, name: &str, range: core::ops::Range<u64>) -> Result<Bytes, StorageError>;
}

/// What can go wrong with a medium.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StorageError {
    /// No room. Nothing was written.
    #[error("no space left: {0}")]
    Full(String),
    /// Anything else; the text names the operation and the place.
    #[error("{0}")]
    Failed(String),
}
