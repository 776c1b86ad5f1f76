//! Folders that are damaged: what is found, what is refused, and what can be saved.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use argus_core::engine::{Engine, Salvage, SalvageError, Seed, Tuning, check, salvage};
use argus_core::event::Timestamp;
use argus_core::query::Query;
use argus_core::repository::{Housekeeper, Housekeeping, Repository};
use argus_core::testing::{Draft, Pace, Source, StoredEvent, collect, generate, steady};
use argus_disk::{DiskExamined, DiskRescue, DiskStorage, OpenError, Options};
use tempfile::TempDir;

const SMALL: Tuning = Tuning {
    seal_events: 20,
    seal_bytes: 1 << 20,
    fan_in: 99,
    block_bytes: 256,
    segment_events_max: 99,
    fresh_segments_max: 1024,
    filter_bytes_max: 1 << 20,
};
const OPTIONS: Options = Options { log_file_bytes: 1000 };

fn open(path: &Path) -> Result<Engine<DiskStorage>, String> {
    let storage = DiskStorage::open(path, OPTIONS).map_err(|error| error.to_string())?;
    Engine::open_with(storage, Seed(1), SMALL).map_err(|error| error.to_string())
}

fn events(engine: &Engine<DiskStorage>) -> Vec<StoredEvent> {
    let mut events = collect(&engine.snapshot(), &Query::default(), Pace::UNBROKEN).unwrap().events;
    events.sort_by_key(|event| event.seq);
    events
}

/// A folder with segments and a log of several files, and its events.
fn store() -> (TempDir, PathBuf, Vec<StoredEvent>) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let mut engine = open(&path).unwrap();
    let (mut source, mut housekeeper, now) = (Source::seeded(5), Housekeeper::default(), Timestamp::from_nanos(0));
    for _ in 0..6 {
        let drafts: Vec<Draft> = (0..10).map(|_| generate::draft(&mut source)).collect();
        engine.commit(now, &[generate::batch(&drafts)]).unwrap();
        while housekeeper.step(&mut engine, steady(now), 1000).unwrap() != Housekeeping::Idle {}
    }
    for _ in 0..16 {
        engine.commit(now, &[generate::batch(&[generate::draft(&mut source)])]).unwrap();
    }
    engine.rest().unwrap();
    let events = events(&engine);
    (root, path, events)
}

fn files(path: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.append(&mut self::files(&entry));
        } else {
            let modified = entry.metadata().unwrap().modified().unwrap();
            files.insert(entry.clone(), (fs::read(&entry).unwrap(), modified));
        }
    }
    files
}

fn logs(path: &Path) -> Vec<PathBuf> {
    let is_log = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "log");
    files(&path.join("log")).into_keys().filter(is_log).collect()
}

fn saved(from: &DiskExamined, to: &Path) -> (Salvage, Vec<StoredEvent>) {
    let mut rescue = DiskRescue::create(to, from).unwrap();
    let found = salvage(from, rescue.storage(), Seed(9)).unwrap();
    rescue.complete().unwrap();
    let engine = open(to).unwrap();
    let recovery = engine.recovery();
    assert_eq!((recovery.cut_bytes, recovery.orphans, recovery.manifest_repaired), (0, 0, false));
    (found, events(&engine))
}

#[test]
fn looking_through_changes_nothing_and_keeps_others_out() {
    let (root, path, there) = store();
    let before = files(&path);
    let examined = DiskExamined::open(&path).unwrap();
    let report = check(&examined);
    assert!(report.findings.is_empty() && examined.faults().is_empty(), "{report:?}");
    assert_eq!((report.events, report.last_seq), (there.len() as u64, there.len() as u64));
    assert!(report.segments >= 3 && report.records > 0, "{report:?}");
    assert!(open(&path).unwrap_err().contains("is locked by "));
    let (found, events) = saved(&examined, &root.path().join("copy"));
    assert_eq!(events, there);
    assert!(found.losses.is_empty());
    assert_eq!(files(&path), before);
    drop(examined);
    let engine = open(&path).unwrap();
    assert!(matches!(DiskExamined::open(&path), Err(OpenError::InUse { .. })));
    drop(engine);
}

#[test]
fn damage_of_the_log_is_named_by_its_file_the_place_in_it_and_the_events() {
    let (_root, path, _) = store();
    // The last but one: it has records, and there are others behind them.
    let logs = logs(&path);
    let file = logs.iter().rev().nth(1).unwrap();
    let mut bytes = fs::read(file).unwrap();
    bytes[500] ^= 1;
    fs::write(file, &bytes).unwrap();
    let refusal = open(&path).unwrap_err();
    let named = format!(" of {}) is damaged: ", file.display());
    assert!(refusal.starts_with("the log at offset ") && refusal.contains(&named), "{refusal}");
    assert!(refusal.contains("; event 70 is concerned"), "{refusal}");
}

