//! Retention deletes what has expired, for good, and nothing else.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::task::Poll;

use argus_core::batch::Batch;
use argus_core::clock::Moment;
use argus_core::engine::{Engine, Retention, Seed};
use argus_core::event::Timestamp;
use argus_core::query::Scan;
use argus_core::repository::{Expired, ExpiryCause, Maintenance as _, Repository as _};
use argus_core::storage::MemoryStorage;
use argus_testing::{Draft, NOW, Pace, SMALL, collect, generate, maintain, steady};

const HOUR: i64 = 3_600_000_000_000;

fn open(seed: u128) -> Engine<MemoryStorage> {
    Engine::open_with(MemoryStorage::default(), Seed(seed), SMALL).unwrap()
}

fn reopen(engine: &mut Engine<MemoryStorage>) {
    *engine = Engine::open_with(engine.storage().clone(), Seed(0xbad), SMALL).unwrap();
}

fn hours_ago(hours: i64) -> Timestamp {
    Timestamp::from_nanos(NOW.as_nanos() - hours * HOUR)
}

/// Events of the same time, each with an id: the prefix and a number.
fn batch(count: u32, time: Timestamp, prefix: &str) -> Batch {
    let draft = |number| Draft {
        event_type: "click".into(),
        timestamp: time,
        payload: r#"{"page":"/"}"#.into(),
        id: Some(format!("{prefix}-{number}")),
    };
    generate::batch(&(0..count).map(draft).collect::<Vec<_>>())
}

/// The moment `hours` after now, with a wall clock that is `days_ahead` ahead of the uptime.
fn moment(hours: i64, days_ahead: i64) -> Moment {
    let true_time = hours_ago(-hours);
    Moment { wall: Timestamp::from_nanos(true_time.as_nanos() + days_ahead * 24 * HOUR), ..steady(true_time) }
}

/// Does all maintenance; returns what has expired.
fn expired(engine: &mut Engine<MemoryStorage>, now: Moment) -> Vec<Expired> {
    let mut expired = Vec::new();
    while let Some(mut task) = engine.next_task(now) {
        while task.step(1_000) == Poll::Pending {}
        expired.extend(engine.install(task).unwrap());
    }
    expired
}

const MONTH: Retention = Retention { age: Some(30 * 24 * HOUR), bytes: None };

/// The sequence numbers of all events in order of time.
fn seqs(engine: &Engine<MemoryStorage>) -> Vec<u64> {
    let events = collect(&engine.snapshot(), &Scan::default(), Pace::UNBROKEN).unwrap().events;
    events.iter().map(|event| event.seq).collect()
}

#[test]
fn expired_events_are_deleted_and_their_ids_are_free_again() {
    let mut engine = open(1);
    // Two old events among 30 new ones in sealed segments, and one that is only in the log.
    for (time, prefix) in [(hours_ago(1), "a"), (hours_ago(50), "old"), (hours_ago(2), "b"), (hours_ago(3), "c")] {
        let count = if prefix == "old" { 2 } else { 10 };
        engine.commit(NOW, &[batch(count, time, prefix)]).unwrap();
    }
    maintain(&mut engine, steady(NOW)).unwrap();
    engine.commit(NOW, &[batch(1, hours_ago(60), "late")]).unwrap();
    assert_eq!(engine.snapshot().stats().unwrap().events, 33);

    engine.retain(Retention { age: Some(24 * HOUR), bytes: None });
    maintain(&mut engine, steady(NOW)).unwrap();
    let kept: Vec<u64> = (23..=32).chain(13..=22).chain(1..=10).collect();
    for _ in 0..2 {
        assert_eq!(seqs(&engine), kept);
        assert_eq!((engine.snapshot().stats().unwrap().events, engine.snapshot().stats().unwrap().last_seq), (30, 33));
        reopen(&mut engine);
    }

    // Kept ids are still duplicates, expired ones are not, and no sequence number is used twice.
    let receipts = engine.commit(NOW, &[batch(2, hours_ago(1), "a"), batch(2, hours_ago(1), "old")]).unwrap();
    let stored: Vec<(u32, usize)> = receipts.iter().map(|receipt| (receipt.stored, receipt.duplicates.len())).collect();
    assert_eq!(stored, [(0, 2), (2, 0)]);
    assert_eq!(receipts.last().unwrap().first_seq, 34);
}

