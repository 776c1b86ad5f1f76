//! Backups: complete, and made while an engine works on the source.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod steps;

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use argus_core::batch::Batch;
use argus_core::engine::{Backup, BackupError, Engine, OpenError, Seed, back_up};
use argus_core::event::Timestamp;
use argus_core::repository::{MaintenanceQueue, Repository};
use argus_core::storage::{
    self, BackupTarget, Blob, MemoryStorage, Published, Storage, StorageError, StorageReader, StorageWriter,
};
use argus_testing::{
    Draft, NOW, Pair, Random, SMALL, all_events, flipped, generate, maintain, segments, steady, with_log,
};
use bytes::Bytes;
use proptest::prelude::*;
use steps::{config, open, reopen, steps};

/// A backup and its report.
fn copied(source: &impl StorageReader) -> Result<(MemoryStorage, Backup), BackupError> {
    let mut copy = MemoryStorage::default();
    let backup = back_up(source, &mut copy)?;
    Ok((copy, backup))
}

/// An engine on a copy whose recovery had nothing to cut or repair.
fn restored(copy: MemoryStorage) -> Engine<MemoryStorage> {
    let engine = Engine::open_with(copy, Seed(0xbad), SMALL).unwrap();
    let recovery = engine.recovery();
    assert_eq!((recovery.cut_bytes, recovery.orphans, recovery.manifest_repaired), (0, 0, false));
    engine
}

/// A batch of one event with `bytes` bytes of payload.
fn long(bytes: usize) -> Batch {
    let payload = format!("\"{}\"", "x".repeat(bytes));
    generate::batch(&[Draft { event_type: "long".into(), timestamp: NOW, payload, id: None }])
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn a_copy_has_the_events_of_its_source_and_accepts_commits(seed: u128, steps in steps(16)) {
        let mut pair = Pair::new(open(seed), reopen);
        for step in &steps {
            pair.run(step)?;
        }
        let source = pair.subject();
        let (copy, backup) = copied(source.storage()).unwrap();
        let mut engine = restored(copy);
        prop_assert_eq!(all_events(&engine.snapshot()).unwrap(), all_events(&source.snapshot()).unwrap());
        let stats = source.snapshot().stats().unwrap();
        prop_assert_eq!((backup.last_seq, backup.attempts, backup.shared), (stats.last_seq, 1, 0));
        engine.commit(NOW, &[long(3)]).unwrap();
        prop_assert_eq!(engine.snapshot().stats().unwrap().last_seq, stats.last_seq + 1);
    }
}

/// A storage whose engine works between any two calls of the backup.
struct BusyStorage {
    engine: RefCell<Engine<MemoryStorage>>,
    maintenance: RefCell<MaintenanceQueue>,
    random: RefCell<Random<'static>>,
    /// The log before this offset was complete when the current call started; what follows is being written.
    written: Cell<u64>,
    /// The most steps between two calls…
    pace: u64,
    /// …and one in this many calls has any.
    idle: u64,
}

impl BusyStorage {
    fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let (pace, idle) = (random.pick(&[1, 3, 12]), random.pick(&[1, 3, 9]));
        let mut engine = Engine::open_with(MemoryStorage::default(), Seed(seed.into()), SMALL).unwrap();
        if random.one_in(4) {
            engine.defer_syncs();
        }
        let busy = Self {
            engine: RefCell::new(engine),
            maintenance: RefCell::default(),
            random: RefCell::new(random),
            written: Cell::new(0),
            pace,
            idle,
        };
        for _ in 0..30 {
            busy.work();
        }
        busy
    }

    /// Commits, does maintenance, both, or nothing.
    fn work(&self) {
        let (mut engine, mut random) = (self.engine.borrow_mut(), self.random.borrow_mut());
        self.written.set(engine.storage().log_end());
        if !random.one_in(self.idle) {
            return;
        }
        for _ in 0..random.below(self.pace + 1) {
            match random.below(8) {
                0..=3 => {
                    let group: Vec<Batch> = (0..1 + random.below(3))
                        .map(|_| {
                            let count = random.index(6);
                            generate::random_batch(&mut random, count)
                        })
                        .collect();
                    engine.commit(NOW, &group).unwrap();
                }
                4 => engine.on_idle().unwrap(),
                _ => drop(self.maintenance.borrow_mut().step(&mut *engine, steady(NOW), 1000).unwrap()),
            }
        }
    }
}

