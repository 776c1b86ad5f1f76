//! `cargo xtask simulate`: the engine over a medium with faults, for as many seeds as asked for.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::workspace::cargo;

/// Builds the simulator, the program of `argus-testing`, and runs it. Says whether all promises were kept.
pub(crate) fn run(arguments: &[OsString]) -> Result<bool> {
    let mut simulator = cargo(["run", "--quiet", "--release", "--package", "argus-testing", "--"]);
    simulator.args(arguments);
    let status = simulator.status().context("cannot start cargo")?;
    Ok(status.success())
}
