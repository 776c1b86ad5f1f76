//! Runs a task step by step, with times and a summary that a CI can read.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};

/// The steps of one task, so far.
#[derive(Debug)]
pub(crate) struct Steps {
    task: &'static str,
    /// The names of all steps, in the order in which they run.
    planned: Vec<&'static str>,
    started: Instant,
    done: Vec<Step>,
    tally: Tally,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    took: Duration,
    outcome: StepOutcome,
}

#[derive(Debug)]
enum StepOutcome {
    Passed,
    Skipped(String),
    Failed(String),
}

/// How a step ended that may be skipped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It succeeded.
    Done,
    /// It could not run on this machine, for this reason.
    Skipped(String),
}

/// The number of tests, as test runners report it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    run: u64,
    passed: u64,
    skipped: u64,
}

/// What a test runner reported.
#[derive(Debug, Default)]
pub(crate) struct TestReport {
    tally: Tally,
    /// The names of the tests that failed, each once.
    failed: BTreeSet<String>,
}

impl Steps {
    /// A task that runs the `planned` steps, in this order.
    pub(crate) fn new(task: &'static str, planned: Vec<&'static str>) -> Self {
        Self { task, planned, started: Instant::now(), done: Vec::new(), tally: Tally::default() }
    }

    /// Runs a step; returns whether it succeeded. A failure is printed and recorded, and the task continues.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce() -> Result<()>) -> bool {
        self.run_tests(name, || step().map(|()| TestReport::default()))
    }

    /// As [`run`](Self::run) for a step that runs tests. Their numbers go into the summary even if some failed, and so
    /// do the names of those: the end of a long output may be all that is kept of it.
    pub(crate) fn run_tests(&mut self, name: &'static str, step: impl FnOnce() -> Result<TestReport>) -> bool {
        let mut tally = Tally::default();
        let ok = self.run_as(name, || match step() {
            Ok(report) => {
                tally = report.tally;
                report.outcome()
            }
            Err(error) => StepOutcome::Failed(format!("{error:#}")),
        });
        self.tally.add(tally);
        ok
    }

    /// As [`run`](Self::run) for a step that not every machine can run. If it is skipped, the summary says so.
    pub(crate) fn run_or_skip(&mut self, name: &'static str, step: impl FnOnce() -> Result<Outcome>) -> bool {
        self.run_as(name, || match step() {
            Ok(Outcome::Done) => StepOutcome::Passed,
            Ok(Outcome::Skipped(reason)) => StepOutcome::Skipped(reason),
            Err(error) => StepOutcome::Failed(format!("{error:#}")),
        })
    }

    fn run_as(&mut self, name: &'static str, step: impl FnOnce() -> StepOutcome) -> bool {
        let index = self.done.len();
        assert_eq!(
            self.planned.get(index),
            Some(&name),
            "a task runs the steps that it has announced and its help lists"
        );
        eprintln!("\nxtask {}: [{}/{}] {name}", self.task, index + 1, self.planned.len());
        let started = Instant::now();
        let outcome = step();
        let took = started.elapsed();
        let is_failure = matches!(outcome, StepOutcome::Failed(_));
        eprintln!("xtask {}: {name}: {outcome} in {:.1} s", self.task, took.as_secs_f64());
        self.done.push(Step { name, took, outcome });
        !is_failure
    }

    /// Records that a step could not run because another one failed.
    pub(crate) fn cannot_run(&mut self, name: &'static str, reason: &str) {
        self.run(name, || Err(anyhow!("not run: {reason}")));
    }

    /// Prints the summary; returns whether every step succeeded. The last line has the form of nextest's summary.
    pub(crate) fn finish(self) -> bool {
        let count =
            |is_wanted: fn(&StepOutcome) -> bool| self.done.iter().filter(|step| is_wanted(&step.outcome)).count();
        let failed = count(|outcome| matches!(outcome, StepOutcome::Failed(_)));
        let skipped = count(|outcome| matches!(outcome, StepOutcome::Skipped(_)));
        eprintln!("\nxtask {}: summary", self.task);
        for Step { name, took, outcome } in &self.done {
            eprintln!("  {:>7.1} s  {name}: {outcome}", took.as_secs_f64());
        }
        let steps = self.done.len();
        eprint!("  {} of {steps} steps passed", steps - failed - skipped);
        eprintln!("{}", if skipped > 0 { format!(", {skipped} SKIPPED") } else { String::new() });
        if self.tally.run > 0 {
            eprintln!("     Summary [{:>8.3}s] {}", self.started.elapsed().as_secs_f64(), self.tally);
        }
        failed == 0
    }
}

