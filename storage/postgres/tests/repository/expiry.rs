//! Events that expire.

use std::time::{SystemTime, UNIX_EPOCH};

use argus_core::event::Timestamp;
use argus_core::query::Scan;
use argus_core::repository::{Expired, ExpiryCause, Repository as _};
use argus_postgres::{PostgresOptions, PostgresRepository, Retention};
use argus_testing::{Draft, Pace, Random, check_counted, collect, generate, steady};

use super::database::{Database, options};

const HOUR: i64 = 3_600_000_000_000;

/// The database has the real time, and events expire by both clocks.
fn now() -> Timestamp {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    Timestamp::from_nanos(i64::try_from(nanos).unwrap())
}

fn before(now: Timestamp, age: i64) -> Timestamp {
    Timestamp::from_nanos(now.as_nanos() - age)
}

fn store(repository: &mut PostgresRepository, event_type: &str, timestamp: Timestamp, payload: &str, id: Option<&str>) {
    let id = id.map(Into::into);
    let draft = Draft { event_type: event_type.into(), timestamp, payload: payload.into(), id };
    repository.commit(now(), &[generate::batch(&[draft])]).unwrap();
}

/// Runs all that is due by this clock. Returns what has expired.
fn maintain(repository: &mut PostgresRepository, now: Timestamp) -> Vec<Expired> {
    let maintenance = repository.maintenance().unwrap();
    let mut task = maintenance.next_task(steady(now)).unwrap();
    while task.step(1_000).is_pending() {}
    maintenance.install(task).unwrap()
}

fn seqs(repository: &PostgresRepository) -> Vec<u64> {
    let snapshot = repository.reader().take().unwrap();
    let events = collect(&snapshot, &Scan::default(), Pace::UNBROKEN).unwrap().events;
    events.into_iter().map(|event| event.seq).collect()
}

#[test]
fn old_events_go_and_later_ones_stay() {
    let Some(database) = Database::new() else { return };
    let retention = Retention { age: Some(HOUR), bytes: None };
    let (now, minute) = (now(), HOUR / 60);
    let aged = [("a", 2 * HOUR), ("b", 0), ("a", HOUR + minute), ("c", HOUR - minute)];
    let mut repository = database.open_with(PostgresOptions { retention, ..options() });
    for (event_type, age) in aged {
        store(&mut repository, event_type, before(now, age), "1", None);
    }
    // A clock that is wrong removes nothing by itself.
    assert_eq!(maintain(&mut database.open_with(PostgresOptions { retention, ..options() }), before(now, HOUR)), []);
    assert_eq!(seqs(&repository).len(), 4);
    let expired = maintain(&mut repository, before(now, -24 * HOUR));
    let [Expired { events: 2, first, last, cause: ExpiryCause::Age }] = expired[..] else { panic!("{expired:?}") };
    // In whole microseconds.
    let micros = |age| before(now, age).as_nanos().div_euclid(1_000) * 1_000;
    assert_eq!((first.as_nanos(), last.as_nanos()), (micros(2 * HOUR), micros(HOUR + minute)));
    assert_eq!(seqs(&repository), [4, 2]);
    assert_eq!(check_counted(&repository.reader().take().unwrap(), &mut Random::seeded(1), 20), Ok(()));
    let stats = repository.reader().take().unwrap().stats().unwrap();
    assert_eq!((stats.events, stats.event_types, stats.last_seq), (2, 2, 4));
}

#[test]
fn too_many_bytes_make_the_first_events_go() {
    let Some(database) = Database::new() else { return };
    let retention = Retention { age: None, bytes: Some(2_500) };
    let mut repository = database.open_with(PostgresOptions { retention, ..options() });
    let payload = format!("\"{}\"", "x".repeat(1_000));
    for id in ["1", "2", "3", "4"] {
        store(&mut repository, "a", now(), &payload, Some(id));
    }
    let expired = maintain(&mut repository, now());
    assert_eq!(expired.iter().map(|expired| expired.events).sum::<u64>(), 2, "{expired:?}");
    assert_eq!(seqs(&repository), [3, 4]);
    // Its id is new again.
    store(&mut repository, "a", now(), "1", Some("1"));
    assert_eq!(seqs(&repository).len(), 3);
}
