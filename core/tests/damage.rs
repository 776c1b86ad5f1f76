//! What the medium gives back changed is noticed: no bit of the log may lie.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use argus_core::batch::{Batch, BatchBuilder, NewEvent};
use argus_core::engine::{Engine, OpenError, Seed};
use argus_core::event::{ClientId, EventType, Payload, Timestamp};
use argus_core::repository::Repository as _;
use argus_core::storage::{MemoryStorage, Storage as _};
use bytes::Bytes;

/// Three commits: one event, several in disorder with ids, one more.
fn stored() -> MemoryStorage {
    let mut engine = Engine::open(MemoryStorage::default(), Seed(7)).unwrap();
    for (count, id) in [(1, None), (3, Some("order-")), (1, Some("last-"))] {
        engine.commit(Timestamp::from_nanos(1_700_000_000_000_000_000), &[batch(count, id)]).unwrap();
    }
    engine.storage().clone()
}

fn batch(count: u8, id: Option<&str>) -> Batch {
    let mut builder = BatchBuilder::new();
    for index in 0..count {
        let id = id.map(|prefix| format!("{prefix}{index}"));
        let event = NewEvent {
            event_type: EventType::parse("click").unwrap(),
            timestamp: Timestamp::from_nanos(1_000 - i64::from(index)),
            payload: Payload::parse(r#"{"page":"/"}"#).unwrap(),
            id: id.as_deref().map(|id| ClientId::parse(id).unwrap()),
        };
        builder.push(event).unwrap();
    }
    builder.finish()
}

fn content(storage: &MemoryStorage, name: &str) -> Bytes {
    let blob = storage.open(name).unwrap().unwrap();
    blob.read(0..blob.len()).unwrap()
}

/// The same medium with another log.
fn with_log(from: &MemoryStorage, log: &[u8]) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for name in from.list().unwrap() {
        storage.insert(&name, content(from, &name));
    }
    storage.append(&[log]).unwrap();
    storage
}

#[test]
fn a_changed_byte_of_the_log_is_named() {
    let storage = stored();
    for at in 0..storage.log().len() {
        for bit in [0x01, 0x80] {
            let mut log = storage.log().to_vec();
            log[at] ^= bit;
            let opened = Engine::open(with_log(&storage, &log), Seed(0));
            assert!(matches!(opened, Err(OpenError::Damaged { .. })), "byte {at}: {:?}", opened.map(|_| "opened"));
        }
    }
}

#[test]
fn a_torn_tail_costs_the_last_record_and_nothing_before() {
    let storage = stored();
    let whole = storage.log().len();
    let mut most = 0;
    for end in 0..=whole {
        let engine = Engine::open(with_log(&storage, storage.log().get(..end).unwrap()), Seed(0)).unwrap();
        let events = engine.snapshot().stats().events;
        assert!([0, 1, 4, 5].contains(&events), "whole records only, not {events} events of {end} bytes");
        assert!(events >= most, "more of the log never means fewer events");
        most = events;
        // What is kept can be opened again, and is the same.
        let again = Engine::open(engine.storage().clone(), Seed(0)).unwrap();
        assert_eq!(again.snapshot().stats(), engine.snapshot().stats());
        assert_eq!(again.storage().log(), engine.storage().log());
    }
    assert_eq!(most, 5);
}

#[test]
fn a_changed_identity_is_named() {
    let storage = stored();
    let mut damaged = with_log(&storage, storage.log());
    let identity = content(&storage, "identity");
    for at in 0..identity.len() {
        let mut bytes = identity.to_vec();
        bytes[at] ^= 1;
        damaged.insert("identity", bytes.into());
        assert!(matches!(Engine::open(damaged.clone(), Seed(0)), Err(OpenError::Damaged { .. })), "byte {at}");
    }
}
