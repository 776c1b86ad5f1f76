//! Copies of a folder, made while an engine writes to it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use argus_core::engine::{Backup, BackupError, Engine, Seed, Tuning, back_up};
use argus_core::event::Timestamp;
use argus_core::query::Scan;
use argus_core::repository::{MaintenanceQueue, Repository, Snapshot};
use argus_disk::{DiskReader, DiskSource, DiskStorage, DiskTarget, OpenError, Options};
use argus_testing::{Draft, Pace, Random, StoredEvent, collect, generate, steady};

/// Small sizes, so that segments are sealed and log files trimmed and reused all the time.
const TUNING: Tuning = Tuning {
    seal_events: 60,
    seal_bytes: 1 << 20,
    fan_in: 3,
    block_bytes: 512,
    segment_events_max: 1000,
    fresh_segments_max: 1024,
    filter_bytes_max: 100,
    types_max: 1000,
};
const OPTIONS: Options = Options { log_file_bytes: 8192 };

fn open(path: &Path) -> Engine<DiskStorage> {
    Engine::open_with(DiskStorage::open(path, OPTIONS).unwrap(), Seed(1), TUNING).unwrap()
}

/// All events by sequence number, ids included.
fn events(snapshot: &Arc<dyn Snapshot>) -> Vec<StoredEvent> {
    let mut events = collect(snapshot, &Scan::default(), Pace::UNBROKEN).unwrap().events;
    events.sort_by_key(|event| event.seq);
    events
}

fn copy(from: &Path, to: &Path) -> Result<Backup, BackupError> {
    let source = DiskSource::open(from).unwrap();
    let mut target = DiskTarget::for_backup(to, &source).unwrap();
    let backup = back_up(&source, &mut target)?;
    target.complete().unwrap();
    Ok(backup)
}

/// The events of a copy, opened like any folder.
fn restored(path: &Path) -> Vec<StoredEvent> {
    let engine = open(path);
    let recovery = engine.recovery();
    assert_eq!((recovery.cut_bytes, recovery.orphans, recovery.manifest_repaired), (0, 0, false));
    events(&engine.snapshot())
}

/// Asserts that every way to open a folder refuses it as an unfinished copy.
fn assert_unfinished(path: &Path) {
    let refused =
        [DiskStorage::open(path, OPTIONS).map(drop).unwrap_err(), DiskSource::open(path).map(drop).unwrap_err()]
            .map(|error| error.to_string());
    let reported = match DiskReader::open(path) {
        Ok(reader) => reader.errors()[0].to_string(),
        Err(error) => error.to_string(),
    };
    for refusal in refused.iter().chain([&reported]) {
        let named = format!("{} is an unfinished copy, not a repository", path.display());
        assert!(refusal.starts_with(&named), "{refusal}");
    }
}

/// Commits a batch of some events, and does some maintenance.
fn work(engine: &mut Engine<DiskStorage>, maintenance: &mut MaintenanceQueue, random: &mut Random<'_>) {
    let drafts: Vec<Draft> = (0..1 + random.below(8)).map(|_| generate::draft(random)).collect();
    engine.commit(Timestamp::from_nanos(0), &[generate::batch(&drafts)]).unwrap();
    for _ in 0..random.below(4) {
        let _progress = maintenance.step(engine, steady(Timestamp::from_nanos(0)), 1000).unwrap();
    }
    if random.one_in(5) {
        engine.on_idle().unwrap();
    }
}

#[test]
fn copies_made_while_an_engine_writes_have_every_event_acknowledged_before() {
    let root = tempfile::tempdir().unwrap();
    let from = root.path().join("source");
    let mut engine = open(&from);
    let (acknowledged, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut copies = Vec::new();
    let expected = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut random, mut maintenance) = (Random::seeded(5), MaintenanceQueue::default());
            while !stop.load(Ordering::Acquire) {
                work(&mut engine, &mut maintenance, &mut random);
                acknowledged.store(engine.snapshot().stats().unwrap().last_seq, Ordering::Release);
            }
            events(&engine.snapshot())
        });
        let mut attempts = 0;
        while copies.len() < 30 && attempts < 300 {
            attempts += 1;
            let to = root.path().join(format!("copy-{attempts}"));
            let before = acknowledged.load(Ordering::Acquire);
            match copy(&from, &to) {
                Ok(backup) => copies.push((to, before, backup)),
                // Such a short log may be overwritten completely meanwhile.
                Err(BackupError::Overtaken(_)) => {}
                Err(error) => {
                    stop.store(true, Ordering::Release);
                    panic!("{error}");
                }
            }
        }
        stop.store(true, Ordering::Release);
        writer.join().unwrap()
    });
    assert_eq!(copies.len(), 30);
    for (path, before, backup) in &copies {
        let found = restored(path);
        assert!(found.len() as u64 >= *before, "{} of {before} events, {backup:?}", found.len());
        assert_eq!(found, expected[..found.len()]);
        assert_eq!((backup.last_seq, backup.shared), (found.len() as u64, backup.segments));
    }
    // The copy does not depend on the source.
    fs::remove_dir_all(&from).unwrap();
    let (path, ..) = copies.last().unwrap();
    assert!(restored(path).len() > 100);
}

