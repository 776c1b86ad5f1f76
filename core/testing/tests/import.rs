//! Events of another repository: they keep their numbers, ids and times of commit, whatever happens on the way.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod steps;

use std::sync::Arc;

use argus_core::damage::Affected;
use argus_core::engine::{Engine, OpenError, Seed, Tuning, back_up, check, salvage};
use argus_core::event::Timestamp;
use argus_core::query::Filter;
use argus_core::repository::{Gap, ImportError, Repository, Snapshot};
use argus_core::storage::MemoryStorage;
use argus_core::transfer::Transfer;
use argus_testing::{
    Draft, Ending, Faults, NOW, Pair, Phase, Random, SMALL, SimStorage, StoredEvent, StoredId, all_events, all_gaps,
    check_id, flipped, generate, maintain, steady, transfer, with_log,
};
use proptest::prelude::*;
use steps::{bytes, config, open, reopen, steps};

/// What must survive of an event. On the way, a generated id becomes one like any other.
fn kept(event: &StoredEvent) -> StoredEvent {
    StoredEvent { id: StoredId::Given(event.id.text()), ..event.clone() }
}

fn kept_events(snapshot: &Arc<dyn Snapshot>) -> Vec<StoredEvent> {
    all_events(snapshot).unwrap().iter().map(kept).collect()
}

/// The events after `after` and up to `up_to`.
/// Whether a repository has the events up to its last number, and gaps in between.
fn is_prefix(snapshot: &Arc<dyn Snapshot>, source: &[StoredEvent]) -> bool {
    let last_seq = snapshot.last_seq();
    let expected: Vec<StoredEvent> = source.iter().filter(|event| event.seq <= last_seq).map(kept).collect();
    kept_events(snapshot) == expected
}

fn event(seq: u64, stored_at: i64) -> StoredEvent {
    StoredEvent {
        id: StoredId::Given(format!("order {seq}")),
        seq,
        event_type: "click".into(),
        timestamp: Timestamp::from_nanos(1_000_000 - seq.cast_signed()),
        payload: r#"{"n":1.0,"n":1e400,"s":"\u0000"}"#.into(),
        stored_at: Timestamp::from_nanos(stored_at * 1_000_000),
    }
}

/// Events of three commits with gaps between, and a gap at the end, up to number 20.
fn source() -> Vec<StoredEvent> {
    [(3, 5), (4, 5), (9, 5), (10, 8), (11, 7)].map(|(seq, stored_at)| event(seq, stored_at)).into()
}

const SOURCE_LAST: u64 = 20;

fn imported() -> Engine<MemoryStorage> {
    let mut engine = open(1);
    engine.import(&transfer(&source(), 0, SOURCE_LAST)).unwrap();
    engine
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn a_copy_has_what_the_source_has(
        steps in steps(16),
        pieces in bytes(60),
        has_same_seed: bool,
    ) {
        let mut pair = Pair::new(open(7), reopen);
        for step in &steps {
            pair.run(step)?;
        }
        let from = pair.subject().snapshot();
        let (events, last_seq) = (all_events(&from).unwrap(), from.last_seq());
        let mut to = open(if has_same_seed { 7 } else { 8 });
        let mut random = Random::bytes(&pieces);
        while to.snapshot().last_seq() < last_seq {
            let after = to.snapshot().last_seq();
            to.import(&transfer(&events, after, last_seq.min(after + 1 + random.below(40)))).unwrap();
            prop_assert!(is_prefix(&to.snapshot(), &events));
            match random.below(6) {
                0 => to.close().unwrap(),
                1 => reopen(&mut to),
                2 | 3 => maintain(&mut to, steady(NOW)).unwrap(),
                _ => {}
            }
        }
        for _ in 0..2 {
            let snapshot = to.snapshot();
            prop_assert_eq!(snapshot.last_seq(), last_seq);
            let copies = kept_events(&snapshot);
            prop_assert_eq!(&copies, &events.iter().map(kept).collect::<Vec<_>>());
            let gaps = |snapshot| all_gaps(snapshot, 0, last_seq, 5).unwrap();
            prop_assert_eq!(gaps(&snapshot), gaps(&from));
            for event in all_events(&snapshot).unwrap() {
                check_id(snapshot.as_ref(), &event.id.text(), Some(&event))?;
            }
            prop_assert!(check(to.storage()).damage().next().is_none());
            maintain(&mut to, steady(NOW)).unwrap();
            reopen(&mut to);
        }
        let draft = generate::draft(&mut Random::seeded(3));
        let batch = generate::batch([&Draft { id: None, ..draft }]);
        prop_assert_eq!(to.commit(NOW, &[batch]).unwrap()[0].first_seq, last_seq + 1);
    }
}

