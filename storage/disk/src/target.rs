//! A new folder that becomes a repository.

use std::path::{Path, PathBuf};

use argus_core::storage::{BackupTarget, StorageError};

use crate::error::{OpenError, SystemError};
use crate::folder::{Folder, sync_names};
use crate::format::{self, Format};
use crate::reader::DiskReader;
use crate::source::DiskSource;
use crate::storage::{DiskStorage, Options};

/// A new folder for a backup, or for what is saved of a damaged repository.
///
/// It gets its `format` last. Before anything else it gets a file that says so: as long as that is there, and not
/// `format`, the folder is refused by [`DiskStorage::open`], whatever else is there.
#[derive(Debug)]
pub struct DiskTarget<'a> {
    /// Where blobs can be linked from.
    source: Option<&'a DiskSource>,
    folder: Folder,
    storage: DiskStorage,
}

impl<'a> DiskTarget<'a> {
    /// Begins a backup in a folder that is empty or not there yet.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the folder has something in it, lies in the source, or was refused by the system. What was begun
    /// there is refused as a copy that was not finished.
    pub fn for_backup(path: impl AsRef<Path>, source: &'a DiskSource) -> Result<Self, OpenError> {
        Self::create(path.as_ref(), source.path(), source.format(), Some(source))
    }

    /// Begins a salvage in a folder that is empty or not there yet.
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

    /// Makes a repository of it, when all that belongs to it is durable.
    ///
    /// # Errors
    ///
    /// [`SystemError`]: it may be one or not.
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

/// Begins in a folder that is empty or not there yet, and does not lie in the one that is read from. It has this format
/// when it is complete.
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
    // Somebody else may have found it empty as well, and may even be done by now. From here on nobody does.
    if folder.foreign(&[format::UNFINISHED])?.is_some() {
        Format::withdraw(&folder)?;
        return Err(not_empty());
    }
    // Before there can be a repository under these names.
    sync_names(path)?;
    Ok(folder)
}

/// Where a path leads, though its last parts may not exist yet.
fn real_path(path: &Path) -> Result<PathBuf, SystemError> {
    let absolute = std::path::absolute(path).map_err(SystemError::of("find", path))?;
    let mut missing = Vec::new();
    let mut there = absolute.as_path();
    loop {
        match (there.canonicalize(), there.parent(), there.file_name()) {
            (Ok(real), ..) => return Ok(missing.iter().rev().fold(real, |path, part| path.join(part))),
            (Err(error), Some(parent), Some(name)) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push(name.to_owned());
                there = parent;
            }
            (Err(error), ..) => return Err(SystemError::of("find", there)(error)),
        }
    }
}
