//! The engine against the naive model: both give the same answers after any steps.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod steps;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::task::Poll;

use argus_core::engine::Engine;
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Order, Position, Scan, TypeTest};
use argus_core::repository::{MaintenanceQueue, Repository};
use argus_core::storage::MemoryStorage;
use argus_testing::{
    Difference, Model, NOW, Pace, Pair, Planned, Random, Run, Step, StoredEvent, StoredId, check_answer, check_query,
    check_same, collect, generate, maintain, steady,
};
use proptest::collection::vec;
use proptest::prelude::*;
use steps::{bytes, config, open, reopen, steps};

const ORDERS: [Order; 3] = [Order::TimeAscending, Order::TimeDescending, Order::Sequence];

/// Applies the steps to an engine and to the model, and compares them.
fn compare(seed: u128, steps: &[Step], queries: &[Scan]) -> Result<(), Difference> {
    let mut pair = Pair::new(open(seed), reopen);
    steps.iter().try_for_each(|step| pair.run(step))?;
    pair.check(queries)
}

/// An engine and a model with the same events, committed in batches of varying size with maintenance in between.
fn filled(seed: u64, events: usize) -> (Engine<MemoryStorage>, MaintenanceQueue, Model) {
    let mut random = Random::seeded(seed);
    let (mut engine, mut maintenance, mut model) = (open(seed.into()), MaintenanceQueue::default(), Model::new());
    let mut left = events;
    while left > 0 {
        let count = left.min(1 + random.index(90));
        left -= count;
        let batch = generate::random_batch(&mut random, count);
        engine.commit(NOW, std::slice::from_ref(&batch)).unwrap();
        model.commit(NOW, &[batch]).unwrap();
        let _progress = maintenance.step(&mut engine, steady(NOW), random.pick(&[0, 1, 5, 50, 500])).unwrap();
    }
    (engine, maintenance, model)
}

