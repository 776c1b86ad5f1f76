//! Damaged folders: damage is found and refused, and all undamaged events are recovered.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::SystemTime;

use argus_core::batch::Batch;
use argus_core::engine::{Engine, Salvage, SalvageError, Seed, Tuning, check, salvage};
use argus_core::event::Timestamp;
use argus_core::query::Scan;
use argus_core::repository::{MaintenanceQueue, Repository};
use argus_core::storage::{BackupTarget as _, Storage as _};
use argus_disk::{DiskReader, DiskStorage, DiskTarget, OpenError, Options};
use argus_testing::{Draft, Pace, Random, StoredEvent, collect, generate, steady};
use tempfile::TempDir;

const SMALL: Tuning = Tuning {
    seal_events: 20,
    seal_bytes: 1 << 20,
    fan_in: 99,
    block_bytes: 256,
    segment_events_max: 99,
    fresh_segments_max: 1024,
    filter_bytes_max: 1 << 20,
    types_max: 1000,
};
const OPTIONS: Options = Options { log_file_bytes: 1000 };

fn open(path: &Path) -> Result<Engine<DiskStorage>, String> {
    let storage = DiskStorage::open(path, OPTIONS).map_err(|error| error.to_string())?;
    Engine::open_with(storage, Seed(1), SMALL).map_err(|error| error.to_string())
}

fn events(engine: &Engine<DiskStorage>) -> Vec<StoredEvent> {
    let mut events = collect(&engine.snapshot(), &Scan::default(), Pace::UNBROKEN).unwrap().events;
    events.sort_by_key(|event| event.seq);
    events
}

/// A record of the log: its offsets, and its last sequence number.
type Record = (Range<u64>, u64);

/// A closed folder with segments and a log of several files, and its events.
fn store() -> (TempDir, PathBuf, Vec<StoredEvent>) {
    let (root, path, expected, _) = store_and_records();
    (root, path, expected)
}

/// The same, with the records of the log.
fn store_and_records() -> (TempDir, PathBuf, Vec<StoredEvent>, Vec<Record>) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let mut engine = open(&path).unwrap();
    let (mut random, mut maintenance, now) = (Random::seeded(5), MaintenanceQueue::default(), Timestamp::from_nanos(0));
    let mut records = Vec::new();
    let mut commit = |engine: &mut Engine<DiskStorage>, batch: Batch| {
        let start = engine.storage().log_end();
        engine.commit(now, &[batch]).unwrap();
        records.push((start..engine.storage().log_end(), engine.snapshot().stats().unwrap().last_seq));
    };
    for _ in 0..6 {
        let drafts: Vec<Draft> = (0..10).map(|_| generate::draft(&mut random)).collect();
        commit(&mut engine, generate::batch(&drafts));
        while maintenance.step(&mut engine, steady(now), 1000).unwrap() != Poll::Ready(()) {}
    }
    for _ in 0..16 {
        commit(&mut engine, generate::batch(&[generate::draft(&mut random)]));
    }
    engine.close().unwrap();
    let events = events(&engine);
    (root, path, events, records)
}

/// The sequence numbers that are lost with these bytes of the log, which begin at offset `start`, except for sealed
/// ones.
fn lost_with(start: u64, bytes: &[u8], records: &[Record], sealed: u64) -> BTreeSet<u64> {
    let first = |index: usize| index.checked_sub(1).map_or(1, |before| records[before].1 + 1);
    let within = |offset: u64| bytes.len().min(offset.saturating_sub(start) as usize);
    // Missing bytes read as zeros, so lost zeros do no harm.
    let loses = |place: &Range<u64>| bytes[within(place.start)..within(place.end)].iter().any(|&byte| byte != 0);
    let lost = records.iter().enumerate().filter(|(_, (place, _))| loses(place));
    lost.flat_map(|(index, &(_, last))| first(index)..=last).filter(|&seq| seq > sealed).collect()
}

