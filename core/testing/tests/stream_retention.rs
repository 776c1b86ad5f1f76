//! Retention removes events before a live stream has got to them. The feed must not pass over the place where they
//! were.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::task::Poll;
use std::time::Duration;

use argus_core::engine::{Engine, Retention, Seed};
use argus_core::query::Filter;
use argus_core::repository::{MaintenanceQueue, Repository as _};
use argus_core::storage::MemoryStorage;
use argus_core::subscribe::{Begun, Feed, Found, Hub, Live, StreamLimits, Subscription};
use argus_testing::{Draft, NOW, Random, SMALL, all_events, generate, steady};

#[test]
fn a_live_reader_is_told_of_events_that_are_gone_before_the_feed_has_read_them() {
    let limits = StreamLimits { queue_events: 1_000, queue_bytes: 1 << 20, buffer_bytes: 1 << 20 };
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(1), SMALL).unwrap();
    engine.retain(Retention { age: None, bytes: Some(1_500) });
    let (mut hub, mut feed, mut batch) = (Hub::new(limits), Feed::default(), Vec::new());
    let mut reader = Subscription::new(hub.open(), Filter::default(), 0);
    assert_eq!(reader.poll_live(&mut hub, Duration::ZERO, 1_000, &mut batch), Live::Wait);

    let (mut random, mut maintenance) = (Random::seeded(1), MaintenanceQueue::default());
    for _ in 0..40 {
        let drafts: Vec<Draft> = (0..5).map(|_| Draft { id: None, ..generate::draft(&mut random) }).collect();
        engine.commit(NOW, &[generate::batch(&drafts)]).unwrap();
        while maintenance.step(&mut engine, steady(NOW), 1_000).unwrap().is_pending() {}
    }
    let snapshot = engine.snapshot();
    let first = all_events(&snapshot).unwrap()[0].seq;
    assert!(first > 1, "nothing was removed");

    let assignment = hub.begin(snapshot.last_seq()).unwrap();
    assert_eq!(feed.begin(assignment, &snapshot).unwrap(), Begun::Gap);
    let mut woken = Vec::new();
    hub.reset(snapshot.last_seq(), &mut woken);
    assert_eq!(woken, [reader.reader()]);
    assert_eq!(reader.poll_live(&mut hub, Duration::ZERO, 1_000, &mut batch), Live::History);
    let found = reader.poll_history(&engine.reader(), 1_000, 1_000, &mut batch).unwrap();
    assert_eq!(found, Poll::Ready(Found::Gap { first_seq: first }));
    assert_eq!(batch, []);
}