impl StorageReader for BusyStorage {
    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.work();
        self.engine.borrow().storage().list()
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        self.work();
        self.engine.borrow().storage().open(name)
    }

    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        self.work();
        let range = self.engine.borrow().storage().log_range().unwrap();
        // Files are preallocated, so the range may extend beyond the log.
        Ok(range.start..range.end + self.random.borrow_mut().pick(&[0, 1, 50, 1000]))
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.work();
        let engine = self.engine.borrow();
        let mut random = self.random.borrow_mut();
        let Range { start, end } = engine.storage().log_range().unwrap();
        let mut bytes = if offset >= start && offset <= end {
            engine.storage().read_log(offset, len)?.to_vec()
        } else if random.one_in(2) {
            // The file has been reused for another part of the log.
            engine.storage().read_log(start, len)?.to_vec()
        } else {
            return Err(StorageError::Failed(format!("there is no log at {offset}").into()));
        };
        if random.one_in(2) {
            let done = usize::try_from(self.written.get().saturating_sub(offset)).unwrap();
            let torn = done + random.index(bytes.len().saturating_sub(done) + 1);
            bytes.iter_mut().skip(torn).step_by(1 + random.index(3)).for_each(|byte| *byte = 0);
        }
        // Preallocated space.
        bytes.resize(len.min(bytes.len() + 100), 0);
        Ok(bytes.into())
    }
}

#[test]
fn a_copy_made_beside_a_writer_has_all_earlier_commits_and_no_partial_batch() {
    let (mut copies, mut restarted, mut with_later_events) = (0, 0, 0);
    for seed in 0..600 {
        let source = BusyStorage::new(seed);
        let before = source.engine.borrow().snapshot().stats().unwrap().last_seq;
        let (copy, backup) = match copied(&source) {
            Ok(copied) => copied,
            // Some writers are too fast, which is reported.
            Err(BackupError::Overtaken(10)) => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let copied = all_events(&restored(copy).snapshot()).unwrap();
        let stored = all_events(&source.engine.borrow().snapshot()).unwrap();
        assert!(copied.len() as u64 >= before, "seed {seed}: {} of {before} events", copied.len());
        assert_eq!(copied, stored[..copied.len()], "seed {seed}");
        assert_eq!(backup.last_seq, copied.len() as u64, "seed {seed}");
        copies += 1;
        restarted += u64::from(backup.attempts > 1);
        with_later_events += u64::from(copied.len() as u64 > before);
    }
    let summary =
        format!("{copies} copies, {restarted} restarted, {with_later_events} with events committed meanwhile");
    // A writer that never interferes proves nothing.
    assert!(copies > 500 && restarted > 30 && with_later_events > 70, "{summary}");
    println!("{summary}");
}

#[test]
fn damage_is_an_error_and_a_torn_tail_is_not_as_for_an_engine() {
    // Separate commits, and one group: records of a group do not confirm each other as durable.
    for groups in [&[&[1][..], &[3], &[1]][..], &[&[1, 3, 1]]] {
        let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
        let mut random = Random::seeded(7);
        for counts in groups {
            let group: Vec<Batch> = counts.iter().map(|&count| generate::random_batch(&mut random, count)).collect();
            engine.commit(NOW, &group).unwrap();
        }
        engine.on_idle().unwrap();
        damaged_and_torn(engine.storage());
    }
}

fn damaged_and_torn(storage: &MemoryStorage) {
    let damaged = (0..storage.log().len() * 8).map(|bit| flipped(storage.log(), bit));
    let torn = (0..storage.log().len()).map(|end| storage.log()[..end].to_vec());
    for log in damaged.chain(torn) {
        let source = with_log(storage, &log);
        match (Engine::open(source.clone(), Seed(0)), copied(&source)) {
            (Ok(engine), Ok((copy, _))) => {
                assert_eq!(all_events(&restored(copy).snapshot()).unwrap(), all_events(&engine.snapshot()).unwrap());
            }
            (Err(expected), Err(BackupError::Source(found))) => assert_eq!(found, expected),
            (expected, found) => panic!("{expected:?}, but {found:?}"),
        }
    }
}

#[test]
fn records_of_an_earlier_log_are_not_read_as_the_next_ones() {
    let deferred = |storage| {
        let mut engine = Engine::open(storage, Seed(7)).unwrap();
        engine.defer_syncs();
        engine
    };
    let mut engine = deferred(MemoryStorage::default());
    for _ in 0..3 {
        engine.commit(NOW, &[long(10)]).unwrap();
    }
    let first = engine.storage().clone();
    let length = first.log().len() / 3;
    // The second record again with another time. The third continues where it ends, as if it belonged there.
    let mut engine = deferred(with_log(&first, &first.log()[..length]));
    engine.commit(Timestamp::from_nanos(NOW.as_nanos() + 1_000_000), &[long(10)]).unwrap();
    let log = [engine.storage().log(), &first.log()[2 * length..]].concat();
    let (copy, backup) = copied(&with_log(&first, &log)).unwrap();
    assert_eq!((backup.last_seq, backup.log_bytes), (2, 2 * length as u64));
    assert_eq!(all_events(&restored(copy).snapshot()).unwrap(), all_events(&engine.snapshot()).unwrap());
}

#[test]
fn damage_to_the_last_record_of_a_copy_is_not_taken_for_a_torn_tail() {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    engine.commit(NOW, &[long(10)]).unwrap();
    let events_end = engine.storage().log().len();
    let (copy, backup) = copied(engine.storage()).unwrap();
    assert_eq!(backup.log_bytes, events_end as u64);
    let log = flipped(copy.log(), (events_end - 1) * 8);
    assert!(matches!(Engine::open(with_log(&copy, &log), Seed(0)), Err(OpenError::Damaged { .. })));
    // A copy of the copy needs no second durability mark.
    let (second, _) = copied(&copy).unwrap();
    assert_eq!(second.log(), copy.log());
}

#[test]
fn a_long_record_is_copied_whole_or_not_at_all() {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    engine.commit(NOW, &[long(10)]).unwrap();
    let short = engine.storage().log().len();
    engine.commit(NOW, &[long(5 << 20)]).unwrap();
    let (copy, backup) = copied(engine.storage()).unwrap();
    assert_eq!(backup.log_bytes, engine.storage().log().len() as u64);
    assert_eq!(all_events(&restored(copy).snapshot()).unwrap(), all_events(&engine.snapshot()).unwrap());
    let torn = flipped(engine.storage().log(), (short + (4 << 20)) * 8);
    let (copy, backup) = copied(&with_log(engine.storage(), &torn)).unwrap();
    assert_eq!((backup.log_bytes, backup.last_seq), (short as u64, 1));
    assert_eq!(all_events(&restored(copy).snapshot()).unwrap().len(), 1);
}

#[test]
fn a_missing_repository_or_segment_is_reported() {
    assert_eq!(copied(&MemoryStorage::default()).unwrap_err(), BackupError::NoRepository);
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), SMALL).unwrap();
    let mut random = Random::seeded(7);
    engine.commit(NOW, &[generate::random_batch(&mut random, 20)]).unwrap();
    maintain(&mut engine, steady(NOW)).unwrap();
    let mut storage = engine.storage().clone();
    let [segment] = &segments(&storage)[..] else { panic!("there are several segments") };
    storage.delete(segment)().unwrap();
    let expected = Engine::open(storage.clone(), Seed(0)).unwrap_err();
    assert_eq!(
        expected.to_string(),
        format!("{segment} is damaged: it is missing; events between 1 and 19 are affected")
    );
    assert_eq!(copied(&storage).unwrap_err(), BackupError::Source(expected));
}