fn listed(found: &Salvage) -> BTreeSet<u64> {
    found.losses.iter().flat_map(|loss| loss.seqs.iter().flat_map(|&(first, last)| first..=last)).collect()
}

fn start_of(file: &Path) -> u64 {
    file.file_stem().unwrap().to_str().unwrap().parse().unwrap()
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

fn saved(from: &DiskReader, to: &Path) -> (Salvage, Vec<StoredEvent>) {
    let mut target = DiskTarget::for_salvage(to, from).unwrap();
    let found = salvage(from, target.medium(), Seed(9)).unwrap();
    target.complete().unwrap();
    let engine = open(to).unwrap();
    let recovery = engine.recovery();
    assert_eq!((recovery.cut_bytes, recovery.orphans, recovery.manifest_repaired), (0, 0, false));
    (found, events(&engine))
}

#[test]
fn a_check_changes_nothing_and_keeps_other_processes_out() {
    let (root, path, expected) = store();
    let before = files(&path);
    let reader = DiskReader::open(&path).unwrap();
    let report = check(&reader);
    assert!(report.findings.is_empty() && reader.errors().is_empty(), "{report:?}");
    assert_eq!((report.events, report.last_seq), (expected.len() as u64, expected.len() as u64));
    assert!(report.segments >= 2 && report.records > 0, "{report:?}");
    assert!(open(&path).unwrap_err().contains("is using "));
    let (found, events) = saved(&reader, &root.path().join("copy"));
    assert_eq!(events, expected);
    assert!(found.losses.is_empty());
    assert_eq!(files(&path), before);
    drop(reader);
    let engine = open(&path).unwrap();
    assert!(matches!(DiskReader::open(&path), Err(OpenError::InUse { .. })));
    drop(engine);
}

#[test]
fn damage_in_the_log_names_the_file_the_offset_and_the_events() {
    let (_root, path, _, records) = store_and_records();
    // The last file but one: there are records in it and after it.
    let logs = logs(&path);
    let file = logs.iter().rev().nth(1).unwrap();
    let mut bytes = fs::read(file).unwrap();
    bytes[500] ^= 1;
    fs::write(file, &bytes).unwrap();
    let refusal = open(&path).unwrap_err();
    let named = format!(" of {}) is damaged: ", file.display());
    assert!(refusal.starts_with("the log at offset ") && refusal.contains(&named), "{refusal}");
    let damaged = start_of(file) + 500;
    let (_, seq) = records.iter().find(|(place, _)| place.contains(&damaged)).unwrap();
    assert!(refusal.contains(&format!("; event {seq} is affected")), "{refusal}");
}

#[test]
fn a_log_file_of_wrong_length_is_named_and_whole_records_are_recovered() {
    let (root, path, expected, records) = store_and_records();
    let sealed = open(&path).unwrap().recovery().sealed_events;
    let logs = logs(&path);
    assert!(logs.len() >= 2, "{logs:?}");
    for file in &logs {
        let bytes = fs::read(file).unwrap();
        let shorter = (0..bytes.len()).step_by(37).chain([bytes.len() - 1]);
        let longer = [&b"\n"[..], b"ARGR", &bytes].map(|more| [&bytes[..], more].concat());
        for changed in shorter.map(|end| bytes[..end].to_vec()).chain(longer) {
            let place = format!("{} of {} bytes", file.display(), changed.len());
            fs::write(file, &changed).unwrap();
            let refusal = open(&path).unwrap_err();
            let reason = if changed.is_empty() { "it is empty" } else { " bytes long" };
            assert!(refusal.starts_with(&format!("{} is damaged: ", file.display())), "{refusal}");
            assert!(refusal.contains(reason), "{refusal}");
            let reader = DiskReader::open(&path).unwrap();
            assert_eq!(reader.errors().iter().map(ToString::to_string).collect::<Vec<_>>(), [refusal], "{place}");
            let to = root.path().join("copy");
            let (found, events) = saved(&reader, &to);
            let start = start_of(file);
            let gone = bytes.get(changed.len()..).unwrap_or_default();
            let lost = lost_with(start + changed.len() as u64, gone, &records, sealed);
            assert_eq!(listed(&found), lost, "{place}");
            let left: Vec<_> = expected.iter().filter(|event| !lost.contains(&event.seq)).cloned().collect();
            assert_eq!(events, left, "{place}");
            let is_last = logs.last() == Some(file);
            let end = found.source.log_end.start - start_of(logs.last().unwrap());
            assert_eq!(reader.lacks(found.source.log_end), is_last && (changed.len() as u64) < end + 56, "{place}");
            fs::remove_dir_all(&to).unwrap();
        }
        fs::write(file, &bytes).unwrap();
    }
    assert_eq!(events(&open(&path).unwrap()), expected);
}

#[test]
fn renamed_log_files_are_named_and_nothing_is_lost() {
    let (root, path, expected) = store();
    let logs = logs(&path);
    let contents: Vec<Vec<u8>> = logs.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(logs.len() >= 3, "{logs:?}");
    let rotated = (1..logs.len()).map(|by| (0..logs.len()).map(|index| (index + by) % logs.len()).collect());
    let pairs = (0..logs.len()).flat_map(|one| (0..one).map(move |other| (one, other)));
    let swapped = pairs.map(|(one, other)| {
        let mut order: Vec<usize> = (0..logs.len()).collect();
        order.swap(one, other);
        order
    });
    for order in rotated.chain(swapped) {
        for (file, &index) in logs.iter().zip(&order) {
            fs::write(file, &contents[index]).unwrap();
        }
        let refusal = open(&path).unwrap_err();
        assert!(refusal.contains(": files were renamed"), "{order:?}: {refusal}");
        let reader = DiskReader::open(&path).unwrap();
        let wrong = order.iter().enumerate().filter(|&(at, &index)| at != index).count();
        assert_eq!(reader.errors().len(), wrong, "{order:?}: {:?}", reader.errors());
        let to = root.path().join("copy");
        let (found, events) = saved(&reader, &to);
        assert!(found.losses.is_empty() && !reader.lacks(found.source.log_end), "{order:?}");
        assert_eq!(events, expected, "{order:?}");
        fs::remove_dir_all(&to).unwrap();
    }
}

#[test]
fn renamed_and_extended_segments_are_named_and_nothing_is_lost() {
    let (root, path, expected) = store();
    let is_segment = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().starts_with("segment-");
    let segments: Vec<PathBuf> = files(&path.join("blobs")).into_keys().filter(is_segment).collect();
    let [first, second, ..] = &segments[..] else { panic!("{segments:?}") };
    let [one, other] = [first, second].map(|file| fs::read(file).unwrap());
    let stray = path.join("blobs/segment-000000000777");
    type Change<'a> = (&'a str, &'a dyn Fn());
    let changes: [Change<'_>; 4] = [
        ("swapped", &|| {
            fs::write(first, &other).unwrap();
            fs::write(second, &one).unwrap();
        }),
        ("renamed", &|| fs::rename(first, &stray).unwrap()),
        ("longer", &|| fs::write(first, [&one[..], b"\n"].concat()).unwrap()),
        ("shorter", &|| fs::write(first, &one[..one.len() - 1]).unwrap()),
    ];
    let stored = events;
    for (what, change) in changes {
        change();
        let refusal = open(&path).unwrap_err();
        assert!(refusal.contains("segment-00000000000"), "{what}: {refusal}");
        let reader = DiskReader::open(&path).unwrap();
        assert!(!check(&reader).is_whole(), "{what}");
        let to = root.path().join("copy");
        let (found, events) = saved(&reader, &to);
        assert!(found.losses.is_empty(), "{what}: {:?}", found.losses);
        assert_eq!(events, expected, "{what}");
        fs::remove_dir_all(&to).unwrap();
        let _renamed = fs::remove_file(&stray);
        fs::write(first, &one).unwrap();
        fs::write(second, &other).unwrap();
    }
    assert_eq!(stored(&open(&path).unwrap()), expected);
}

#[test]
fn a_truncated_format_is_refused_and_salvage_infers_it() {
    let (root, path, expected) = store();
    let format = path.join("format");
    let text = fs::read(&format).unwrap();
    for end in 0..text.len() {
        fs::write(&format, &text[..end]).unwrap();
        match open(&path) {
            // The last line needs no line feed.
            Ok(engine) => assert_eq!((end, events(&engine)), (text.len() - 1, expected.clone())),
            Err(refusal) => assert!(refusal.contains(" is damaged: "), "cut at {end}: {refusal}"),
        }
        let reader = DiskReader::open(&path).unwrap();
        assert_eq!(reader.errors().is_empty(), end == text.len() - 1, "cut at {end}");
        let to = root.path().join("copy");
        let (found, events) = saved(&reader, &to);
        assert!(found.losses.is_empty() && events == expected, "cut at {end}");
        fs::remove_dir_all(&to).unwrap();
    }
}

#[test]
fn a_missing_log_file_is_named_and_the_rest_is_recovered() {
    let (root, path, expected) = store();
    let logs = logs(&path);
    let middle = logs.get(logs.len() / 2).unwrap();
    fs::remove_file(middle).unwrap();
    fs::write(path.join("log/1.log"), "").unwrap();
    let reader = DiskReader::open(&path).unwrap();
    let errors: Vec<String> = reader.errors().iter().map(ToString::to_string).collect();
    assert!(errors.iter().any(|error| error.contains("1.log is damaged: this is not a file of the log")), "{errors:?}");
    let (found, events) = saved(&reader, &root.path().join("copy"));
    assert!(!found.source.is_whole() && !found.losses.is_empty(), "{found:?}");
    assert!(events.len() < expected.len() && events.iter().all(|event| expected.contains(event)));
}

#[test]
fn an_interrupted_salvage_is_no_repository() {
    let (root, path, _) = store();
    let to = root.path().join("copy");
    let reader = DiskReader::open(&path).unwrap();
    assert!(matches!(DiskTarget::for_salvage(path.join("blobs/x"), &reader), Err(OpenError::InItself { .. })));
    let mut target = DiskTarget::for_salvage(&to, &reader).unwrap();
    salvage(&reader, target.medium(), Seed(9)).unwrap();
    drop(target);
    let refusal = open(&to).unwrap_err();
    assert!(refusal.contains(" is an unfinished copy, not a repository"), "{refusal}");
    assert!(matches!(DiskTarget::for_salvage(&to, &reader), Err(OpenError::NotEmpty { .. })));
    fs::remove_dir_all(path.join("log")).unwrap();
    drop(reader);
    fs::remove_file(path.join("format")).unwrap();
    assert!(matches!(DiskReader::open(&path), Err(OpenError::NoRepository { .. })));
}

#[test]
fn a_failed_salvage_is_no_repository() {
    let root = tempfile::tempdir().unwrap();
    let [path, to] = ["store", "copy"].map(|name| root.path().join(name));
    drop(DiskStorage::open(&path, OPTIONS).unwrap());
    let reader = DiskReader::open(&path).unwrap();
    let mut target = DiskTarget::for_salvage(&to, &reader).unwrap();
    assert_eq!(salvage(&reader, target.medium(), Seed(9)), Err(SalvageError::Nothing));
    drop(target);
    let refusal = open(&to).map(drop).unwrap_err();
    assert!(refusal.contains(" is an unfinished copy, not a repository"), "{refusal}");
    assert!(matches!(DiskTarget::for_salvage(&to, &reader), Err(OpenError::NotEmpty { .. })));
}
