//! The storage trait on files.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_core::storage::{Blob, Deletion, Draft, Published, Storage, StorageError, StorageReader, StorageWriter};
use bytes::Bytes;

use crate::blob::{self, Blobs};
use crate::error::OpenError;
use crate::folder::{Folder, sync_names};
use crate::format::Format;
use crate::lock::Lock;
use crate::log::Log;

/// A medium on files in one folder, which no other process can use meanwhile. The documentation of the [crate] tells
/// how it is laid out.
///
/// The folder is free again when the storage, and with it all drafts and deletions that it made, are dropped, or the
/// process has ended.
#[derive(Debug)]
pub struct DiskStorage {
    log: Log,
    blobs: Blobs,
    strangers: Vec<PathBuf>,
    exposed: Vec<PathBuf>,
}

/// The folders in the folder.
const PARTS: [&str; 2] = ["log", "blobs"];

/// What may be in a folder without a format: what was made before somebody was interrupted, or makes one at this
/// moment.
const OF_A_NEW_ONE: [&str; 5] = ["lock", "log", "blobs", "format.tmp", "format"];

/// What can be chosen when a folder is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of each file of the log, at least 1. A folder that exists keeps what was chosen for it.
    ///
    /// At least one such file takes its space, whatever is in it, and at most two are kept that are not in use.
    pub log_file_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { log_file_bytes: 16 << 20 }
    }
}

impl DiskStorage {
    /// Opens a folder, or makes it, and those above it, durably. What is made is for its owner alone. A folder that is
    /// there, and has no repository, must have nothing else either, but for `lost+found`.
    ///
    /// Whether files can be made is tried: a folder that cannot be written is refused here, and not by the first commit
    /// that needs a new one.
    ///
    /// May take as long as it takes to write to the device what the process before has left to the system.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says whether the folder is in use, damaged, or refused by the system.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let folder = Folder::create(path.as_ref())?;
        // Before there is a lock, so that nothing is left in a folder that is somebody else's.
        if matches!(Format::load(&folder), Ok(None))
            && let Some(path) = folder.foreign(&OF_A_NEW_ONE)?
        {
            return Err(OpenError::Foreign { path });
        }
        let lock = Arc::new(Lock::take(&folder)?);
        let format = match Format::load(&folder)? {
            Some(format) => {
                // Whoever made it may have ended before it was durable, and nothing can be built on it before.
                folder.sync()?;
                format
            }
            None => create(path.as_ref(), &folder, options)?,
        };
        Self::open_parts(&folder, format, lock)
    }

    /// What lies among the files of the log or the blobs and is neither. It is left alone.
    ///
    /// What has a name that a blob could have is among the [names of blobs](StorageReader::list): which of them are in use,
    /// this does not know.
    #[must_use]
    pub fn strangers(&self) -> &[PathBuf] {
        &self.strangers
    }

    /// The folders with files of the repository that others than their owner can look into. What is made is not so; a
    /// folder that was made by somebody else, or by an earlier version, is left as it is: they may have been let in on
    /// purpose.
    #[must_use]
    pub fn exposed(&self) -> &[PathBuf] {
        &self.exposed
    }

    fn open_parts(folder: &Folder, format: Format, lock: Arc<Lock>) -> Result<Self, OpenError> {
        let [log, blobs] = PARTS.map(|name| folder.join(name));
        let (log, blobs) = (Log::open(&log, format.log_file_bytes)?, Blobs::open(&blobs, lock)?);
        let strangers = [log.strangers(), &blob::strangers(blobs.folder())?].concat();
        let mut exposed = Vec::new();
        for part in [log.folder(), blobs.folder()] {
            if folder.is_open_to_others()? && part.is_open_to_others()? {
                exposed.push(part.path().to_owned());
            }
        }
        Ok(Self { log, blobs, strangers, exposed })
    }

    /// Throws everything away, and lets the log begin at this offset.
    pub(crate) fn restart(&mut self, log_start: u64) -> Result<(), StorageError> {
        self.log.restart(log_start)?;
        self.blobs.clear()
    }

    /// Gives a file that is a blob elsewhere a name here as well, durably; `false` if that cannot be.
    pub(crate) fn link(&self, from: &Path, name: &str) -> Result<bool, StorageError> {
        self.blobs.link(from, name)
    }

    /// Begins in a folder that has nothing yet, but is to have this format when all is durable that belongs to it; the
    /// caller sees to that.
    pub(crate) fn begin(folder: &Folder, format: Format) -> Result<Self, OpenError> {
        let lock = Arc::new(Lock::take(folder)?);
        for name in PARTS {
            Folder::create(&folder.join(name))?;
        }
        Self::open_parts(folder, format, lock)
    }
}

