//! Blobs: files that are written under a temporary name, renamed, and never changed.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_core::cause::{Cause, NamedPlace};
use argus_core::storage::{Blob, Deletion, Draft, Published, StorageError};
use bytes::Bytes;

use crate::error::{SystemError, place};
use crate::folder::{Entry, Folder, create_file, remove, rename};
use crate::identity::Identity;
use crate::leftovers::Leftovers;
use crate::lock::Lock;

/// Smaller writes are buffered up to this size.
const BUFFER_BYTES: usize = 1 << 16;

/// A draft is synced each time this many bytes were written. A single sync at the end of a long blob would delay more
/// urgent maintenance and syncs of the log.
const UNSYNCED_BYTES_MAX: usize = 8 << 20;

/// Suffix of drafts.
const TEMPORARY: &str = ".tmp";

#[derive(Debug)]
pub(crate) struct Blobs {
    folder: Arc<Folder>,
    lock: Arc<Lock>,
    /// Drafts begun so far: a number in their temporary names, so that two drafts of one name do not collide.
    drafts: u64,
    leftovers: Arc<Leftovers>,
}

impl Blobs {
    /// Opens the folder and removes unfinished drafts. All listed blobs are durable from then on.
    pub(crate) fn open(path: &Path, lock: Arc<Lock>) -> Result<Self, SystemError> {
        let folder = Folder::open(path)?;
        for entry in folder.entries()? {
            if entry.is_file && entry.name().is_some_and(is_temporary) {
                remove(&entry.path)?;
            }
        }
        folder.probe()?;
        folder.sync()?;
        Ok(Self { folder: Arc::new(folder), lock, drafts: 0, leftovers: Arc::default() })
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Checks that the lock is still in its place.
    pub(crate) fn verify_lock(&self) -> Result<(), StorageError> {
        self.lock.verify().map_err(SystemError::failed)
    }

    /// The names of all files that can be blobs.
    pub(crate) fn list(&self) -> Result<Vec<String>, StorageError> {
        list(&self.folder)
    }

    pub(crate) fn get(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        open(&self.folder, name)
    }

    /// Hard-links a blob of another folder, durably. Returns `false` if this is impossible and its bytes must be
    /// copied.
    pub(crate) fn link(&self, from: &Path, name: &str) -> Result<bool, StorageError> {
        check_name(name)?;
        let path = self.folder.join(name);
        match fs::hard_link(from, &path).map_err(SystemError::of("link a file to", &path)) {
            Ok(()) => self.sync().map(|()| true),
            Err(error) if error.is_full() => Err(error.without_effect()),
            // Another file system, one without links, a missing permission or a missing file: copying reports the
            // error if it persists.
            Err(_) => Ok(false),
        }
    }

    /// Removes all blobs, durably.
    pub(crate) fn clear(&self) -> Result<(), StorageError> {
        self.list()?.iter().try_for_each(|name| remove(&self.folder.join(name))).map_err(SystemError::failed)?;
        self.sync()
    }

    /// Makes the names of the blobs durable.
    fn sync(&self) -> Result<(), StorageError> {
        self.folder.sync().map_err(SystemError::failed)
    }

    pub(crate) fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        check_name(name)?;
        let temporary = self.folder.join(&format!("{name}.{}{TEMPORARY}", self.drafts));
        self.drafts += 1;
        let file = create_file(&temporary, File::options().read(true).write(true).create_new(true));
        let file = file.map_err(SystemError::without_effect)?;
        Ok(Box::new(DiskDraft {
            name: name.to_owned(),
            temporary,
            writer: Some(BufWriter::with_capacity(BUFFER_BYTES, file)),
            unsynced: 0,
            folder: Arc::clone(&self.folder),
            leftovers: Arc::clone(&self.leftovers),
            _lock: Arc::clone(&self.lock),
        }))
    }

    /// Removes what is left of dropped drafts, durably.
    pub(crate) fn clear_leftovers(&self) -> Result<(), StorageError> {
        if self.leftovers.clear()? { self.sync() } else { Ok(()) }
    }

    /// See [`Storage::delete`](argus_core::storage::Storage::delete). Removing a file also drops its page cache: 250 MB
    /// take 50 to 80 ms.
    pub(crate) fn delete(&self, name: &str) -> Deletion {
        let (folder, lock, name) = (Arc::clone(&self.folder), Arc::clone(&self.lock), name.to_owned());
        let leftovers = Arc::clone(&self.leftovers);
        Box::new(move || {
            check_name(&name)?;
            remove(&folder.join(&name)).map_err(SystemError::without_effect)?;
            leftovers.clear()?;
            folder.sync().map_err(SystemError::failed)?;
            // Held until here: otherwise the next process could create a blob of this name, which would be removed.
            drop(lock);
            Ok(())
        })
    }
}

/// The names of all files in a folder that can be blobs.
pub(crate) fn list(folder: &Folder) -> Result<Vec<String>, StorageError> {
    let entries = folder.entries().map_err(SystemError::failed)?;
    let names = entries.into_iter().filter(|entry| entry.is_file).filter_map(|entry| entry.name().map(str::to_owned));
    Ok(names.filter(|name| check_name(name).is_ok()).collect())
}

