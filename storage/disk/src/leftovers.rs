//! Drafts that could not be removed when they were dropped.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use argus_core::storage::StorageError;

use crate::error::SystemError;
use crate::folder::remove;

/// Files of dropped drafts that are still there, for example because a permission was missing for a while. They may
/// have events that are erased since, so an erasure must not be complete before they are gone: neither scrubbing the
/// log nor the deletion of a segment succeeds until then, and an erasure needs whichever had the events. The next
/// opening of the folder removes them, too.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Mutex<Vec<PathBuf>>);

impl Leftovers {
    /// Removes the file of a draft, or remembers it.
    pub(crate) fn remove(&self, draft: &Path) {
        if remove(draft).is_err() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(draft.to_owned());
        }
    }

    /// Tries again to remove all of them. Returns whether there were any.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] if one of them cannot be removed, whatever the reason: erasures wait for that, but
    /// nothing else does. It is tried again the next time.
    pub(crate) fn clear(&self) -> Result<bool, StorageError> {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let had_any = !paths.is_empty();
        let mut outcome = Ok(had_any);
        paths.retain(|path| match remove(path) {
            Ok(()) => false,
            Err(error) => {
                outcome = Err(error);
                true
            }
        });
        outcome.map_err(SystemError::unavailable)
    }
}
