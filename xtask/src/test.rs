//! `cargo xtask test`: everything that a change must pass.

use std::{
    ffi::OsString,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    bench, check, conformance, crash,
    flags::BenchOptions,
    simulate,
    steps::{self, Steps},
    workspace::cargo,
};

/// The steps of this task before those of the check.
pub(crate) const STEPS: [&str; 9] = [
    "cargo-nextest is there",
    "unit, property and integration tests",
    "doc tests",
    "nginx is there",
    "binaries for the conformance suite",
    "conformance",
    "simulation, from a fresh seed",
    "crash, as a smoke test",
    "bench, as a smoke test",
];

/// Some seconds' worth of runs.
const SIMULATION: [&str; 2] = ["--seeds", "10000"];

/// Runs all steps and says whether every one passed.
pub(crate) fn run() -> Result<bool> {
    let mut steps = Steps::new("test", [&STEPS[..], &check::STEPS].concat());
    let nextest = steps.run("cargo-nextest is there", install_nextest);
    let no_nextest = "cargo-nextest is missing";
    if nextest {
        steps.run_tests("unit, property and integration tests", || {
            // The conformance suite needs the binaries of this very tree, so it has a step of its own below.
            let filter = format!("not binary_id({})", conformance::TEST_BINARY_ID);
            steps::run_tests(&mut cargo(["nextest", "run", "--workspace", "--filterset", &filter]))
        });
    } else {
        steps.cannot_run("unit, property and integration tests", no_nextest);
    }
    steps.run_tests("doc tests", || steps::run_tests(&mut cargo(["test", "--doc", "--workspace"])));
    steps.run("nginx is there", install_nginx);
    let built = steps.run("binaries for the conformance suite", conformance::build);
    if !nextest {
        steps.cannot_run("conformance", no_nextest);
    } else if !built {
        steps.cannot_run("conformance", "its binaries did not build");
    } else {
        steps.run_tests("conformance", || {
            let filter = format!("binary_id({})", conformance::TEST_BINARY_ID);
            let mut nextest = cargo(["nextest", "run", "--workspace", "--filterset", &filter]);
            steps::run_tests(nextest.env(conformance::BINARIES_VARIABLE, conformance::binaries_directory()?))
        });
    }
    steps.run("simulation, from a fresh seed", || {
        ensure!(simulate::run(&SIMULATION.map(OsString::from))?, "a promise was broken; the seed is printed above");
        Ok(())
    });
    if built {
        steps.run("crash, as a smoke test", || crash::smoke(&conformance::binaries_directory()?));
    } else {
        steps.cannot_run("crash, as a smoke test", "its binaries did not build");
    }
    steps.run("bench, as a smoke test", || {
        // Its figures mean nothing; but its answers are checked, and a bench that nobody runs stops working.
        bench::run(&BenchOptions { smoke: true, ..BenchOptions::default() }).map(drop)
    });
    check::add_to(&mut steps);
    Ok(steps.finish())
}

fn install_nextest() -> Result<()> {
    let mut version = cargo(["nextest", "--version"]);
    if version.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    eprintln!("cargo-nextest, which runs the tests, is missing: it is built and installed once, in some minutes.");
    // Without its self-update nextest needs no TLS library; its speed is not what the tests wait for.
    let install = ["install", "cargo-nextest", "--locked", "--debug", "--no-default-features"];
    steps::run(&mut cargo(install.into_iter().chain(["--features", "default-no-update"])))
        .context("cannot install cargo-nextest; see https://nexte.st for ready-made binaries")
}

/// The conformance suite puts it before each subject, and skips those cases where it is missing. Here nothing may be
/// skipped.
fn install_nginx() -> Result<()> {
    let installed = |program: &str| {
        let version = Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    };
    // Where Debian puts it is not in everybody's path.
    if installed("nginx") || installed("/usr/sbin/nginx") {
        return Ok(());
    }
    eprintln!("nginx, before which the servers are tested, is missing: it is installed once, as Debian's nginx-light.");
    let user = Command::new("id").arg("-u").output().context("cannot ask who is running this")?;
    // `-n`: a CI that may not become root is to fail and not to wait for a password.
    let prefix: &[&str] = if user.stdout.trim_ascii() == b"0" { &["env"] } else { &["sudo", "-n", "env"] };
    let apt = |arguments: &[&str]| {
        let words = prefix.iter().chain(&["DEBIAN_FRONTEND=noninteractive", "apt-get"]).chain(arguments);
        let mut words = words.copied();
        let mut command = Command::new(words.next().context("a command has a name")?);
        steps::run(command.args(words))
    };
    apt(&["update"])
        .and_then(|()| apt(&["install", "--yes", "--no-install-recommends", "nginx-light"]))
        .context("cannot install nginx; install it by hand (Debian: `apt-get install nginx-light`), it need not run")
}
