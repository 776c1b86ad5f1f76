//! The folder that a backup or a salvage writes.

use std::path::{Path, PathBuf};

use argus_core::storage::{BackupTarget, StorageError};

use crate::error::{OpenError, SystemError};
use crate::folder::{Folder, sync_names};
use crate::format::{self, Format};
use crate::reader::DiskReader;
use crate::source::DiskSource;
use crate::storage::{DiskStorage, Options};

/// The new folder of a backup, or of the events recovered from a damaged repository.
///
/// Until it is [complete](Self::complete) it has the file `format.unfinished` and no `format`, and
/// [`DiskStorage::open`] refuses it.
#[derive(Debug)]
pub struct DiskTarget<'a> {
    /// Blobs are linked from here. `None` in a salvage.
    source: Option<&'a DiskSource>,
    folder: Folder,
    storage: DiskStorage,
}

impl<'a> DiskTarget<'a> {
    /// Begins a backup in an empty or new folder.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the folder is not empty, lies inside the source, or a system call failed. The folder may be an
    /// unfinished copy.
    pub fn for_backup(path: impl AsRef<Path>, source: &'a DiskSource) -> Result<Self, OpenError> {
        Self::create(path.as_ref(), source.path(), source.format(), Some(source))
    }

    /// Begins a salvage in an empty or new folder.
    ///
    /// # Errors
    ///
    /// As for [`for_backup`](Self::for_backup).
    pub fn for_salvage(path: impl AsRef<Path>, from: &DiskReader) -> Result<Self, OpenError> {
        let Options { log_file_bytes } = Options::default();
        let format = Format { log_file_bytes: from.log_file_bytes().unwrap_or(log_file_bytes) };
        Self::create(path.as_ref(), from.path(), format, None)
    }

    fn create(path: &Path, from: &Path, format: Format, source: Option<&'a DiskSource>) -> Result<Self, OpenError> {
        let folder = begin(path, from, format)?;
        let storage = DiskStorage::begin(&folder, format)?;
        Ok(Self { source, folder, storage })
    }

    /// Turns the folder into a repository. Everything in it must be durable.
    ///
    /// # Errors
    ///
    /// [`SystemError`]: the folder may or may not be a repository.
    pub fn complete(self) -> Result<(), SystemError> {
        Format::complete(&self.folder)
    }
}

impl BackupTarget for DiskTarget<'_> {
    type Medium = DiskStorage;

    fn medium(&mut self) -> &mut DiskStorage {
        &mut self.storage
    }

    fn begin(&mut self, log_start: u64) -> Result<(), StorageError> {
        self.storage.restart(log_start)
    }

    fn share(&mut self, name: &str) -> Result<bool, StorageError> {
        self.source.map_or(Ok(false), |source| self.storage.link(&source.blob_path(name), name))
    }
}

/// Creates or takes an empty folder outside of `from`, and marks it as an unfinished copy of this format.
fn begin(path: &Path, from: &Path, format: Format) -> Result<Folder, OpenError> {
    if real_path(path)?.starts_with(from) {
        return Err(OpenError::InItself { path: path.to_owned() });
    }
    let folder = Folder::create(path)?;
    let not_empty = || OpenError::NotEmpty { path: path.to_owned() };
    if folder.foreign(&[])?.is_some() {
        return Err(not_empty());
    }
    format.begin(&folder)?;
    // Another process may have used the folder between the check and the mark. From here on, all processes find it
    // marked.
    if folder.foreign(&[format::UNFINISHED])?.is_some() {
        Format::withdraw(&folder)?;
        return Err(not_empty());
    }
    // Before the folder becomes a repository.
    sync_names(path)?;
    Ok(folder)
}

/// The path without links; its last components need not exist.
fn real_path(path: &Path) -> Result<PathBuf, SystemError> {
    let absolute = std::path::absolute(path).map_err(SystemError::of("find", path))?;
    let mut missing = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        match (existing.canonicalize(), existing.parent(), existing.file_name()) {
            (Ok(real), ..) => return Ok(missing.iter().rev().fold(real, |path, part| path.join(part))),
            (Err(error), Some(parent), Some(name)) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push(name.to_owned());
                existing = parent;
            }
            (Err(error), ..) => return Err(SystemError::of("find", existing)(error)),
        }
    }
}
