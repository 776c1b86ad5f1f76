//! The half of a medium that is for writing.

use alloc::boxed::Box;

use super::{Draft, Published, StorageError};

/// Writes the log and the blobs of a medium.
pub trait StorageWriter {
    /// Appends `parts`, one after the other, to the log. They are readable at once and durable after the next
    /// [`sync`](Self::sync); a crash before that may leave any part of them, in any mixture.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`]: the log is as it was. [`StorageError::Failed`]: its end
    /// is undefined, and nothing more is appended.
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError>;

    /// Makes everything appended so far durable before it returns, in a place where the next process finds it: a file
    /// that somebody has removed or moved away takes bytes and syncs all the same, and that must be an error here.
    ///
    /// # Errors
    ///
    /// Whatever was appended since the last successful sync may or may not be durable, for ever: this is never called
    /// again on the same data.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// Cuts the log's end back to `end`, durably: what was appended behind it is gone for ever, and must not show up
    /// again behind a later append. An engine calls this once, when recovery has found the end; a backup, whenever it
    /// has copied something that turns out to be no whole record.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`]; the log is as it was or cut.
    fn truncate(&mut self, end: u64) -> Result<(), StorageError>;

    /// Begins a blob. Names consist of ASCII letters, digits, `-` and `.`.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`], [`StorageError::Unavailable`], [`StorageError::Failed`]; nothing has changed.
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError>;

    /// Takes a finished blob in: from now on it is listed and can be opened, in place of one of the same name, if there
    /// was one.
    fn adopt(&mut self, published: Published);
}
