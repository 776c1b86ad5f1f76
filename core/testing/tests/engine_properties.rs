//! The engine against the naive model: whatever happens to both, they answer the same.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod steps;

use std::collections::BTreeSet;
use std::task::Poll;

use argus_core::event::Timestamp;
use argus_core::query::{Order, Query};
use argus_core::repository::{MaintenanceQueue, Repository};
use argus_testing::{
    Draft, Model, Pace, Pair, Planned, Source, Step, StoredId, check_query, check_same, collect, generate, steady,
};
use proptest::prelude::*;
use steps::{bytes, config, open, reopen, steps};

/// Lets everything happen to an engine and to the model, and compares them.
fn compare(seed: u128, steps: &[Step], queries: &[Query]) -> Result<(), TestCaseError> {
    let mut pair = Pair::new(open(seed), reopen);
    let compared = steps.iter().try_for_each(|step| pair.run(step)).and_then(|()| pair.check(queries));
    compared.map_err(|difference| TestCaseError::fail(difference.to_string()))
}

fn same(compared: Result<(), argus_testing::Difference>) -> Result<(), TestCaseError> {
    compared.map_err(|difference| TestCaseError::fail(difference.to_string()))
}

/// An engine and a model with the same events, committed in batches of varying size with maintenance in between.
fn filled(seed: u64, events: usize) -> (impl Repository, MaintenanceQueue, Model) {
    let mut source = Source::seeded(seed);
    let (mut engine, mut maintenance, mut model) = (open(seed.into()), MaintenanceQueue::default(), Model::new());
    let mut left = events;
    while left > 0 {
        let count = left.min(1 + source.index(90));
        left -= count;
        let batch = generate::batch(&(0..count).map(|_| generate::draft(&mut source)).collect::<Vec<Draft>>());
        engine.commit(Timestamp::from_nanos(0), std::slice::from_ref(&batch)).unwrap();
        model.commit(Timestamp::from_nanos(0), &[batch]).unwrap();
        let _progress =
            maintenance.step(&mut engine, steady(Timestamp::from_nanos(0)), source.pick(&[0, 1, 5, 50, 500])).unwrap();
    }
    (engine, maintenance, model)
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn whatever_happens_the_engine_answers_as_the_model_does(
        seed: u128,
        steps in steps(24),
        query in bytes(80).prop_map(|bytes| generate::query(&mut Source::bytes(&bytes))),
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
    fn the_pace_of_a_query_does_not_change_its_answer(seed: u64, queries in prop::collection::vec(bytes(80), 8)) {
        let (engine, _, model) = filled(seed, 400);
        let (engine, model) = (engine.snapshot(), model.snapshot());
        for bytes in queries {
            let query = generate::query(&mut Source::bytes(&bytes));
            for pace in [
                Pace::UNBROKEN,
                Pace { budget: 1, stop_every: 0 },
                Pace { budget: 1, stop_every: 1 },
                Pace { budget: 17, stop_every: 3 },
                Pace { budget: u32::MAX, stop_every: 1 },
            ] {
                same(check_query(&engine, &model, &query, pace).map(drop))?;
            }
        }
    }

    #[test]
    fn maintenance_comes_to_an_end_and_changes_no_answer(seed: u64, budget in 1..300_u32, queries in prop::collection::vec(bytes(80), 4)) {
        let (mut engine, mut maintenance, model) = filled(seed, 600);
        let mut calls = 0;
        while maintenance.step(&mut engine, steady(Timestamp::from_nanos(0)), budget).unwrap() == Poll::Pending {
            calls += 1;
            prop_assert!(calls < 100_000, "maintenance goes on and on");
        }
        let queries: Vec<Query> = queries.iter().map(|bytes| generate::query(&mut Source::bytes(bytes))).collect();
        same(check_same(&engine.snapshot(), &model.snapshot(), &queries))?;
    }

    #[test]
    fn generated_ids_are_unique_and_carry_the_time_of_the_commit(seed: u128, counts in prop::collection::vec(1..40_usize, 1..12)) {
        let mut engine = open(seed);
        let mut milliseconds = 1_700_000_000_000_i64;
        let mut met = BTreeSet::new();
        for (index, count) in counts.into_iter().enumerate() {
            milliseconds += i64::try_from(index % 3).unwrap();
            let drafts = vec![generate::draft(&mut Source::bytes(&[])); count];
            let receipts = engine.commit(Timestamp::from_nanos(milliseconds * 1_000_000), &[generate::batch(&drafts)]).unwrap();
            let news = Query { after_seq: Some(receipts[0].first_seq - 1), ..Query::default() };
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

/// All pages of both orders, over so many events that they lie in several parts of the store.
#[test]
fn walks_over_many_events_meet_each_of_them_once_while_more_come_in() {
    let mut source = Source::seeded(7);
    let mut pair = Pair::new(open(7), reopen);
    let mut drafts =
        |count: usize| -> Vec<Planned> { (0..count).map(|_| Planned::from(generate::draft(&mut source))).collect() };
    for _ in 0..20 {
        pair.run(&Step::Commit { elapsed: 1, group: vec![drafts(40), drafts(1)] }).unwrap();
        pair.run(&Step::Maintain { budget: 25, calls: 1 }).unwrap();
    }
    for order in [Order::Ascending, Order::Descending] {
        for types in [None, Some(vec!["view".into()])] {
            let query = Query { order, types, limit: std::num::NonZeroU32::new(13), ..Query::default() };
            let batches = (0..25).map(|_| drafts(3)).collect();
            pair.run(&Step::Walk { query, batches }).unwrap();
        }
    }
    pair.check(&[]).unwrap();
}

/// Many callers with one event each make one part of the store. What it takes is what is counted, and is still so when
/// it has been rewritten.
#[test]
fn the_bytes_that_are_counted_are_those_that_a_restart_finds() {
    let mut source = Source::seeded(11);
    let (mut engine, mut maintenance) = (open(11), MaintenanceQueue::default());
    for _ in 0..6 {
        let group = [(); 4].map(|()| generate::batch(&[generate::draft(&mut source)]));
        engine.commit(Timestamp::from_nanos(0), &group).unwrap();
        while maintenance.step(&mut engine, steady(Timestamp::from_nanos(0)), 100).unwrap() == Poll::Pending {}
    }
    let counted = engine.snapshot().stats();
    reopen(&mut engine);
    assert_eq!(engine.snapshot().stats(), counted);
    assert_eq!(counted.segments, 1);
}
