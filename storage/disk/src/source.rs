//! The folder that a backup reads.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_core::storage::{Blob, StorageError, StorageReader};
use bytes::Bytes;

use crate::blob;
use crate::error::{OpenError, SystemError};
use crate::folder::Folder;
use crate::format::Format;
use crate::log::LogReader;

/// The source of a backup. It reads the folder without taking the lock, whether or not another process uses it.
#[derive(Debug)]
pub struct DiskSource {
    path: PathBuf,
    format: Format,
    log: LogReader,
    blobs: Folder,
}

impl DiskSource {
    /// Opens an existing folder.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing is changed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let folder = Folder::open(path)?;
        let format = Format::load(&folder)?.ok_or_else(|| OpenError::NoRepository { path: path.to_owned() })?;
        let log = LogReader::open(&folder.join("log"), format.log_file_bytes)?;
        let blobs = Folder::open(&folder.join("blobs"))?;
        // Independent of the current directory and of links.
        let path = path.canonicalize().map_err(SystemError::of("find", path))?;
        Ok(Self { path, format, log, blobs })
    }

    /// The absolute path of the folder, without links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// The path of a blob.
    pub(crate) fn blob_path(&self, name: &str) -> PathBuf {
        self.blobs.join(name)
    }
}

impl StorageReader for DiskSource {
    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        self.log.range()
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.log.read(offset, len)
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        blob::list(&self.blobs)
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        blob::open(&self.blobs, name)
    }
}