impl std::fmt::Display for StepOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passed => write!(f, "ok"),
            Self::Skipped(reason) => write!(f, "SKIPPED: {reason}"),
            Self::Failed(reason) => write!(f, "FAILED: {reason}"),
        }
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.run += other.run;
        self.passed += other.passed;
        self.skipped += other.skipped;
    }

    /// Parses a summary line of nextest or libtest; `None` for any other line.
    fn parse(line: &str) -> Option<Self> {
        // nextest indents the output of failed tests, which may have such a line as well.
        if let Some(counts) = line.strip_prefix("test result: ") {
            let (passed, failed) = (count(counts, "passed")?, count(counts, "failed")?);
            return Some(Self { run: passed + failed, passed, skipped: count(counts, "ignored")? });
        }
        let (_, summary) = line.trim_start().strip_prefix("Summary [")?.split_once("] ")?;
        let (run, counts) = summary.split_once(" tests run: ").or_else(|| summary.split_once(" test run: "))?;
        // After a cancelled run nextest writes "7/9 tests run".
        let run = run.split('/').next()?.trim().parse().ok()?;
        Some(Self { run, passed: count(counts, "passed").unwrap_or(0), skipped: count(counts, "skipped").unwrap_or(0) })
    }
}

impl TestReport {
    /// Adds what another run reported.
    pub(crate) fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.failed.extend(other.failed);
    }

    /// Takes in a line of a runner's output.
    fn read(&mut self, line: &str) {
        let line = without_colours(line);
        if let Some(tally) = Tally::parse(&line) {
            self.tally.add(tally);
        } else if let Some(name) = failed_test(&line) {
            self.failed.insert(name.to_owned());
        }
    }

    fn outcome(&self) -> StepOutcome {
        let Tally { run, passed, .. } = self.tally;
        if passed == run {
            return StepOutcome::Passed;
        }
        let names: String = self.failed.iter().map(|name| format!("\n             {name}")).collect();
        StepOutcome::Failed(format!("{} of {run} tests{names}", run - passed))
    }
}

/// The name of the test that failed according to a line of nextest or libtest; `None` for any other line.
fn failed_test(line: &str) -> Option<&str> {
    let line = line.trim_end();
    // libtest does not indent the names of its tests.
    if let Some(name) = line.strip_prefix("test ") {
        return name.strip_suffix(" ... FAILED");
    }
    let (status, rest) = line.trim_start().split_once(" [")?;
    if !(["FAIL", "TIMEOUT", "ABORT", "LEAK-FAIL"].contains(&status) || status.starts_with("SIG")) {
        return None;
    }
    let (_, counted) = rest.split_once("] ")?;
    counted.strip_prefix('(')?.split_once(") ").map(|(_, name)| name)
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tests run: {} passed", self.run, self.passed)?;
        if self.passed != self.run {
            write!(f, ", {} failed", self.run - self.passed)?;
        }
        write!(f, ", {} skipped", self.skipped)
    }
}

/// Runs a command to its end; its output is not captured.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = display(command);
    eprintln!("$ {name}");
    let status = command.status().with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}

/// Runs a test runner to its end, prints its output line by line, and adds up the summaries in it.
///
/// # Errors
///
/// The runner could not start, or failed without reporting a failed test: it did not build, or found no test.
pub(crate) fn run_tests(command: &mut Command) -> Result<TestReport> {
    let name = display(command);
    eprintln!("$ {name}");
    if io::stderr().is_terminal() {
        // The runner sees a pipe and would omit colours.
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let report = thread::scope(|scope| -> Result<TestReport> {
        let reader = scope.spawn(move || stdout.map(|from| pass_on(from, io::stdout())).transpose());
        let mut report = stderr.map(|from| pass_on(from, io::stderr())).transpose()?.unwrap_or_default();
        let other = reader.join().map_err(|_| anyhow!("the reader of the output panicked"))??;
        report.add(other.unwrap_or_default());
        Ok(report)
    })
    .with_context(|| format!("cannot pass on the output of {name}"))?;
    let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
    if !status.success() && report.tally.passed == report.tally.run {
        bail!("{name}: {status}");
    }
    Ok(report)
}

fn pass_on(from: impl Read, mut to: impl Write) -> io::Result<TestReport> {
    let mut report = TestReport::default();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        report.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(report)
}

/// The number before `what` in a list of the form `3 passed (1 slow), 1 failed, 0 skipped`.
fn count(counts: &str, what: &str) -> Option<u64> {
    let words: Vec<&str> = counts.split([' ', ',', ';', '.', '(', ')']).filter(|word| !word.is_empty()).collect();
    words.windows(2).find_map(|pair| match pair {
        [number, word] if *word == what => number.parse().ok(),
        _ => None,
    })
}

fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, escape)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = escape.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

