//! The folder that a check or a salvage reads.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_core::storage::{Blob, StorageError, StorageReader};
use bytes::Bytes;

use crate::blob;
use crate::error::{OpenError, SystemError};
use crate::folder::Folder;
use crate::format::Format;
use crate::lock::Lock;
use crate::log::RecoveredLog;
use crate::system::drop_cached;

/// Reads a folder that may be damaged. Changes nothing, and keeps writers out for as long as it lives.
///
/// Bytes that are missing from the log read as zeros. The page cache is dropped first where the system allows it, so
/// that reads show what the device has.
#[derive(Debug)]
pub struct DiskReader {
    path: PathBuf,
    log: RecoveredLog,
    blobs: Folder,
    errors: Vec<OpenError>,
    unknown_files: Vec<PathBuf>,
    _lock: Option<Lock>,
}

impl DiskReader {
    /// Opens an existing folder.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: another process writes to it, it holds no repository, or a system call failed. Nothing is
    /// changed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let folder = Folder::open(path)?;
        let lock = Lock::take_unchanged(&folder)?;
        let [log, blobs] = ["log", "blobs"].map(|name| folder.join(name));
        let mut errors = Vec::new();
        let format = match Format::load(&folder) {
            Ok(None) if !log.is_dir() || !blobs.is_dir() => {
                return Err(OpenError::NoRepository { path: path.to_owned() });
            }
            Ok(None) => {
                errors.push(OpenError::damaged(&folder.join("format"), "it is missing"));
                None
            }
            Ok(found) => found,
            Err(error @ OpenError::Unfinished { .. }) if !log.is_dir() || !blobs.is_dir() => return Err(error),
            Err(error) => {
                errors.push(error);
                None
            }
        };
        let blobs = Folder::open(&blobs)?;
        let (log, wrong) = RecoveredLog::open(&log, format.map(|format| format.log_file_bytes));
        errors.extend(wrong);
        let unknown_files = [log.unknown_files(), &blob::unknown_files(&blobs)?].concat();
        let path = path.canonicalize().map_err(SystemError::of("find", path))?;
        Ok(Self { path, log, blobs, errors, unknown_files, _lock: lock })
    }

    /// The errors of the folder and its log files. With any of them,
    /// [`DiskStorage::open`](crate::DiskStorage::open) refuses the folder. Reading the log shows which events are
    /// affected, unless the end of the log is missing, which only these errors show.
    #[must_use]
    pub fn errors(&self) -> &[OpenError] {
        &self.errors
    }

    /// As [`DiskStorage::unknown_files`](crate::DiskStorage::unknown_files).
    #[must_use]
    pub fn unknown_files(&self) -> &[PathBuf] {
        &self.unknown_files
    }

    /// Whether some of these bytes of the log are missing, because a file is missing or too short. Missing bytes read
    /// as zeros.
    #[must_use]
    pub fn lacks(&self, log: Range<u64>) -> bool {
        self.log.lacks(log)
    }

    /// The absolute path of the folder, without links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The length of the files of the log, if there are any.
    pub(crate) fn log_file_bytes(&self) -> Option<u64> {
        Some(self.log.file_bytes()).filter(|&bytes| bytes > 1)
    }
}

impl StorageReader for DiskReader {
    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        Ok(self.log.range())
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.log.read(offset, len)
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        blob::list(&self.blobs)
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        let blob = blob::open(&self.blobs, name)?;
        if blob.is_some()
            && let Ok(file) = File::open(self.blobs.join(name))
        {
            drop_cached(&file);
        }
        Ok(blob)
    }
}
