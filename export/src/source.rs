//! Opens a repository on disk for reading, also while a server writes to it.

use std::path::Path;
use std::sync::Arc;

use argus_core::engine::{self, BackupError, Engine, Seed, Tuning, back_up};
use argus_core::repository::Snapshot;
use argus_core::storage::{
    BackupTarget, MemoryStorage, Published, StorageError, StorageReader as _, StorageWriter as _,
};
use argus_disk::DiskSource;
use thiserror::Error;

/// Why a repository could not be opened for reading.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The folder could not be opened.
    #[error(transparent)]
    Folder(#[from] argus_disk::OpenError),
    /// Its log or its segments could not be read, or are damaged.
    #[error(transparent)]
    Copy(#[from] BackupError),
    /// What was read is damaged.
    #[error(transparent)]
    Repository(#[from] engine::OpenError),
}

/// A backup in memory, of which the segments are the open files of the source. A file stays readable after the server
/// has removed it, so the backup stays whole; and the log, which a server overwrites, is copied.
struct View<'s> {
    source: &'s DiskSource,
    medium: MemoryStorage,
}

/// Takes a snapshot of the repository in a folder. It has all events that were acknowledged before the call, and
/// perhaps later ones. Takes no lock, changes nothing, and checks each record of the log.
///
/// The snapshot keeps a file open for each segment, and needs as much memory as the events that are in the log but not
/// yet in a segment: some ten MiB.
///
/// # Errors
///
/// [`SourceError`].
pub fn open(path: &Path) -> Result<Arc<dyn Snapshot>, SourceError> {
    let source = DiskSource::open(path)?;
    let mut view = View { source: &source, medium: MemoryStorage::default() };
    back_up(&source, &mut view)?;
    // A server has limited the event types when it accepted them, and nobody looks up ids here.
    let tuning = Tuning { types_max: usize::MAX, filter_bytes_max: 0, ..Tuning::default() };
    // The medium has a manifest, so no repository is created and the seed is not used.
    let engine = Engine::open_with(view.medium, Seed(0), tuning)?;
    Ok(engine.snapshot())
}

impl BackupTarget for View<'_> {
    type Medium = MemoryStorage;

    fn medium(&mut self) -> &mut MemoryStorage {
        &mut self.medium
    }

    fn begin(&mut self, log_start: u64) -> Result<(), StorageError> {
        self.medium.begin(log_start)
    }

    fn share(&mut self, name: &str) -> Result<bool, StorageError> {
        let Some(blob) = self.source.open(name)? else { return Ok(false) };
        self.medium.adopt(Published { name: name.to_owned(), blob });
        Ok(true)
    }
}
