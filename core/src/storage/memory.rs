use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::{Blobs, Storage, StorageError};

/// A medium in memory: gone with the process. A clone is a copy that goes its own way.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    /// The log from `log_start` on.
    log: Vec<u8>,
    log_start: u64,
    blobs: MemoryBlobs,
}

/// The blobs of a [`MemoryStorage`] at the time of the call.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs(Arc<BTreeMap<String, Bytes>>);

impl MemoryStorage {
    /// The whole of the log that is kept.
    #[must_use]
    pub fn log(&self) -> &[u8] {
        &self.log
    }
}

impl Storage for MemoryStorage {
    type Blobs = MemoryBlobs;

    fn blobs(&self) -> MemoryBlobs {
        self.blobs.clone()
    }

    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        for part in parts {
            self.log.extend_from_slice(part);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn log_range(&self) -> Range<u64> {
        self.log_start..self.log_start + self.log.len() as u64
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let outside = || StorageError::Failed(format!("read of the log at {offset}, which has {:?}", self.log_range()));
        let start = offset.checked_sub(self.log_start).and_then(|at| usize::try_from(at).ok()).ok_or_else(outside)?;
        let rest = self.log.get(start..).ok_or_else(outside)?;
        Ok(Bytes::copy_from_slice(rest.get(..len).unwrap_or(rest)))
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        let keep = end.saturating_sub(self.log_start);
        self.log.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        Ok(())
    }

    fn discard(&mut self, offset: u64) -> Result<(), StorageError> {
        let range = self.log_range();
        let offset = offset.clamp(range.start, range.end);
        // A new buffer, so that the memory of a log that has grown large is given back.
        self.log = self.log.split_off((offset - range.start) as usize);
        self.log_start = offset;
        Ok(())
    }

    fn put(&mut self, name: &str, parts: &[Bytes]) -> Result<(), StorageError> {
        let mut blob = Vec::with_capacity(parts.iter().map(Bytes::len).sum());
        for part in parts {
            blob.extend_from_slice(part);
        }
        Arc::make_mut(&mut self.blobs.0).insert(name.into(), Bytes::from(blob));
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), StorageError> {
        Arc::make_mut(&mut self.blobs.0).remove(name);
        Ok(())
    }
}

impl Blobs for MemoryBlobs {
    fn list(&self) -> Result<Vec<String>, StorageError> {
        Ok(self.0.keys().cloned().collect())
    }

    fn len(&self, name: &str) -> Result<Option<u64>, StorageError> {
        Ok(self.0.get(name).map(|blob| blob.len() as u64))
    }

    fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let inside = |blob: &Bytes| {
            let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            (start <= end && end <= blob.len()).then(|| blob.slice(start..end))
        };
        self.0
            .get(name)
            .and_then(inside)
            .ok_or_else(|| StorageError::Failed(format!("read of {range:?} in {name}, which has no such bytes")))
    }
}
