//! Questions about events that lie in columns, against the naive model.
//!
//! The events have few shapes, and each path has values that suit one encoding, so that whole blocks are answered from
//! their columns.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::task::Poll;

use argus_core::analysis::{AnalysisLimits, Excess, Fold, Question};
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{Progress, Repository as _};
use argus_core::storage::MemoryStorage;
use argus_testing::{Draft, NOW, Random, UNCOMPACTED, all_events, analyze, check_question, generate, maintain, steady};
use proptest::collection::vec;
use proptest::prelude::*;

/// Draws a value in JSON; nothing for no value.
type Values = fn(&mut Random<'_>) -> String;

/// Values for one path. Most sets have the values of one encoding alone; some have others in between.
const VALUES: [Values; 16] = [
    |random| random.below(100_000).to_string(),
    |_| i64::MIN.to_string(),
    |random| (i64::MIN + i64::try_from(random.below(1 << 62)).unwrap()).to_string(),
    |random| format!("{}", random.below(2_000) as i64 - 1_000),
    |random| format!("{}.{:02}", random.below(500), random.below(100)),
    |random| format!("-{}.{}", random.below(5), random.below(1_000_000_000_000)),
    |random| format!("\"{}\"", random.pick(&["DE", "FR", "US", "JP", "a\\\"b", "\\u0061", "500"])),
    |random| format!("\"u-{}\"", random.below(40)),
    |random| format!("\"/items/{}\"", random.below(1 << 40)),
    |random| format!("\"{:016x}\"", random.number()),
    |random| format!("\"{}\"", random.below(3)),
    |random| random.pick(&["1", "1.0", "1e0", "10e-1", "2", "\"1\"", "null", "true", "false"]).into(),
    |random| if random.one_in(4) { String::new() } else { random.below(50).to_string() },
    |random| if random.one_in(4) { String::new() } else { format!("{}.5", random.below(9)) },
    |random| random.pick(&["3", "[3]", "[3,4]", "[]", "{\"b\":3}", "{}", "[[3],{\"b\":1}]"]).into(),
    |random| {
        random.pick(&["9223372036854775807", "-9223372036854775808", "1e300", "0.1", "4611686018427387904"]).into()
    },
];

const LARGE_BLOCKS: Tuning = Tuning { block_bytes: 1 << 20, ..SMALL_BLOCKS };
/// Few segments of many blocks.
const SMALL_BLOCKS: Tuning = Tuning { block_bytes: 2_048, fan_in: 8, segment_events_max: 1_000, ..UNCOMPACTED };
/// Many segments of one block.
const SINGLE_BLOCKS: Tuning = Tuning { fan_in: 99, ..LARGE_BLOCKS };

/// Events in the order of time, with some late ones, all in sealed segments.
fn sealed(random: &mut Random<'_>, count: usize, tuning: Tuning) -> Engine<MemoryStorage> {
    let tuning = Tuning { seal_events: 64, ..tuning };
    let mut engine = Engine::open_with(MemoryStorage::default(), Seed(7), tuning).unwrap();
    let [a, b, c] = [(); 3].map(|()| random.pick(&VALUES));
    let drafts: Vec<Draft> = (0..count as u64)
        .map(|at| {
            let late = if random.one_in(20) { random.below(600) } else { 0 };
            let seconds = i64::try_from(600 + at - late.min(at)).unwrap();
            let members = [("a", a(random)), ("b", b(random)), ("ä", c(random))];
            let members: Vec<String> = members
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            Draft {
                event_type: generate::event_type(random),
                timestamp: Timestamp::from_nanos(NOW.as_nanos() + seconds * 1_000_000_000),
                payload: format!("{{{}}}", members.join(",")),
                id: None,
            }
        })
        .collect();
    for drafts in drafts.chunks(100) {
        engine.commit(NOW, &[generate::batch(drafts)]).unwrap();
    }
    maintain(&mut engine, steady(NOW)).unwrap();
    engine
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn columns_answer_as_the_model_does(
        seed: u64,
        count in 100..700_usize,
        questions in vec(vec(any::<u8>(), 120), 12),
        budget in 1..500_u32,
        calls in 1..20_u32,
    ) {
        let engine = sealed(&mut Random::seeded(seed), count, if seed % 2 == 0 { LARGE_BLOCKS } else { SMALL_BLOCKS });
        let snapshot = engine.snapshot();
        let events = all_events(&snapshot).unwrap();
        prop_assert_eq!(events.len(), count);
        for bytes in &questions {
            let question = generate::question(&mut Random::bytes(bytes));
            check_question(&snapshot, &events, &question, budget, calls)?;
        }
    }

    /// Funnels and retention go through spans of time, which are short if memory is.
    #[test]
    fn sequences_are_the_same_with_little_memory(
        seed: u64,
        count in 100..700_usize,
        questions in vec(vec(any::<u8>(), 120), 12),
        bytes_max in 1_000..200_000_usize,
        budget in 1..500_u32,
        calls in 1..20_u32,
    ) {
        let engine = sealed(&mut Random::seeded(seed), count, if seed % 2 == 0 { LARGE_BLOCKS } else { SMALL_BLOCKS });
        let snapshot = engine.snapshot();
        for bytes in &questions {
            let question = generate::question(&mut Random::bytes(bytes));
            if let Question::Aggregate(_) | Question::Types(_) | Question::Fields(_) = question {
                continue;
            }
            let whole = analyze(&snapshot, &question, AnalysisLimits::DEFAULT, budget, calls).unwrap().unwrap();
            let limits = AnalysisLimits { bytes_max, ..AnalysisLimits::DEFAULT };
            match analyze(&snapshot, &question, limits, budget, calls).unwrap() {
                Ok(answer) => prop_assert_eq!(answer, whole),
                Err(Excess::Memory { max, .. }) => prop_assert_eq!(max, bytes_max),
                Err(excess @ Excess::Groups { .. }) => prop_assert!(false, "{}", excess),
            }
        }
    }
}

#[test]
fn a_question_is_divided_and_put_together_again() {
    for tuning in [SMALL_BLOCKS, SINGLE_BLOCKS] {
        check_divided(tuning);
    }
}

fn check_divided(tuning: Tuning) {
    let engine = sealed(&mut Random::seeded(3), 3_000, tuning);
    let snapshot = engine.snapshot();
    let mut random = Random::seeded(4);
    let mut handed_out = 0;
    for _ in 0..60 {
        let question = generate::question(&mut random);
        let whole = analyze(&snapshot, &question, AnalysisLimits::DEFAULT, u32::MAX, 0).unwrap().unwrap();
        let fold = Fold::new(question.clone(), AnalysisLimits::DEFAULT, 1);
        let mut run = Arc::clone(&snapshot).analyze(Progress::new(fold, snapshot.last_seq())).unwrap();
        let mut step = Poll::Pending;
        while step.is_pending() {
            let mut parts = run.split(3);
            handed_out += parts.len();
            step = run.poll(40).unwrap();
            assert!(parts.is_empty() || step.is_pending());
            for part in &mut parts {
                let _ = part.poll(500).unwrap();
            }
            parts.into_iter().for_each(|part| run.join(part));
        }
        let mut answer = run.end().0.fold.finish().unwrap();
        let mut out = Vec::new();
        while !answer.write_json(&mut out, 1 << 20) {}
        assert_eq!(String::from_utf8(out).unwrap(), whole, "{question:?}");
    }
    assert!(handed_out > 100, "{handed_out}");
}
