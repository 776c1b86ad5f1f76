//! A short run of every target, and the table of targets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

use super::*;

/// Runs all seeds of a target, and then changed ones.
fn smoke(target: &Target) {
    let seeds = (target.seeds)();
    let mut mutator = Mutator::new(seeds.clone(), target.words, 1);
    let changed = (0..target.smoke_runs).map(|_| mutator.next_input());
    for input in seeds.into_iter().chain(changed) {
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
        assert!(outcome.is_ok(), "target {} fails for the input b\"{}\"", target.name, input.escape_ascii());
    }
}

#[test]
fn every_target_holds_for_its_seeds_and_for_changes_of_them() {
    thread::scope(|scope| {
        for target in TARGETS {
            thread::Builder::new().name(target.name.into()).spawn_scoped(scope, || smoke(target)).unwrap();
        }
    });
}

#[test]
fn every_file_of_targets_is_in_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/fuzz/targets");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let listed: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(listed.len(), TARGETS.len(), "two targets have the same name");
    assert_eq!(names, listed.into_iter().chain(["mod".to_owned()]).collect());
}

#[test]
fn seeds_are_small_and_the_same_in_every_run() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        assert!(seeds.iter().all(|seed| seed.len() <= 4096), "{} has a large seed", target.name);
        assert_eq!(seeds, (target.seeds)(), "{}", target.name);
    }
}
