//! `cargo xtask fuzz`: fuzz targets, with libFuzzer where it can be built.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::SystemTime,
};

use anyhow::{Context, Result};

use crate::{
    steps,
    workspace::{cargo, root},
};

/// The crate with the program of libFuzzer, which is a workspace of its own.
const CRATE: &str = "core/fuzz";

/// Where that program is built, apart from other programs, since its flags differ.
const BUILD: &str = "target/fuzz/build";

/// Options with which libFuzzer is not needed.
const WITHOUT_LIBFUZZER: [&str; 5] = ["-h", "--help", "--list", "--input", "--plain"];

/// Options of the fuzzer with a value.
const WITH_VALUE: [&str; 3] = ["--seconds", "--processes", "--input"];

/// The target that is not in `argus-testing`, since it is about the host, and the test of the host that runs it.
const OF_HOST: &str = "frames";
const HUNT_OF_HOST: &str = "websocket::fuzz::hunt";

/// The seconds of a hunt, if none are given, and the number of targets that share them.
const SECONDS: u64 = 60;
const TARGETS: u64 = 17;

/// Runs the targets of `argus-testing` and that of the host, or those that are named. Returns whether all held.
pub(crate) fn run(arguments: &[OsString]) -> Result<bool> {
    let asked = Asked::new(arguments);
    let others = if asked.others { run_others(&asked.arguments)? } else { true };
    if asked.is_list {
        println!("{OF_HOST:<10}the frames of a WebSocket mean the same in any pieces, and take little memory");
    }
    let of_host = if let Some(seconds) = asked.of_host { run_of_host(seconds)? } else { true };
    Ok(others && of_host)
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// The arguments without the target of the host.
    arguments: Vec<OsString>,
    /// Whether to start the fuzzer for the other targets.
    others: bool,
    /// The seconds for the target of the host, if it is to run.
    of_host: Option<u64>,
    is_list: bool,
}

impl Asked {
    fn new(arguments: &[OsString]) -> Self {
        let (mut names, mut seconds, mut is_hunt) = (Vec::new(), SECONDS, true);
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if WITH_VALUE.iter().any(|option| word == option) {
                let value = words.next().and_then(|value| value.to_str()?.parse().ok());
                match word.to_str() {
                    Some("--seconds") => seconds = value.unwrap_or(seconds),
                    Some("--input") => is_hunt = false,
                    Some(_) | None => {}
                }
            } else if word.to_string_lossy().starts_with('-') {
                is_hunt &= word == "--plain";
            } else {
                names.push(word);
            }
        }
        let is_named = names.iter().any(|name| *name == OF_HOST);
        let is_alone = is_named && names.len() == 1;
        let share = if is_alone { seconds } else { (seconds / TARGETS).max(1) };
        Self {
            arguments: arguments.iter().filter(|word| !is_hunt || *word != OF_HOST).cloned().collect(),
            others: !(is_alone && is_hunt),
            of_host: (is_hunt && (is_named || names.is_empty())).then_some(share),
            is_list: arguments.iter().any(|word| word == "--list"),
        }
    }
}

/// Runs the target of the host for this time.
fn run_of_host(seconds: u64) -> Result<bool> {
    let mut hunt = cargo(["test", "--quiet", "--profile", "checked", "--package", "argus-host", "--lib", "--"]);
    hunt.args(["--exact", "--ignored", "--nocapture", HUNT_OF_HOST]).env("ARGUS_FUZZ_SECONDS", seconds.to_string());
    Ok(hunt.status().context("cannot start cargo")?.success())
}

/// Builds and runs the fuzzer, a program of `argus-testing`. Returns whether its targets held.
fn run_others(arguments: &[OsString]) -> Result<bool> {
    let mut fuzzer =
        cargo(["run", "--quiet", "--profile", "checked", "--package", "argus-testing", "--bin", "fuzz", "--"]);
    fuzzer.args(arguments);
    if !arguments.iter().any(|argument| WITHOUT_LIBFUZZER.iter().any(|option| argument == option)) {
        match libfuzzer() {
            Ok(Some(program)) => drop(fuzzer.arg("--libfuzzer").arg(program)),
            Ok(None) => {
                eprintln!(
                    "cargo-fuzz is not installed (`cargo install cargo-fuzz --locked`): inputs are changed blindly"
                );
            }
            Err(error) => eprintln!("without libFuzzer, inputs are changed blindly: {error:#}"),
        }
    }
    let status = fuzzer.status().context("cannot start cargo")?;
    Ok(status.success())
}

/// Builds the program of libFuzzer; `None` without cargo-fuzz.
fn libfuzzer() -> Result<Option<PathBuf>> {
    let mut version = cargo(["fuzz", "--version"]);
    if !version.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    copy_lock()?;
    // The address sanitizer needs a nightly compiler and takes half of the speed, to find what safe Rust does not do.
    let build = ["fuzz", "build", "--fuzz-dir", CRATE, "--sanitizer", "none", "--target-dir", BUILD, "target"];
    steps::run(&mut cargo(build))?;
    Ok(Some(root().join(BUILD).join(host()?).join("release/target")))
}

/// Pins the dependencies to the versions of the workspace. Cargo adds those of libFuzzer.
fn copy_lock() -> Result<()> {
    let (from, to) = (root().join("Cargo.lock"), root().join(CRATE).join("Cargo.lock"));
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    if changed(&to) < changed(&from) {
        fs::copy(&from, &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

/// The platform of the compiler, for which cargo-fuzz builds.
fn host() -> Result<String> {
    let output = cargo(["--version", "--verbose"]).output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("cargo does not tell its platform")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_of_the_host_runs_with_all_and_when_it_is_named() {
        let asked = |line: &str| {
            let asked = Asked::new(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>());
            let arguments: Vec<String> = asked.arguments.iter().map(|word| word.to_string_lossy().into()).collect();
            (arguments.join(" "), asked.others, asked.of_host)
        };
        for (line, rest, others, of_host) in [
            ("", "", true, Some(3)),
            ("--seconds 600 --plain", "--seconds 600 --plain", true, Some(35)),
            ("frames", "", false, Some(60)),
            ("frames --seconds 5", "--seconds 5", false, Some(5)),
            ("time frames", "time", true, Some(3)),
            ("time --seconds 5", "time --seconds 5", true, None),
            ("--list", "--list", true, None),
            ("--help", "--help", true, None),
            ("time --input frames", "time --input frames", true, None),
        ] {
            assert_eq!(asked(line), (rest.to_owned(), others, of_host), "{line}");
        }
    }

    #[test]
    fn the_number_of_targets_is_right() {
        let table =
            fs::read_to_string(root().join("core/testing/src/fuzz/targets/mod.rs")).expect("the table is there");
        assert_eq!(table.matches("::TARGET,").count() + 1, usize::try_from(TARGETS).expect("a small number"));
    }

    #[test]
    fn the_target_of_the_host_is_there() {
        let source = fs::read_to_string(root().join("host/src/websocket/fuzz.rs")).expect("the target is there");
        assert!(source.contains("fn hunt()") && source.contains(&format!("name: \"{OF_HOST}\"")));
    }
}
