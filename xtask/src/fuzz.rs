//! `cargo xtask fuzz`: fuzz targets, with libFuzzer where it can be built.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{self, Path, PathBuf},
    process::Stdio,
    time::SystemTime,
};

use anyhow::{Context, Result, ensure};

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

/// The target that is not in `argus-testing`, since it is about the host, and the test of the host that runs it.
const OF_HOST: &str = "frames";
const HUNT_OF_HOST: &str = "websocket::fuzz::hunt";

/// The seconds of a hunt of all its targets together, if none are given.
const SECONDS: u64 = 60;

/// The number of all targets.
const TARGETS: u64 = 18;

/// What the list of the fuzzer does not know.
const LISTED: &str = "frames    the frames of a WebSocket mean the same in any pieces, and take little memory";

/// Runs the targets of `argus-testing` and that of the host, or those that are named. Returns whether all held.
///
/// # Errors
///
/// An option has no value, or a wrong one; or a program cannot be started.
pub(crate) fn run(arguments: &[OsString]) -> Result<bool> {
    let asked = Asked::new(arguments)?;
    let others = asked.others.map_or(Ok(true), |arguments| run_others(&arguments))?;
    asked.printed.iter().for_each(|text| println!("{text}"));
    let of_host = asked.of_host.map_or(Ok(true), |work| run_of_host(&work))?;
    Ok(others && of_host)
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// The arguments of the fuzzer of `argus-testing`, if that is to start. They do not name the target of the host.
    others: Option<Vec<OsString>>,
    /// What is printed after it.
    printed: Option<&'static str>,
    /// What the target of the host is to do.
    of_host: Option<OfHost>,
}

/// The work of the target of the host.
#[derive(Debug, PartialEq, Eq)]
enum OfHost {
    /// It looks for an input that fails, for so many seconds.
    Hunt(u64),
    /// It runs the input in this file.
    Repeat(OsString),
}

impl Asked {
    fn new(arguments: &[OsString]) -> Result<Self> {
        let (mut names, mut options, mut seconds, mut input, mut printed) =
            (Vec::new(), Vec::new(), SECONDS, None, None);
        let mut is_hunt = true;
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{} needs a value", word.display()));
            match word.to_str() {
                Some("--seconds") => seconds = number("--seconds", value()?)?,
                Some("--processes") => {
                    let processes = number("--processes", value()?)?;
                    options.extend([word.clone(), processes.to_string().into()]);
                }
                Some("--input") => input = Some(value()?.clone()),
                Some(option) if option.starts_with('-') => {
                    if option == "--list" {
                        printed = Some(LISTED);
                    }
                    is_hunt &= option == "--plain";
                    options.push(word.clone());
                }
                Some(_) | None => names.push(word.clone()),
            }
        }
        let all = names.len();
        names.retain(|name| name != OF_HOST);
        let (is_named, has_others) = (names.len() < all, !names.is_empty());
        if !is_hunt {
            return Ok(Self { others: Some([options, names].concat()), printed, of_host: None });
        }
        if let Some(input) = input {
            ensure!(!(is_named && has_others), "--input needs exactly one target");
            let of_host = is_named.then(|| OfHost::Repeat(input.clone()));
            let others = (!is_named).then(|| [options, vec!["--input".into(), input], names].concat());
            return Ok(Self { others, printed: None, of_host });
        }
        let targets = if has_others { names.len() as u64 + u64::from(is_named) } else { TARGETS };
        let share = match (is_named, has_others) {
            (true, false) => Some(seconds),
            (true, true) | (false, false) => Some((seconds / targets).max(1)),
            (false, true) => None,
        };
        let others = (has_others || !is_named).then(|| {
            // The fuzzer divides this among its targets, and has to have some of it.
            let rest = (seconds - share.unwrap_or(0)).max(1);
            [vec!["--seconds".into(), rest.to_string().into()], options, names].concat()
        });
        Ok(Self { others, printed: None, of_host: share.map(OfHost::Hunt) })
    }
}

/// The value of an option: at least 1.
fn number(option: &str, value: &OsStr) -> Result<u64> {
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|&number| number > 0);
    number.with_context(|| format!("{option} needs a number from 1 on, not {}", value.display()))
}

/// Runs the target of the host.
fn run_of_host(work: &OfHost) -> Result<bool> {
    let mut hunt = cargo(["test", "--quiet", "--profile", "checked", "--package", "argus-host", "--lib", "--"]);
    hunt.args(["--exact", "--ignored", "--nocapture", HUNT_OF_HOST]);
    match work {
        OfHost::Hunt(seconds) => hunt.env("ARGUS_FUZZ_SECONDS", seconds.to_string()),
        // Cargo runs tests in the folder of their package.
        OfHost::Repeat(input) => hunt.env("ARGUS_FUZZ_INPUT", path::absolute(input).context("not a path")?),
    };
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

    fn parse(line: &str) -> Result<Asked> {
        Asked::new(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_target_of_the_host_runs_with_all_and_when_it_is_named() {
        let file = || OfHost::Repeat("file".into());
        for (line, others, of_host) in [
            ("", Some("--seconds 57"), Some(OfHost::Hunt(3))),
            ("--seconds 600 --plain", Some("--seconds 567 --plain"), Some(OfHost::Hunt(33))),
            ("--seconds 1", Some("--seconds 1"), Some(OfHost::Hunt(1))),
            ("frames", None, Some(OfHost::Hunt(60))),
            ("frames --seconds 5", None, Some(OfHost::Hunt(5))),
            ("frames frames", None, Some(OfHost::Hunt(60))),
            ("time frames", Some("--seconds 30 time"), Some(OfHost::Hunt(30))),
            ("time --seconds 5", Some("--seconds 5 time"), None),
            ("--processes 2 time", Some("--seconds 60 --processes 2 time"), None),
            ("--list", Some("--list"), None),
            ("frames --list", Some("--list"), None),
            ("frames --help", Some("--help"), None),
            ("frames --unknown", Some("--unknown"), None),
            ("frames --input file", None, Some(file())),
            ("--input file frames", None, Some(file())),
            ("time --input frames", Some("--input frames time"), None),
            ("--input file", Some("--input file"), None),
        ] {
            let asked = parse(line).expect("the line is right");
            let words = others.map(|words| words.split_whitespace().map(OsString::from).collect());
            assert_eq!((asked.others, asked.of_host), (words, of_host), "{line}");
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for line in [
            "frames --seconds 0",
            "frames --seconds five",
            "frames --seconds",
            "time --seconds -1",
            "--processes 0",
            "frames --processes",
            "--input",
            "time frames --input file",
        ] {
            assert!(parse(line).is_err(), "{line}");
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
        assert!(source.contains("\"ARGUS_FUZZ_SECONDS\"") && source.contains("\"ARGUS_FUZZ_INPUT\""));
        assert!(LISTED.starts_with(OF_HOST));
    }
}
