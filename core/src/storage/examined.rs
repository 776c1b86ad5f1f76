//! The storage trait for reading a medium that may be damaged.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Original, Storage, StorageError};

/// A medium to be looked through, for reading only, while nobody writes to it. Every [`Storage`] is one.
pub trait Examined: Original {
    /// The names of all blobs; as [`Storage::list`].
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`].
    fn names(&self) -> Result<Vec<String>, StorageError>;
}

impl<S: Storage> Examined for S {
    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.list()
    }
}
