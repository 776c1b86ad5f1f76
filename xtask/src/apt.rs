//! Packages of Debian that a test needs.

use std::process::Command;

use anyhow::{Context, Result};

use crate::steps;

/// The longest time for a call that downloads, in seconds: a registry that hangs must not hang a test.
const DOWNLOAD_SECONDS: &str = "180";

/// The longest time to unpack and configure, in seconds. What is cut off leaves packages half installed, so it is long.
const INSTALL_SECONDS: &str = "900";

/// Whether this process belongs to root.
///
/// # Errors
///
/// The program `id` is missing.
pub(crate) fn is_root() -> Result<bool> {
    let user = Command::new("id").arg("-u").output().context("cannot find out the user id")?;
    Ok(user.stdout.trim_ascii() == b"0")
}

/// Installs Debian's server of `PostgreSQL`, but none that runs: its package would make one and start it.
///
/// # Errors
///
/// As of [`install`].
pub(crate) fn install_postgres() -> Result<()> {
    // The package reads this folder before it decides. Administrators put their own files there, so ours is removed.
    let folder = "/etc/postgresql-common/createcluster.d";
    let file = format!("{folder}/argus-tests.conf");
    let write = format!("mkdir -p {folder} && echo 'create_main_cluster = false' > {file}");
    run_as_root(&["sh", "-c", &write])?;
    let installed = install(&["postgresql"]);
    let remove = format!("rm {file} && rmdir --ignore-fail-on-non-empty {folder}");
    let removed = run_as_root(&["sh", "-c", &remove]);
    installed.and(removed)
}

/// Installs packages, as root or with sudo.
///
/// # Errors
///
/// There is no right to do so, no `apt-get`, or no such package.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let apt = |seconds: &str, arguments: &[&str]| {
        // Another program may be installing something.
        let timeout = ["timeout", "--kill-after", "10", seconds, "apt-get", "-o", "DPkg::Lock::Timeout=120"];
        run_as_root(&[&["env", "DEBIAN_FRONTEND=noninteractive"], &timeout[..], arguments].concat())
    };
    let install = ["install", "--yes", "--no-install-recommends"];
    apt(DOWNLOAD_SECONDS, &["update"])?;
    apt(DOWNLOAD_SECONDS, &[&install[..], &["--download-only"], packages].concat())?;
    apt(INSTALL_SECONDS, &[&install[..], &["--no-download"], packages].concat())
}

/// Runs a command as root, with sudo if need be.
fn run_as_root(words: &[&str]) -> Result<()> {
    // `-n`: without the right to become root, fail instead of waiting for a password.
    let prefix: &[&str] = if is_root()? { &[] } else { &["sudo", "-n"] };
    let mut words = prefix.iter().chain(words).copied();
    let mut command = Command::new(words.next().context("a command has a name")?);
    steps::run(command.args(words))
}
