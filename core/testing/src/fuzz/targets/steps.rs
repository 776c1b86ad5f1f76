//! Sequences of calls to the engine, against the naive model.

use super::super::super::{Model, Pair, Random, SMALL, Step, generate};
use super::super::Target;
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::storage::MemoryStorage;

pub(super) const TARGET: Target = Target {
    name: "steps",
    about: "after any commits, maintenance, restarts and queries, the engine answers as the naive model does",
    run: steps,
    seeds,
    words: &["\u{6}", "\u{7}", "\u{d}\0"],
    smoke_runs: 60,
};

/// A step is drawn from this many bytes, so that a change to one leaves the others alone.
const STEP_BYTES: usize = 160;

/// The most steps of one input.
const STEPS_MAX: usize = 40;

const FEW_TYPES: Tuning = Tuning { types_max: 30, ..SMALL };

/// # Panics
///
/// If an answer of the engine differs from the model's.
fn steps(data: &[u8]) {
    // The types of erased events count until the events are removed. So there is a limit of types, or there are
    // erasures.
    let is_limited = data.first().is_some_and(|byte| byte % 2 == 0);
    let (tuning, reopen): (_, fn(&mut _)) = if is_limited {
        (FEW_TYPES, |engine| reopen(engine, FEW_TYPES))
    } else {
        (SMALL, |engine| reopen(engine, SMALL))
    };
    let engine = Engine::open_with(MemoryStorage::default(), Seed(1), tuning).expect("an empty medium can be opened");
    let mut pair = Pair::with_model(engine, Model::with_types(tuning.types_max), reopen);
    for bytes in data.chunks(STEP_BYTES).take(STEPS_MAX) {
        let step = Step::draw(&mut Random::bytes(bytes));
        if is_limited && matches!(step, Step::Erase { .. }) {
            continue;
        }
        if let Err(difference) = pair.run(&step) {
            panic!("{difference}\nafter {step:?}");
        }
    }
    let last = generate::scan(&mut Random::bytes(data));
    if let Err(difference) = pair.check(&[last]) {
        panic!("{difference}");
    }
}

fn reopen(engine: &mut Engine<MemoryStorage>, tuning: Tuning) {
    let medium = engine.storage().clone();
    *engine = Engine::open_with(medium, Seed(2), tuning).expect("what an engine has written can be opened");
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |seed: u64| -> Vec<u8> {
        let mut random = Random::seeded(seed);
        (0..STEP_BYTES * 12).map(|_| u8::try_from(random.below(256)).expect("below 256")).collect()
    };
    (0..8).map(seed).collect()
}
