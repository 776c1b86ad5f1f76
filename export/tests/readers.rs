//! Files as programs that are not ours read them: `DuckDB`, pyarrow and Python's `csv`.
//!
//! `cargo xtask test` installs them, and names their folder in the variable `ARGUS_READERS`. Without it, these tests do
//! nothing, and the task says that it skipped them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shared/repository.rs"]
#[expect(dead_code, reason = "each test needs a part of it")]
mod repository;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use argus_core::ingest::Dialect;
use argus_export::Format;
use repository::{EVENTS, Repository, mapped};

/// The folder with the Python packages `duckdb` and `pyarrow`.
const READERS: &str = "ARGUS_READERS";

/// The folder with real event streams. By default they are in `shared/data` beside the workspace.
const STREAMS: &str = "ARGUS_DATA_DIR";

/// Exports the events in all formats, and has the files compared with each other.
fn check(repository: &Repository, events: u64) {
    let Some(packages) = std::env::var_os(READERS) else {
        eprintln!("SKIPPED: {READERS} does not name the folder of DuckDB and pyarrow");
        return;
    };
    for format in Format::ALL {
        assert_eq!(repository.export(format).1.events, events);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shared/readers.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(repository.folder())
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{complaint}");
    let expected = format!("{events} events are the same for pyarrow, DuckDB and csv\n");
    assert!(said.ends_with(&expected), "{said}{complaint}");
    eprint!("{said}");
}

/// The text of a stream, if there is one.
fn stream(name: &str) -> Option<String> {
    let named = std::env::var_os(STREAMS).map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().skip(2);
    let folder = named.or_else(|| above.map(|folder| folder.join("shared/data")).find(|data| data.is_dir()));
    let Some(file) = folder.and_then(|folder| File::open(folder.join(name)).ok()) else {
        eprintln!("SKIPPED: there is no {name}; {STREAMS} names the folder of the real event streams");
        return None;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    Some(text)
}

fn check_stream(name: &str, dialect: &Dialect) {
    let Some(text) = stream(name) else { return };
    let mut repository = Repository::of_default_sizes();
    let lines: Vec<&str> = text.lines().collect();
    for part in lines.chunks(10_000) {
        repository.store_as(dialect.clone(), &part.join("\n"));
        repository.maintain();
    }
    check(&repository, lines.len() as u64);
}

#[test]
fn events_of_every_kind() {
    let mut repository = Repository::new();
    repository.store(EVENTS);
    check(&repository, EVENTS.lines().count() as u64);
}

#[test]
fn events_of_github() {
    check_stream("github-events-127k.ndjson.gz", &mapped("/type", "/dt", None, None));
}

#[test]
fn edits_of_wikipedia() {
    check_stream("wikipedia-edits-39k.ndjson.gz", &mapped("/channel", "/time", None, None));
}

#[test]
fn the_script_finds_a_difference() {
    if std::env::var_os(READERS).is_none() {
        eprintln!("SKIPPED: {READERS} does not name the folder of DuckDB and pyarrow");
        return;
    }
    let mut repository = Repository::new();
    repository.store(EVENTS);
    for format in Format::ALL {
        repository.export(format);
    }
    let path = repository.folder().join("events.ndjson");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(r#""integer":1,"#, r#""integer":2,"#)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shared/readers.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(repository.folder()).env("PYTHONPATH", std::env::var_os(READERS).unwrap());
    let output = python.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("payload"), "{complaint}");
}
