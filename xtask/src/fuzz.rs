//! `cargo xtask fuzz`: fuzz targets, with libFuzzer where it can be built.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::SystemTime,
};

use anyhow::{Context, Result};

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

/// Builds and runs the fuzzer, a program of `argus-testing`. Returns whether all targets held.
pub(crate) fn run(arguments: &[OsString]) -> Result<bool> {
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
