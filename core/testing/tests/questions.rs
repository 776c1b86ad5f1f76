//! Questions about many events against the naive model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod steps;

use argus_core::analysis::{AnalysisLimits, Excess, Question};
use argus_core::repository::{MaintenanceQueue, Repository};
use argus_testing::{
    Difference, Model, NOW, Pace, Random, StoredEvent, all_events, analyze, check_merged, check_question, collect,
    generate, steady,
};
use proptest::collection::vec;
use proptest::prelude::*;
use steps::{bytes, config, open, reopen};

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn questions_are_answered_as_the_model_does_fresh_sealed_and_compacted(
        seed: u64,
        questions in vec(bytes(120), 12),
        budget in 1..100_u32,
        calls in 0..20_u32,
    ) {
        let mut random = Random::seeded(seed);
        let (mut engine, mut maintenance) = (open(seed.into()), MaintenanceQueue::default());
        for _ in 0..4 {
            for _ in 0..random.below(4) {
                let count = 1 + random.index(40);
                engine.commit(NOW, &[generate::random_batch(&mut random, count)]).unwrap();
                let _progress = maintenance.step(&mut engine, steady(NOW), random.pick(&[0, 5, 50, 500])).unwrap();
            }
            if random.one_in(3) {
                reopen(&mut engine);
                maintenance = MaintenanceQueue::default();
            }
            let snapshot = engine.snapshot();
            let events = all_events(&snapshot).unwrap();
            for bytes in &questions {
                let question = generate::question(&mut Random::bytes(bytes));
                check_question(&snapshot, &events, &question, budget, calls)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn merged_folds_answer_like_one(seed: u64, questions in vec(bytes(120), 8), parts: u64) {
        let events = model_events(seed, 60);
        for bytes in questions {
            let question = generate::question(&mut Random::bytes(&bytes));
            if let Question::Aggregate(_) | Question::Types(_) = question {
                check_merged(&events, &question, |event| parts >> (event.seq % 64) & 1 == 0)?;
            }
        }
    }

    #[test]
    fn a_limit_gives_the_answer_or_an_error(
        seed: u64,
        question in bytes(120),
        groups_max in 1..40_usize,
        bytes_max in 1..20_000_usize,
    ) {
        let mut model = Model::new();
        model.commit(NOW, &[generate::random_batch(&mut Random::seeded(seed), 200)]).unwrap();
        let question = generate::question(&mut Random::bytes(&question));
        let whole = analyze(&model.snapshot(), &question, AnalysisLimits::DEFAULT, 100, 100).unwrap().unwrap();
        match analyze(&model.snapshot(), &question, AnalysisLimits { groups_max, bytes_max }, 100, 100).unwrap() {
            Ok(answer) => prop_assert_eq!(answer, whole),
            Err(Excess::Groups { max, .. }) => prop_assert_eq!(max, groups_max),
            Err(Excess::Memory { max, .. }) => prop_assert_eq!(max, bytes_max),
        }
    }
}

fn model_events(seed: u64, count: usize) -> Vec<StoredEvent> {
    let mut model = Model::new();
    model.commit(NOW, &[generate::random_batch(&mut Random::seeded(seed), count)]).unwrap();
    model.events().to_vec()
}

/// Generated questions are worth nothing if their answers are empty.
#[test]
fn generated_questions_have_answers() -> Result<(), Difference> {
    let mut model = Model::new();
    model.commit(NOW, &[generate::random_batch(&mut Random::seeded(1), 400)]).unwrap();
    let snapshot = model.snapshot();
    let events = collect(&snapshot, &argus_core::query::Scan::default(), Pace::UNBROKEN).unwrap().events;
    let mut random = Random::seeded(2);
    let (mut long, mut reached, mut cohorts) = (0, 0, 0);
    for _ in 0..300 {
        let question = generate::question(&mut random);
        check_question(&snapshot, &events, &question, 1_000, 1)?;
        let answer = analyze(&snapshot, &question, AnalysisLimits::DEFAULT, 1_000, 1).unwrap().unwrap();
        long += usize::from(answer.len() > 300);
        reached += usize::from(matches!(question, Question::Funnel(_)) && !answer.contains("\"conversion\":null"));
        cohorts += usize::from(answer.contains("\"cohorts\":[{"));
    }
    assert!(long > 50 && reached > 10 && cohorts > 10, "{long} {reached} {cohorts}");
    Ok(())
}
