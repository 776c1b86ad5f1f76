//! The read half of a medium.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::{Blob, StorageError};

/// Reads the log and the blobs of a medium as they are, damaged or not.
///
/// An owner may write at the same time, unless the medium rules that out. Each call then sees the current state, and
/// may return bytes that are just being written.
pub trait StorageReader {
    /// The readable range of the log. After a medium was opened and before
    /// [`truncate`](super::StorageWriter::truncate), it may extend beyond the last record, because a medium may
    /// preallocate. The extra bytes are zeros, appends that were never synced, or old content of reused space.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn log_range(&self) -> Result<Range<u64>, StorageError>;

    /// Reads up to `len` bytes of the log from `offset`; fewer only at its end. If the owner trims the log at the same
    /// time, this may fail or return bytes of another part of the log.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError>;

    /// The names of all blobs, in any order, without drafts.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn list(&self) -> Result<Vec<String>, StorageError>;

    /// The blob of this name, or `None` if there is none. The handle keeps reading the same bytes after the blob is
    /// deleted or replaced.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`]: it cannot be opened at present. [`StorageError::Failed`].
    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError>;
}
