//! Which versions of `PostgreSQL` there are on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Absent;
use crate::npm;

/// Where Debian and its derivatives install servers, in a folder for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs without which there is no server.
const PROGRAMS: [&str; 2] = ["initdb", "postgres"];

/// An installed `PostgreSQL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresVersion {
    major: u32,
    binaries: PathBuf,
    is_debian: bool,
}

impl PostgresVersion {
    /// The major versions that [`find`](Self::find) installs if they are not there, the newest last.
    pub const INSTALLABLE: [u32; npm::MAJORS.len()] = npm::MAJORS;

    /// All that are found, the lowest first: Debian's, and those of npm that [`find`](Self::find) has installed.
    #[must_use]
    pub fn installed() -> Vec<Self> {
        let mut found = debian(Path::new(DEBIAN));
        let npm = npm::MAJORS.into_iter().filter_map(|major| Some((major, npm::binaries(major)?)));
        found.extend(npm.filter_map(|(major, binaries)| Self::at(major, binaries, false)));
        found.sort_by_key(|version| (version.major, !version.is_debian));
        found
    }

    /// The newest of Debian. Without one, the newest of npm that is installed.
    ///
    /// # Errors
    ///
    /// [`Absent::NotInstalled`] if there is none.
    pub fn usual() -> Result<Self, Absent> {
        let newest = Self::installed().into_iter().max_by_key(|version| (version.is_debian, version.major));
        newest.ok_or_else(|| Absent::NotInstalled("PostgreSQL is not installed (Debian: postgresql)".to_owned()))
    }

    /// The one with this major version. One of npm is installed if it is not there yet, which takes some seconds.
    ///
    /// # Errors
    ///
    /// [`Absent::NotInstalled`] if it is not there and cannot be installed.
    pub fn find(major: u32) -> Result<Self, Absent> {
        let find = || Self::installed().into_iter().find(|version| version.major == major);
        if let Some(version) = find() {
            return Ok(version);
        }
        npm::install(major)?;
        let reason = format!("PostgreSQL {major} is not installed, and npm's package does not have its programs");
        find().ok_or(Absent::NotInstalled(reason))
    }

    /// The major version, such as 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The path of one of its programs, which may not exist: npm's packages have no clients.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    fn at(major: u32, binaries: PathBuf, is_debian: bool) -> Option<Self> {
        let is_complete = PROGRAMS.iter().all(|program| binaries.join(program).is_file());
        is_complete.then_some(Self { major, binaries, is_debian })
    }
}

/// The versions in a folder that has one folder for each.
fn debian(folder: &Path) -> Vec<PostgresVersion> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let version = |entry: fs::DirEntry| {
        let major = entry.file_name().to_str()?.parse().ok()?;
        PostgresVersion::at(major, entry.path().join("bin"), true)
    };
    entries.filter_map(version).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn only_whole_installations_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for (version, programs) in [("15", &PROGRAMS[..]), ("16", &PROGRAMS[..1]), ("common", &PROGRAMS)] {
            let binaries = folder.path().join(version).join("bin");
            fs::create_dir_all(&binaries).unwrap();
            for program in programs {
                fs::write(binaries.join(program), "").unwrap();
            }
        }
        let binaries = folder.path().join("15/bin");
        assert_eq!(debian(folder.path()), [PostgresVersion { major: 15, binaries, is_debian: true }]);
        assert_eq!(debian(&folder.path().join("missing")), []);
    }
}
