//! `cargo xtask check`: formatting, lints, documentation and tidiness.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{
    databases,
    steps::{self, Steps},
    tidy,
    workspace::cargo,
};

/// The steps that [`add_to`] runs.
pub(crate) const STEPS: [&str; 4] = ["rustfmt", "clippy", "rustdoc", "tidy"];

/// Runs the whole check and says whether it passed.
pub(crate) fn run() -> Result<bool> {
    let mut steps = Steps::new("check", STEPS.to_vec());
    add_to(&mut steps);
    Ok(steps.finish())
}

/// Runs the check as part of a longer task.
pub(crate) fn add_to(steps: &mut Steps) {
    steps.run("rustfmt", || {
        require("fmt", "rustfmt")?;
        steps::run(&mut cargo(["fmt", "--all", "--check"])).context("`cargo fmt` fixes this")
    });
    steps.run("clippy", || {
        require("clippy", "clippy")?;
        let mut clippy = cargo(["clippy", "--workspace", "--all-targets"]);
        steps::run(clippy.args(databases::features()).args(["--", "-D", "warnings"]))
    });
    steps.run("rustdoc", || {
        let mut doc = cargo(["doc", "--no-deps", "--workspace"]);
        steps::run(doc.args(databases::features()).env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.run("tidy", || match tidy::report()? {
        0 => Ok(()),
        violations => bail!("{violations} violations"),
    });
}

/// Fails if a rustup component is missing, and says how to install it.
fn require(subcommand: &str, component: &str) -> Result<()> {
    let mut command: Command = cargo([subcommand, "--version"]);
    let there = command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if there { Ok(()) } else { bail!("{component} is missing; `rustup component add {component}` installs it") }
}
