//! Where commits do not wait for the medium, a sync that fails is final all the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{ChoreStep, CommitError, Repository};
use argus_core::storage::{Blob, Deletion, Draft, MemoryStorage, Published, Storage, StorageError};
use argus_core::testing::{Source, generate};
use bytes::Bytes;

/// Fails every sync, and counts them.
#[derive(Default)]
struct Syncless {
    inner: MemoryStorage,
    syncs: Arc<AtomicU32>,
}

impl Storage for Syncless {
    fn is_volatile(&self) -> bool {
        false
    }
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        self.inner.append(parts)
    }
    fn sync(&mut self) -> Result<(), StorageError> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Err(StorageError::Failed("as always".into()))
    }
    fn log_range(&self) -> Range<u64> {
        self.inner.log_range()
    }
    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.inner.read_log(offset, len)
    }
    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        self.inner.truncate(end)
    }
    fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        self.inner.discard(offset)
    }
    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.inner.list()
    }
    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        self.inner.open(name)
    }
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        self.inner.create(name)
    }
    fn adopt(&mut self, published: Published) {
        self.inner.adopt(published);
    }
    fn delete(&mut self, name: &str) -> Deletion {
        self.inner.delete(name)
    }
}

#[test]
fn a_sync_that_fails_before_sealing_latches_at_once_and_is_not_tried_again() {
    let storage = Syncless::default();
    let syncs = Arc::clone(&storage.syncs);
    let tuning = Tuning { seal_events: 1, fan_in: 2, ..Tuning::default() };
    let mut engine = Engine::open_with(storage, Seed(1), tuning).unwrap();
    engine.defer_syncs();
    let mut source = Source::seeded(1);
    let batch = generate::batch(&[generate::draft(&mut source)]);
    let receipts = engine.commit(Timestamp::from_nanos(0), std::slice::from_ref(&batch)).unwrap();
    assert!(receipts.iter().all(|receipt| !receipt.durable));
    let mut sealing = engine.chore(Timestamp::from_nanos(0)).unwrap();
    while sealing.step(1) == ChoreStep::Pending {}
    engine.settle(sealing).unwrap();
    // A manifest must not point behind what of the log is durable.
    let chore = engine.chore(Timestamp::from_nanos(0));
    // Before anybody has given the chore back.
    assert!(matches!(engine.commit(Timestamp::from_nanos(0), &[batch]), Err(CommitError::Latched(_))));
    assert!(matches!(engine.flush(), Err(CommitError::Latched(_))));
    assert!(matches!(engine.settle(chore.unwrap()), Err(CommitError::Latched(_))));
    assert_eq!(syncs.load(Ordering::Relaxed), 1);
    assert_eq!(engine.snapshot().stats().events, 1);
}
