//! Copies of a repository: whole, and made while an engine is at work on it.

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
use argus_testing::{Pace, Pair, SMALL, Source, StoredEvent, collect, generate, steady};
use bytes::Bytes;
use proptest::prelude::*;
use steps::{config, open, reopen, steps};

/// All events in the order of their arrival, ids included.
fn events(snapshot: &Arc<dyn Snapshot>) -> Vec<StoredEvent> {
    let mut events = collect(snapshot, &Scan::default(), Pace::UNBROKEN).unwrap().events;
    events.sort_by_key(|event| event.seq);
    events
}

/// A copy, and what was said about it.
fn copied(original: &impl StorageReader) -> Result<(MemoryStorage, Backup), BackupError> {
    let mut copy = MemoryStorage::default();
    let backup = back_up(original, &mut copy)?;
    Ok((copy, backup))
}

/// An engine over a copy, in which nothing had to be cut or made good.
fn restored(copy: MemoryStorage) -> Engine<MemoryStorage> {
    let engine = Engine::open_with(copy, Seed(0xbad), SMALL).unwrap();
    let recovery = engine.recovery();
    assert_eq!((recovery.cut_bytes, recovery.orphans, recovery.manifest_repaired), (0, 0, false));
    engine
}

fn draw(source: &mut Source<'_>, count: u64) -> Batch {
    generate::batch(&(0..count).map(|_| generate::draft(source)).collect::<Vec<_>>())
}

/// A batch of one event with so many bytes of payload.
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
    fn a_copy_says_what_the_original_says_and_goes_on_from_there(seed: u128, steps in steps(16)) {
        let mut pair = Pair::new(open(seed), reopen);
        for step in &steps {
            pair.run(step).map_err(|difference| TestCaseError::fail(difference.to_string()))?;
        }
        let original = pair.subject();
        let (copy, backup) = copied(original.storage()).unwrap();
        let mut engine = restored(copy);
        prop_assert_eq!(events(&engine.snapshot()), events(&original.snapshot()));
        let stats = original.snapshot().stats().unwrap();
        prop_assert_eq!((backup.last_seq, backup.attempts, backup.shared), (stats.last_seq, 1, 0));
        engine.commit(Timestamp::from_nanos(0), &[long(3)]).unwrap();
        prop_assert_eq!(engine.snapshot().stats().unwrap().last_seq, stats.last_seq + 1);
    }
}

/// A medium whose engine goes on working between any two looks at it.
struct Stirred {
    engine: RefCell<Engine<MemoryStorage>>,
    maintenance: RefCell<MaintenanceQueue>,
    source: RefCell<Source<'static>>,
    /// All of the log before this offset was written when the last call began; what is behind is being written.
    written: Cell<u64>,
    /// How much is done at most between two looks…
    pace: u64,
    /// …and how often anything at all.
    rest: u64,
}

impl Stirred {
    fn new(seed: u64) -> Self {
        let mut source = Source::seeded(seed);
        let (pace, rest) = (source.pick(&[1, 3, 12]), source.pick(&[1, 3, 9]));
        let mut engine = Engine::open_with(MemoryStorage::default(), Seed(seed.into()), SMALL).unwrap();
        if source.one_in(4) {
            engine.defer_syncs();
        }
        let stirred = Self {
            engine: RefCell::new(engine),
            maintenance: RefCell::default(),
            source: RefCell::new(source),
            written: Cell::new(0),
            pace,
            rest,
        };
        for _ in 0..30 {
            stirred.stir();
        }
        stirred
    }

