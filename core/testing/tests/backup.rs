//! Backups: complete, and made while an engine works on the source.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod steps;

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use argus_core::batch::{Batch, BatchBuilder, NewEvent};
use argus_core::engine::{Backup, BackupError, Engine, OpenError, Seed, back_up};
use argus_core::event::{EventType, Payload, Timestamp};
use argus_core::query::Scan;
use argus_core::repository::{MaintenanceQueue, Repository, Snapshot};
use argus_core::storage::{
    BackupTarget, Blob, Draft, MemoryStorage, Published, Storage, StorageError, StorageReader, StorageWriter,
};
use argus_testing::{Pace, Pair, Random, SMALL, StoredEvent, collect, generate, steady};
use bytes::Bytes;
use proptest::prelude::*;
use steps::{config, open, reopen, steps};

/// All events in order of sequence numbers, ids included.
fn events(snapshot: &Arc<dyn Snapshot>) -> Vec<StoredEvent> {
    let mut events = collect(snapshot, &Scan::default(), Pace::UNBROKEN).unwrap().events;
    events.sort_by_key(|event| event.seq);
    events
}

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

fn draw(random: &mut Random<'_>, count: u64) -> Batch {
    generate::batch(&(0..count).map(|_| generate::draft(random)).collect::<Vec<_>>())
}

/// A batch of one event with `bytes` bytes of payload.
fn long(bytes: usize) -> Batch {
    let payload = format!("\"{}\"", "x".repeat(bytes));
    let mut builder = BatchBuilder::new();
    let event = NewEvent {
        event_type: EventType::parse("long").unwrap(),
        timestamp: Timestamp::from_nanos(0),
        payload: Payload::parse(&payload).unwrap(),
        id: None,
    };
    builder.push(event).unwrap();
    builder.finish()
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn a_copy_has_the_events_of_its_source_and_accepts_commits(seed: u128, steps in steps(16)) {
        let mut pair = Pair::new(open(seed), reopen);
        for step in &steps {
            pair.run(step).map_err(|difference| TestCaseError::fail(difference.to_string()))?;
        }
        let source = pair.subject();
        let (copy, backup) = copied(source.storage()).unwrap();
        let mut engine = restored(copy);
        prop_assert_eq!(events(&engine.snapshot()), events(&source.snapshot()));
        let stats = source.snapshot().stats().unwrap();
        prop_assert_eq!((backup.last_seq, backup.attempts, backup.shared), (stats.last_seq, 1, 0));
        engine.commit(Timestamp::from_nanos(0), &[long(3)]).unwrap();
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
                            let count = random.below(6);
                            draw(&mut random, count)
                        })
                        .collect();
                    engine.commit(Timestamp::from_nanos(0), &group).unwrap();
                }
                4 => engine.on_idle().unwrap(),
                _ => drop(
                    self.maintenance.borrow_mut().step(&mut *engine, steady(Timestamp::from_nanos(0)), 1000).unwrap(),
                ),
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
    let (mut done, mut again, mut of_the_rest) = (0, 0, 0);
    for seed in 0..600 {
        let source = BusyStorage::new(seed);
        let before = source.engine.borrow().snapshot().stats().unwrap().last_seq;
        let (copy, backup) = match copied(&source) {
            Ok(copied) => copied,
            // Some writers are too fast, which is reported.
            Err(BackupError::Overtaken(10)) => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let found = events(&restored(copy).snapshot());
        let there = events(&source.engine.borrow().snapshot());
        assert!(found.len() as u64 >= before, "seed {seed}: {} of {before} events", found.len());
        assert_eq!(found, there[..found.len()], "seed {seed}");
        assert_eq!(backup.last_seq, found.len() as u64, "seed {seed}");
        done += 1;
        again += u64::from(backup.attempts > 1);
        of_the_rest += u64::from(found.len() as u64 > before);
    }
    // A writer that never interferes proves nothing.
    assert!(
        done > 500 && again > 30 && of_the_rest > 70,
        "{done} copies, {again} restarted, {of_the_rest} with events committed meanwhile"
    );
    println!("{done} copies, {again} restarted, {of_the_rest} with events committed meanwhile");
}

/// The same storage with another log.
fn with_log(from: &MemoryStorage, log: &[u8]) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for name in from.list().unwrap() {
        let blob = from.open(&name).unwrap().unwrap();
        storage.insert(&name, blob.read(0..blob.len()).unwrap());
    }
    storage.append(&[log]).unwrap();
    storage
}

