//! The write half of a medium.

use alloc::boxed::Box;

use super::{Draft, Published, StorageError};

/// Writes the log and the blobs of a medium.
pub trait StorageWriter {
    /// Appends `parts` to the log, in order. They are readable at once, and durable after the next
    /// [`sync`](Self::sync). After a crash before that, any of their sectors may be written or not.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`]: the log is unchanged. [`StorageError::Failed`]: the end
    /// of the log is undefined, and nothing more may be appended.
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError>;

    /// Makes everything appended so far durable, where the next process finds it. If the file of the log was removed or
    /// moved, the system still accepts writes and syncs; this must return an error then.
    ///
    /// # Errors
    ///
    /// Whether the bytes appended since the last successful sync are durable stays unknown. The caller never retries on
    /// the same data.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// Durably cuts the log at `end`. The bytes after it must never reappear after a later append. An engine calls this
    /// once, when recovery has found the end; a backup calls it each time it has copied an incomplete record.
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

    /// Adopts a finished blob: from now on it is listed and can be opened. Replaces an existing blob of this name.
    fn adopt(&mut self, published: Published);
}
