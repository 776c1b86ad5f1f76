//! The simulation in small: what `cargo xtask simulate` does in large.

use std::hash::{BuildHasher, Hasher};

use argus_testing::{Canary, Faults, Options, Phase, Summary, simulate};

/// Runs seeds from a number on; fails with the arguments that repeat the run.
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
    // A simulation in which nothing happens proves nothing.
    let Summary { commits, refusals, flushes, closes, lost, tasks, refused_opens, kept_out, failures, .. } = summary;
    assert!(commits > 1_000 && refusals > 100 && tasks > 100 && refused_opens > 5 && failures > 100, "{summary}");
    assert!(flushes > 100 && closes > 50 && lost > 100 && kept_out > 100, "{summary}");
}

#[test]
fn promises_are_kept_for_seeds_that_nobody_has_chosen() {
    let base = std::collections::hash_map::RandomState::new().build_hasher().finish() >> 16;
    println!("seeds from {base} on");
    run(base, 200, Options::default());
}

#[test]
fn without_faults_nothing_fails() {
    let Summary { refusals, refused_opens, failures, .. } =
        run(0, 50, Options { faults: Faults::NONE, ..Options::default() });
    assert_eq!((refusals, refused_opens, failures), (0, 0, 0));
}

#[test]
fn the_power_may_fail_at_every_call() {
    let quiet = Options { faults: Faults::NONE, ..Options::default() };
    let mut struck = 0;
    let mut calls = 0;
    // Two runs of some hundred calls each: there are three times as many runs as calls.
    for seed in 2..4 {
        let of_this = run(seed, 1, quiet).calls;
        for (call, phase) in (0..of_this).flat_map(|call| Phase::ALL.map(|phase| (call, phase))) {
            struck += run(seed, 1, Options { crash_at: Some((call, phase)), ..quiet }).failures;
        }
        calls += of_this;
    }
    // Many calls of a run come when the faults have ended.
    assert!(struck * 2 > calls, "{struck} of three times {calls} calls");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..20 {
        assert_eq!(run(seed, 1, Options::default()), run(seed, 1, Options::default()), "seed {seed}");
    }
}

/// Whether some runs find a bug that was built in.
fn is_found(canary: Canary) -> bool {
    (0..10_000).any(|seed| simulate(seed, Options { canary: Some(canary), ..Options::default() }).is_err())
}

#[test]
fn a_commit_that_is_acknowledged_before_the_sync_is_found() {
    assert!(is_found(Canary::AcknowledgeBeforeSync));
}

#[test]
fn a_name_that_was_not_made_durable_is_found() {
    assert!(is_found(Canary::NoDirectorySync));
}

#[test]
fn a_failed_sync_that_is_tried_again_is_found() {
    assert!(is_found(Canary::RetryFailedSync));
}

#[test]
fn a_log_that_is_cut_where_it_is_damaged_is_found() {
    assert!(is_found(Canary::CutAtDamage));
}

#[test]
fn a_lock_file_that_is_removed_is_found() {
    assert!(is_found(Canary::UnlinkedLock));
}

#[test]
fn a_log_that_is_written_without_a_name_is_found() {
    assert!(is_found(Canary::UnlinkedLog));
}

#[test]
fn a_segment_that_lacks_what_it_was_made_of_is_found() {
    assert!(is_found(Canary::LossyRewrite));
}

#[test]
fn an_engine_that_does_not_check_payloads_is_found() {
    assert!(is_found(Canary::UncheckedRecord));
}

#[test]
fn an_engine_that_trusts_its_segments_is_found() {
    assert!(is_found(Canary::UncheckedSegment));
}

#[test]
fn an_engine_that_forgets_ids_is_found() {
    assert!(is_found(Canary::ForgottenIds));
}

#[test]
fn an_engine_that_does_not_miss_the_end_of_its_log_is_found() {
    assert!(is_found(Canary::IgnoredEnd));
}

#[test]
fn an_engine_that_believes_every_clock_is_found() {
    assert!(is_found(Canary::CredulousClock));
}

#[test]
fn an_engine_that_does_not_tell_what_expires_is_found() {
    assert!(is_found(Canary::SilentExpiry));
}

#[test]
fn an_engine_that_seals_what_is_not_durable_is_found() {
    assert!(is_found(Canary::HastySeal));
}
