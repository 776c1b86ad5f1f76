//! A snapshot never changes its answers, whatever the writer does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod steps;

use std::sync::Arc;

use argus_core::query::Scan;
use argus_core::repository::{MaintenanceQueue, Repository, Snapshot, Stats};
use argus_testing::{Answer, NOW, Pace, Pair, Random, collect, generate, get, steady};
use proptest::prelude::*;
use steps::{bytes, config, open, reopen, steps};

/// A snapshot's answers to some queries, to the byte.
#[derive(Debug, PartialEq)]
struct Statement {
    stats: Stats,
    everything: Answer,
    answers: Vec<Answer>,
}

fn state(snapshot: &Arc<dyn Snapshot>, queries: &[Scan], pace: Pace) -> Statement {
    let everything = collect(snapshot, &Scan::default(), pace).unwrap();
    for event in &everything.events {
        assert_eq!(get(snapshot.as_ref(), &event.id.text()).unwrap().as_ref(), Some(event));
    }
    let answers = queries.iter().map(|query| collect(snapshot, query, pace).unwrap()).collect();
    Statement { stats: snapshot.stats().unwrap(), everything, answers }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn a_snapshot_answers_the_same_after_every_later_step(
        seed: u128,
        steps in steps(16),
        queries in prop::collection::vec(bytes(80).prop_map(|bytes| generate::scan(&mut Random::bytes(&bytes))), 3),
    ) {
        let mut pair = Pair::new(open(seed), reopen);
        let mut taken = Vec::new();
        for step in &steps {
            let snapshot = pair.subject().snapshot();
            let statement = state(&snapshot, &queries, Pace::UNBROKEN);
            taken.push((snapshot, statement));
            pair.run(step)?;
        }
        // The writer may even be dropped.
        drop(pair);
        for (snapshot, statement) in &taken {
            prop_assert_eq!(&state(snapshot, &queries, Pace { budget: 3, stop_every: 2 }), statement);
        }
    }
}

#[test]
fn readers_on_other_threads_are_not_disturbed_by_the_writer() {
    let mut random = Random::seeded(11);
    let mut engine = open(11);
    let mut maintenance = MaintenanceQueue::default();
    for _ in 0..10 {
        engine.commit(NOW, &[generate::random_batch(&mut random, 20)]).unwrap();
    }

    let queries: Vec<Scan> = (0..10).map(|_| generate::scan(&mut random)).collect();
    let snapshot = engine.snapshot();
    let statement = state(&snapshot, &queries, Pace::UNBROKEN);
    std::thread::scope(|threads| {
        for budget in [1, 10, 1_000] {
            let (snapshot, queries, statement) = (&snapshot, &queries, &statement);
            threads.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(&state(snapshot, queries, Pace { budget, stop_every: 0 }), statement);
                }
            });
        }
        for _ in 0..50 {
            engine.commit(NOW, &[generate::random_batch(&mut random, 20)]).unwrap();
            let _progress = maintenance.step(&mut engine, steady(NOW), 100).unwrap();
        }
    });
    assert_eq!(state(&snapshot, &queries, Pace::UNBROKEN), statement);
}