/// Reads page by page; each page is ended after `calls` calls of this budget.
fn hasty_walk(engine: &Engine<MemoryStorage>, scan: &Scan, budget: u32, calls: u32) -> Vec<StoredEvent> {
    let snapshot = engine.snapshot();
    let mut scan = scan.clone();
    let mut events = Vec::new();
    loop {
        let mut run = Run::begin(&snapshot, &scan, Pace { budget, stop_every: 0 }).unwrap();
        let mut ended: Option<Position> = None;
        for call in 0.. {
            assert!(!run.step().unwrap(), "a page cannot end before its head");
            if call >= calls {
                ended = run.end_page();
            }
            if ended.is_some() || run.has_head() {
                break;
            }
        }
        let page = run.finish().unwrap();
        assert!(page.events.len() <= usize::try_from(scan.limit.unwrap().get()).unwrap());
        if ended.is_some() {
            assert_eq!(page.next, ended);
        }
        events.extend(page.events);
        match page.next {
            None => return events,
            Some(next) => {
                let moved = scan.from.is_none_or(|from| match scan.order {
                    Order::TimeAscending => next > from,
                    Order::TimeDescending => next < from,
                    Order::Sequence => next.seq > from.seq,
                });
                assert!(moved, "{next:?} is after {:?}", scan.from);
                scan.from = Some(next);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn the_engine_answers_as_the_model_does_after_any_steps(
        seed: u128,
        steps in steps(24),
        query in bytes(80).prop_map(|bytes| generate::scan(&mut Random::bytes(&bytes))),
    ) {
        compare(seed, &steps, &[query])?;
    }

    #[test]
    fn reopening_after_every_step_changes_no_answer(seed: u128, steps in steps(10)) {
        let steps: Vec<Step> = steps.into_iter().flat_map(|step| [step, Step::Reopen]).collect();
        compare(seed, &steps, &[])?;
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn the_pace_of_a_query_does_not_change_its_answer(seed: u64, queries in vec(bytes(80), 8)) {
        let (engine, _, model) = filled(seed, 400);
        let (engine, model) = (engine.snapshot(), model.snapshot());
        for bytes in queries {
            let query = generate::scan(&mut Random::bytes(&bytes));
            for pace in [
                Pace::UNBROKEN,
                Pace { budget: 1, stop_every: 0 },
                Pace { budget: 1, stop_every: 1 },
                Pace { budget: 17, stop_every: 3 },
                Pace { budget: u32::MAX, stop_every: 1 },
            ] {
                check_query(&engine, &model, &query, pace)?;
            }
        }
    }

    #[test]
    fn pages_that_end_early_make_up_the_whole_answer(
        seed: u64,
        query in bytes(80),
        budget in 1..60_u32,
        calls in 0..4_u32,
        limit in 1..40_u32,
    ) {
        let (engine, ..) = filled(seed, 300);
        for order in ORDERS {
            let scan = Scan { order, limit: None, from: None, ..generate::scan(&mut Random::bytes(&query)) };
            let whole = collect(&engine.snapshot(), &scan, Pace::UNBROKEN).unwrap().events;
            let scan = Scan { limit: NonZeroU32::new(limit), ..scan };
            prop_assert_eq!(hasty_walk(&engine, &scan, budget, calls), whole);
        }
    }

    #[test]
    fn events_are_found_by_their_ids_in_every_order(
        seed: u64,
        picked in vec(0..200_usize, 0..30),
        limit in 0..40_u32,
    ) {
        let (engine, _, mut model) = filled(seed, 200);
        let everything = collect(&engine.snapshot(), &Scan::default(), Pace::UNBROKEN).unwrap().events;
        // The model takes over the engine's ids.
        for event in &everything {
            if let StoredId::Generated(id) = event.id {
                model.take_id(event.seq, id);
            }
        }
        let mut ids: Vec<Box<str>> =
            picked.iter().filter_map(|at| everything.get(*at)).map(|event| event.id.text().into()).collect();
        ids.push("nobody".into());
        for order in ORDERS {
            let filter = Filter { ids: Some(ids.clone()), ..Filter::default() };
            let scan = Scan { filter, order, limit: NonZeroU32::new(limit), ..Scan::default() };
            let expected = collect(&model.snapshot(), &scan, Pace::UNBROKEN).unwrap();
            for pace in [Pace::UNBROKEN, Pace { budget: 1, stop_every: 1 }] {
                let found = collect(&engine.snapshot(), &scan, pace).unwrap();
                check_answer("by id", &expected, &found)?;
            }
        }
    }

    #[test]
    fn maintenance_finishes_and_changes_no_answer(seed: u64, budget in 1..300_u32, queries in vec(bytes(80), 4)) {
        let (mut engine, mut maintenance, model) = filled(seed, 600);
        let mut calls = 0;
        while maintenance.step(&mut engine, steady(NOW), budget).unwrap() == Poll::Pending {
            calls += 1;
            prop_assert!(calls < 100_000, "maintenance does not finish");
        }
        let queries: Vec<Scan> = queries.iter().map(|bytes| generate::scan(&mut Random::bytes(bytes))).collect();
        check_same(&engine.snapshot(), &model.snapshot(), &queries)?;
    }

    #[test]
    fn generated_ids_are_unique_and_carry_the_time_of_the_commit(seed: u128, counts in vec(1..40_usize, 1..12)) {
        let mut engine = open(seed);
        let mut milliseconds = 1_700_000_000_000_i64;
        let mut met = BTreeSet::new();
        for (index, count) in counts.into_iter().enumerate() {
            milliseconds += i64::try_from(index % 3).unwrap();
            let drafts = vec![generate::draft(&mut Random::bytes(&[])); count];
            let now = Timestamp::from_nanos(milliseconds * 1_000_000);
            let receipts = engine.commit(now, &[generate::batch(&drafts)]).unwrap();
            let news = Scan::from(Filter { after_seq: Some(receipts[0].first_seq - 1), ..Filter::default() });
            for event in collect(&engine.snapshot(), &news, Pace::UNBROKEN).unwrap().events {
                let StoredId::Generated(uuid) = event.id else { panic!("{event:?}") };
                let number = u128::from_be_bytes(uuid.0);
                prop_assert_eq!(i64::try_from(number >> 80).unwrap(), milliseconds);
                prop_assert!(met.insert(uuid), "{} came twice", uuid);
            }
            if index % 2 == 0 {
                reopen(&mut engine);
            }
        }
    }
}

/// All pages in each order, over enough events for several segments.
#[test]
fn pages_hold_each_of_many_events_once_while_more_are_committed() {
    let mut random = Random::seeded(7);
    let mut pair = Pair::new(open(7), reopen);
    let mut drafts =
        |count: usize| -> Vec<Planned> { (0..count).map(|_| Planned::from(generate::draft(&mut random))).collect() };
    for _ in 0..20 {
        pair.run(&Step::Commit { elapsed: 1, group: vec![drafts(40), drafts(1)] }).unwrap();
        pair.run(&Step::Maintain { budget: 25, calls: 1 }).unwrap();
    }
    for order in ORDERS {
        let tests = [TypeTest::Eq("view".into()), TypeTest::Prefix("rare.".into())];
        for types in [None, Some(tests[..1].to_vec()), Some(tests.to_vec())] {
            let query = Scan {
                filter: Filter { types, ..Filter::default() },
                order,
                limit: NonZeroU32::new(13),
                ..Scan::default()
            };
            let batches = (0..25).map(|_| drafts(3)).collect();
            pair.run(&Step::Walk { query, batches }).unwrap();
        }
    }
    pair.check(&[]).unwrap();
}

/// Many callers with one event each make one segment. The reported bytes are those in use, also after the segment was
/// rewritten.
#[test]
fn the_reported_bytes_are_those_that_a_restart_finds() {
    let mut random = Random::seeded(11);
    let mut engine = open(11);
    for _ in 0..6 {
        let group = [(); 4].map(|()| generate::random_batch(&mut random, 1));
        engine.commit(NOW, &group).unwrap();
        maintain(&mut engine, steady(NOW)).unwrap();
    }
    let counted = engine.snapshot().stats().unwrap();
    reopen(&mut engine);
    assert_eq!(engine.snapshot().stats().unwrap(), counted);
    assert_eq!(counted.segments, 1);
}
