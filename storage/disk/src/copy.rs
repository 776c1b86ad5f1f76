//! The folder that becomes a copy of another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_core::storage::{Draft, Duplicate, Published, StorageError};

use crate::blob::Blobs;
use crate::error::{Fault, OpenError};
use crate::folder::{Folder, sync_names};
use crate::format::{self, Format};
use crate::lock::Lock;
use crate::log::Log;
use crate::original::DiskOriginal;

/// A folder that is to become a copy of another.
///
/// It gets its `format` last. Before anything else it gets a file that says so: as long as that is there, and not
/// `format`, the folder is refused by [`DiskStorage::open`](crate::DiskStorage::open), whatever else is there.
#[derive(Debug)]
pub struct DiskCopy<'a> {
    original: &'a DiskOriginal,
    folder: Folder,
    log: Log,
    blobs: Blobs,
}

impl<'a> DiskCopy<'a> {
    /// Begins a copy in a folder that is empty or not there yet.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the folder has something in it, lies in the original, or was refused by the system. What was
    /// begun there is refused as a copy that was not finished.
    pub fn create(path: impl AsRef<Path>, original: &'a DiskOriginal) -> Result<Self, OpenError> {
        let folder = begin(path.as_ref(), original.path(), original.format())?;
        let lock = Arc::new(Lock::take(&folder)?);
        let (log, blobs) = (folder.join("log"), folder.join("blobs"));
        Folder::create(&log)?;
        Folder::create(&blobs)?;
        let log = Log::open(&log, original.format().log_file_bytes)?;
        let blobs = Blobs::open(&blobs, lock)?;
        Ok(Self { original, folder, log, blobs })
    }

    /// Makes a repository of it, when all that belongs to it is durable.
    ///
    /// # Errors
    ///
    /// [`Fault`]: it may be one or not.
    pub fn complete(self) -> Result<(), Fault> {
        Format::complete(&self.folder)
    }
}

impl Duplicate for DiskCopy<'_> {
    fn begin(&mut self, log_start: u64) -> Result<(), StorageError> {
        self.log.restart(log_start)?;
        self.blobs.clear()
    }

    fn share(&mut self, name: &str) -> Result<bool, StorageError> {
        self.blobs.link(&self.original.blob_path(name), name)
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        self.blobs.create(name)
    }

    fn adopt(&mut self, published: Published) {
        // It is in its place since it was finished.
        drop(published);
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.log.append(&[bytes])
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        self.log.truncate(end)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.log.sync()?;
        self.blobs.sync()
    }
}

/// Begins a copy in a folder that is empty or not there yet, and does not lie in this one. It has this format when it
/// is complete.
pub(crate) fn begin(path: &Path, original: &Path, format: Format) -> Result<Folder, OpenError> {
    if real_path(path)?.starts_with(original) {
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
fn real_path(path: &Path) -> Result<PathBuf, Fault> {
    let absolute = std::path::absolute(path).map_err(Fault::of("find", path))?;
    let mut missing = Vec::new();
    let mut there = absolute.as_path();
    loop {
        match (there.canonicalize(), there.parent(), there.file_name()) {
            (Ok(real), ..) => return Ok(missing.iter().rev().fold(real, |path, part| path.join(part))),
            (Err(error), Some(parent), Some(name)) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push(name.to_owned());
                there = parent;
            }
            (Err(error), ..) => return Err(Fault::of("find", there)(error)),
        }
    }
}
