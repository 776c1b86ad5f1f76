use std::path::{Path, PathBuf};

use crate::copy::{empty_folder, real_path};
use crate::error::{Fault, OpenError};
use crate::examined::DiskExamined;
use crate::folder::{Folder, sync_names};
use crate::format::Format;
use crate::storage::{DiskStorage, Options};

/// A new folder for what is saved from another.
///
/// It gets its `format` last: without it, whatever else is there is refused by [`DiskStorage::open`].
#[derive(Debug)]
pub struct DiskRescue {
    folder: Folder,
    path: PathBuf,
    format: Format,
    storage: DiskStorage,
}

impl DiskRescue {
    /// Begins in a folder that is empty or not there yet.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the folder has something in it, lies in the other, or was refused by the system.
    pub fn create(path: impl AsRef<Path>, from: &DiskExamined) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let folder = empty_folder(path, from.path())?;
        let Options { log_file_bytes } = Options::default();
        let format = Format { log_file_bytes: from.log_file_bytes().unwrap_or(log_file_bytes) };
        let storage = DiskStorage::begin(&folder, format)?;
        Ok(Self { path: real_path(path)?, folder, format, storage })
    }

    /// Where to save to.
    pub fn storage(&mut self) -> &mut DiskStorage {
        &mut self.storage
    }

    /// Makes a repository of it, when all that belongs to it is durable.
    ///
    /// # Errors
    ///
    /// [`Fault`]: it may be one or not.
    pub fn complete(self) -> Result<(), Fault> {
        self.format.store(&self.folder)?;
        sync_names(&self.path)
    }
}