#[test]
fn damage_is_an_error_and_a_torn_tail_is_not_as_for_an_engine() {
    // Separate commits, and one group: records of a group do not confirm each other as durable.
    for groups in [&[&[1][..], &[3], &[1]][..], &[&[1, 3, 1]]] {
        let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
        let mut random = Random::seeded(7);
        for counts in groups {
            let group: Vec<Batch> = counts.iter().map(|&count| draw(&mut random, count)).collect();
            engine.commit(Timestamp::from_nanos(0), &group).unwrap();
        }
        engine.on_idle().unwrap();
        damaged_and_torn(engine.storage());
    }
}

fn damaged_and_torn(storage: &MemoryStorage) {
    let damaged = (0..storage.log().len() * 8).map(|bit| {
        let mut log = storage.log().to_vec();
        log[bit / 8] ^= 1 << (bit % 8);
        log
    });
    let torn = (0..storage.log().len()).map(|end| storage.log()[..end].to_vec());
    for log in damaged.chain(torn) {
        let source = with_log(storage, &log);
        match (Engine::open(source.clone(), Seed(0)), copied(&source)) {
            (Ok(engine), Ok((copy, _))) => {
                assert_eq!(events(&restored(copy).snapshot()), events(&engine.snapshot()));
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
        engine.commit(Timestamp::from_nanos(0), &[long(10)]).unwrap();
    }
    let first = engine.storage().clone();
    let length = first.log().len() / 3;
    // The second record again with another time. The third continues where it ends, as if it belonged there.
    let mut engine = deferred(with_log(&first, &first.log()[..length]));
    engine.commit(Timestamp::from_nanos(1_000_000), &[long(10)]).unwrap();
    let log = [engine.storage().log(), &first.log()[2 * length..]].concat();
    let (copy, backup) = copied(&with_log(&first, &log)).unwrap();
    assert_eq!((backup.last_seq, backup.log_bytes), (2, 2 * length as u64));
    assert_eq!(events(&restored(copy).snapshot()), events(&engine.snapshot()));
}

#[test]
fn damage_to_the_last_record_of_a_copy_is_not_taken_for_a_torn_tail() {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    engine.commit(Timestamp::from_nanos(0), &[long(10)]).unwrap();
    let events_end = engine.storage().log().len();
    let (copy, backup) = copied(engine.storage()).unwrap();
    assert_eq!(backup.log_bytes, events_end as u64);
    let mut log = copy.log().to_vec();
    log[events_end - 1] ^= 1;
    assert!(matches!(Engine::open(with_log(&copy, &log), Seed(0)), Err(OpenError::Damaged { .. })));
    // A copy of the copy needs no second durability mark.
    let (second, _) = copied(&copy).unwrap();
    assert_eq!(second.log(), copy.log());
}

#[test]
fn a_long_record_is_copied_whole_or_not_at_all() {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    engine.commit(Timestamp::from_nanos(0), &[long(10)]).unwrap();
    let short = engine.storage().log().len();
    engine.commit(Timestamp::from_nanos(0), &[long(5 << 20)]).unwrap();
    let (copy, backup) = copied(engine.storage()).unwrap();
    assert_eq!(backup.log_bytes, engine.storage().log().len() as u64);
    assert_eq!(events(&restored(copy).snapshot()), events(&engine.snapshot()));
    let mut torn = engine.storage().log().to_vec();
    torn[short + (4 << 20)] ^= 1;
    let (copy, backup) = copied(&with_log(engine.storage(), &torn)).unwrap();
    assert_eq!((backup.log_bytes, backup.last_seq), (short as u64, 1));
    assert_eq!(events(&restored(copy).snapshot()).len(), 1);
}

#[test]
fn a_missing_repository_or_segment_is_reported() {
    assert_eq!(copied(&MemoryStorage::default()).unwrap_err(), BackupError::NoRepository);
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), SMALL).unwrap();
    let mut random = Random::seeded(7);
    engine.commit(Timestamp::from_nanos(0), &[draw(&mut random, 20)]).unwrap();
    let mut maintenance = MaintenanceQueue::default();
    for _ in 0..100 {
        let _progress = maintenance.step(&mut engine, steady(Timestamp::from_nanos(0)), 1000).unwrap();
    }
    let mut storage = engine.storage().clone();
    let segment = storage.list().unwrap().into_iter().find(|name| name.starts_with("segment-")).unwrap();
    storage.delete(&segment)().unwrap();
    let expected = Engine::open(storage.clone(), Seed(0)).unwrap_err();
    assert_eq!(
        expected.to_string(),
        format!("{segment} is damaged: it is missing; events between 1 and 20 are affected")
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
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
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
    engine.commit(Timestamp::from_nanos(0), &[long(10)]).unwrap();
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