/// Files and folders that can be neither blobs nor drafts.
pub(crate) fn unknown_files(folder: &Folder) -> Result<Vec<PathBuf>, SystemError> {
    let is_known = |name: &str| check_name(name).is_ok() || is_temporary(name);
    let is_unknown = |entry: &Entry| !entry.is_file || !entry.name().is_some_and(is_known);
    Ok(folder.entries()?.into_iter().filter(is_unknown).map(|entry| entry.path).collect())
}

/// Opens a blob; `None` if it does not exist.
pub(crate) fn open(folder: &Folder, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
    check_name(name)?;
    let path = folder.join(name);
    match File::open(&path) {
        Ok(file) => Ok(Some(Arc::new(DiskBlob::new(file, path).map_err(SystemError::without_effect)?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SystemError::of("open", &path)(error).without_effect()),
    }
}

/// A blob that is being written.
struct DiskDraft {
    name: String,
    temporary: PathBuf,
    /// `None` after a failure, and when the draft is finished.
    writer: Option<BufWriter<File>>,
    /// Bytes written since the last sync.
    unsynced: usize,
    folder: Arc<Folder>,
    leftovers: Arc<Leftovers>,
    /// Held so that no other process opens the folder and removes this draft as a leftover.
    _lock: Arc<Lock>,
}

impl DiskDraft {
    /// Makes all written bytes durable, and returns the file.
    fn sync(&mut self) -> Result<File, StorageError> {
        let writer = self.writer.as_mut().ok_or_else(|| draft_failed(&self.temporary))?;
        let synced = writer.flush().and_then(|()| writer.get_ref().sync_all());
        let synced = synced.map_err(|error| SystemError::of("write", &self.temporary)(error).without_effect());
        let file = self.abandon();
        synced.and_then(|()| file.ok_or_else(|| draft_failed(&self.temporary)))
    }

    /// Discards the buffer: dropping a `BufWriter` that has bytes would try to write them again.
    fn abandon(&mut self) -> Option<File> {
        self.writer.take().map(|writer| writer.into_parts().0)
    }
}

impl Draft for DiskDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let writer = self.writer.as_mut().ok_or_else(|| draft_failed(&self.temporary))?;
        self.unsynced += bytes.len();
        let mut written = writer.write_all(bytes);
        if self.unsynced >= UNSYNCED_BYTES_MAX {
            self.unsynced = 0;
            written = written.and_then(|()| writer.flush()).and_then(|()| writer.get_ref().sync_data());
        }
        if let Err(error) = written {
            self.abandon();
            return Err(SystemError::of("write", &self.temporary)(error).without_effect());
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Published, StorageError> {
        let file = self.sync()?;
        let path = self.folder.join(&self.name);
        let blob = DiskBlob::new(file, path).map_err(SystemError::failed)?;
        rename(&self.temporary, &blob.path).map_err(SystemError::without_effect)?;
        self.folder.sync().map_err(SystemError::failed)?;
        // The engine trims the log once this blob is finished, so the next process must find it.
        let in_place = Identity::of(&blob.file, &blob.path).and_then(|is| is.verify(&blob.file, &blob.path));
        in_place.map_err(SystemError::failed)?;
        Ok(Published { name: self.name.clone(), blob: Arc::new(blob) })
    }
}

impl Drop for DiskDraft {
    fn drop(&mut self) {
        drop(self.abandon());
        // A finished draft no longer has this name.
        self.leftovers.remove(&self.temporary);
    }
}

/// An open blob. It stays readable when its name is removed or replaced.
#[derive(Debug)]
struct DiskBlob {
    file: File,
    len: u64,
    path: PathBuf,
}

impl DiskBlob {
    fn new(file: File, path: PathBuf) -> Result<Self, SystemError> {
        let len = file.metadata().map_err(SystemError::of("examine", &path))?.len();
        Ok(Self { file, len, path })
    }
}

impl Blob for DiskBlob {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        let len = range.end.checked_sub(range.start).filter(|_| range.end <= self.len);
        let len = len.and_then(|len| usize::try_from(len).ok()).ok_or_else(|| {
            let text = format!("read of {range:?} in a file of {} bytes", self.len);
            StorageError::Failed(Cause::at(place(&self.path), text))
        })?;
        let mut bytes = vec![0; len];
        let read = self.file.read_exact_at(&mut bytes, range.start);
        read.map_err(|error| SystemError::of("read", &self.path)(error).failed())?;
        Ok(bytes.into())
    }
}

/// Allows ASCII letters, digits, `-` and `.`, but no `.` at the beginning and no temporary name. So no blob lies
/// outside of the folder or is hidden.
fn check_name(name: &str) -> Result<(), StorageError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if plain && !name.is_empty() && !name.starts_with('.') && !name.ends_with(TEMPORARY) {
        return Ok(());
    }
    Err(StorageError::Failed(Cause::at(
        NamedPlace::new(format!("{name:?}"), "a blob"),
        "this is not a valid name of a blob",
    )))
}

/// Whether this is the file name of a draft.
fn is_temporary(file_name: &str) -> bool {
    let parts = file_name.strip_suffix(TEMPORARY).and_then(|rest| rest.rsplit_once('.'));
    parts.is_some_and(|(name, number)| check_name(name).is_ok() && number.parse::<u64>().is_ok())
}

fn draft_failed(path: &Path) -> StorageError {
    StorageError::Failed(Cause::at(place(path), "an earlier write of this draft failed"))
}

#[cfg(test)]
mod tests;