fn display(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(std::ffi::OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_both_runners_are_parsed() {
        for (line, expected) in [
            ("     Summary [   0.005s] 3 tests run: 3 passed, 0 skipped\n", Some((3, 3, 0))),
            (
                "     Summary [  12.5s] 9 tests run: 6 passed (1 slow), 2 failed, 1 timed out, 4 skipped",
                Some((9, 6, 4)),
            ),
            ("     Summary [   0.1s] 7/9 tests run: 6 passed, 1 failed, 0 skipped", Some((7, 6, 0))),
            ("     Summary [   0.1s] 1 test run: 0 passed, 1 failed, 0 skipped", Some((1, 0, 0))),
            (
                "test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s",
                Some((5, 5, 2)),
            ),
            ("test result: FAILED. 5 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out", Some((8, 5, 0))),
            ("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out", None),
            ("        PASS [   0.005s] argus-core event::tests::summary", None),
        ] {
            let expected = expected.map(|(run, passed, skipped)| Tally { run, passed, skipped });
            assert_eq!(Tally::parse(line), expected, "{line}");
        }
    }

    #[test]
    fn a_report_has_the_numbers_and_each_failed_test_once() {
        let mut report = TestReport::default();
        for line in [
            "        PASS [   0.005s] (1/3) argus-core event::tests::one",
            "        FAIL [   1.005s] (2/3) argus-core event::tests::two",
            "     TIMEOUT [  90.005s] (3/3) argus-postgres::repository faults::three",
            "test doc_test (line 4) ... FAILED",
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] 3 tests run: \u{1b}[1m1\u{1b}[0m passed, 2 failed, 0 skipped",
            "        FAIL [   1.005s] (2/3) argus-core event::tests::two",
            "     SIGABRT [   1.005s] (1/3) argus-core event::tests::four",
            "        FAIL is a word of the output",
        ] {
            report.read(line);
        }
        let expected = "FAILED: 2 of 3 tests
             argus-core event::tests::four
             argus-core event::tests::two
             argus-postgres::repository faults::three
             doc_test (line 4)";
        assert_eq!(report.outcome().to_string(), expected);
    }

    #[test]
    fn the_summary_has_the_form_of_nextests() {
        let tally = Tally { run: 9, passed: 6, skipped: 4 };
        assert_eq!(tally.to_string(), "9 tests run: 6 passed, 3 failed, 4 skipped");
        assert_eq!(Tally::parse(&format!("Summary [   1.000s] {tally}")), Some(tally));
    }

    #[test]
    fn a_failed_step_fails_the_task_but_does_not_end_it() {
        let mut steps = Steps::new("test", vec!["first", "second", "third"]);
        assert!(steps.run("first", || Ok(())));
        assert!(!steps.run("second", || bail!("it broke")));
        assert!(steps.run("third", || Ok(())));
        assert!(!steps.finish());
    }

    #[test]
    fn a_skipped_step_does_not_fail_the_task() {
        let mut steps = Steps::new("test", vec!["first", "second"]);
        assert!(steps.run_or_skip("first", || Ok(Outcome::Skipped("there is no engine".to_owned()))));
        assert!(steps.run_or_skip("second", || Ok(Outcome::Done)));
        assert!(steps.finish());
        let mut steps = Steps::new("test", vec!["first"]);
        assert!(!steps.run_or_skip("first", || bail!("it broke")));
        assert!(!steps.finish());
    }

    #[test]
    fn a_failed_test_fails_its_step() {
        let mut steps = Steps::new("test", vec!["tests"]);
        let tally = Tally { run: 2, passed: 1, skipped: 0 };
        assert!(!steps.run_tests("tests", || Ok(TestReport { tally, ..TestReport::default() })));
        assert!(!steps.finish());
    }
}
