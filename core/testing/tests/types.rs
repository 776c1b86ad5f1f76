//! The limit of event types: at ingestion, while segments come and go, and at start.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod steps;

use argus_core::batch::{Batch, Handling};
use argus_core::engine::{Engine, OpenError, Retention, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::query::Scan;
use argus_core::repository::{Duplicate, Receipt, Repository as _};
use argus_core::storage::{MemoryStorage, Storage as _};
use argus_testing::{Draft, Model, NOW, Pair, SMALL, Step, generate, maintain, segments, steady};
use proptest::prelude::*;

/// The limit of event types in these tests.
const FEW: Tuning = Tuning { types_max: 6, ..SMALL };

const HOUR: i64 = 3_600_000_000_000;

fn open() -> Engine<MemoryStorage> {
    Engine::open_with(MemoryStorage::default(), Seed(1), FEW).unwrap()
}

fn reopen(engine: &mut Engine<MemoryStorage>) {
    *engine = Engine::open_with(engine.storage().clone(), Seed(0xbad), FEW).unwrap();
}

/// Events of these types, some with an id.
fn batch_at(time: Timestamp, events: &[(&str, Option<&str>)]) -> Batch {
    let draft = |&(event_type, id): &(&str, Option<&str>)| Draft {
        event_type: event_type.into(),
        timestamp: time,
        payload: "{}".into(),
        id: id.map(Into::into),
    };
    generate::batch(&events.iter().map(draft).collect::<Vec<_>>())
}

fn batch(types: &[&str]) -> Batch {
    batch_at(NOW, &types.iter().map(|&event_type| (event_type, None)).collect::<Vec<_>>())
}

/// How many events were stored, and which others had a type beyond the limit.
fn outcome(receipt: &Receipt) -> (u32, &[u32]) {
    (receipt.stored, receipt.surplus.as_ref().map_or(&[], |surplus| &surplus.indexes))
}

fn types(engine: &Engine<MemoryStorage>) -> u64 {
    engine.snapshot().stats().unwrap().event_types
}

#[test]
fn a_batch_beyond_the_limit_of_types_is_refused_and_the_rest_of_its_group_is_not() {
    let mut engine = open();
    let group = [
        batch(&["a", "b", "c", "d"]),
        // There is room for two more types, so a batch with three is refused whole.
        batch(&["a", "e", "f", "g", "f", "g"]),
        batch(&["e", "f"]),
        batch(&["a", "h", "b", "i", "f"]).handled(Handling::Lenient),
        batch(&["h"]).handled(Handling::Lenient),
        batch(&["a", "f"]),
    ];
    let receipts = engine.commit(NOW, &group).unwrap();
    let outcomes: Vec<_> = receipts.iter().map(outcome).collect();
    assert_eq!(outcomes, [(4, &[][..]), (0, &[3, 5]), (2, &[]), (3, &[1, 3]), (0, &[0]), (2, &[])]);
    assert_eq!((types(&engine), engine.snapshot().stats().unwrap().events), (6, 11));
    let first_seqs: Vec<u64> =
        receipts.iter().filter(|receipt| receipt.stored > 0).map(|receipt| receipt.first_seq).collect();
    assert_eq!(first_seqs, [1, 5, 7, 10]);
    // The same after a restart, with the types from the log and from segments.
    for _ in 0..2 {
        let receipts = engine.commit(NOW, &[batch(&["g"]), batch(&["a", "f", "c"])]).unwrap();
        assert_eq!(receipts.iter().map(outcome).collect::<Vec<_>>(), [(0, &[0][..]), (3, &[])]);
        maintain(&mut engine, steady(NOW)).unwrap();
        reopen(&mut engine);
        assert_eq!(types(&engine), 6);
    }
}

#[test]
fn only_stored_events_take_their_ids() {
    let mut engine = open();
    engine
        .commit(NOW, &[batch_at(NOW, &[("a", Some("held")), ("b", None), ("c", None), ("d", None), ("e", None)])])
        .unwrap();
    let group = [
        // Nothing of it is stored, so "one" is free for the next.
        batch_at(NOW, &[("f", Some("one")), ("g", None)]),
        batch_at(NOW, &[("f", Some("one")), ("new", Some("held"))]),
        // The first is left out, so the second gets the id.
        batch_at(NOW, &[("g", Some("two")), ("f", Some("two")), ("g", Some("two")), ("g", Some("one"))])
            .handled(Handling::Lenient),
    ];
    let receipts = engine.commit(NOW, &group).unwrap();
    assert_eq!(receipts.iter().map(outcome).collect::<Vec<_>>(), [(0, &[1][..]), (1, &[]), (1, &[0])]);
    let duplicates: Vec<_> = receipts.iter().map(|receipt| receipt.duplicates.to_vec()).collect();
    let duplicate = |index, seq| Duplicate { index, seq };
    assert_eq!(duplicates, [vec![], vec![duplicate(1, 1)], vec![duplicate(2, 7), duplicate(3, 6)]]);
}

#[test]
fn types_are_forgotten_with_their_last_events() {
    let mut engine = open();
    engine.retain(Retention { age: Some(10 * HOUR), bytes: None });
    let hours = |hours: i64| Timestamp::from_nanos(NOW.as_nanos() + hours * HOUR);
    // Each day has new types, as if dates were part of them. "kept" always exists, with some that last longer.
    for day in 0..8 {
        let now = hours(24 * day);
        let names: Vec<String> = (0..4).map(|number| format!("day {day}, {number}")).collect();
        let mut events: Vec<(&str, Option<&str>)> = names.iter().map(|name| (name.as_str(), None)).collect();
        events.extend([("kept", None); 4]);
        for _ in 0..3 {
            let receipts = engine
                .commit(now, &[batch_at(now, &events), batch_at(hours(24 * day + 9), &[("kept", None)])])
                .unwrap();
            assert_eq!(receipts.iter().map(outcome).collect::<Vec<_>>(), [(8, &[][..]), (1, &[])], "day {day}");
            maintain(&mut engine, steady(now)).unwrap();
        }
        assert_eq!(types(&engine), 5);
        if day % 2 == 0 {
            reopen(&mut engine);
            engine.retain(Retention { age: Some(10 * HOUR), bytes: None });
            // The clock is right at opening, and never changed afterwards.
            maintain(&mut engine, steady(now)).unwrap();
        }
        // Only a part of the segment has expired: it is rewritten, and loses its other types.
        maintain(&mut engine, steady(hours(24 * day + 15))).unwrap();
        assert_eq!(types(&engine), 1);
        reopen(&mut engine);
        assert_eq!(types(&engine), 1);
        engine.retain(Retention { age: Some(10 * HOUR), bytes: None });
    }
}

#[test]
fn a_repository_with_too_many_types_is_not_opened_and_not_changed() {
    for is_sealed in [false, true] {
        let mut engine = steps::open(1);
        for first in 0..5 {
            let names: Vec<String> = (0..8).map(|number| format!("type {}", first * 4 + number)).collect();
            engine.commit(NOW, &[batch(&names.iter().map(String::as_str).collect::<Vec<_>>())]).unwrap();
            if is_sealed {
                maintain(&mut engine, steady(NOW)).unwrap();
            }
        }
        let medium = engine.storage().clone();
        assert_eq!(types(&engine), 24);
        let opened = |types_max| Engine::open_with(medium.clone(), Seed(1), Tuning { types_max, ..SMALL });
        let Err(OpenError::TooManyTypes { found, types_max: 23 }) = opened(23) else { panic!("it has 24 types") };
        assert_eq!(found, 24);
        let message = opened(2).err().unwrap().to_string();
        assert!(message.contains(" 2 are allowed") && message.contains("--max-event-types"), "{message}");
        for mut engine in [opened(24).unwrap(), opened(25).unwrap()] {
            assert_eq!((types(&engine), engine.snapshot().stats().unwrap().events), (24, 40));
            steps::reopen(&mut engine);
            assert_eq!(types(&engine), 24);
        }
    }
}

#[test]
fn counting_types_stops_at_the_limit_before_a_damaged_or_missing_segment() {
    let mut engine = steps::open(1);
    let alone = Tuning { fan_in: 100, ..SMALL };
    engine = Engine::open_with(engine.storage().clone(), Seed(1), alone).unwrap();
    for first in 0..4 {
        let names: Vec<String> = (0..12).map(|number| format!("type {}", first * 12 + number)).collect();
        engine.commit(NOW, &[batch(&names.iter().map(String::as_str).collect::<Vec<_>>())]).unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    let medium = engine.storage().clone();
    let segments = segments(&medium);
    let [oldest, _, _, _] = segments.as_slice() else { panic!("{segments:?}") };
    let opened =
        |medium: MemoryStorage, types_max| Engine::open_with(medium, Seed(1), Tuning { types_max, ..alone }).err();
    let mut missing = medium.clone();
    missing.delete(oldest)().unwrap();
    let mut damaged = medium.clone();
    damaged.insert(oldest, b"ARGUSSEG".as_slice().into());
    for medium in [missing, damaged] {
        // The newest are read first, and reading stops as soon as there are too many.
        let refusal = opened(medium.clone(), 23);
        assert!(matches!(refusal, Some(OpenError::TooManyTypes { found: 24, types_max: 23 })), "{refusal:?}");
        let refusal = opened(medium, 36);
        assert!(
            matches!(&refusal, Some(OpenError::Damaged { place, .. }) if place.starts_with(oldest.as_str())),
            "{refusal:?}"
        );
    }
}

proptest! {
    #![proptest_config(steps::config(64))]

    /// Groups, duplicates, both ways of handling, merging, sealing, compaction and restarts.
    #[test]
    fn the_engine_accepts_the_same_types_as_the_model(steps in steps::steps(24)) {
        let mut pair = Pair::with_model(open(), Model::with_types(FEW.types_max), reopen);
        // The types of erased events count until the events are removed, for which there may be no time.
        for step in steps.iter().filter(|step| !matches!(step, Step::Erase { .. })) {
            pair.run(step)?;
        }
        pair.check(&[Scan::default()])?;
    }
}
