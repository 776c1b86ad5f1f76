//! What has come is sealed when nothing comes any more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::Repository as _;
use argus_core::storage::{MemoryStorage, StorageReader as _};
use argus_testing::{Draft, NOW, generate, maintain, steady};

/// The names of the segments on the medium after events have come and some seconds have passed.
fn segments_after(seconds: &[i64], events: usize) -> usize {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), Tuning::default()).unwrap();
    let draft = Draft { event_type: "click".into(), timestamp: NOW, payload: "{}".into(), id: None };
    for second in seconds {
        let now = Timestamp::from_nanos(NOW.as_nanos() + second * 1_000_000_000);
        if events > 0 && *second <= 4 {
            engine.commit(now, &[generate::batch(std::iter::repeat_n(&draft, events))]).unwrap();
        }
        maintain(&mut engine, steady(now)).unwrap();
    }
    engine.storage().list().unwrap().iter().filter(|name| name.starts_with("segment")).count()
}

#[test]
fn events_are_sealed_after_some_seconds_without_others() {
    assert_eq!(segments_after(&[0, 9], 5_000), 1);
    assert_eq!(segments_after(&[0, 4], 5_000), 0);
    assert_eq!(segments_after(&[0, 1, 2, 3, 4, 8], 2_000), 0);
    assert_eq!(segments_after(&[0, 9], 100), 0);
}
