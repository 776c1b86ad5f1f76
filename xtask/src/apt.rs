//! Packages of Debian that a test needs.

use std::process::Command;

use anyhow::{Context, Result};

use crate::steps;

/// The longest time for one call, in seconds: a registry that hangs must not hang a test.
const SECONDS: &str = "180";

/// Whether this process belongs to root.
///
/// # Errors
///
/// The program `id` is missing.
pub(crate) fn is_root() -> Result<bool> {
    let user = Command::new("id").arg("-u").output().context("cannot find out the user id")?;
    Ok(user.stdout.trim_ascii() == b"0")
}

/// Installs packages, as root or with sudo.
///
/// # Errors
///
/// There is no right to do so, no `apt-get`, or no such package.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    // `-n`: without the right to become root, fail instead of waiting for a password.
    let prefix: &[&str] = if is_root()? { &["env"] } else { &["sudo", "-n", "env"] };
    let apt = |arguments: &[&str]| {
        // Another program may be installing something.
        let timeout = ["timeout", "--kill-after", "10", SECONDS, "apt-get", "-o", "DPkg::Lock::Timeout=120"];
        let words = prefix.iter().chain(&["DEBIAN_FRONTEND=noninteractive"]).chain(&timeout).chain(arguments);
        let mut words = words.copied();
        let mut command = Command::new(words.next().context("a command has a name")?);
        steps::run(command.args(words))
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}
