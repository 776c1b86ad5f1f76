//! The write half of a medium.

use alloc::boxed::Box;

use super::{Draft, Published, StorageError};

/// Writes the log and the blobs of a medium.
pub trait StorageWriter {
    /// Appends `parts` to the log, in order. They are readable at once, and durable after the next
    /// [`sync`](Self::sync). A crash before that may leave any mixture of any parts of them.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`]: the log is unchanged. [`StorageError::Failed`]: the end
    /// of the log is undefined, and nothing more may be appended.
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError>;

    /// Makes everything appended so far durable, where the next process finds it. A file that was removed or moved away
    /// still accepts writes and syncs; that must be an error here.
    ///
    /// # Errors
    ///
    /// Bytes appended since the last successful sync may or may not be durable, for good. The caller never retries on
    /// the same data.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// Durably cuts the log at `end`. What was appended after it must never reappear behind a later append. An engine
    /// calls this once, when recovery has found the end; a backup, whenever it has copied an incomplete record.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`]; the log is unchanged or cut.
    fn truncate(&mut self, end: u64) -> Result<(), StorageError>;

    /// Starts a blob. Names consist of ASCII letters, digits, `-` and `.`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`], [`StorageError::Failed`]; nothing has changed.
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError>;

    /// Adopts a finished blob: it is now listed and can be opened, replacing one of the same name.
    fn adopt(&mut self, published: Published);
}
