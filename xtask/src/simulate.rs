//! `cargo xtask simulate`: the engine on a medium with faults, for any number of seeds.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::workspace::cargo;

/// Builds and runs the simulator, the program of `argus-testing`. Returns whether all promises were kept.
pub(crate) fn run(arguments: &[OsString]) -> Result<bool> {
    let mut simulator = cargo(["run", "--quiet", "--release", "--package", "argus-testing", "--"]);
    simulator.args(arguments);
    let status = simulator.status().context("cannot start cargo")?;
    Ok(status.success())
}