/// Makes what a new folder has.
fn create(path: &Path, folder: &Folder, options: Options) -> Result<Format, OpenError> {
    let format = Format { log_file_bytes: options.log_file_bytes.max(1) };
    for name in PARTS {
        let path = folder.join(name);
        if !Folder::create(&path)?.entries()?.is_empty() {
            let reason = format!("it is missing, though there is something in {}", path.display());
            return Err(OpenError::damaged(&folder.join("format"), reason));
        }
    }
    sync_names(path)?;
    format.store(folder)?;
    Ok(format)
}

impl StorageReader for DiskStorage {
    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        Ok(self.log.range())
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.log.read(offset, len)
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.blobs.list()
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        self.blobs.get(name)
    }
}

impl StorageWriter for DiskStorage {
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        self.log.append(parts)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.log.sync()?;
        self.blobs.verify_lock()
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        self.log.truncate(end)
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        self.blobs.create(name)
    }

    fn adopt(&mut self, published: Published) {
        // It is in its place since it was finished.
        drop(published);
    }
}

impl Storage for DiskStorage {
    fn is_volatile(&self) -> bool {
        false
    }

    fn log_end(&self) -> u64 {
        self.log.range().end
    }

    fn log_location(&self, offset: u64) -> String {
        self.log.describe(offset)
    }

    fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        self.log.discard(offset)
    }

    fn delete(&mut self, name: &str) -> Deletion {
        self.blobs.delete(name)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    const SMALL: Options = Options { log_file_bytes: 64 };

    fn new() -> (TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("not/yet/there");
        (root, path)
    }

    fn refusal(path: &Path) -> String {
        DiskStorage::open(path, SMALL).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_is_made_and_found_again_whatever_is_chosen_then() {
        let (_root, path) = new();
        let mut storage = DiskStorage::open(&path, SMALL).unwrap();
        storage.append(&[b"bytes"]).unwrap();
        drop(storage);
        let storage = DiskStorage::open(&path, Options { log_file_bytes: 1000 }).unwrap();
        assert_eq!(storage.log_range().unwrap(), 0..64);
        assert_eq!(storage.read_log(0, 5).unwrap(), "bytes");
    }

    #[test]
    fn a_folder_that_was_made_in_part_is_made_anew() {
        let (_root, path) = new();
        fs::create_dir_all(path.join("log")).unwrap();
        fs::write(path.join("format.tmp"), "argus-d").unwrap();
        DiskStorage::open(&path, SMALL).unwrap();
        assert!(path.join("format").exists() && !path.join("format.tmp").exists());
    }

    #[test]
    fn a_folder_without_a_format_is_no_new_one_if_something_is_in_it() {
        let (_root, path) = new();
        DiskStorage::open(&path, SMALL).unwrap().append(&[b"x"]).unwrap();
        fs::remove_file(path.join("format")).unwrap();
        let refusal = refusal(&path);
        assert!(refusal.contains("format is damaged: it is missing, though there is something in "), "{refusal}");
        assert!(!path.join("format").exists());
    }

    #[test]
    fn a_draft_keeps_the_folder_locked_and_a_blob_does_not() {
        let (_root, path) = new();
        let mut storage = DiskStorage::open(&path, SMALL).unwrap();
        let draft = storage.create("a").unwrap();
        drop(storage);
        assert!(matches!(DiskStorage::open(&path, SMALL), Err(OpenError::InUse { .. })));
        let blob = draft.finish().unwrap().blob;
        assert_eq!(DiskStorage::open(&path, SMALL).unwrap().list().unwrap(), ["a"]);
        assert!(blob.is_empty());
    }

    #[test]
    fn a_deletion_keeps_the_folder_locked_until_it_is_done() {
        let (_root, path) = new();
        let mut storage = DiskStorage::open(&path, SMALL).unwrap();
        storage.create("a").unwrap().finish().unwrap();
        let deletion = storage.delete("a");
        drop(storage);
        assert!(matches!(DiskStorage::open(&path, SMALL), Err(OpenError::InUse { .. })));
        deletion().unwrap();
        assert!(DiskStorage::open(&path, SMALL).unwrap().list().unwrap().is_empty());
    }

    #[test]
    fn a_part_that_is_missing_is_named() {
        for part in ["log", "blobs"] {
            let (_root, path) = new();
            DiskStorage::open(&path, SMALL).unwrap();
            fs::remove_dir(path.join(part)).unwrap();
            let refusal = refusal(&path);
            assert!(refusal.starts_with("cannot open ") && refusal.contains(part), "{refusal}");
        }
    }
}
