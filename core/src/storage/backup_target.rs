//! The target of a backup.

use super::{StorageError, StorageWriter};

/// A medium that becomes a copy of another.
///
/// After an error or a crash it is useless, and must not look like a repository.
pub trait BackupTarget {
    /// The medium that is written to.
    type Medium: StorageWriter;

    /// The medium.
    fn medium(&mut self) -> &mut Self::Medium;

    /// Empties the medium and starts an empty log at this offset.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn begin(&mut self, log_start: u64) -> Result<(), StorageError>;

    /// Durably shares a blob of the source without copying its bytes. Returns `false` if the media do not support this,
    /// or the source has no blob of this name.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    fn share(&mut self, _name: &str) -> Result<bool, StorageError> {
        Ok(false)
    }
}
