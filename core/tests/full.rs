//! A medium that has room for events and none for what housekeeping makes of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argus_core::batch::Batch;
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{ChoreStep, Chores, CommitError, Repository};
use argus_core::storage::{Blob, Deletion, Draft, MemoryStorage, Published, Storage, StorageError};
use argus_core::testing::{Source, generate};
use bytes::Bytes;

const NOW: Timestamp = Timestamp::from_nanos(0);

/// Has no room for another manifest, as long as it is said to be so.
#[derive(Default)]
struct Crowded {
    inner: MemoryStorage,
    is_full: Arc<AtomicBool>,
}

impl Storage for Crowded {
    fn is_volatile(&self) -> bool {
        false
    }
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        self.inner.append(parts)
    }
    fn sync(&mut self) -> Result<(), StorageError> {
        self.inner.sync()
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
        if name.starts_with("manifest") && self.is_full.load(Ordering::Relaxed) {
            return Err(StorageError::Full("a crowd".into()));
        }
        Storage::create(&mut self.inner, name)
    }
    fn adopt(&mut self, published: Published) {
        Storage::adopt(&mut self.inner, published);
    }
    fn delete(&mut self, name: &str) -> Deletion {
        self.inner.delete(name)
    }
}

/// Does all chores that there are; says whether there was room for what came of them.
fn keep_house(engine: &mut Engine<Crowded>) -> bool {
    let mut chores = Chores::default();
    loop {
        while let Some(chore) = engine.chore(NOW) {
            chores.push(chore);
        }
        let Some(mut chore) = chores.take() else { return true };
        match chore.step(1_000) {
            ChoreStep::Pending => chores.push(chore),
            ChoreStep::Done => match engine.settle(chore) {
                Ok(()) => {}
                Err(CommitError::Full(_)) => return false,
                Err(CommitError::Latched(reason)) => panic!("{reason}"),
            },
        }
    }
}

/// Commits wait for housekeeping if it is behind. They would wait for ever if nobody could do anything about it.
#[test]
fn nobody_waits_for_a_manifest_that_there_is_no_room_for() {
    let storage = Crowded::default();
    let is_full = Arc::clone(&storage.is_full);
    let tuning = Tuning { seal_events: 10, fan_in: 100_000, ..Tuning::default() };
    let mut engine = Engine::open_with(storage, Seed(1), tuning).unwrap();
    is_full.store(true, Ordering::Relaxed);
    let mut source = Source::seeded(1);
    let mut batches = (0..1_500).map(|_| generate::batch(&[generate::draft(&mut source)]));
    let first: Vec<Batch> = batches.by_ref().take(10).collect();
    // Some of them have an id that is there already.
    let mut stored = 0;
    let mut commit = |engine: &mut Engine<Crowded>, group: &[Batch]| {
        stored += engine.commit(NOW, group).unwrap().iter().map(|receipt| u64::from(receipt.stored)).sum::<u64>();
    };
    commit(&mut engine, &first);
    for batch in batches {
        assert!(!keep_house(&mut engine), "events are sealed and wait for a manifest");
        assert!(!engine.is_behind(), "after {} events", engine.snapshot().stats().events);
        commit(&mut engine, &[batch]);
    }
    is_full.store(false, Ordering::Relaxed);
    assert!(keep_house(&mut engine));
    let stats = engine.snapshot().stats();
    assert_eq!(stats.events, stored);
    assert!(stats.segments < 200, "{} segments", stats.segments);
}
