//! `cargo xtask crash`: kills real servers of this tree under load.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use argus_servers::PostgresVersion;

use crate::{
    conformance::BINARIES_VARIABLE,
    databases,
    flags::CrashOptions,
    steps,
    workspace::{cargo, metadata, root, target_directory},
};

/// Rounds of the smoke test for each runtime, and their repository.
const SMOKES: [(u64, &str); 2] = [(3, "disk"), (3, POSTGRES)];

/// The name of the repository whose database is killed, too.
const POSTGRES: &str = "postgres";

/// The first word of the report of a violation, which goes on to the end of the output.
const VIOLATION: &str = "VIOLATION";

/// Builds what is needed and runs the rounds. Returns whether nothing was lost or stored twice.
pub(crate) fn run(options: &CrashOptions) -> Result<bool> {
    let packages = ["-p", "argus-tokio", "-p", "argus-smol", "-p", "argus-conformance"];
    steps::run(cargo(["build", "--release", "--bins"].into_iter().chain(packages)).args(databases::features()))?;
    match options.repository.as_deref() {
        Some(POSTGRES) => databases::install()?,
        Some("mongodb") => databases::install_mongodb()?,
        // The program knows which names there are.
        Some(_) | None => {}
    }
    let directory = target_directory(&metadata()?)?.join("release");
    let mut program = program(&directory);
    let numbers = [
        ("--rounds", options.rounds.map(|rounds| rounds.to_string())),
        ("--connections", options.connections.map(|connections| connections.to_string())),
        ("--seed", options.seed.map(|seed| seed.to_string())),
        ("--soak", options.soak.map(|minutes| minutes.to_string())),
        ("--runtime", options.runtime.clone()),
        ("--repository", options.repository.clone()),
    ];
    for (flag, value) in numbers {
        if let Some(value) = value {
            program.args([flag, &value]);
        }
    }
    let status = program.status().context("cannot start argus-crash")?;
    Ok(status.success())
}

/// Some short rounds with existing binaries, from a seed that is printed. Those over a database are left out if its
/// server is not installed.
///
/// # Errors
///
/// A run failed. The error repeats the violation: the end of a long output may be all that is kept of it.
pub(crate) fn smoke(directory: &Path) -> Result<()> {
    for (rounds, repository) in SMOKES {
        if repository == POSTGRES
            && let Err(absent) = PostgresVersion::usual()
        {
            eprintln!("SKIPPED over a database: {absent}");
            continue;
        }
        let mut program = program(directory);
        program.args(["--smoke", "--rounds", &rounds.to_string(), "--repository", repository]);
        let mut child = program.stdout(Stdio::piped()).spawn().context("cannot start argus-crash")?;
        let output = child.stdout.take().context("argus-crash has no output")?;
        let mut violation = String::new();
        for line in BufReader::new(output).lines() {
            let line = line.context("the output of argus-crash")?;
            println!("{line}");
            if !violation.is_empty() || line.starts_with(VIOLATION) {
                violation.push('\n');
                violation.push_str(&line);
            }
        }
        let status = child.wait().context("argus-crash")?;
        ensure!(status.success(), "argus-crash over {repository}: {status}{violation}");
    }
    Ok(())
}

fn program(directory: &Path) -> Command {
    let mut program = Command::new(directory.join("argus-crash"));
    program.current_dir(root()).env(BINARIES_VARIABLE, directory);
    program
}
