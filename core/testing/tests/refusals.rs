//! A medium that refuses some calls.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;

use argus_core::batch::Batch;
use argus_core::cause::Cause;
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::repository::{CommitError, Maintenance, MaintenanceQueue, Repository};
use argus_core::storage::{
    Blob, Deletion, Draft, MemoryStorage, Published, Storage, StorageError, StorageReader, StorageWriter,
};
use argus_testing::{NOW, Random, generate, steady};
use bytes::Bytes;

#[derive(Default)]
struct Refusing {
    inner: MemoryStorage,
    refusals: Arc<Refusals>,
}

/// What is refused at present.
#[derive(Default)]
struct Refusals {
    /// Each sync fails.
    syncs: AtomicBool,
    /// There is no room for a manifest.
    manifests: AtomicBool,
    /// All writes fail for lack of a permission.
    all_writes: AtomicBool,
    /// The number of calls of sync.
    syncs_asked: AtomicU32,
}

impl Refusals {
    fn permit(&self) -> Result<(), StorageError> {
        let refuses = self.all_writes.load(Ordering::Relaxed);
        if refuses { Err(StorageError::Unavailable("no permission".into())) } else { Ok(()) }
    }
}

impl StorageReader for Refusing {
    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        self.inner.log_range()
    }
    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.inner.read_log(offset, len)
    }
    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.inner.list()
    }
    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        self.inner.open(name)
    }
}

impl StorageWriter for Refusing {
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        self.refusals.permit()?;
        self.inner.append(parts)
    }
    fn sync(&mut self) -> Result<(), StorageError> {
        self.refusals.syncs_asked.fetch_add(1, Ordering::Relaxed);
        if self.refusals.syncs.load(Ordering::Relaxed) {
            return Err(StorageError::Failed("as always".into()));
        }
        self.inner.sync()
    }
    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        self.inner.truncate(end)
    }
    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        if name.starts_with("manifest") && self.refusals.manifests.load(Ordering::Relaxed) {
            return Err(StorageError::Full("as always".into()));
        }
        self.refusals.permit()?;
        self.inner.create(name)
    }
    fn adopt(&mut self, published: Published) {
        self.inner.adopt(published);
    }
}

impl Storage for Refusing {
    fn is_volatile(&self) -> bool {
        false
    }
    fn log_end(&self) -> u64 {
        self.inner.log_end()
    }
    fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        self.refusals.permit()?;
        self.inner.discard(offset)
    }
    fn scrub(&mut self, offset: u64) -> Result<bool, StorageError> {
        self.refusals.permit()?;
        self.inner.scrub(offset)
    }
    fn delete(&mut self, name: &str) -> Deletion {
        let (deletion, refusals) = (self.inner.delete(name), Arc::clone(&self.refusals));
        Box::new(move || refusals.permit().and_then(|()| deletion()))
    }
}

/// An engine on a medium that refuses nothing yet, and the switches of that medium.
fn open(tuning: Tuning) -> (Engine<Refusing>, Arc<Refusals>) {
    let storage = Refusing::default();
    let refusals = Arc::clone(&storage.refusals);
    (Engine::open_with(storage, Seed(1), tuning).unwrap(), refusals)
}

#[test]
fn a_failed_sync_before_sealing_fails_the_engine_at_once_and_is_not_repeated() {
    let (mut engine, refusals) = open(Tuning { seal_events: 1, fan_in: 2, ..Tuning::default() });
    refusals.syncs.store(true, Ordering::Relaxed);
    engine.defer_syncs();
    let mut random = Random::seeded(1);
    let batch = generate::random_batch(&mut random, 1);
    let receipts = engine.commit(NOW, std::slice::from_ref(&batch)).unwrap();
    assert!(receipts.iter().all(|receipt| !receipt.durable));
    let mut sealing = engine.next_task(steady(NOW)).unwrap();
    while sealing.step(1) == Poll::Pending {}
    engine.install(sealing).unwrap();
    // A manifest must not point beyond the durable end of the log.
    let task = engine.next_task(steady(NOW));
    // Even before the task is returned.
    assert!(matches!(engine.commit(NOW, &[batch]), Err(CommitError::Failed { .. })));
    assert!(matches!(engine.flush(), Err(CommitError::Failed { .. })));
    assert!(matches!(engine.install(task.unwrap()), Err(CommitError::Failed { .. })));
    assert_eq!(refusals.syncs_asked.load(Ordering::Relaxed), 1);
    assert_eq!(engine.snapshot().stats().unwrap().events, 1);
}

