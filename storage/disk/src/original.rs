//! A folder that is copied.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_core::storage::{Blob, Original, StorageError};
use bytes::Bytes;

use crate::blob;
use crate::error::{Fault, OpenError};
use crate::folder::Folder;
use crate::format::Format;
use crate::log::LogReader;

/// A folder that is read only, whether or not another process uses it: nothing in it is changed, not even its lock
/// taken.
#[derive(Debug)]
pub struct DiskOriginal {
    path: PathBuf,
    format: Format,
    log: LogReader,
    blobs: Folder,
}

impl DiskOriginal {
    /// Opens a folder that exists.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let folder = Folder::open(path)?;
        let format = Format::load(&folder)?.ok_or_else(|| OpenError::NoRepository { path: path.to_owned() })?;
        let log = LogReader::open(&folder.join("log"), format.log_file_bytes)?;
        let blobs = Folder::open(&folder.join("blobs"))?;
        // Whatever the current folder will be, and however the path leads here.
        let path = path.canonicalize().map_err(Fault::of("find", path))?;
        Ok(Self { path, format, log, blobs })
    }

    /// Where it is, from the root on and without links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Where a blob of this name lies, if there is one.
    pub(crate) fn blob_path(&self, name: &str) -> PathBuf {
        self.blobs.join(name)
    }
}

impl Original for DiskOriginal {
    fn blob(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        blob::open(&self.blobs, name)
    }

    fn log_bounds(&self) -> Result<Range<u64>, StorageError> {
        self.log.bounds()
    }

    fn log_at(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let Range { start, end } = self.log.bounds()?;
        if offset < start || offset > end {
            return Err(StorageError::Failed(
                format!("read of the log at {offset}, which has {:?}", start..end).into(),
            ));
        }
        self.log.read(offset, usize::try_from(end - offset).unwrap_or(usize::MAX).min(len))
    }
}