/// A target that is full after this number of calls.
struct Full(MemoryStorage, u32);

impl Full {
    fn call(&mut self) -> Result<&mut MemoryStorage, StorageError> {
        self.1 = self.1.checked_sub(1).ok_or_else(|| StorageError::Full("no more calls".into()))?;
        Ok(&mut self.0)
    }
}

impl StorageWriter for Full {
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        self.call()?.append(parts)
    }
    fn sync(&mut self) -> Result<(), StorageError> {
        self.call()?.sync()
    }
    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        self.call()?.truncate(end)
    }
    fn create(&mut self, name: &str) -> Result<Box<dyn storage::Draft>, StorageError> {
        self.call()?.create(name)
    }
    fn adopt(&mut self, published: Published) {
        self.0.adopt(published);
    }
}

impl BackupTarget for Full {
    type Medium = Self;

    fn medium(&mut self) -> &mut Self {
        self
    }
    fn begin(&mut self, log_start: u64) -> Result<(), StorageError> {
        self.call()?.begin(log_start)
    }
    fn share(&mut self, name: &str) -> Result<bool, StorageError> {
        self.call()?.share(name)
    }
}

#[test]
fn an_unfinished_copy_has_no_manifest() {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), SMALL).unwrap();
    engine.commit(NOW, &[long(10)]).unwrap();
    for calls in 0.. {
        let mut copy = Full(MemoryStorage::default(), calls);
        match back_up(engine.storage(), &mut copy) {
            Ok(_) => {
                assert!(calls > 5);
                break;
            }
            Err(error) => assert_eq!(error, BackupError::Target(StorageError::Full("no more calls".into()))),
        }
        assert_eq!(copy.0.list().unwrap(), [""; 0]);
        assert!(copy.0.log().is_empty() || Engine::open(copy.0, Seed(0)).is_err());
    }
}