#[test]
fn an_import_that_is_cut_short_leaves_a_prefix() {
    let engine = imported();
    let log = engine.storage().log();
    let mut ends: Vec<u64> = Vec::new();
    for length in 0..=log.len() {
        let opened = Engine::open(with_log(engine.storage(), &log[..length]), Seed(0)).unwrap();
        let snapshot = opened.snapshot();
        assert!(is_prefix(&snapshot, &source()), "cut at {length}");
        ends.push(snapshot.last_seq());
    }
    ends.dedup();
    assert_eq!(ends, [0, 2, 4, 8, 9, 10, 11, SOURCE_LAST], "each record is there or not");
}

#[test]
fn a_power_failure_at_any_call_leaves_a_prefix_that_can_be_continued() {
    let run = |crash: Option<(u64, Phase)>| {
        let medium = SimStorage::new(3, Faults::ALL);
        let mut engine = Engine::open_with(medium.clone(), Seed(1), SMALL).unwrap();
        medium.crash_at(crash.map(|(call, phase)| (medium.calls() + call, phase)));
        let before = medium.calls();
        let pieces = [(0, 4), (4, 10), (10, SOURCE_LAST)];
        let imported = pieces.iter().take_while(|(after, to)| engine.import(&transfer(&source(), *after, *to)).is_ok());
        let acknowledged = imported.map(|(_, to)| *to).last().unwrap_or(0);
        drop(engine);
        (medium.calls() - before, acknowledged, medium.restart(Ending::Power))
    };
    let (calls, ..) = run(None);
    assert!(calls > 5, "{calls}");
    for (call, phase) in (0..calls).flat_map(|call| Phase::ALL.map(|phase| (call, phase))) {
        let place = format!("{phase:?} call {call}");
        let (_, acknowledged, medium) = run(Some((call, phase)));
        let mut engine = Engine::open_with(medium, Seed(0), SMALL).unwrap_or_else(|error| panic!("{place}: {error}"));
        let snapshot = engine.snapshot();
        assert!(is_prefix(&snapshot, &source()) && snapshot.last_seq() >= acknowledged, "{place}");
        engine.import(&transfer(&source(), snapshot.last_seq(), SOURCE_LAST)).unwrap();
        let snapshot = engine.snapshot();
        assert!(is_prefix(&snapshot, &source()) && snapshot.last_seq() == SOURCE_LAST, "{place}");
    }
}

#[test]
fn damage_to_a_skip_is_noticed() {
    let mut engine = imported();
    engine.close().unwrap();
    let medium = engine.storage().clone();
    assert!(check(&medium).findings.is_empty());
    let skip = medium.log().windows(4).position(|bytes| bytes == b"SKIP").unwrap();
    for bit in 0..32 * 8 {
        let damaged = with_log(&medium, &flipped(medium.log(), (skip - 4) * 8 + bit));
        let Err(OpenError::Damaged { place, reason, .. }) = Engine::open(damaged.clone(), Seed(0)) else {
            panic!("bit {bit} went unnoticed");
        };
        assert!(place.starts_with("the log at offset 0") && reason.contains("events 1 to 2"), "{place}: {reason}");
        let damage: Vec<Affected> = check(&damaged).damage().map(|finding| finding.affected).collect();
        assert_eq!(damage, [Affected::all(1, 2)]);
        let mut copy = MemoryStorage::default();
        let salvaged = salvage(&damaged, &mut copy, Seed(9)).unwrap();
        assert_eq!((salvaged.copy.events, salvaged.copy.last_seq), (5, SOURCE_LAST));
    }
}

#[test]
fn a_lost_skip_over_many_numbers_is_not_taken_for_as_many_lost_events() {
    let mut engine = open(1);
    engine.import(&transfer(&[event(1_000, 5)], 0, 1_000)).unwrap();
    engine.close().unwrap();
    let damaged = with_log(engine.storage(), &flipped(engine.storage().log(), 0));
    let damage: Vec<Affected> = check(&damaged).damage().map(|finding| finding.affected).collect();
    assert_eq!(damage, [Affected::between(1, 999)]);
    let salvaged = salvage(&damaged, &mut MemoryStorage::default(), Seed(9)).unwrap();
    assert_eq!(salvaged.losses.iter().map(|loss| loss.is_exact).collect::<Vec<_>>(), [false]);
}

