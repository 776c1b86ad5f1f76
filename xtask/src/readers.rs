//! Programs of others that read exported files: `DuckDB` and pyarrow, from `PyPI`.

use std::{fs, path::PathBuf, process::Stdio};

use anyhow::{Context, Result, ensure};

use crate::{
    steps::{self, Outcome},
    workspace::{metadata, target_directory},
};

/// The variable by which the tests of `argus-export` find the packages.
pub(crate) const VARIABLE: &str = "ARGUS_READERS";

/// The packages, in versions that are known to read what others may not, such as nanoseconds.
const PACKAGES: [&str; 2] = ["duckdb==2.0.1", "pyarrow==26.0.1"];

/// Whether an interpreter finds them.
const IMPORT: &str = "import duckdb, pyarrow.parquet";

/// Installs the packages, once, into a folder of their own.
pub(crate) fn install(folder: &mut Option<PathBuf>) -> Result<Outcome> {
    match installed() {
        Ok(packages) => {
            *folder = Some(packages);
            Ok(Outcome::Done)
        }
        Err(reason) => Ok(Outcome::Skipped(format!("files for others are not read by others: {reason:#}"))),
    }
}

fn installed() -> Result<PathBuf> {
    // The versions are part of the name, so that others are not taken for them.
    let name = format!("readers-{}", PACKAGES.join("-").replace("==", "-"));
    let folder = target_directory(&metadata()?)?.join(name);
    let (packages, complete) = (folder.join("packages"), folder.join("installed"));
    if !complete.exists() {
        let mut pip = std::process::Command::new("python3");
        // A registry that does not answer is given up soon.
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=1", "--timeout=20"]);
        // Wheels alone: to build them takes longer than all tests.
        pip.args(["--only-binary=:all:", "--upgrade", "--target"]).arg(&packages).args(PACKAGES);
        steps::run(pip.stdin(Stdio::null())).context("PyPI, pip or a package for this machine is missing")?;
        let mut python = std::process::Command::new("python3");
        let status = python.args(["-c", IMPORT]).env("PYTHONPATH", &packages).stdin(Stdio::null()).status();
        ensure!(status.context("cannot start python3")?.success(), "the packages do not work on this machine");
        fs::write(&complete, "").context("cannot note that they are installed")?;
    }
    Ok(packages)
}
