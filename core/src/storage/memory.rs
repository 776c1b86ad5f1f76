//! A storage in memory.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::{BackupTarget, Blob, Deletion, Draft, Published, Storage, StorageError, StorageReader, StorageWriter};

/// A medium in memory, which is lost with the process. A clone is an independent copy.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    /// The log from `log_start` on.
    log: Vec<u8>,
    log_start: u64,
    blobs: BTreeMap<String, Arc<dyn Blob>>,
}

/// A blob in memory.
#[derive(Debug)]
struct MemoryBlob(Bytes);

#[derive(Debug)]
struct MemoryDraft {
    name: String,
    bytes: Vec<u8>,
}

impl MemoryStorage {
    /// The log, from its start on.
    #[must_use]
    pub fn log(&self) -> &[u8] {
        &self.log
    }

    /// Inserts a blob, replacing one of the same name.
    pub fn insert(&mut self, name: &str, bytes: Bytes) {
        self.blobs.insert(name.into(), Arc::new(MemoryBlob(bytes)));
    }
}

impl StorageReader for MemoryStorage {
    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        Ok(self.log_start..self.log_end())
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let outside = || {
            let range = self.log_start..self.log_end();
            StorageError::Failed(format!("cannot read the log at offset {offset}: it has only bytes {range:?}").into())
        };
        let start = offset.checked_sub(self.log_start).and_then(|at| usize::try_from(at).ok()).ok_or_else(outside)?;
        let to_end = self.log.get(start..).ok_or_else(outside)?;
        Ok(Bytes::copy_from_slice(to_end.get(..len).unwrap_or(to_end)))
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        Ok(self.blobs.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        Ok(self.blobs.get(name).cloned())
    }
}

impl StorageWriter for MemoryStorage {
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        for part in parts {
            self.log.extend_from_slice(part);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        let keep = end.saturating_sub(self.log_start);
        self.log.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        Ok(Box::new(MemoryDraft { name: name.into(), bytes: Vec::new() }))
    }

    fn adopt(&mut self, published: Published) {
        self.blobs.insert(published.name, published.blob);
    }
}

impl Storage for MemoryStorage {
    fn is_volatile(&self) -> bool {
        true
    }

    fn log_end(&self) -> u64 {
        self.log_start + self.log.len() as u64
    }

    fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        let offset = offset.clamp(self.log_start, self.log_end());
        // A new buffer, so that the memory of a log that has grown large is freed.
        self.log = self.log.split_off((offset - self.log_start) as usize);
        self.log_start = offset;
        Ok(false)
    }

    fn scrub(&mut self, offset: u64) -> Result<bool, StorageError> {
        self.discard(offset)
    }

    fn delete(&mut self, name: &str) -> Deletion {
        // Readers may still hold the blob. The last one frees its memory.
        let blob = self.blobs.remove(name);
        Box::new(move || {
            drop(blob);
            Ok(())
        })
    }
}

impl BackupTarget for MemoryStorage {
    type Medium = Self;

    fn medium(&mut self) -> &mut Self {
        self
    }

    fn begin(&mut self, log_start: u64) -> Result<(), StorageError> {
        *self = Self { log_start, ..Self::default() };
        Ok(())
    }
}

impl Draft for MemoryDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Published, StorageError> {
        let Self { name, mut bytes } = *self;
        // The blob may be kept for long, so drop the spare capacity of its buffer.
        bytes.shrink_to_fit();
        Ok(Published { name, blob: Arc::new(MemoryBlob(Bytes::from(bytes))) })
    }
}

impl Blob for MemoryBlob {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        let inside = || {
            let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            (start <= end && end <= self.0.len()).then(|| self.0.slice(start..end))
        };
        inside().ok_or_else(|| {
            StorageError::Failed(format!("cannot read bytes {range:?}: the blob has only {}", self.0.len()).into())
        })
    }
}

impl core::fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MemoryStorage")
            .field("log", &(self.log_start..self.log_end()))
            .field("blobs", &self.blobs.keys())
            .finish_non_exhaustive()
    }
}
