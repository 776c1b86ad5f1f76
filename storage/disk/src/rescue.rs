//! The new folder of a salvage.

use std::path::Path;

use crate::copy::begin;
use crate::error::{Fault, OpenError};
use crate::examined::DiskExamined;
use crate::folder::Folder;
use crate::format::Format;
use crate::storage::{DiskStorage, Options};

/// A new folder for what is saved from another.
///
/// It gets its `format` last, as a [copy](crate::DiskCopy) does, and is refused by [`DiskStorage::open`] before.
#[derive(Debug)]
pub struct DiskRescue {
    folder: Folder,
    storage: DiskStorage,
}

impl DiskRescue {
    /// Begins in a folder that is empty or not there yet.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the folder has something in it, lies in the other, or was refused by the system. What was begun
    /// there is refused as a copy that was not finished.
    pub fn create(path: impl AsRef<Path>, from: &DiskExamined) -> Result<Self, OpenError> {
        let Options { log_file_bytes } = Options::default();
        let format = Format { log_file_bytes: from.log_file_bytes().unwrap_or(log_file_bytes) };
        let folder = begin(path.as_ref(), from.path(), format)?;
        let storage = DiskStorage::begin(&folder, format)?;
        Ok(Self { folder, storage })
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
        Format::complete(&self.folder)
    }
}