#[test]
fn a_copy_of_a_stopped_repository_is_independent_of_its_source() {
    let root = tempfile::tempdir().unwrap();
    let [from, to] = ["source", "not/yet/there"].map(|name| root.path().join(name));
    let mut engine = open(&from);
    let (mut random, mut maintenance) = (Random::seeded(6), MaintenanceQueue::default());
    for _ in 0..100 {
        work(&mut engine, &mut maintenance, &mut random);
    }
    let expected = events(&engine.snapshot());
    drop(engine);
    let backup = copy(&from, &to).unwrap();
    assert!(backup.segments > 0 && backup.shared == backup.segments && backup.attempts == 1, "{backup:?}");
    let segment = fs::read_dir(to.join("blobs")).unwrap().map(|entry| entry.unwrap());
    let linked = segment.filter(|entry| entry.metadata().unwrap().nlink() == 2).count();
    assert_eq!(linked as u64, backup.segments);
    assert_eq!(restored(&to), expected);
    let (mut second, mut maintenance) = (open(&to), MaintenanceQueue::default());
    for _ in 0..100 {
        work(&mut second, &mut maintenance, &mut random);
    }
    // The two are independent.
    assert_eq!(events(&open(&from).snapshot()), expected);
    assert_eq!(events(&second.snapshot())[..expected.len()], expected);
}

#[test]
fn a_copy_needs_an_empty_folder_elsewhere_and_is_no_repository_until_it_is_finished() {
    let root = tempfile::tempdir().unwrap();
    let [from, to] = ["source", "copy"].map(|name| root.path().join(name));
    assert!(matches!(DiskSource::open(&from), Err(OpenError::System(_))));
    fs::create_dir(&from).unwrap();
    assert!(matches!(DiskSource::open(&from), Err(OpenError::NoRepository { .. })));
    drop(open(&from));
    let source = DiskSource::open(&from).unwrap();
    for inside in [from.clone(), from.join("log"), from.join("a/b"), root.path().join("source/../source/x")] {
        assert!(matches!(DiskTarget::for_backup(&inside, &source), Err(OpenError::InItself { .. })), "{inside:?}");
    }
    let mut unfinished = DiskTarget::for_backup(&to, &source).unwrap();
    back_up(&source, &mut unfinished).unwrap();
    drop(unfinished);
    assert_unfinished(&to);
    let refusal = DiskTarget::for_backup(&to, &source).unwrap_err().to_string();
    assert!(refusal.contains("is not empty"), "{refusal}");
    fs::remove_dir_all(&to).unwrap();
    fs::create_dir(&to).unwrap();
    copy(&from, &to).unwrap();
    assert_eq!(restored(&to), []);
}

#[test]
fn a_copy_that_ended_before_its_first_byte_is_no_repository() {
    let root = tempfile::tempdir().unwrap();
    let from = root.path().join("source");
    drop(open(&from));
    let source = DiskSource::open(&from).unwrap();
    // Killed, or out of resources, as soon as the folder exists.
    let begun = root.path().join("begun");
    drop(DiskTarget::for_backup(&begun, &source).unwrap());
    assert_unfinished(&begun);
    assert!(matches!(DiskTarget::for_backup(&begun, &source), Err(OpenError::NotEmpty { .. })));
    // Killed even earlier: each of these is created before the next.
    let parts: [fn(&Path) -> std::io::Result<()>; 4] = [
        |path| fs::create_dir(path).and_then(|()| fs::write(path.join("format.unfinished"), "argus-d")),
        |path| fs::write(path.join("lock"), ""),
        |path| fs::create_dir(path.join("log")),
        |path| fs::create_dir(path.join("blobs")),
    ];
    for count in 1..=parts.len() {
        let killed = root.path().join(format!("killed-{count}"));
        parts[..count].iter().for_each(|make| make(&killed).unwrap());
        assert_unfinished(&killed);
        assert!(matches!(DiskTarget::for_backup(&killed, &source), Err(OpenError::NotEmpty { .. })));
    }
    // Without a manifest to begin with.
    for name in ["manifest-a", "manifest-b"] {
        fs::write(from.join("blobs").join(name), "damaged").unwrap();
    }
    let failed = root.path().join("failed");
    copy(&from, &failed).unwrap_err();
    assert_unfinished(&failed);
}

#[test]
fn damage_in_the_source_is_named() {
    let root = tempfile::tempdir().unwrap();
    let [from, to] = ["source", "copy"].map(|name| root.path().join(name));
    let mut engine = open(&from);
    let (mut random, mut maintenance) = (Random::seeded(6), MaintenanceQueue::default());
    for _ in 0..4 {
        work(&mut engine, &mut maintenance, &mut random);
    }
    engine.on_idle().unwrap();
    let log = from.join("log/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    bytes[60] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let error = copy(&from, &to).unwrap_err().to_string();
    assert!(error.starts_with("the source cannot be copied: the log at offset 0 is damaged: "), "{error}");
    bytes[60] ^= 1;
    fs::write(&log, &bytes).unwrap();
    fs::remove_dir_all(&to).unwrap();
    for _ in 0..100 {
        work(&mut engine, &mut maintenance, &mut random);
    }
    drop(engine);
    for entry in fs::read_dir(from.join("log")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let error = copy(&from, &to).unwrap_err().to_string();
    assert!(error.contains("the medium has only bytes 0..0 of the log; events from "), "{error}");
}
