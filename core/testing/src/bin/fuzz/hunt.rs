//! The hunt for inputs that fail: starts the processes, and shortens what they find.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use argus_testing::fuzz::{Target, reduce};

use crate::folder::{Folder, empty, write};
use crate::plan::Plan;
use crate::worker::{RUN_TIME_MAX, in_slot};

/// The most time for shortening one input.
const REDUCE_TIME_MAX: Duration = Duration::from_secs(60);

/// The most lines of output that are shown of a process that failed.
const LINES_SHOWN_MAX: usize = 12;

/// The most characters of each of them.
const COLUMNS_SHOWN_MAX: usize = 400;

/// What all targets of a hunt have in common.
pub(crate) struct Hunter<'p> {
    plan: &'p Plan,
    /// This program, which is also the program of its processes.
    program: PathBuf,
    /// For each target.
    time: Duration,
}

/// A process that has ended.
struct Ended {
    status: ExitStatus,
    output: String,
    slot: PathBuf,
    /// How the files of libFuzzer begin that have an input.
    found: String,
}

impl<'p> Hunter<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let targets = u32::try_from(plan.targets.len()).map_err(|_| "too many targets")?;
        let time = Duration::from_secs((plan.time / targets.max(1)).as_secs().max(1));
        Ok(Self { plan, program, time })
    }

    /// Runs one target; returns whether it held.
    pub(crate) fn hunt(&self, target: &'static Target) -> Result<bool, String> {
        let folder = Folder::of(target)?;
        empty(&folder.work())?;
        if self.plan.libfuzzer.is_some() {
            for (number, seed) in (0..).zip((target.seeds)()) {
                write(&folder.corpus().join(format!("seed-{number}")), &seed)?;
            }
            write(&words_path(&folder), dictionary(target.words).as_bytes())?;
        }
        let ended = thread::scope(|scope| -> Result<Vec<Ended>, String> {
            let processes = (0..self.plan.processes).map(|number| {
                let folder = &folder;
                scope.spawn(move || self.process(target, folder, number))
            });
            let processes: Vec<_> = processes.collect();
            processes.into_iter().map(|process| process.join().map_err(|_| "a thread died")?).collect()
        })?;
        let runs: u64 = ended.iter().filter_map(|process| runs(&process.output)).sum();
        let Some(failed) = ended.iter().find(|process| !process.status.success()) else {
            println!("{:<10}{runs:>12} runs", target.name);
            return Ok(true);
        };
        println!("{:<10}FAILED: {}", target.name, failed.status);
        let lines: Vec<&str> = failed.output.lines().filter(|line| !is_noise(line)).collect();
        for line in lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN_MAX)) {
            println!("  {}", line.chars().take(COLUMNS_SHOWN_MAX).collect::<String>());
        }
        match self.found(&folder, failed)? {
            None => println!("  no input was saved; the output is in {}", folder.work().display()),
            Some(input) => self.report(target, &folder, &input)?,
        }
        Ok(false)
    }

    /// Runs a process of a target to its end.
    fn process(&self, target: &Target, folder: &Folder, number: usize) -> Result<Ended, String> {
        let name = |what: &str| folder.work().join(format!("{what}-{number}"));
        let found = format!("found-{number}-");
        let (slot, log) = (name("slot"), name("log"));
        let seconds = self.time.as_secs();
        let mut command = match &self.plan.libfuzzer {
            None => Command::new(&self.program),
            Some(program) => Command::new(program),
        };
        if self.plan.libfuzzer.is_none() {
            command.arg(target.name).arg("--seconds").arg(seconds.to_string()).arg("--slot").arg(&slot);
        } else {
            command.env("ARGUS_FUZZ_TARGET", target.name).arg(folder.corpus()).arg(folder.failures());
            command.arg(format!("-max_total_time={seconds}")).arg("-print_final_stats=1").arg("-verbosity=0");
            command.arg(format!("-timeout={}", RUN_TIME_MAX.as_secs())).arg("-close_fd_mask=1");
            command.arg(format!("-dict={}", words_path(folder).display()));
            command.arg(format!("-artifact_prefix={}", folder.work().join(&found).display()));
        }
        let output = File::create(&log).and_then(|log| Ok((log.try_clone()?, log)));
        let (stdout, stderr) = output.map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let status =
            command.status().map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
        let output = std::fs::read(&log).map_err(|error| format!("cannot read {}: {error}", log.display()))?;
        Ok(Ended { status, output: String::from_utf8_lossy(&output).into_owned(), slot, found })
    }

    /// The input that ended a process.
    fn found(&self, folder: &Folder, failed: &Ended) -> Result<Option<Vec<u8>>, String> {
        if self.plan.libfuzzer.is_none() {
            let slot = std::fs::read(&failed.slot).map_err(|error| format!("cannot read the slot: {error}"))?;
            return Ok(in_slot(&slot).map(<[u8]>::to_vec));
        }
        let work = folder.work();
        let entries = std::fs::read_dir(&work).map_err(|error| format!("cannot read {}: {error}", work.display()))?;
        let found = entries.flatten().find(|entry| is_failure(&entry.file_name().to_string_lossy(), &failed.found));
        found
            .map(|entry| std::fs::read(entry.path()).map_err(|error| format!("cannot read the input: {error}")))
            .transpose()
    }

    /// Shortens an input, saves it, and says how to run it again.
    fn report(&self, target: &'static Target, folder: &Folder, input: &[u8]) -> Result<(), String> {
        let begun = Instant::now();
        let candidate = folder.work().join("candidate");
        let fails = |input: &[u8]| -> Result<bool, String> {
            write(&candidate, input)?;
            Ok(begun.elapsed() < REDUCE_TIME_MAX && !self.holds(target, &candidate)?)
        };
        // Written before it is shortened, which may be interrupted.
        let path = folder.save(input)?;
        let (input, path) = if fails(input)? {
            let short = reduce(input, |input| fails(input).unwrap_or(false));
            let short_path = folder.save(&short)?;
            if short_path != path {
                std::fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
            }
            (short, short_path)
        } else {
            println!("  the input alone does not fail: an earlier one matters, or chance does");
            (input.to_vec(), path)
        };
        println!("  input of {} bytes: b\"{}\"", input.len(), input.escape_ascii());
        println!("  to repeat it: cargo xtask fuzz {} --input {}", target.name, path.display());
        println!("  to keep it: add it to the seeds in core/testing/src/fuzz/targets/{}.rs", target.name);
        Ok(())
    }

    /// Whether a target holds for the input in a file, in a process of its own.
    fn holds(&self, target: &Target, input: &Path) -> Result<bool, String> {
        let mut command = Command::new(&self.program);
        command.arg(target.name).arg("--input").arg(input);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().map(|status| status.success()).map_err(|error| format!("cannot start this program: {error}"))
    }
}

