//! Questions about many events against the naive model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod steps;

use argus_core::analysis::{AnalysisLimits, Excess, Question};
use argus_core::repository::Repository;
use argus_testing::{
    Difference, Model, NOW, Pace, Pair, Random, StoredEvent, all_events, analyze, check_merged, check_question,
    collect, generate,
};
use proptest::collection::vec;
use proptest::prelude::*;
use steps::{bytes, config, open, reopen, steps};

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn questions_are_answered_as_the_model_does_after_any_steps(
        seed: u128,
        steps in steps(16),
        questions in vec(bytes(120), 8),
        budget in 5..200_u32,
        calls in 1..20_u32,
    ) {
        let mut pair = Pair::new(open(seed), reopen);
        for (at, step) in steps.iter().enumerate() {
            pair.run(step)?;
            // Fresh, sealed and compacted, depending on the steps.
            if at % 8 == 7 || at + 1 == steps.len() {
                let snapshot = pair.subject().snapshot();
                let events = all_events(&snapshot).unwrap();
                for bytes in &questions {
                    let question = generate::question(&mut Random::bytes(bytes));
                    check_question(&snapshot, &events, &question, budget, calls)?;
                }
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
    model.commit(NOW, &[generate::random_batch(&mut Random::seeded(1), 200)]).unwrap();
    let snapshot = model.snapshot();
    let events = collect(&snapshot, &argus_core::query::Scan::default(), Pace::UNBROKEN).unwrap().events;
    let mut random = Random::seeded(2);
    let (mut long, mut reached, mut cohorts) = (0, 0, 0);
    for _ in 0..200 {
        let question = generate::question(&mut random);
        check_question(&snapshot, &events, &question, 1_000, 1)?;
        let answer = analyze(&snapshot, &question, AnalysisLimits::DEFAULT, 1_000, 1).unwrap().unwrap();
        long += usize::from(answer.len() > 300);
        reached += usize::from(matches!(question, Question::Funnel(_)) && !answer.contains("\"conversion\":null"));
        cohorts += usize::from(answer.contains("\"cohorts\":[{"));
    }
    assert!(long > 30 && reached > 3 && cohorts > 3, "{long} {reached} {cohorts}");
    Ok(())
}
