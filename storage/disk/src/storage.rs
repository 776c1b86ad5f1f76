//! The storage trait over files.

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

/// A storage in one folder, which it locks against other processes. The [crate] documentation has the layout.
///
/// The lock is released when the storage and all its drafts and deletions are dropped, or when the process ends.
#[derive(Debug)]
pub struct DiskStorage {
    log: Log,
    blobs: Blobs,
    unknown_files: Vec<PathBuf>,
    exposed: Vec<PathBuf>,
}

/// The subfolders.
const PARTS: [&str; 2] = ["log", "blobs"];

/// The entries that a folder without a format may have: an interrupted or concurrent creation leaves them.
const PARTS_OF_A_NEW_FOLDER: [&str; 5] = ["lock", "log", "blobs", "format.tmp", "format"];

/// Options for a new folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Length of each log file in bytes, at least 1. An existing folder keeps the length it was created with.
    ///
    /// A log has at least one such file, even for a few bytes, and up to two spare ones.
    pub log_file_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { log_file_bytes: 16 << 20 }
    }
}

impl DiskStorage {
    /// Opens a folder, or creates it and its parents durably, for the owner only. An existing folder without a
    /// repository must be empty, apart from `lost+found`.
    ///
    /// Creates and removes a file in each subfolder, so that a read-only folder is refused here and not by a later
    /// commit.
    ///
    /// May block until the system has written the bytes that a previous process left in the page cache.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the folder is in use, damaged or foreign, or a system call failed.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let folder = Folder::create(path.as_ref())?;
        // Before creating the lock, so that nothing is created in a foreign folder.
        if matches!(Format::load(&folder), Ok(None))
            && let Some(path) = folder.foreign(&PARTS_OF_A_NEW_FOLDER)?
        {
            return Err(OpenError::Foreign { path });
        }
        let lock = Arc::new(Lock::take(&folder)?);
        let format = match Format::load(&folder)? {
            Some(format) => {
                // Its creator may have been killed before the folder was synced.
                folder.sync()?;
                format
            }
            None => create(path.as_ref(), &folder, options)?,
        };
        Self::open_parts(&folder, format, lock)
    }

    /// Files and folders in `log` and `blobs` that are neither log files nor blobs. They are ignored.
    ///
    /// A file with a valid name of a blob is not among them, but [listed](StorageReader::list) as a blob: the storage
    /// does not know which blobs are in use.
    #[must_use]
    pub fn unknown_files(&self) -> &[PathBuf] {
        &self.unknown_files
    }

    /// The subfolders that users other than the owner can access. Argus creates none like that, but does not change
    /// existing ones: the access may be intended.
    #[must_use]
    pub fn exposed(&self) -> &[PathBuf] {
        &self.exposed
    }

    fn open_parts(folder: &Folder, format: Format, lock: Arc<Lock>) -> Result<Self, OpenError> {
        let [log, blobs] = PARTS.map(|name| folder.join(name));
        let (log, blobs) = (Log::open(&log, format.log_file_bytes)?, Blobs::open(&blobs, lock)?);
        let unknown_files = [log.unknown_files(), &blob::unknown_files(blobs.folder())?].concat();
        let mut exposed = Vec::new();
        for part in [log.folder(), blobs.folder()] {
            if folder.is_open_to_others()? && part.is_open_to_others()? {
                exposed.push(part.path().to_owned());
            }
        }
        Ok(Self { log, blobs, unknown_files, exposed })
    }

    /// Removes everything, and lets the log begin at this offset.
    pub(crate) fn restart(&mut self, log_start: u64) -> Result<(), StorageError> {
        self.log.restart(log_start)?;
        self.blobs.clear()
    }

    /// Hard-links a blob of another folder, durably; `false` if that is not possible.
    pub(crate) fn link(&self, from: &Path, name: &str) -> Result<bool, StorageError> {
        self.blobs.link(from, name)
    }

    /// Opens an empty folder for a copy. The caller writes its format when everything else is durable.
    pub(crate) fn begin(folder: &Folder, format: Format) -> Result<Self, OpenError> {
        let lock = Arc::new(Lock::take(folder)?);
        for name in PARTS {
            Folder::create(&folder.join(name))?;
        }
        Self::open_parts(folder, format, lock)
    }
}

/// Creates the contents of a new folder.
fn create(path: &Path, folder: &Folder, options: Options) -> Result<Format, OpenError> {
    let format = Format { log_file_bytes: options.log_file_bytes.max(1) };
    for name in PARTS {
        let path = folder.join(name);
        if !Folder::create(&path)?.entries()?.is_empty() {
            let reason = format!("it is missing, but {} is not empty", path.display());
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
        // Finishing it has already put it in place.
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

    fn scrub(&mut self, offset: u64) -> Result<bool, StorageError> {
        self.blobs.clear_leftovers()?;
        self.log.scrub(offset)
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
    fn an_existing_folder_keeps_its_log_file_length() {
        let (_root, path) = new();
        let mut storage = DiskStorage::open(&path, SMALL).unwrap();
        storage.append(&[b"bytes"]).unwrap();
        drop(storage);
        let storage = DiskStorage::open(&path, Options { log_file_bytes: 1000 }).unwrap();
        assert_eq!(storage.log_range().unwrap(), 0..64);
        assert_eq!(storage.read_log(0, 5).unwrap(), "bytes");
    }

    #[test]
    fn an_interrupted_creation_is_completed() {
        let (_root, path) = new();
        fs::create_dir_all(path.join("log")).unwrap();
        fs::write(path.join("format.tmp"), "argus-d").unwrap();
        DiskStorage::open(&path, SMALL).unwrap();
        assert!(path.join("format").exists() && !path.join("format.tmp").exists());
    }

    #[test]
    fn a_missing_format_is_damage_if_there_is_a_log() {
        let (_root, path) = new();
        DiskStorage::open(&path, SMALL).unwrap().append(&[b"x"]).unwrap();
        fs::remove_file(path.join("format")).unwrap();
        let refusal = refusal(&path);
        assert!(refusal.contains("format is damaged: it is missing, but "), "{refusal}");
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
    fn a_missing_subfolder_is_named() {
        for part in ["log", "blobs"] {
            let (_root, path) = new();
            DiskStorage::open(&path, SMALL).unwrap();
            fs::remove_dir(path.join(part)).unwrap();
            let refusal = refusal(&path);
            assert!(refusal.starts_with("cannot open ") && refusal.contains(part), "{refusal}");
        }
    }
}
