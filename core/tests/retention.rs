//! What is not to be kept any more goes, for good, and nothing else does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::batch::{Batch, BatchBuilder, NewEvent};
use argus_core::engine::{Engine, Retention, Seed};
use argus_core::event::{ClientId, EventType, Payload, Timestamp};
use argus_core::query::Query;
use argus_core::repository::{Housekeeper, Housekeeping, Repository};
use argus_core::storage::MemoryStorage;
use argus_core::testing::{Pace, SMALL, collect};

const HOUR: i64 = 3_600_000_000_000;

/// 2023-11-14T22:13:20Z, and as good as any other.
const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

fn open(seed: u128) -> Engine<MemoryStorage> {
    Engine::open_with(MemoryStorage::default(), Seed(seed), SMALL).unwrap()
}

fn reopen(engine: &mut Engine<MemoryStorage>) {
    *engine = Engine::open_with(engine.storage().clone(), Seed(0xbad), SMALL).unwrap();
}

fn hours_ago(hours: i64) -> Timestamp {
    Timestamp::from_nanos(NOW.as_nanos() - hours * HOUR)
}

/// Events of one time, each with an id: the prefix and a number.
fn batch(count: u32, time: Timestamp, prefix: &str) -> Batch {
    let mut builder = BatchBuilder::new();
    for number in 0..count {
        let id = format!("{prefix}-{number}");
        let event = NewEvent {
            event_type: EventType::parse("click").unwrap(),
            timestamp: time,
            payload: Payload::parse(r#"{"page":"/"}"#).unwrap(),
            id: Some(ClientId::parse(&id).unwrap()),
        };
        builder.push(event).unwrap();
    }
    builder.finish()
}

fn tidy_up(engine: &mut Engine<MemoryStorage>) {
    let mut housekeeper = Housekeeper::default();
    while housekeeper.step(engine, NOW, 1_000).unwrap() == Housekeeping::Pending {}
}

/// The sequence numbers of all events, in the order of time.
fn seqs(engine: &Engine<MemoryStorage>) -> Vec<u64> {
    let events = collect(&engine.snapshot(), &Query::default(), Pace::UNBROKEN).unwrap().events;
    events.iter().map(|event| event.seq).collect()
}

#[test]
fn what_has_expired_goes_and_its_ids_are_new_again() {
    let mut engine = open(1);
    // Two old events among 30 new ones, in segments that are sealed, and one that lies only in the log.
    for (time, prefix) in [(hours_ago(1), "a"), (hours_ago(50), "old"), (hours_ago(2), "b"), (hours_ago(3), "c")] {
        let count = if prefix == "old" { 2 } else { 10 };
        engine.commit(NOW, &[batch(count, time, prefix)]).unwrap();
    }
    tidy_up(&mut engine);
    engine.commit(NOW, &[batch(1, hours_ago(60), "late")]).unwrap();
    assert_eq!(engine.snapshot().stats().events, 33);

    engine.retain(Retention { age: Some(24 * HOUR), bytes: None });
    tidy_up(&mut engine);
    let kept: Vec<u64> = (23..=32).chain(13..=22).chain(1..=10).collect();
    for _ in 0..2 {
        assert_eq!(seqs(&engine), kept);
        assert_eq!((engine.snapshot().stats().events, engine.snapshot().stats().last_seq), (30, 33));
        reopen(&mut engine);
    }

    // What is kept is a duplicate still, and what has gone is not; numbers are never given twice.
    let receipts = engine.commit(NOW, &[batch(2, hours_ago(1), "a"), batch(2, hours_ago(1), "old")]).unwrap();
    let stored: Vec<(u32, usize)> = receipts.iter().map(|receipt| (receipt.stored, receipt.duplicates.len())).collect();
    assert_eq!(stored, [(0, 2), (2, 0)]);
    assert_eq!(receipts.last().unwrap().first_seq, 34);
}

#[test]
fn what_is_left_of_much_is_not_put_together_beyond_what_a_list_of_its_numbers_may_take() {
    let mut engine = open(1);
    engine.retain(Retention { age: Some(24 * HOUR), bytes: None });
    let numbers = 400 * SMALL.seal_events as u64;
    for number in 0..400 {
        // All but one of a segment are going to expire.
        let few = SMALL.seal_events as u32 - 1;
        engine
            .commit(
                NOW,
                &[batch(1, NOW, &format!("kept{number}")), batch(few, hours_ago(23), &format!("gone{number}"))],
            )
            .unwrap();
        tidy_up(&mut engine);
    }
    let mut housekeeper = Housekeeper::default();
    let later = Timestamp::from_nanos(NOW.as_nanos() + 10 * HOUR);
    while housekeeper.step(&mut engine, later, 1_000).unwrap() == Housekeeping::Pending {}
    let stats = engine.snapshot().stats();
    assert_eq!((stats.events, stats.last_seq), (400, numbers));
    let least = numbers / SMALL.segment_events_max as u64;
    assert!(stats.segments >= least, "{} segments of at least {least}", stats.segments);
}

#[test]
fn what_came_first_goes_when_there_is_too_much() {
    const MOST: u64 = 4_000;
    let mut engine = open(1);
    engine.retain(Retention { age: None, bytes: Some(MOST) });
    for number in 0..60 {
        engine.commit(NOW, &[batch(5, hours_ago(number), &number.to_string())]).unwrap();
        tidy_up(&mut engine);
    }
    let stats = engine.snapshot().stats();
    assert!(stats.events < 300 && stats.events > 50, "{stats:?}");
    // The last ones are there, without a gap.
    let mut kept = seqs(&engine);
    kept.sort_unstable();
    assert_eq!(kept, (300 - stats.events + 1..=300).collect::<Vec<_>>());
    reopen(&mut engine);
    assert_eq!(engine.snapshot().stats().events, stats.events);

    // However little may be kept, the last segment is.
    engine.retain(Retention { age: None, bytes: Some(1) });
    tidy_up(&mut engine);
    let stats = engine.snapshot().stats();
    assert!(stats.events > 0 && stats.segments <= 2, "{stats:?}");
}
