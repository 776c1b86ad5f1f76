//! Exports of a repository that a server has open, of copies of it, and of a part of its events.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shared/repository.rs"]
#[expect(dead_code, reason = "each test needs a part of it")]
mod repository;

use std::fs;
use std::path::Path;

use argus_core::api::read_filter;
use argus_core::engine::back_up;
use argus_core::event::Timestamp;
use argus_core::query::Filter;
use argus_core::repository::Repository as _;
use argus_disk::{DiskSource, DiskTarget};
use argus_export::{COLUMNS_DEFAULT, Export, ExportError, Format, Progress, open};
use repository::{EVENTS, Repository};

fn lines(range: std::ops::Range<u32>) -> String {
    let line = |at| format!(r#"{{"event_type":"t{}","timestamp":{at},"payload":{{"n":{at}}}}}"#, at % 2);
    range.map(line).collect::<Vec<_>>().join("\n")
}

/// The numbers in the lines of an export, and its file.
fn numbers(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path).unwrap();
    let numbers = text.lines().map(|line| line.split_once("\"n\":").unwrap().1.trim_end_matches('}').parse().unwrap());
    numbers.collect()
}

fn ndjson(repository: &Repository, name: &str, filter: Filter) -> Export {
    let output = repository.folder().join(name);
    Export { format: Format::Ndjson, filter, columns_max: COLUMNS_DEFAULT, output }
}

#[test]
fn a_repository_that_is_in_use_is_read_and_not_changed() {
    let mut repository = Repository::new();
    for start in [0, 100, 200] {
        repository.store(&lines(start..start + 100));
        repository.maintain();
    }
    // The last ones are in the log alone.
    repository.store(&lines(300..310));
    let names = |folder: &str| {
        let mut names: Vec<_> = fs::read_dir(repository.path().join(folder))
            .unwrap()
            .map(|entry| (entry.as_ref().unwrap().file_name(), fs::read(entry.unwrap().path()).unwrap()))
            .collect();
        names.sort();
        names
    };
    let before = ["log", "blobs"].map(names);
    let (path, written) = repository.export(Format::Ndjson);
    assert_eq!((written.events, written.last_seq), (310, 310));
    assert_eq!(numbers(&path), (0..310).collect::<Vec<_>>());
    assert_eq!(["log", "blobs"].map(names), before);
}

#[test]
fn both_passes_see_the_snapshot_whatever_the_server_does() {
    let mut repository = Repository::new();
    repository.store(&lines(0..200));
    repository.maintain();
    let export = Export { format: Format::Csv, ..ndjson(&repository, "events.csv", Filter::default()) };
    let snapshot = open(&repository.path()).unwrap();
    let mut is_changed = false;
    let written = export.begin().unwrap().run(&snapshot, &mut |progress| {
        // At the end of the first pass: erase what it has seen, rewrite the segments, and add other kinds.
        if !is_changed && matches!(progress, Progress::Discovering(_)) {
            is_changed = true;
            repository.engine.erase_within(std::time::Duration::ZERO);
            let all = Filter { types: None, ..Filter::default() };
            repository.engine.erase(Timestamp::from_nanos(1_714_564_800_000_000_000), &all).unwrap();
            repository.store(r#"{"event_type":"t","timestamp":1,"payload":{"n":"text"}}"#);
            repository.maintain();
        }
    });
    assert!(is_changed);
    assert_eq!(written.unwrap().events, 200);
    let text = fs::read_to_string(&export.output).unwrap();
    assert_eq!(text.lines().count(), 201);
    let (_, later) = repository.export(Format::Ndjson);
    assert_eq!((later.events, later.last_seq), (1, 201));
}

#[test]
fn a_backup_gives_the_same_file() {
    let mut repository = Repository::new();
    repository.store(EVENTS);
    repository.store(&lines(0..300));
    repository.maintain();
    repository.store(&lines(300..310));
    let copy = repository.folder().join("copy");
    let source = DiskSource::open(repository.path()).unwrap();
    let mut target = DiskTarget::for_backup(&copy, &source).unwrap();
    back_up(&source, &mut target).unwrap();
    target.complete().unwrap();
    for format in Format::ALL {
        let (path, _) = repository.export(format);
        let output = repository.folder().join(format!("copy.{format}"));
        let export = Export { format, filter: Filter::default(), columns_max: COLUMNS_DEFAULT, output };
        export.begin().unwrap().run(&open(&copy).unwrap(), &mut |_| {}).unwrap();
        assert!(fs::read(path).unwrap() == fs::read(export.output).unwrap(), "{format}");
    }
}

#[test]
fn a_filter_selects_events_and_their_columns() {
    let mut repository = Repository::new();
    repository.store(EVENTS);
    repository.store(&lines(0..100));
    let parameters =
        [("type[prefix]", "t"), ("type", "kinds"), ("payload.n[gte]", "90"), ("end", "97"), ("after_seq", "20")];
    let export = ndjson(&repository, "some.ndjson", read_filter(parameters).unwrap());
    let (path, written) = repository.export_of(export);
    assert_eq!(numbers(&path), (90..=97).collect::<Vec<_>>());
    // The number of the last event, which the filter does not select.
    assert_eq!((written.events, written.last_seq), (8, 113));
    let filter = read_filter([("type", "t1")]).unwrap();
    let export = Export { format: Format::Csv, ..ndjson(&repository, "some.csv", filter) };
    let (path, written) = repository.export_of(export);
    assert_eq!((written.events, written.columns), (50, 1));
    assert!(fs::read_to_string(path).unwrap().starts_with("id,seq,event_type,timestamp,payload,payload.n\r\n"));
}

#[test]
fn a_failure_names_the_place_and_leaves_nothing() {
    let mut repository = Repository::new();
    repository.store(&lines(0..300));
    repository.maintain();
    let error = open(&repository.folder().join("nowhere")).map(drop).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");

    let export = ndjson(&repository, "events.ndjson", Filter::default());
    fs::write(&export.output, "precious").unwrap();
    let error = export.begin().map(drop).unwrap_err();
    assert!(matches!(error, ExportError::Write { .. }) && error.to_string().contains("is not replaced"), "{error}");
    assert_eq!(fs::read(&export.output).unwrap(), b"precious");
    fs::remove_file(&export.output).unwrap();

    // The blocks come first in a segment.
    let segments = fs::read_dir(repository.path().join("blobs")).unwrap().map(|blob| blob.unwrap().path());
    for path in segments.filter(|path| path.to_string_lossy().contains("segment")) {
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().skip(64).take(64).for_each(|byte| *byte ^= 0x55);
        fs::write(&path, bytes).unwrap();
    }
    let error = export.begin().unwrap().run(&open(&repository.path()).unwrap(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::Read(_)) && error.to_string().contains("damaged"), "{error}");
    let left: Vec<_> = fs::read_dir(repository.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["data"]);
}
