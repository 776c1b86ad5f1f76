//! The medium that becomes a copy of another.

use super::{StorageError, StorageWriter};

/// A medium that becomes a copy of another.
///
/// After an error it is of no further use. What it holds then, or after a crash, must not be taken for a repository.
pub trait BackupTarget {
    /// What is written to.
    type Medium: StorageWriter;

    /// The medium.
    fn medium(&mut self) -> &mut Self::Medium;

    /// Empties it, and lets its log begin, without a byte, at this offset.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn begin(&mut self, log_start: u64) -> Result<(), StorageError>;

    /// Takes a blob of the source over without copying its bytes, durably, if both media can do that. Otherwise, or if
    /// there is none of this name, `false`.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn share(&mut self, _name: &str) -> Result<bool, StorageError> {
        Ok(false)
    }
}
