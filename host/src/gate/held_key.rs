//! The key of an answer that lasts.

use std::sync::Arc;

use argus_core::auth::Key;
use argus_core::event::Timestamp;

use super::{KeyFile, LoadedKeys};

/// The key that a stream was opened with. The stream ends when the key does.
#[derive(Debug)]
pub(crate) struct HeldKey {
    key: Key,
    file: Arc<KeyFile>,
    /// The keys in force when the key was last looked for. It was among them.
    seen: Arc<LoadedKeys>,
}

impl HeldKey {
    /// A key of `seen`, which are keys of this file.
    pub(super) fn new(key: Key, file: Arc<KeyFile>, seen: Arc<LoadedKeys>) -> Self {
        Self { key, file, seen }
    }

    /// Whether the key is in force at this time, unchanged. Cheap as long as the file is the same.
    pub(crate) fn is_valid(&mut self, now: Timestamp) -> bool {
        let current = self.file.current();
        if Arc::ptr_eq(&current, &self.seen) {
            return !self.key.is_expired(now);
        }
        let is_valid = current.keys().still_has(&self.key, now);
        if is_valid {
            self.seen = current;
        }
        is_valid
    }
}