/// Commits wait for maintenance that is behind. They would wait for ever if it cannot proceed.
#[test]
fn commits_do_not_wait_for_a_manifest_without_room() {
    let (mut engine, refusals) = open(Tuning { seal_events: 10, fan_in: 100_000, ..Tuning::default() });
    refusals.manifests.store(true, Ordering::Relaxed);
    let mut random = Random::seeded(1);
    let mut batches = (0..1_500).map(|_| generate::random_batch(&mut random, 1));
    let first: Vec<Batch> = batches.by_ref().take(10).collect();
    // Some have the id of a stored event.
    let mut stored = 0;
    let mut commit = |engine: &mut Engine<Refusing>, group: &[Batch]| {
        stored += engine.commit(NOW, group).unwrap().iter().map(|receipt| u64::from(receipt.stored)).sum::<u64>();
    };
    let mut maintenance = MaintenanceQueue::default();
    let mut maintain = |engine: &mut Engine<Refusing>| loop {
        match maintenance.step(engine, steady(NOW), 1_000) {
            Ok(Poll::Pending) => {}
            end => return end,
        }
    };
    commit(&mut engine, &first);
    for batch in batches {
        assert!(matches!(maintain(&mut engine), Err(CommitError::Full(_))), "a sealed segment waits for a manifest");
        assert!(!engine.is_behind(), "after {} events", engine.snapshot().stats().unwrap().events);
        commit(&mut engine, &[batch]);
    }
    refusals.manifests.store(false, Ordering::Relaxed);
    assert_eq!(maintain(&mut engine), Ok(Poll::Ready(())));
    let stats = engine.snapshot().stats().unwrap();
    assert_eq!(stats.events, stored);
    assert!(stats.segments < 200, "{} segments", stats.segments);
}

/// Whichever call lacks the permission: nothing is stored, nothing fails permanently, and everything proceeds once the
/// permission is back.
#[test]
fn refused_work_is_done_when_the_permission_is_back() {
    for steps in 0..200 {
        let (mut engine, refusals) = open(Tuning { seal_events: 2, fan_in: 2, ..Tuning::default() });
        let mut random = Random::seeded(1);
        let mut stored = 0;
        for _ in 0..12 {
            let batch = generate::random_batch(&mut random, 1);
            stored +=
                engine.commit(NOW, &[batch]).unwrap().iter().map(|receipt| u64::from(receipt.stored)).sum::<u64>();
        }
        let mut maintenance = MaintenanceQueue::default();
        for _ in 0..steps {
            let _progress = maintenance.step(&mut engine, steady(NOW), 1).unwrap();
        }
        refusals.all_writes.store(true, Ordering::Relaxed);
        let mut refused = generate::draft(&mut random);
        refused.id = Some("never stored".into());
        let refused = generate::batch(&[refused]);
        let commit = engine.commit(NOW, std::slice::from_ref(&refused));
        assert_eq!(
            commit,
            Err(CommitError::unavailable(Cause::from("no permission").during("append to the log"))),
            "after {steps} steps"
        );
        for _ in 0..20 {
            match maintenance.step(&mut engine, steady(NOW), 1_000) {
                Ok(_) | Err(CommitError::Unavailable { .. }) => {}
                Err(error) => panic!("after {steps} steps: {error}"),
            }
        }
        assert_eq!(engine.snapshot().stats().unwrap().events, stored);

        refusals.all_writes.store(false, Ordering::Relaxed);
        while maintenance.step(&mut engine, steady(NOW), 1_000) != Ok(Poll::Ready(())) {}
        engine.commit(NOW, &[refused]).unwrap();
        let stats = engine.snapshot().stats().unwrap();
        assert_eq!(stats.events, stored + 1, "after {steps} steps");
        // Only the blobs in use are left: deletions were done.
        let blobs = engine.storage().list().unwrap().into_iter().filter(|name| !name.starts_with("manifest"));
        assert!(blobs.count() as u64 <= stats.segments, "after {steps} steps");
    }
}