    /// Commits, keeps house, or both, or rests.
    fn stir(&self) {
        let (mut engine, mut source) = (self.engine.borrow_mut(), self.source.borrow_mut());
        self.written.set(engine.storage().log_end());
        if !source.one_in(self.rest) {
            return;
        }
        for _ in 0..source.below(self.pace + 1) {
            match source.below(8) {
                0..=3 => {
                    let group: Vec<Batch> = (0..1 + source.below(3))
                        .map(|_| {
                            let count = source.below(6);
                            draw(&mut source, count)
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

impl StorageReader for Stirred {
    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.stir();
        self.engine.borrow().storage().list()
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        self.stir();
        self.engine.borrow().storage().open(name)
    }

    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        self.stir();
        let range = self.engine.borrow().storage().log_range().unwrap();
        // As files have it, whose room is taken in advance.
        Ok(range.start..range.end + self.source.borrow_mut().pick(&[0, 1, 50, 1000]))
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.stir();
        let engine = self.engine.borrow();
        let mut source = self.source.borrow_mut();
        let Range { start, end } = engine.storage().log_range().unwrap();
        let mut bytes = if offset >= start && offset <= end {
            engine.storage().read_log(offset, len)?.to_vec()
        } else if source.one_in(2) {
            // The file is another part of the log by now.
            engine.storage().read_log(start, len)?.to_vec()
        } else {
            return Err(StorageError::Failed(format!("there is no log at {offset}").into()));
        };
        if source.one_in(2) {
            let done = usize::try_from(self.written.get().saturating_sub(offset)).unwrap();
            let torn = done + source.index(bytes.len().saturating_sub(done) + 1);
            bytes.iter_mut().skip(torn).step_by(1 + source.index(3)).for_each(|byte| *byte = 0);
        }
        // Room that nobody has written to yet.
        bytes.resize(len.min(bytes.len() + 100), 0);
        Ok(bytes.into())
    }
}

#[test]
fn a_copy_made_beside_a_writer_has_all_that_was_acknowledged_before_and_whole_batches_of_the_rest() {
    let (mut done, mut again, mut of_the_rest) = (0, 0, 0);
    for seed in 0..600 {
        let original = Stirred::new(seed);
        let before = original.engine.borrow().snapshot().stats().unwrap().last_seq;
        let (copy, backup) = match copied(&original) {
            Ok(copied) => copied,
            // Some writers are too fast for anybody, who then says so.
            Err(BackupError::Overtaken(10)) => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let found = events(&restored(copy).snapshot());
        let there = events(&original.engine.borrow().snapshot());
        assert!(found.len() as u64 >= before, "seed {seed}: {} of {before} events", found.len());
        assert_eq!(found, there[..found.len()], "seed {seed}");
        assert_eq!(backup.last_seq, found.len() as u64, "seed {seed}");
        done += 1;
        again += u64::from(backup.attempts > 1);
        of_the_rest += u64::from(found.len() as u64 > before);
    }
    // A writer that is never in the way proves nothing.
    assert!(
        done > 500 && again > 30 && of_the_rest > 70,
        "{done} copies, {again} begun again, {of_the_rest} with more than there was"
    );
    println!("{done} copies, {again} begun again, {of_the_rest} with more than there was");
}

/// A storage as it was left, its log in other bytes.
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
fn damage_is_an_error_and_a_torn_tail_is_not_just_as_for_an_engine() {
    // One by one, and all at once: none of a group says that another one of it was durable.
    for groups in [&[&[1][..], &[3], &[1]][..], &[&[1, 3, 1]]] {
        let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
        let mut source = Source::seeded(7);
        for counts in groups {
            let group: Vec<Batch> = counts.iter().map(|&count| draw(&mut source, count)).collect();
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
        let original = with_log(storage, &log);
        match (Engine::open(original.clone(), Seed(0)), copied(&original)) {
            (Ok(engine), Ok((copy, _))) => {
                assert_eq!(events(&restored(copy).snapshot()), events(&engine.snapshot()));
            }
            (Err(expected), Err(BackupError::Source(found))) => assert_eq!(found, expected),
            (expected, found) => panic!("{expected:?}, but {found:?}"),
        }
    }
}

#[test]
fn records_of_another_life_are_not_taken_for_what_follows() {
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
    // The second record again, a little later; the third one goes on where it ends, as if it belonged there.
    let mut engine = deferred(with_log(&first, &first.log()[..length]));
    engine.commit(Timestamp::from_nanos(1_000_000), &[long(10)]).unwrap();
    let log = [engine.storage().log(), &first.log()[2 * length..]].concat();
    let (copy, backup) = copied(&with_log(&first, &log)).unwrap();
    assert_eq!((backup.last_seq, backup.log_bytes), (2, 2 * length as u64));
    assert_eq!(events(&restored(copy).snapshot()), events(&engine.snapshot()));
}

#[test]
fn damage_to_the_last_record_of_a_copy_is_known_to_be_damage() {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    engine.commit(Timestamp::from_nanos(0), &[long(10)]).unwrap();
    let events_end = engine.storage().log().len();
    let (copy, backup) = copied(engine.storage()).unwrap();
    assert_eq!(backup.log_bytes, events_end as u64);
    let mut log = copy.log().to_vec();
    log[events_end - 1] ^= 1;
    assert!(matches!(Engine::open(with_log(&copy, &log), Seed(0)), Err(OpenError::Damaged { .. })));
    // A copy of the copy needs no second mark.
    let (second, _) = copied(&copy).unwrap();
    assert_eq!(second.log(), copy.log());
}

#[test]
fn a_long_record_is_copied_whole_or_taken_back_whole() {
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
fn what_is_missing_is_named() {
    assert_eq!(copied(&MemoryStorage::default()).unwrap_err(), BackupError::NoRepository);
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), SMALL).unwrap();
    let mut source = Source::seeded(7);
    engine.commit(Timestamp::from_nanos(0), &[draw(&mut source, 20)]).unwrap();
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
        format!("{segment} is damaged: it is missing; events between 1 and 20 are concerned")
    );
    assert_eq!(copied(&storage).unwrap_err(), BackupError::Source(expected));
}

/// A copy without room for more than so many calls.
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
fn a_copy_that_could_not_be_finished_has_no_manifest() {
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
