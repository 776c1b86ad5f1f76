//! The repository against the naive model: both give the same answers after any steps.

use argus_core::query::Scan;
use argus_core::repository::Repository as _;
use argus_postgres::PostgresRepository;
use argus_testing::{Difference, Model, Pair, Random, Step, generate};

use super::database::{Database, options};

fn reopen(repository: &mut PostgresRepository) {
    let address = repository.address().clone();
    *repository = PostgresRepository::open(address, options()).unwrap();
}

/// Whether the answer to a question is asked for later, when events may have been erased. A snapshot does not keep
/// them.
fn outlives_erasures(step: &Step) -> bool {
    match step {
        Step::Keep => true,
        Step::Begin { dropped, .. } => !dropped,
        Step::Commit { .. }
        | Step::Maintain { .. }
        | Step::Erase { .. }
        | Step::Import { .. }
        | Step::Wait { .. }
        | Step::Reopen
        | Step::Ask { .. }
        | Step::Walk { .. } => false,
    }
}

fn run(seed: u64, database: &Database, is_wanted: fn(&Step) -> bool) -> Result<(), Difference> {
    let repository = database.open();
    assert_eq!(repository.failure(), None);
    let mut random = Random::seeded(seed);
    let mut pair = Pair::with_model(repository, Model::with_types(options().types_max), reopen);
    for _ in 0..30 {
        let step = Step::draw(&mut random);
        if is_wanted(&step) {
            pair.run(&step)?;
        }
    }
    let queries: Vec<Scan> = (0..5).map(|_| generate::scan(&mut random)).collect();
    pair.check(&queries)
}

#[test]
fn answers_are_those_of_the_model() {
    for seed in 0..12 {
        let Some(database) = Database::new() else { return };
        let is_wanted = |step: &Step| !matches!(step, Step::Erase { .. });
        assert_eq!(run(seed, &database, is_wanted), Ok(()), "seed {seed}");
    }
}

#[test]
fn answers_are_those_of_the_model_while_events_are_erased() {
    for seed in 100..112 {
        let Some(database) = Database::new() else { return };
        assert_eq!(run(seed, &database, |step| !outlives_erasures(step)), Ok(()), "seed {seed}");
    }
}
