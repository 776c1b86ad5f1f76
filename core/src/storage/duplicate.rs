//! Storage traits for copying a medium while its owner uses it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;

use bytes::Bytes;

use super::{Blob, Draft, Published, Storage, StorageError};

/// A medium to be copied, for reading only. Its owner may be at work on it meanwhile: each call sees what there is at
/// that moment, and what it gives may be what the owner is just writing. Every [`Storage`] is one.
pub trait Original {
    /// The blob of this name; as [`Storage::open`].
    ///
    /// # Errors
    ///
    /// Those of [`Storage::open`].
    fn blob(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError>;

    /// The offsets between which the log can be read, as [`Storage::log_range`]. The owner gives it up at the one end
    /// and takes new room at the other.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn log_bounds(&self) -> Result<Range<u64>, StorageError>;

    /// Reads up to `len` bytes of the log from `offset`; fewer only at its end. What was given up meanwhile may be an
    /// error, or have become another part of the log.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn log_at(&self, offset: u64, len: usize) -> Result<Bytes, StorageError>;
}

impl<S: Storage> Original for S {
    fn blob(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        self.open(name)
    }

    fn log_bounds(&self) -> Result<Range<u64>, StorageError> {
        Ok(self.log_range())
    }

    fn log_at(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.read_log(offset, len)
    }
}

/// A medium that is to become a copy of another.
///
/// After an error it is of no further use. What it holds then, or after a crash, must not be taken for a repository.
pub trait Duplicate {
    /// Empties it, and lets its log begin, without a byte, at this offset.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn begin(&mut self, log_start: u64) -> Result<(), StorageError>;

    /// Takes a blob of the original over without copying its bytes, if both media can do that. Otherwise, or if there
    /// is none of this name, `false`.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn share(&mut self, name: &str) -> Result<bool, StorageError>;

    /// Begins a blob; as [`Storage::create`].
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError>;

    /// Takes a finished blob in; as [`Storage::adopt`].
    fn adopt(&mut self, published: Published);

    /// Appends to the log; as [`Storage::append`].
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Cuts the log's end back to `end`; as [`Storage::truncate`], but any number of times, and more may be appended
    /// afterwards.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn truncate(&mut self, end: u64) -> Result<(), StorageError>;

    /// Makes all that was appended, and all blobs that are shared, durable before it returns.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn sync(&mut self) -> Result<(), StorageError>;
}
