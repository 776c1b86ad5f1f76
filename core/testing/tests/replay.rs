//! The same inputs give the same bytes: the core uses no clock, randomness or threads of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod steps;

use argus_core::engine::{Engine, Seed};
use argus_core::query::Scan;
use argus_core::repository::Repository;
use argus_core::storage::MemoryStorage;
use argus_testing::{Answer, Contents, NOW, Pace, Pair, Random, all_events, collect, generate};
use proptest::prelude::*;
use steps::{bytes, config, open, reopen, steps};

/// An engine's answers: all events with their ids, and the query.
fn answers(engine: &Engine<MemoryStorage>, query: &Scan) -> [Answer; 2] {
    let snapshot = engine.snapshot();
    [&Scan::default(), query].map(|query| collect(&snapshot, query, Pace { budget: 5, stop_every: 0 }).unwrap())
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn the_same_steps_give_the_same_bytes_and_the_same_answers(
        seed: u128,
        steps in steps(16),
        query in bytes(80).prop_map(|bytes| generate::scan(&mut Random::bytes(&bytes))),
    ) {
        let (mut one, mut other) = (Pair::new(open(seed), reopen), Pair::new(open(seed), reopen));
        for step in &steps {
            for pair in [&mut one, &mut other] {
                pair.run(step)?;
            }
            let (one, other) = (one.subject(), other.subject());
            prop_assert_eq!(Contents::read(one.storage()).unwrap(), Contents::read(other.storage()).unwrap());
            prop_assert_eq!(one.snapshot().stats().unwrap(), other.snapshot().stats().unwrap());
            prop_assert_eq!(answers(one, &query), answers(other, &query));
        }
    }

    #[test]
    fn repeated_opening_gives_the_same_bytes_and_answers(seed: u128, steps in steps(16)) {
        let mut pair = Pair::new(open(seed), reopen);
        for step in &steps {
            pair.run(step)?;
        }
        let before = answers(pair.subject(), &Scan::default());
        let once = Engine::open(pair.subject().storage().clone(), Seed(1)).unwrap();
        let contents = Contents::read(once.storage()).unwrap();
        prop_assert_eq!(&answers(&once, &Scan::default()), &before);
        let twice = Engine::open(once.storage().clone(), Seed(2)).unwrap();
        prop_assert_eq!(&Contents::read(twice.storage()).unwrap(), &contents);
        prop_assert_eq!(&answers(&twice, &Scan::default()), &before);
    }
}

#[test]
fn another_seed_changes_only_the_ids() {
    let mut random = Random::seeded(3);
    let batch = generate::random_batch(&mut random, 50);
    let stored = |seed| {
        let mut engine = open(seed);
        engine.commit(NOW, std::slice::from_ref(&batch)).unwrap();
        all_events(&engine.snapshot()).unwrap()
    };
    let (one, other) = (stored(1), stored(2));
    assert_ne!(one, other);
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!((one.seq, one.timestamp, &one.payload), (other.seq, other.timestamp, &other.payload));
    }
}
