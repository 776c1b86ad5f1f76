//! The single writer over a [`Storage`](crate::storage::Storage), and the snapshots that it hands out.

use crate::storage::{Storage, StorageError};

/// Randomness for one repository: from the system's generator, or a fixed number where everything has to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u128);

/// Keeps events in a [`Storage`].
#[derive(Debug)]
pub struct Engine<S: Storage> {
    storage: S,
}

impl<S: Storage> Engine<S> {
    /// Opens what the storage holds, or begins anew where it is empty. `seed` is used only then.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: nothing was changed.
    pub fn open(storage: S, seed: Seed) -> Result<Self, StorageError> {
        let _ = seed;
        Ok(Self { storage })
    }
    /// The medium, for tests and tools.
    pub fn storage(&self) -> &S {
        &self.storage
    }
}
