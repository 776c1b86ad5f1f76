//! Reads the log while another process may write to it.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use argus_core::cause::{Cause, NamedPlace};
use argus_core::storage::StorageError;
use bytes::Bytes;

use super::found::Found;
use super::name::file_name;
use super::{by_file, readable};
use crate::error::SystemError;
use crate::folder::Folder;

/// The log of a folder that another process may write to. It keeps no file open between two calls: by then a file may
/// be trimmed or reused for another part of the log.
#[derive(Debug)]
pub(crate) struct LogReader {
    folder: Folder,
    file_bytes: u64,
}

impl LogReader {
    pub(crate) fn open(path: &Path, file_bytes: u64) -> Result<Self, SystemError> {
        Ok(Self { folder: Folder::open(path)?, file_bytes })
    }

    /// From the beginning of the first file to the end of the last one.
    pub(crate) fn range(&self) -> Result<Range<u64>, StorageError> {
        let starts = Found::starts(&self.folder);
        let starts = starts.map_err(|error| {
            let place = NamedPlace::new(error.to_string(), "one of its files");
            StorageError::Failed(Cause::at(place, "the log's files cannot be listed"))
        })?;
        let end = starts.iter().max().map_or(0, |last| last.saturating_add(self.file_bytes));
        Ok(starts.into_iter().min().unwrap_or(end)..end)
    }

    /// Up to `len` bytes of the log from `offset`; fewer only at its end.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let mut bytes = vec![0; readable(&self.range()?, offset, len)?];
        by_file(&mut bytes, offset, self.file_bytes, |start, within, piece| {
            let path = self.folder.join(&file_name(start));
            let file = File::open(&path).map_err(|error| SystemError::of("open", &path)(error).failed())?;
            file.read_exact_at(piece, within).map_err(|error| SystemError::of("read", &path)(error).failed())
        })?;
        Ok(bytes.into())
    }
}