#[test]
fn remainders_are_not_merged_beyond_the_limit_of_a_list_of_sequence_numbers() {
    let mut engine = open(1);
    engine.retain(Retention { age: Some(24 * HOUR), bytes: None });
    let numbers = 400 * SMALL.seal_events as u64;
    for number in 0..400 {
        // All but one event of a segment will expire.
        let few = SMALL.seal_events as u32 - 1;
        engine
            .commit(
                NOW,
                &[batch(1, NOW, &format!("kept{number}")), batch(few, hours_ago(23), &format!("gone{number}"))],
            )
            .unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    maintain(&mut engine, steady(hours_ago(-10))).unwrap();
    let stats = engine.snapshot().stats().unwrap();
    assert_eq!((stats.events, stats.last_seq), (400, numbers));
    let least = numbers / SMALL.segment_events_max as u64;
    assert!(stats.segments >= least, "{} segments, at least {least} expected", stats.segments);
}

#[test]
fn the_first_events_are_deleted_when_there_are_too_many_bytes() {
    const MOST: u64 = 4_000;
    let mut engine = open(1);
    engine.retain(Retention { age: None, bytes: Some(MOST) });
    for number in 0..60 {
        engine.commit(NOW, &[batch(5, hours_ago(number), &number.to_string())]).unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    let stats = engine.snapshot().stats().unwrap();
    assert!(stats.events < 300 && stats.events > 50, "{stats:?}");
    // The last ones are left, without a gap.
    let mut kept = seqs(&engine);
    kept.sort_unstable();
    assert_eq!(kept, (300 - stats.events + 1..=300).collect::<Vec<_>>());
    reopen(&mut engine);
    assert_eq!(engine.snapshot().stats().unwrap().events, stats.events);

    // The last segment is kept whatever the limit.
    engine.retain(Retention { age: None, bytes: Some(1) });
    maintain(&mut engine, steady(NOW)).unwrap();
    let stats = engine.snapshot().stats().unwrap();
    assert!(stats.events > 0 && stats.segments <= 2, "{stats:?}");
}

#[test]
fn a_clock_set_forward_deletes_nothing_until_it_has_lasted() {
    let mut engine = open(1);
    engine.retain(MONTH);
    maintain(&mut engine, steady(NOW)).unwrap();
    engine.commit(NOW, &[batch(20, NOW, "a"), batch(4, hours_ago(-1), "b")]).unwrap();
    for hours in 0..24 {
        maintain(&mut engine, moment(hours, 40)).unwrap();
        assert_eq!(engine.snapshot().stats().unwrap().events, 24, "after {hours} hours");
        assert_eq!(engine.clock_doubt().unwrap().ahead, 40 * 24 * HOUR);
    }
    // Everything else works, and new events are not reported as expired.
    let wall = moment(23, 40).wall;
    assert_eq!(engine.commit(wall, &[batch(1, NOW, "c")]).unwrap()[0].expired, 0);
    // The clock is right again.
    maintain(&mut engine, moment(23, 0)).unwrap();
    assert_eq!((engine.snapshot().stats().unwrap().events, engine.clock_doubt()), (25, None));
    // It is set forward again and stays so.
    maintain(&mut engine, moment(23, 40)).unwrap();
    maintain(&mut engine, moment(47, 40)).unwrap();
    assert_eq!((engine.snapshot().stats().unwrap().events, engine.clock_doubt()), (0, None));
}

/// Commits made while the clock is in doubt carry the wrong time, and so do segments of them. The next process must not
/// believe the clock because of them.
#[test]
fn a_restart_is_no_reason_to_believe_a_clock() {
    let mut engine = open(1);
    engine.retain(MONTH);
    maintain(&mut engine, steady(NOW)).unwrap();
    engine.commit(NOW, &[batch(4, NOW, "a")]).unwrap();
    for number in 0..30 {
        let now = moment(0, 40);
        engine.commit(now.wall, &[batch(5, NOW, &number.to_string())]).unwrap();
        maintain(&mut engine, now).unwrap();
        reopen(&mut engine);
        engine.retain(MONTH);
    }
    maintain(&mut engine, moment(0, 40)).unwrap();
    assert_eq!(engine.snapshot().stats().unwrap().events, 154);
    assert!(engine.clock_doubt().is_some());
}

#[test]
fn a_process_waits_after_a_long_downtime_but_not_after_idling() {
    for (is_up, doubts) in [(true, false), (false, true)] {
        let mut engine = open(1);
        engine.retain(MONTH);
        maintain(&mut engine, steady(NOW)).unwrap();
        engine.commit(NOW, &[batch(20, NOW, "a")]).unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
        for hour in 0..if is_up { 40 * 24 } else { 0 } {
            maintain(&mut engine, moment(hour, 0)).unwrap();
        }
        reopen(&mut engine);
        engine.retain(MONTH);
        maintain(&mut engine, moment(40 * 24, 0)).unwrap();
        assert_eq!(engine.clock_doubt().is_some(), doubts, "up: {is_up}");
        assert_eq!(engine.snapshot().stats().unwrap().events, if doubts { 20 } else { 0 });
        maintain(&mut engine, moment(41 * 24, 0)).unwrap();
        assert_eq!((engine.snapshot().stats().unwrap().events, engine.clock_doubt()), (0, None));
    }
}

/// Does maintenance every hour of a range, in a process that restarts every twelve hours. Returns the hour when nothing
/// is left.
fn restarted(engine: &mut Engine<MemoryStorage>, hours: core::ops::Range<i64>, days_ahead: i64) -> Option<i64> {
    let begin = hours.start;
    hours.into_iter().find(|hour| {
        if (hour - begin) % 12 == 0 {
            reopen(engine);
            engine.retain(MONTH);
        }
        maintain(engine, moment(*hour, days_ahead)).unwrap();
        engine.snapshot().stats().unwrap().events == 0
    })
}

#[test]
fn restarts_do_not_prolong_a_doubt_for_ever() {
    for days_ahead in [0, 40] {
        let mut engine = open(1);
        engine.retain(MONTH);
        maintain(&mut engine, steady(NOW)).unwrap();
        engine.commit(NOW, &[batch(20, hours_ago(30 * 24 - 1), "a")]).unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
        // No process runs for 26 hours.
        let trusted = restarted(&mut engine, 26..26 + 72, days_ahead).unwrap();
        // The hour before each restart does not count, since it was not observed to its end.
        assert!((26 + 24..26 + 27).contains(&trusted), "{days_ahead} days ahead: after {trusted} hours");
    }
}

#[test]
fn a_clock_that_was_right_in_between_is_doubted_again() {
    let mut engine = open(1);
    engine.retain(MONTH);
    maintain(&mut engine, steady(NOW)).unwrap();
    engine.commit(NOW, &[batch(20, NOW, "a")]).unwrap();
    assert_eq!(restarted(&mut engine, 0..23, 40), None);
    assert_eq!(restarted(&mut engine, 23..24, 0), None);
    assert_eq!((engine.clock_doubt(), engine.snapshot().stats().unwrap().events), (None, 20));
    assert_eq!(restarted(&mut engine, 24..48, 40), None);
    assert!(restarted(&mut engine, 48..51, 40).is_some());
}

/// A new process does not report events as expired by a wrong clock.
#[test]
fn no_event_is_reported_as_expired_before_the_clock_was_checked() {
    let mut engine = open(1);
    engine.retain(MONTH);
    maintain(&mut engine, steady(NOW)).unwrap();
    engine.commit(NOW, &[batch(1, NOW, "a")]).unwrap();
    maintain(&mut engine, moment(13, 0)).unwrap();
    for (days_ahead, expired) in [(0, 2), (40, 0)] {
        reopen(&mut engine);
        engine.retain(MONTH);
        let prefix = format!("{days_ahead}");
        let late = batch(2, hours_ago(31 * 24), &format!("late-{prefix}"));
        let receipts = engine.commit(moment(13, days_ahead).wall, &[batch(3, NOW, &prefix), late]).unwrap();
        assert_eq!(receipts.iter().map(|receipt| receipt.expired).collect::<Vec<_>>(), [0, expired]);
    }
}

#[test]
fn with_every_clock_trusted_events_expire_at_once() {
    let mut engine = open(1);
    engine.retain(MONTH);
    engine.trust_clock_after(0);
    maintain(&mut engine, steady(NOW)).unwrap();
    engine.commit(NOW, &[batch(20, NOW, "a")]).unwrap();
    maintain(&mut engine, moment(0, 40)).unwrap();
    assert_eq!((engine.snapshot().stats().unwrap().events, engine.clock_doubt()), (0, None));
}

#[test]
fn expired_events_are_reported() {
    let mut engine = open(1);
    for (time, prefix) in [(hours_ago(40 * 24), "old"), (hours_ago(1), "a"), (hours_ago(2), "b")] {
        engine.commit(NOW, &[batch(13, time, prefix)]).unwrap();
        assert_eq!(expired(&mut engine, steady(NOW)), []);
    }
    engine.retain(MONTH);
    let found = expired(&mut engine, steady(NOW));
    assert_eq!(found.iter().map(|expired| expired.events).sum::<u64>(), 13);
    assert!(found.iter().all(|expired| expired.first == hours_ago(40 * 24) && expired.cause == ExpiryCause::Age));

    // Events that come too late are stored, deleted by the next maintenance, and reported as expired in the answer.
    let receipts = engine.commit(NOW, &[batch(3, hours_ago(40 * 24), "late"), batch(2, NOW, "new")]).unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.expired).collect::<Vec<_>>(), [3, 0]);
    let found = expired(&mut engine, steady(NOW));
    assert_eq!(found.iter().map(|expired| expired.events).sum::<u64>(), 3);
    assert_eq!(engine.snapshot().stats().unwrap().events, 28);

    engine.retain(Retention { age: None, bytes: Some(1) });
    let found = expired(&mut engine, steady(NOW));
    assert!(found.iter().all(|expired| expired.cause == ExpiryCause::Size) && !found.is_empty(), "{found:?}");
}
