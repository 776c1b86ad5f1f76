//! `cargo xtask crash`: kills real servers of this tree under load.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{
    conformance::BINARIES_VARIABLE,
    flags::CrashOptions,
    steps,
    workspace::{cargo, metadata, root, target_directory},
};

/// Rounds of the smoke test for each runtime.
const SMOKE_ROUNDS: u64 = 3;

/// Builds what is needed and runs the rounds. Returns whether nothing was lost or stored twice.
pub(crate) fn run(options: &CrashOptions) -> Result<bool> {
    let packages = ["-p", "argus-tokio", "-p", "argus-smol", "-p", "argus-conformance"];
    steps::run(&mut cargo(["build", "--release", "--bins"].into_iter().chain(packages)))?;
    let directory = target_directory(&metadata()?)?.join("release");
    let mut program = program(&directory);
    let numbers = [
        ("--rounds", options.rounds.map(|rounds| rounds.to_string())),
        ("--connections", options.connections.map(|connections| connections.to_string())),
        ("--seed", options.seed.map(|seed| seed.to_string())),
        ("--soak", options.soak.map(|minutes| minutes.to_string())),
        ("--runtime", options.runtime.clone()),
    ];
    for (flag, value) in numbers {
        if let Some(value) = value {
            program.args([flag, &value]);
        }
    }
    let status = program.status().context("cannot start argus-crash")?;
    Ok(status.success())
}

/// Some short rounds with existing binaries, from a seed that is printed.
pub(crate) fn smoke(directory: &Path) -> Result<()> {
    let mut program = program(directory);
    let status = program.args(["--smoke", "--rounds", &SMOKE_ROUNDS.to_string()]).status();
    let status = status.context("cannot start argus-crash")?;
    ensure!(status.success(), "argus-crash: {status}");
    Ok(())
}

fn program(directory: &Path) -> Command {
    let mut program = Command::new(directory.join("argus-crash"));
    program.current_dir(root()).env(BINARIES_VARIABLE, directory);
    program
}
