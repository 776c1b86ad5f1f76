//! A repository of format 2, which an earlier version of Argus wrote: it is read, and compaction rewrites it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::Arc;

use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Operand, Order, PayloadFilter, PayloadPath, Scan, Test};
use argus_core::repository::{Repository as _, Snapshot};
use argus_core::storage::{MemoryStorage, Storage as _, StorageWriter as _};
use argus_testing::{Draft, NOW, Pace, UNCOMPACTED, blob, collect, maintain, segments, steady};

/// The log and the blobs of the repository: for each a line with its name, a line with its length, and its bytes. It
/// has three segments and a log with 50 more events.
const REPOSITORY: &[u8] = include_bytes!("data/format-2.bin");

const EVENTS: i64 = 650;

/// The event with this sequence number less one, as it was sent.
fn draft(number: i64) -> Draft {
    let payload = match number % 7 {
        0 => format!(r#"{{"user":"u-{:05}","n":{number},"tags":["a","b"],"none":null}}"#, number * 37 % 1000),
        1 => format!(r#"{{"user":null,"n":-{number}.5e3,"tags":[],"none":"no\"ne"}}"#),
        2 => format!(r#"{{"price":{}.{:02},"new":{}}}"#, number % 90, number % 100, number % 2 == 0),
        3 => format!(r#"{{"path":"/items/{}","session":"{:016x}"}}"#, number % 300, number * 0x9e37_79b9),
        4 => format!(r#"[{number},[{{"deep":{{"ü":"{number}"}}}}]]"#),
        5 => format!("{number}"),
        _ => format!(r#"{{"name{number}":1,"text":"{}"}}"#, "words of a text ".repeat((number % 5) as usize)),
    };
    let event_type = if number % 50 == 0 { "rare" } else { ["page.viewed", "order.placed"][(number % 2) as usize] };
    let seconds = number * 7_919 % 600;
    Draft {
        event_type: event_type.into(),
        timestamp: Timestamp::from_nanos((1_700_000_000 + seconds) * 1_000_000_000 + number % 3),
        payload,
        id: (number % 3 == 0).then(|| format!("id-{number}")),
    }
}

fn stored() -> MemoryStorage {
    let mut medium = MemoryStorage::default();
    let mut rest = REPOSITORY;
    let line = |rest: &mut &'static [u8]| {
        let end = rest.iter().position(|&byte| byte == b'\n').unwrap();
        let line = std::str::from_utf8(&rest[..end]).unwrap();
        *rest = &rest[end + 1..];
        line
    };
    while !rest.is_empty() {
        let (name, length) = (line(&mut rest), line(&mut rest).parse().unwrap());
        let (bytes, after) = rest.split_at(length);
        rest = after;
        match name.strip_prefix("log ") {
            Some(start) => {
                medium.append(&[&vec![0; start.parse().unwrap()]]).unwrap();
                medium.discard(start.parse().unwrap()).unwrap();
                medium.append(&[bytes]).unwrap();
            }
            None => medium.insert(name, bytes.into()),
        }
    }
    medium
}

fn assert_complete(snapshot: &Arc<dyn Snapshot>) {
    let scan = Scan { order: Order::Sequence, ..Scan::default() };
    let found = collect(snapshot, &scan, Pace::UNBROKEN).unwrap().events;
    assert_eq!(found.len() as i64, EVENTS);
    for (number, event) in (0..).zip(&found) {
        let Draft { event_type, timestamp, payload, id } = draft(number);
        assert_eq!((event.seq, event.timestamp), (number as u64 + 1, timestamp));
        assert_eq!((&event.event_type, &event.payload), (&event_type, &payload));
        assert!(id.is_none_or(|id| event.id.is(&id)));
    }
    let payload =
        [PayloadFilter { path: PayloadPath::parse("user").unwrap(), test: Test::Eq(Operand::new("u-00259")) }];
    let filter = Filter { payload: payload.into(), ..Filter::default() };
    let matching = collect(snapshot, &Scan::from(filter), Pace::UNBROKEN).unwrap().events;
    assert_eq!(matching.len(), found.iter().filter(|event| event.payload.contains(r#""user":"u-00259""#)).count());
    assert!(!matching.is_empty());
}

/// The version in the header of each segment.
fn versions(medium: &MemoryStorage) -> Vec<u8> {
    segments(medium).iter().map(|name| blob(medium, name)[8]).collect()
}

#[test]
fn its_events_are_found_and_survive_compaction() {
    let medium = stored();
    assert_eq!(versions(&medium), [2, 2, 2]);
    let mut engine = Engine::open_with(medium, Seed(0), Tuning { fan_in: 2, ..UNCOMPACTED }).unwrap();
    assert_complete(&engine.snapshot());
    maintain(&mut engine, steady(NOW)).unwrap();
    assert!(versions(engine.storage()).iter().all(|version| *version == 3));
    assert_complete(&engine.snapshot());
    engine.close().unwrap();
    assert_complete(&Engine::open(engine.storage().clone(), Seed(0)).unwrap().snapshot());
}
