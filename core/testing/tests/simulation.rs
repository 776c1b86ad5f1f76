//! A small simulation; `cargo xtask simulate` runs large ones.

use std::hash::{BuildHasher, Hasher};

use argus_testing::{Canary, Faults, Options, Phase, Summary, simulate};

/// Runs seeds from `base` on; fails with the arguments that repeat the run.
fn run(base: u64, seeds: u64, options: Options) -> Summary {
    let mut summary = Summary::default();
    for seed in base..base + seeds {
        summary += simulate(seed, options).unwrap_or_else(|failure| {
            panic!("{failure}\n{}\ncargo xtask simulate {}", failure.trace.join("\n"), failure.arguments())
        });
    }
    summary
}

#[test]
fn promises_are_kept() {
    let summary = run(0, 250, Options::default());
    // A simulation without events proves nothing.
    let Summary {
        commits, refusals, erasures, flushes, closes, lost, tasks, refused_opens, kept_out, failures, ..
    } = summary;
    assert!(erasures > 200, "{summary}");
    assert!(commits > 1_000 && refusals > 100 && tasks > 100 && refused_opens > 5 && failures > 100, "{summary}");
    assert!(flushes > 100 && closes > 50 && lost > 100 && kept_out > 100, "{summary}");
}

#[test]
fn promises_are_kept_for_random_seeds() {
    let base = std::collections::hash_map::RandomState::new().build_hasher().finish() >> 16;
    println!("seeds from {base}");
    run(base, 200, Options::default());
}

#[test]
fn without_faults_nothing_fails() {
    let Summary { refusals, refused_opens, failures, .. } =
        run(0, 50, Options { faults: Faults::NONE, ..Options::default() });
    assert_eq!((refusals, refused_opens, failures), (0, 0, 0));
}

/// Repeats two runs of some hundred calls of the medium. Each time, the power fails at another call.
fn fail_power_at_every_call(phase: Phase) {
    let quiet = Options { faults: Faults::NONE, ..Options::default() };
    let (mut runs, mut failures) = (0, 0);
    for seed in 2..4 {
        let calls = run(seed, 1, quiet).calls;
        for call in 0..calls {
            failures += run(seed, 1, Options { crash_at: Some((call, phase)), ..quiet }).failures;
        }
        runs += calls;
    }
    // Many calls of a run come after the faults have ended.
    assert!(failures * 4 > runs, "{failures} failures in {runs} runs");
}

#[test]
fn promises_survive_a_power_failure_before_every_call() {
    fail_power_at_every_call(Phase::Before);
}

#[test]
fn promises_survive_a_power_failure_during_every_call() {
    fail_power_at_every_call(Phase::During);
}

#[test]
fn promises_survive_a_power_failure_after_every_call() {
    fail_power_at_every_call(Phase::After);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed, 1, Options::default()), run(seed, 1, Options::default()), "seed {seed}");
    }
}

/// Whether some runs find a deliberate bug.
fn is_found(canary: Canary) -> bool {
    (0..10_000).any(|seed| simulate(seed, Options { canary: Some(canary), ..Options::default() }).is_err())
}

#[test]
fn acknowledging_before_the_sync_is_found() {
    assert!(is_found(Canary::AcknowledgeBeforeSync));
}

#[test]
fn a_missing_directory_sync_is_found() {
    assert!(is_found(Canary::NoDirectorySync));
}

#[test]
fn repeating_a_failed_sync_is_found() {
    assert!(is_found(Canary::RetryFailedSync));
}

#[test]
fn cutting_the_log_at_damage_is_found() {
    assert!(is_found(Canary::CutAtDamage));
}

#[test]
fn removing_the_lock_file_is_found() {
    assert!(is_found(Canary::UnlinkedLock));
}

#[test]
fn writing_to_an_unlinked_log_is_found() {
    assert!(is_found(Canary::UnlinkedLog));
}

#[test]
fn a_rewrite_that_loses_events_is_found() {
    assert!(is_found(Canary::LossyRewrite));
}

#[test]
fn unchecked_log_records_are_found() {
    assert!(is_found(Canary::UncheckedRecord));
}

#[test]
fn unchecked_segments_are_found() {
    assert!(is_found(Canary::UncheckedSegment));
}

#[test]
fn forgotten_ids_are_found() {
    assert!(is_found(Canary::ForgottenIds));
}

#[test]
fn ignoring_the_recorded_end_of_the_log_is_found() {
    assert!(is_found(Canary::IgnoredEnd));
}

#[test]
fn believing_every_clock_is_found() {
    assert!(is_found(Canary::CredulousClock));
}

#[test]
fn ignoring_erasures_is_found() {
    assert!(is_found(Canary::IgnoredErasure));
}

#[test]
fn erased_bytes_that_stay_in_the_log_are_found() {
    assert!(is_found(Canary::Unscrubbed));
}

#[test]
fn silent_expiry_is_found() {
    assert!(is_found(Canary::SilentExpiry));
}

#[test]
fn sealing_before_the_log_is_durable_is_found() {
    assert!(is_found(Canary::HastySeal));
}
