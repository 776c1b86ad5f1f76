//! Runs every case on every subject as one test each, and compares all subjects with each other.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argus_conformance::case::Case;
use argus_conformance::context::{Context, Server};
use argus_conformance::differential::Party;
use argus_conformance::failure::Failure;
use argus_conformance::launcher::remove_left_over_folders;
use argus_conformance::subjects::{SUBJECTS, Subject};
use argus_conformance::{binaries, cases, client, differential, needs, odd_requests, subjects};
use libtest_mimic::{Arguments, Failed, Trial};

/// The number of random requests in the comparison of subjects.
const DRAWN_REQUESTS: usize = 400;
/// The environment variable with the seed of these requests, to repeat a run.
const SEED_VARIABLE: &str = "ARGUS_CONFORMANCE_SEED";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match prepare(&arguments) {
        Ok(folder) => libtest_mimic::run(&arguments, trials(&folder)).exit_code(),
        Err(message) => {
            eprintln!("argus-conformance: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Finds the programs under test and builds them before the first test.
///
/// cargo-nextest runs each test in a process of its own, which must not build. It lists the tests once before, so that
/// is when the programs are built.
fn prepare(arguments: &Arguments) -> Result<PathBuf, String> {
    let folder = binaries::folder()?;
    let under_nextest = std::env::var_os("NEXTEST").is_some();
    if under_nextest == arguments.list {
        // cargo-nextest asks for all tests and for the ignored ones at once, and both need to know what is there.
        needs::install_packages();
        remove_left_over_folders();
        if !arguments.ignored {
            binaries::build(&folder)?;
        }
    }
    Ok(folder)
}

fn trials(folder: &Path) -> Vec<Trial> {
    let missing: Vec<_> = cases::all().map(|case| (case, needs::missing(case))).collect();
    for (case, what) in &missing {
        if let Some(what) = what {
            eprintln!("argus-conformance: SKIPPING {}: {what}", case.path());
        }
    }
    let mut trials = Vec::new();
    for subject in subjects::tested() {
        for (case, missing) in &missing {
            let (case, folder) = (*case, folder.to_owned());
            let name = format!("{}::{}", subject.path(), case.path());
            let trial = Trial::test(name, move || run(subject, case, &folder));
            let is_ignored = missing.is_some() || needs::unsuited(subject, case).is_some();
            trials.push(trial.with_ignored_flag(is_ignored));
        }
    }
    let fixed = folder.to_owned();
    trials.push(Trial::test("differential::fixed", move || compare(&fixed, &[], &odd_requests::fixed())));
    let guarded = folder.to_owned();
    trials.push(Trial::test("differential::guarded", move || compare_guarded(&guarded)));
    let drawn = folder.to_owned();
    trials.push(Trial::test("differential::drawn", move || {
        let seed = seed();
        compare(&drawn, &[], &odd_requests::drawn(seed, DRAWN_REQUESTS))
            .map_err(|failed| Failed::from(format!("{SEED_VARIABLE}={seed}: {}", failed.message().unwrap_or_default())))
    }));
    trials
}

fn run(subject: &Subject, case: &Case, folder: &Path) -> Result<(), Failed> {
    client::wait_longer(subject.repository.patience_factor());
    let launcher = binaries::launcher(subject, folder)?;
    Ok(case.check(&launcher)?)
}

/// Compares servers with keys.
fn compare_guarded(folder: &Path) -> Result<(), Failed> {
    let subject = SUBJECTS.first().ok_or("a subject")?;
    let launcher = binaries::launcher(subject, folder)?;
    let arguments = ["key", "new", "--name", "reader", "--scope", "read", "--scope", "stream"];
    let made = Context::new(&launcher).run_to_exit(&arguments)?;
    let key = made.stderr.split_whitespace().find(|word| word.starts_with("argus_")).ok_or("a key")?;
    let folder_of_keys = tempfile::tempdir()?;
    let keys = folder_of_keys.path().join("keys.toml");
    std::fs::write(&keys, &made.stdout)?;
    let settings = [("--keys", &*keys.to_string_lossy()), ("--cors-origin", odd_requests::ORIGIN)];
    compare(folder, &settings, &odd_requests::guarded(key))
}

fn compare(folder: &Path, settings: &[(&str, &str)], requests: &[Vec<u8>]) -> Result<(), Failed> {
    let mut launchers = Vec::new();
    for subject in subjects::compared() {
        match binaries::launcher(subject, folder) {
            Ok(launcher) => launchers.push((subject, launcher)),
            Err(Failure::Skipped(reason)) if !subject.repository.is_usual() => {
                eprintln!("argus-conformance: SKIPPING {} in the comparison: {reason}", subject.path());
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    let contexts: Vec<Context<'_>> = launchers.iter().map(|(_, launcher)| Context::new(launcher)).collect();
    let servers = contexts.iter().map(|context| context.start(settings)).collect::<Result<Vec<Server>, Failure>>()?;
    let names: Vec<String> = launchers.iter().map(|(subject, _)| subject.path()).collect();
    let parties: Vec<Party<'_>> = launchers
        .iter()
        .zip(&names)
        .zip(&servers)
        .map(|(((subject, _), name), server)| Party { name, wire: subject.wire, server })
        .collect();
    Ok(differential::compare(&parties, requests)?)
}

fn seed() -> u64 {
    let given = std::env::var(SEED_VARIABLE).ok().and_then(|text| text.parse().ok());
    // The standard library's only public source of randomness.
    given.unwrap_or_else(|| RandomState::new().build_hasher().finish())
}
