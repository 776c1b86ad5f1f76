//! `SecantusDB`, which stands in for MongoDB: as `PyPI`'s package, which is installed in seconds, and as the program in
//! Rust, which is many times as fast and takes minutes to build.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, ffi::OsStr, fs};

use tempfile::TempDir;

use crate::error::{Absent, ServerError, output};

const PACKAGE: &str = "SecantusDB";

const VERSION: &str = "0.7.0b3";

/// The crate with the program in Rust, and the version that tests use.
pub const SECANTUSD_CRATE: (&str, &str) = ("secantus-mdb", "0.5.3-beta.196");

/// The folder for `cargo install --root` into which the program in Rust belongs, in the folder for cargo's output;
/// `None` if that is unknown.
#[must_use]
pub fn secantusd_root() -> Option<PathBuf> {
    let (name, version) = SECANTUSD_CRATE;
    folder(&format!("{name}-{version}"))
}

/// The program in Rust, if it was installed there.
pub(crate) fn built() -> Option<PathBuf> {
    secantusd_root().map(|root| root.join("bin/secantusd-rs")).filter(|program| program.is_file())
}

/// The folder of the installed package, which is installed if it is not there yet. It takes some seconds.
///
/// # Errors
///
/// [`Absent::NotInstalled`] if pip cannot install it.
pub(crate) fn packaged() -> Result<PathBuf, Absent> {
    let unknown = "the folder for cargo's output, into which PyPI's packages are installed, is unknown";
    let folder = folder(&format!("secantusdb-{VERSION}")).ok_or_else(|| ServerError::new(unknown))?;
    let parent = folder.parent().ok_or_else(|| ServerError::new(unknown))?;
    if folder.exists() {
        return Ok(folder);
    }
    // Several processes may install at once: each into a folder of its own, and one of them is kept.
    let made = TempDir::with_prefix_in("secantusdb-", parent);
    let own = made.map_err(ServerError::of(format!("a folder for {PACKAGE} in {}", parent.display())))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"]);
    pip.arg("--target").arg(own.path()).arg(format!("{PACKAGE}=={VERSION}")).stdin(Stdio::null());
    output(&mut pip).map_err(|error| {
        Absent::NotInstalled(format!(
            "there is no MongoDB server: neither mongod nor secantusd-rs is in PATH, and pip cannot install {PACKAGE}: \
             {error}"
        ))
    })?;
    match fs::rename(own.path(), &folder) {
        // Its former path is gone, so dropping it would report an error.
        Ok(()) => drop(own.keep()),
        Err(_) if folder.exists() => {}
        Err(error) => return Err(ServerError::of(folder.display())(error).into()),
    }
    Ok(folder)
}

/// A folder in that for cargo's output. The version is part of its name, so that another one is not taken for it.
fn folder(name: &str) -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    // cargo puts programs into the profile's folder, and tests into `deps` below it.
    let profile = if folder.file_name() == Some(OsStr::new("deps")) { folder.parent()? } else { folder };
    Some(profile.parent()?.join(name))
}
