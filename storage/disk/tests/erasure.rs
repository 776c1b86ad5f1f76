//! What is erased is in no file of the folder any more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use argus_core::clock::Moment;
use argus_core::engine::{Engine, Seed};
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Operand, PayloadFilter, PayloadPath, Test};
use argus_core::repository::Repository as _;
use argus_disk::{DiskStorage, Options};
use argus_testing::{Draft, NOW, SMALL, all_events, generate, maintain, steady};

/// Short files: the log is trimmed, and its files are reused.
const OPTIONS: Options = Options { log_file_bytes: 4096 };

const SECRET: &str = "jane.doe@example.org";

fn open(folder: &Path) -> Engine<DiskStorage> {
    Engine::open_with(DiskStorage::open(folder, OPTIONS).unwrap(), Seed(1), SMALL).unwrap()
}

fn commit(engine: &mut Engine<DiskStorage>, user: &str, number: usize) {
    let draft = Draft {
        event_type: "signup".into(),
        timestamp: Timestamp::from_nanos(i64::try_from(number).unwrap()),
        payload: format!(r#"{{"user":"{user}","n":{number}}}"#),
        id: None,
    };
    engine.commit(NOW, &[generate::batch(&[draft])]).unwrap();
}

fn by_user(user: &str) -> Filter {
    let (path, test) = (PayloadPath::parse("user").unwrap(), Test::Eq(Operand::new(user)));
    Filter { payload: vec![PayloadFilter { path, test }], ..Filter::default() }
}

/// The files in a folder that have these bytes.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn hour_later() -> Moment {
    let hour = Duration::from_secs(3600);
    Moment { wall: Timestamp::from_nanos(NOW.as_nanos() + 3_600_000_000_000), uptime: hour }
}

#[test]
fn no_file_has_the_bytes_of_erased_events_or_of_the_filter() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut engine = open(folder);
    let mut kept = 0;
    for round in 0..6 {
        // Spares with old records, and a file that was recycled, are there in later rounds.
        for number in 0..150 {
            let user = if number % 7 == round { SECRET } else { "somebody" };
            kept += usize::from(user != SECRET);
            commit(&mut engine, user, number);
            if round % 2 == 0 && number % 30 == 0 {
                maintain(&mut engine, steady(NOW)).unwrap();
            }
        }
        assert!(!files_with(folder, SECRET).is_empty(), "the events are there, or the search is wrong");
        drop(engine.erase(NOW, &by_user(SECRET)).unwrap());
        if round % 3 == 0 {
            drop(engine);
            engine = open(folder);
        }
        // Events that arrive meanwhile stay in the log.
        commit(&mut engine, "late", 0);
        kept += 1;
        maintain(&mut engine, hour_later()).unwrap();
        assert_eq!(files_with(folder, SECRET), Vec::<String>::new(), "round {round}");
        assert_eq!(engine.snapshot().stats().unwrap().erasures.pending, 0);
        assert_eq!(all_events(&engine.snapshot()).unwrap().len(), kept);
    }
    drop(engine);
    let engine = open(folder);
    assert_eq!(all_events(&engine.snapshot()).unwrap().len(), kept);
}
