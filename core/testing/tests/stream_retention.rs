//! Retention removes events before a live stream has got to them. Every place where they were is told.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::task::Poll;
use std::time::Duration;

use argus_core::engine::{Engine, Retention, Seed, Tuning};
use argus_core::event::{Timestamp, TypeTest};
use argus_core::query::Filter;
use argus_core::repository::{Gap, MaintenanceQueue, Repository as _};
use argus_core::storage::MemoryStorage;
use argus_core::subscribe::{Begun, Feed, Found, Hub, Live, StreamLimits, Subscription};
use argus_testing::{Draft, NOW, Random, SMALL, all_events, all_gaps, generate, steady};

const DAY_NANOS: i64 = 24 * 60 * 60 * 1_000_000_000;
/// Older than the events that are kept.
const OLD: Timestamp = Timestamp::from_nanos(NOW.as_nanos() - 3 * DAY_NANOS);

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

    let assignment = hub.begin(&*snapshot).unwrap();
    assert_eq!(feed.begin(assignment, &snapshot).unwrap(), Begun::Gap);
    let mut woken = Vec::new();
    hub.reset(snapshot.last_seq(), &mut woken);
    assert_eq!(woken, [reader.reader()]);
    assert_eq!(reader.poll_live(&mut hub, Duration::ZERO, 1_000, &mut batch), Live::History);
    let found = reader.poll_history(&engine.reader(), 1_000, 1_000, &mut batch).unwrap();
    assert_eq!(found, Poll::Ready(Found::Gap { first_seq: first }));
    assert_eq!(batch, []);
}

#[test]
fn every_gap_between_stored_events_is_told() {
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(1), SMALL).unwrap();
    engine.retain(Retention { age: Some(DAY_NANOS), bytes: None });
    // Events 3, 4, 7 and the last two come late.
    let is_late = |seq: u64| matches!(seq, 3 | 4 | 7 | 199 | 200);
    let (mut random, mut maintenance) = (Random::seeded(1), MaintenanceQueue::default());
    for seq in 1..=200 {
        let event_type = if seq % 2 == 0 { "even" } else { "odd" };
        let timestamp = if is_late(seq) { OLD } else { NOW };
        let draft = Draft { id: None, event_type: event_type.into(), timestamp, ..generate::draft(&mut random) };
        engine.commit(NOW, &[generate::batch(&[draft])]).unwrap();
    }
    while maintenance.step(&mut engine, steady(NOW), 1_000).unwrap().is_pending() {}
    let stored: Vec<u64> = all_events(&engine.snapshot()).unwrap().iter().map(|event| event.seq).collect();
    assert!(stored.iter().all(|seq| !is_late(*seq)) && stored.len() == 195, "{stored:?}");
    let gaps = [(3, 4), (7, 7), (199, 200)].map(|(first, last)| Gap { first, last });
    let snapshot = engine.snapshot();
    for after in 0..=200 {
        for up_to in after..=200 {
            let inside = gaps.iter().map(|gap| Gap { first: gap.first.max(after + 1), last: gap.last.min(up_to) });
            let expected: Vec<Gap> = inside.filter(|gap| gap.first <= gap.last).collect();
            let found = all_gaps(&snapshot, after, up_to, 1).unwrap();
            assert_eq!(found, expected, "after {after} up to {up_to}");
        }
    }
    for event_type in [None, Some("odd")] {
        let types = event_type.map(|text| vec![TypeTest::Eq(text.into())]);
        for (budget, bytes_max, is_suspended) in [(1, 1, false), (1, 1, true), (7, 300, false), (1_000, 100_000, false)]
        {
            let filter = Filter { types: types.clone(), after_seq: Some(0), ..Filter::default() };
            let mut hub = Hub::new(StreamLimits { queue_events: 9, queue_bytes: 99, buffer_bytes: 99 });
            let mut reader = Subscription::new(hub.open(), filter, 200);
            let (mut seen, mut batch) = (Vec::new(), Vec::new());
            while reader.is_in_history() {
                let found = reader.poll_history(&engine.reader(), budget, bytes_max, &mut batch).unwrap();
                seen.extend(batch.drain(..).map(|message| message.seq.to_string()));
                if let Poll::Ready(Found::Gap { first_seq }) = found {
                    seen.push(format!("gap {first_seq}"));
                }
                if is_suspended && !reader.is_starting() {
                    drop(reader.suspend());
                }
            }
            let expected = (1..=200).filter_map(|seq| match seq {
                3 | 199 => None,
                4 => Some("gap 5".to_owned()),
                7 => Some("gap 8".to_owned()),
                200 => Some("gap 201".to_owned()),
                _ => (event_type.is_none() || seq % 2 == 1).then(|| seq.to_string()),
            });
            assert_eq!(seen, expected.collect::<Vec<_>>(), "{event_type:?}, {budget}, {bytes_max}");
        }
    }
}

/// The index of a sealed segment has 1,024 sequence numbers in a page.
#[test]
fn gaps_of_several_pages_and_within_a_page_are_found() {
    let tuning = Tuning { seal_events: 5_000, seal_bytes: 1 << 20, segment_events_max: 100_000, ..SMALL };
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(1), tuning).unwrap();
    engine.retain(Retention { age: Some(DAY_NANOS), bytes: None });
    let is_late = |seq: u64| {
        matches!(seq, 500..=3_600 | 4_096 | 4_097 | 5_000..=5_121 | 9_000..)
            || (6_000..7_000).contains(&seq) && seq.is_multiple_of(2)
    };
    let mut maintenance = MaintenanceQueue::default();
    for first in (1..=10_000).step_by(1_000) {
        let draft = |seq| Draft {
            id: None,
            event_type: "a".into(),
            timestamp: if is_late(seq) { OLD } else { NOW },
            payload: "1".into(),
        };
        let drafts: Vec<Draft> = (first..first + 1_000).map(draft).collect();
        engine.commit(NOW, &[generate::batch(&drafts)]).unwrap();
    }
    while maintenance.step(&mut engine, steady(NOW), 1_000).unwrap().is_pending() {}
    let snapshot = engine.snapshot();
    let stored: Vec<u64> = all_events(&snapshot).unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(stored, (1..=10_000).filter(|seq| !is_late(*seq)).collect::<Vec<_>>(), "what is late was removed");
    let mut gaps: Vec<Gap> = Vec::new();
    for seq in (1..=10_000).filter(|seq| is_late(*seq)) {
        match gaps.last_mut() {
            Some(gap) if gap.last + 1 == seq => gap.last = seq,
            Some(_) | None => gaps.push(Gap { first: seq, last: seq }),
        }
    }
    for budget in [1, 1_500, u32::MAX] {
        assert_eq!(all_gaps(&snapshot, 0, 10_000, budget).unwrap(), gaps, "budget {budget}");
        let mut hub = Hub::new(StreamLimits { queue_events: 9, queue_bytes: 99, buffer_bytes: 99 });
        let filter = Filter { after_seq: Some(0), ..Filter::default() };
        let mut reader = Subscription::new(hub.open(), filter, 10_000);
        let (mut seen, mut told, mut batch) = (Vec::new(), Vec::new(), Vec::new());
        while reader.is_in_history() {
            let before = reader.position();
            let found = reader.poll_history(&engine.reader(), budget, 10_000, &mut batch).unwrap();
            seen.extend(batch.drain(..).map(|message| message.seq));
            if let Poll::Ready(Found::Gap { first_seq }) = found {
                told.push(Gap { first: before + 1, last: first_seq - 1 });
            }
        }
        assert_eq!((seen, told), (stored.clone(), gaps.clone()), "budget {budget}");
    }
}
