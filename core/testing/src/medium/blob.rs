//! Blobs of the simulated medium.

use std::ops::Range;
use std::sync::Arc;

use argus_core::storage::{Blob, Draft, Published, StorageError};
use bytes::Bytes;

use super::SimStorage;
use super::disk::{Fate, Kind};

/// A blob being written.
#[derive(Debug)]
pub(in super::super) struct SimDraft {
    pub(super) medium: SimStorage,
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl SimDraft {
    /// As [`Draft::finish`], but does not make the name durable.
    pub(in super::super) fn finish_in_doubt(self) -> Result<Published, StorageError> {
        self.publish(true)
    }

    fn publish(self, in_doubt: bool) -> Result<Published, StorageError> {
        let Self { medium, name, bytes } = self;
        let disk = &mut *medium.disk();
        let call = format!("finish of {name}");
        let fate = disk.begin(&call, Kind::Writes)?;
        disk.take_space(&call, 1)?;
        let content = Bytes::from(bytes);
        disk.rename(&name, Some(content.clone()), if in_doubt { Fate::Fails } else { fate });
        if fate == Fate::Fails && disk.random.one_in(2) {
            disk.seen.insert(name.clone(), content.clone());
        }
        disk.end(&call, fate)?;
        Ok(Published { name, blob: Arc::new(SimBlob { medium: medium.clone(), content }) })
    }
}

impl Draft for SimDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let disk = &mut *self.medium.disk();
        let call = format!("write of {} bytes to {}", bytes.len(), self.name);
        let fate = disk.begin(&call, Kind::Writes)?;
        disk.take_space(&call, bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        disk.end(&call, fate)
    }

    fn finish(self: Box<Self>) -> Result<Published, StorageError> {
        self.publish(false)
    }
}

/// A finished blob.
#[derive(Debug)]
pub(super) struct SimBlob {
    pub(super) medium: SimStorage,
    pub(super) content: Bytes,
}

impl Blob for SimBlob {
    fn len(&self) -> u64 {
        self.content.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        let disk = &mut *self.medium.disk();
        let call = format!("read of {range:?} in a blob of {} bytes", self.content.len());
        let fate = disk.begin(&call, Kind::Reads)?;
        disk.end(&call, fate)?;
        let (start, end) = (usize::try_from(range.start).ok(), usize::try_from(range.end).ok());
        let inside = start.zip(end).filter(|(start, end)| start <= end && *end <= self.content.len());
        let (start, end) = inside.ok_or_else(|| StorageError::Failed(format!("{call} is outside").into()))?;
        Ok(self.content.slice(start..end))
    }
}
