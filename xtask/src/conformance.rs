//! `cargo xtask conformance`: the black-box suite against the binaries of this tree.

use std::{num::NonZeroUsize, path::PathBuf, process::Command, thread};

use anyhow::{Context, Result, ensure};
use argus_servers::{MONGO_URL_VARIABLE, TestMongo, TestPostgres, URL_VARIABLE};

use crate::{
    databases,
    flags::ConformanceOptions,
    steps::{self, Outcome, TestReport},
    workspace::{cargo, metadata, root, target_directory},
};

/// The environment variable that tells the suite where the binaries are.
pub(crate) const BINARIES_VARIABLE: &str = "ARGUS_BIN_DIR";

/// nextest's id of the test target that has one test for each subject and case.
pub(crate) const TEST_BINARY_ID: &str = "argus-conformance::conformance";

/// Builds what is needed and runs the suite, which prints the matrix. Returns whether it passed.
pub(crate) fn run(options: &ConformanceOptions) -> Result<bool> {
    build()?;
    let directory = binaries_directory()?;
    let mut suite = Command::new(directory.join("argus-conformance"));
    suite.current_dir(root()).env(BINARIES_VARIABLE, &directory);
    let postgres = databases::start_for(options)?;
    if let Some(postgres) = &postgres {
        suite.env(URL_VARIABLE, postgres.url());
    }
    for (flag, value) in [
        ("--runtime", &options.runtime),
        ("--repository", &options.repository),
        ("--url", &options.url),
        ("--filter", &options.filter),
    ] {
        if let Some(value) = value {
            suite.args([flag, value]);
        }
    }
    if options.list {
        suite.arg("--list");
    }
    let status = suite.status().context("cannot start argus-conformance")?;
    Ok(status.success())
}

/// Runs all cases on all usual subjects under nextest.
pub(crate) fn run_all(postgres: Option<&TestPostgres>) -> Result<TestReport> {
    let server = postgres.map(|postgres| (URL_VARIABLE, postgres.url()));
    under_nextest(&format!("binary_id({TEST_BINARY_ID})"), server, jobs())
}

/// Runs all cases under nextest on the subjects whose events are in PostgreSQL, with this server.
pub(crate) fn run_over_postgres(server: &TestPostgres) -> Result<TestReport> {
    run_over("postgres", (URL_VARIABLE, server.url()), jobs())
}

/// The same for MongoDB, one by one: large cases would slow what stands in for it down until others time out.
pub(crate) fn run_over_mongodb(server: &TestMongo) -> Result<TestReport> {
    run_over("mongodb", (MONGO_URL_VARIABLE, server.url()), 1)
}

/// Runs all cases on the subjects with this repository, on the server that a variable names.
fn run_over(repository: &str, server: (&str, &str), jobs: usize) -> Result<TestReport> {
    under_nextest(&format!("binary_id({TEST_BINARY_ID}) & test(/^[a-z]+::{repository}::/)"), Some(server), jobs)
}

/// How many cases run at once. Many wait for a timeout, so there are more of them than processors.
fn jobs() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get) * 2
}

fn under_nextest(filter: &str, server: Option<(&str, &str)>, jobs: usize) -> Result<TestReport> {
    let threads = format!("--test-threads={jobs}");
    let mut nextest = cargo(["nextest", "run", "--workspace", "--filterset", filter, &threads]);
    nextest.args(databases::features()).envs(server);
    steps::run_tests(nextest.env(BINARIES_VARIABLE, binaries_directory()?))
}

/// Asks the suite for what this machine lacks. nextest shows no output of tests that are skipped or pass.
///
/// # Errors
///
/// The suite does not start, or fails.
pub(crate) fn needs() -> Result<Outcome> {
    let directory = binaries_directory()?;
    let mut suite = Command::new(directory.join("argus-conformance"));
    let output = suite.current_dir(root()).env(BINARIES_VARIABLE, &directory).arg("--needs").output();
    let output = output.context("cannot start argus-conformance")?;
    ensure!(output.status.success(), "argus-conformance --needs: {}", output.status);
    let missing = String::from_utf8_lossy(&output.stdout);
    let missing: Vec<&str> = missing.lines().collect();
    // In the summary, each thing has a line of its own.
    Ok(if missing.is_empty() { Outcome::Done } else { Outcome::Skipped(missing.join("\n             ")) })
}

/// Builds the runtimes, the minimal test host and the suite.
pub(crate) fn build() -> Result<()> {
    // Build the whole workspace, so that shared crates have the same features as in the tests, and nothing is built
    // twice.
    steps::run(cargo(["build", "--workspace", "--bins"]).args(databases::features()))
}

/// Builds the suite alone.
pub(crate) fn build_suite() -> Result<()> {
    steps::run(&mut cargo(["build", "--package", "argus-conformance", "--bin", "argus-conformance"]))
}

/// The folder into which [`build`] puts the binaries.
pub(crate) fn binaries_directory() -> Result<PathBuf> {
    Ok(target_directory(&metadata()?)?.join("debug"))
}