/// Whether a file of libFuzzer has the input that ended the process whose files begin like this.
fn is_failure(name: &str, found: &str) -> bool {
    // A slow input is reported, and ends nothing.
    name.strip_prefix(found).is_some_and(|kind| !kind.starts_with("slow-unit"))
}

fn words_path(folder: &Folder) -> PathBuf {
    folder.work().join("words")
}

/// Words in the form of libFuzzer's dictionaries.
fn dictionary(words: &[&str]) -> String {
    let escaped = |word: &str| -> String { word.bytes().map(|byte| format!("\\x{byte:02x}")).collect() };
    words.iter().map(|word| format!("\"{}\"\n", escaped(word))).collect()
}

/// The number of runs that a process reports: ours, or libFuzzer.
fn runs(output: &str) -> Option<u64> {
    let count = |line: &str| {
        line.strip_prefix("runs:").or(line.strip_prefix("stat::number_of_executed_units:"))?.trim().parse().ok()
    };
    output.lines().find_map(count)
}

/// Lines of libFuzzer that say nothing about the failure.
fn is_noise(line: &str) -> bool {
    ["stat::", "NOTE:", "MS:", "artifact_prefix", "Base64:", "0x", "    #", "SUMMARY", "note:"]
        .iter()
        .any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_input_that_ended_the_process_is_its_failure() {
        for (name, expected) in [
            ("found-1-crash-0a1b", true),
            ("found-1-timeout-0a1b", true),
            ("found-1-slow-unit-0a1b", false),
            ("found-10-crash-0a1b", false),
            ("slot-1", false),
        ] {
            assert_eq!(is_failure(name, "found-1-"), expected, "{name}");
        }
    }
}
