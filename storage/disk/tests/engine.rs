//! The engine over files, against the naive model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::sync::Arc;

use argus_core::batch::Batch;
use argus_core::engine::{Chore, Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{CommitError, Receipt, Repository, Snapshot};
use argus_core::storage::{Blob, Draft, Published, Storage, StorageError};
use argus_core::testing::{Pair, Source, Step, generate};
use argus_disk::{DiskStorage, Options};
use bytes::Bytes;
use tempfile::TempDir;

/// Sizes at which a handful of events is merged and sealed, so that a short test goes through all of it.
const SMALL: Tuning = Tuning { seal_events: 12, seal_bytes: 4096, fan_in: 2 };

/// So short that records cross files and that sealing gives some up.
const OPTIONS: Options = Options { log_file_bytes: 1000 };

/// Files, and where exactly the log begins and ends in them.
struct Placed {
    disk: DiskStorage,
    start: u64,
}

/// An engine that can be closed and opened again.
struct Reopened {
    root: TempDir,
    engine: Option<Engine<Placed>>,
}

impl Reopened {
    fn new(seed: u128) -> Self {
        let root = tempfile::tempdir().unwrap();
        let disk = DiskStorage::open(root.path(), OPTIONS).unwrap();
        let engine = Some(Engine::open_with(Placed { disk, start: 0 }, Seed(seed), SMALL).unwrap());
        Self { root, engine }
    }

    fn reopen(&mut self) {
        let range = self.engine.take().unwrap().storage().log_range();
        let mut disk = DiskStorage::open(self.root.path(), OPTIONS).unwrap();
        disk.truncate(range.end).unwrap();
        // The seed is another one, since it must not matter any more.
        self.engine = Some(Engine::open_with(Placed { disk, start: range.start }, Seed(0xbad), SMALL).unwrap());
    }

    fn engine(&mut self) -> &mut Engine<Placed> {
        self.engine.as_mut().unwrap()
    }
}

impl Repository for Reopened {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        self.engine().commit(now, group)
    }

    fn chore(&mut self) -> Option<Chore> {
        self.engine().chore()
    }

    fn settle(&mut self, chore: Chore) -> Result<(), CommitError> {
        self.engine().settle(chore)
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.engine.as_ref().unwrap().snapshot()
    }
}

impl Storage for Placed {
    fn is_volatile(&self) -> bool {
        self.disk.is_volatile()
    }
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        self.disk.append(parts)
    }
    fn sync(&mut self) -> Result<(), StorageError> {
        self.disk.sync()
    }
    fn log_range(&self) -> Range<u64> {
        self.start..self.disk.log_range().end
    }
    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.disk.read_log(offset, len)
    }
    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        self.disk.truncate(end)
    }
    fn discard(&mut self, offset: u64) -> Result<(), StorageError> {
        self.start = offset;
        self.disk.discard(offset)
    }
    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.disk.list()
    }
    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        Storage::open(&self.disk, name)
    }
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        self.disk.create(name)
    }
    fn adopt(&mut self, published: Published) {
        self.disk.adopt(published);
    }
    fn delete(&mut self, name: &str) -> Result<(), StorageError> {
        self.disk.delete(name)
    }
}

#[test]
fn an_engine_over_files_answers_as_the_model_does_whenever_it_is_reopened() {
    for seed in 0..16_u64 {
        let mut source = Source::seeded(seed);
        let mut pair = Pair::new(Reopened::new(seed.into()), Reopened::reopen);
        for step in 0..25 {
            let reopened = step % 4 == 3;
            let drawn = if reopened { Step::Reopen } else { Step::draw(&mut source) };
            pair.run(&drawn).unwrap_or_else(|difference| panic!("seed {seed}, step {step}: {difference}"));
        }
        let queries = [generate::query(&mut source)];
        pair.check(&queries).unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
    }
}