#[test]
fn a_file_cut_anywhere_is_refused_and_named_and_what_it_had_is_saved() {
    let (root, path, there) = store();
    let logs = logs(&path);
    assert!(logs.len() >= 2, "{logs:?}");
    for (index, file) in logs.iter().chain([&path.join("format")]).enumerate() {
        let bytes = fs::read(file).unwrap();
        let step = if index < logs.len() { 37 } else { 1 };
        for end in (0..bytes.len()).step_by(step) {
            let place = format!("{} cut at {end}", file.display());
            fs::write(file, bytes.get(..end).unwrap()).unwrap();
            match open(&path) {
                // The last line of a text need not end.
                Ok(engine) => {
                    assert_eq!((end, events(&engine)), (bytes.len() - 1, there.clone()), "{place}");
                    assert!(file.ends_with("format"), "{place}");
                    continue;
                }
                Err(refusal) => assert!(refusal.contains(" is damaged: "), "{place}: {refusal}"),
            }
            let examined = DiskExamined::open(&path).unwrap();
            assert!(!examined.faults().is_empty(), "{place}");
            if end % 5 == 0 {
                let to = root.path().join("copy");
                let (found, events) = saved(&examined, &to);
                assert!(events.iter().all(|event| there.contains(event)), "{place}");
                let listed: u64 =
                    found.losses.iter().flat_map(|loss| &loss.seqs).map(|(first, last)| last - first + 1).sum();
                // Only the end of the log may be missing without a trace in it; that it is cut is told.
                let is_last = logs.last() == Some(file);
                assert!(events.len() as u64 + listed == there.len() as u64 || is_last, "{place}");
                assert!(index < logs.len() || events == there, "{place}: a format can be guessed");
                fs::remove_dir_all(&to).unwrap();
            }
            drop(examined);
        }
        fs::write(file, &bytes).unwrap();
    }
    assert_eq!(events(&open(&path).unwrap()), there);
}

#[test]
fn a_missing_file_is_named_and_the_rest_is_saved() {
    let (root, path, there) = store();
    let logs = logs(&path);
    let middle = logs.get(logs.len() / 2).unwrap();
    fs::remove_file(middle).unwrap();
    fs::write(path.join("log/notes"), "").unwrap();
    let examined = DiskExamined::open(&path).unwrap();
    let faults: Vec<String> = examined.faults().iter().map(ToString::to_string).collect();
    assert!(faults.iter().any(|fault| fault.contains("notes is damaged: this is not a file of the log")), "{faults:?}");
    let (found, events) = saved(&examined, &root.path().join("copy"));
    assert!(!found.source.is_whole() && !found.losses.is_empty(), "{found:?}");
    assert!(events.len() < there.len() && events.iter().all(|event| there.contains(event)));
}

#[test]
fn what_was_saved_in_part_is_no_repository() {
    let (root, path, _) = store();
    let to = root.path().join("copy");
    let examined = DiskExamined::open(&path).unwrap();
    assert!(matches!(DiskRescue::create(path.join("blobs/x"), &examined), Err(OpenError::InItself { .. })));
    let mut rescue = DiskRescue::create(&to, &examined).unwrap();
    salvage(&examined, rescue.storage(), Seed(9)).unwrap();
    drop(rescue);
    let refusal = open(&to).unwrap_err();
    assert!(refusal.contains(" is no repository, but a copy that was not finished"), "{refusal}");
    assert!(matches!(DiskRescue::create(&to, &examined), Err(OpenError::NotEmpty { .. })));
    fs::remove_dir_all(path.join("log")).unwrap();
    drop(examined);
    fs::remove_file(path.join("format")).unwrap();
    assert!(matches!(DiskExamined::open(&path), Err(OpenError::NoRepository { .. })));
}

#[test]
fn where_nothing_could_be_saved_there_is_no_repository() {
    let root = tempfile::tempdir().unwrap();
    let [path, to] = ["store", "copy"].map(|name| root.path().join(name));
    drop(DiskStorage::open(&path, OPTIONS).unwrap());
    let examined = DiskExamined::open(&path).unwrap();
    let mut rescue = DiskRescue::create(&to, &examined).unwrap();
    assert_eq!(salvage(&examined, rescue.storage(), Seed(9)), Err(SalvageError::Nothing));
    drop(rescue);
    let refusal = open(&to).map(drop).unwrap_err();
    assert!(refusal.contains(" is no repository, but a copy that was not finished"), "{refusal}");
    assert!(matches!(DiskRescue::create(&to, &examined), Err(OpenError::NotEmpty { .. })));
}