#[test]
fn a_backup_has_skips() {
    let mut engine = imported();
    let mut copy = MemoryStorage::default();
    assert_eq!(back_up(engine.storage(), &mut copy).unwrap().last_seq, SOURCE_LAST);
    let copied = Engine::open(copy, Seed(0)).unwrap();
    assert_eq!(all_events(&copied.snapshot()).unwrap(), all_events(&engine.snapshot()).unwrap());
    assert_eq!(copied.snapshot().last_seq(), SOURCE_LAST);
    engine.close().unwrap();
    let mut salvaged = MemoryStorage::default();
    let report = salvage(engine.storage(), &mut salvaged, Seed(9)).unwrap();
    assert!(report.losses.is_empty());
    assert_eq!((report.copy.events, report.copy.last_seq), (5, SOURCE_LAST));
}

#[test]
fn an_erasure_after_a_skip_takes_the_skip_off_the_log_too() {
    let mut engine = imported();
    engine.erase_within(std::time::Duration::ZERO);
    engine.erase(NOW, &Filter { ids: Some(vec!["order 9".into()]), ..Filter::default() }).unwrap();
    for _ in 0..4 {
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    assert_eq!(engine.snapshot().stats().unwrap().erasures.pending, 0);
    reopen(&mut engine);
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.last_seq(), SOURCE_LAST);
    assert_eq!(all_events(&snapshot).unwrap().iter().map(|event| event.seq).collect::<Vec<_>>(), [3, 4, 10, 11]);
}

/// The longest gap that the engine may have to deal with, and some between events.
#[test]
fn wide_gaps_take_no_space() {
    let far = (1 << 37) - 10;
    let seqs = [1 << 36, (1 << 36) + 1, (1 << 36) + 5_000_000_000, far - 1, far];
    let events: Vec<StoredEvent> = seqs.map(|seq| event(seq, 5)).into();
    let mut engine = Engine::open(MemoryStorage::default(), Seed(1)).unwrap();
    engine.import(&transfer(&events, 0, far)).unwrap();
    let tuning = Tuning { seal_events: 4, fan_in: 2, ..Tuning::default() };
    for _ in 0..2 {
        let snapshot = engine.snapshot();
        assert_eq!(kept_events(&snapshot), events);
        let gaps = [(1, seqs[0] - 1), (seqs[1] + 1, seqs[2] - 1), (seqs[2] + 1, seqs[3] - 1)];
        let gaps = gaps.map(|(first, last)| Gap { first, last });
        let mut found = std::collections::VecDeque::new();
        let mut search = Arc::clone(&snapshot).gaps(0, far);
        while search.poll_gaps(u32::MAX, &mut found).unwrap() < far {}
        assert_eq!(found, gaps);
        engine = Engine::open_with(engine.storage().clone(), Seed(1), tuning).unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    assert_eq!(engine.recovery().sealed_events + engine.recovery().replayed_events, 5);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_stored() {
    let engine = imported();
    let refused = |events: &[StoredEvent], after: u64, up_to: u64, expected: &str| {
        let mut engine =
            Engine::open_with(engine.storage().clone(), Seed(0), Tuning { types_max: 1, ..SMALL }).unwrap();
        let before = engine.storage().log().len();
        let Err(ImportError::Refused(reason)) = engine.import(&transfer(events, after, up_to)) else {
            panic!("it was not refused: {expected}");
        };
        assert!(reason.contains(expected), "{reason}");
        assert_eq!((engine.storage().log().len(), engine.snapshot().last_seq()), (before, SOURCE_LAST));
    };
    refused(&[event(22, 5)], 21, 22, "its last sequence number is 20, and not 21");
    refused(&[event(12, 5)], 11, 12, "its last sequence number is 20, and not 11");
    let twin = StoredEvent { id: event(9, 0).id, ..event(21, 5) };
    refused(&[twin], 20, 21, "event 21 has the id of event 9");
    let twins = [event(21, 5), StoredEvent { seq: 23, ..event(21, 5) }];
    refused(&twins, 20, 23, "event 23 has the id of event 21");
    refused(
        &[StoredEvent { event_type: "other".into(), ..event(21, 5) }],
        20,
        21,
        "more event types than the limit, 1",
    );
    refused(&[event(21, -1)], 20, 21, "event 21 was stored before 1970");
    refused(&[event(1 << 37, 5)], 20, 1 << 37, "cannot be left out");
    let mut engine = engine;
    engine.import(&Transfer::after(SOURCE_LAST)).unwrap();
    assert_eq!(engine.snapshot().last_seq(), SOURCE_LAST);
}
