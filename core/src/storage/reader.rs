//! The half of a medium that is for reading.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::{Blob, StorageError};

/// Reads the log and the blobs of a medium as they are, whatever is wrong with them.
///
/// Unless the medium says that nobody else uses it, its owner may be at work on it: then each call sees what there is
/// at that moment, and what it gives may be what the owner is just writing.
pub trait StorageReader {
    /// The offsets between which the log can be read. Before [`truncate`](super::StorageWriter::truncate) was called on
    /// a medium that was just opened, the end may lie behind what was ever written (a medium may take its room in
    /// advance): there are then zeros, what was written by appends that were never synced, or what another part of the
    /// log once held.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn log_range(&self) -> Result<Range<u64>, StorageError>;

    /// Reads up to `len` bytes of the log from `offset`; fewer only at its end. Where an owner has trimmed the log
    /// meanwhile, this may be an error, or give another part of the log.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`]; nothing has changed.
    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError>;

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
}
