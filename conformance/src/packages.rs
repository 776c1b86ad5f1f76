//! Clients of streams that we did not write, from npm and `PyPI`.
//!
//! Each is installed once, beside the programs under test.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tempfile::TempDir;

use crate::failure::Failure;
use crate::{binaries, programs};

/// A package of a registry.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// What its folder is called.
    name: &'static str,
    registry: Registry,
    /// The package and its version, as the registry names them.
    version: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Registry {
    Npm,
    PyPi,
}

/// An implementation of `EventSource` for Node. The last version that runs on the Node of Debian 12.
pub const EVENTSOURCE: Package = Package { name: "eventsource", registry: Registry::Npm, version: "eventsource@3.0.7" };
/// A client of WebSocket for Node, which offers compression.
pub const WS: Package = Package { name: "ws", registry: Registry::Npm, version: "ws@8.18.3" };
/// A client of WebSocket for Python, which offers compression.
pub const WEBSOCKETS: Package = Package { name: "websockets", registry: Registry::PyPi, version: "websockets==15.0.1" };

/// All of them.
pub const ALL: [Package; 3] = [EVENTSOURCE, WS, WEBSOCKETS];

impl Registry {
    /// The command that installs into the folder that follows, and what needs to be there for it and to run a client.
    /// A registry that does not answer is given up soon.
    fn install(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Npm => (
                &[
                    "npm",
                    "install",
                    "--no-audit",
                    "--no-fund",
                    "--loglevel=error",
                    "--fetch-retries=1",
                    "--fetch-timeout=20000",
                    "--prefix",
                ],
                &["node", "npm"],
            ),
            Self::PyPi => (
                &[
                    "python3",
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--retries=1",
                    "--timeout=20",
                    "--target",
                ],
                &["python3"],
            ),
        }
    }
}

impl Package {
    /// The folder in which an import finds the package, installed now if it is not yet.
    ///
    /// # Errors
    ///
    /// [`Failure::Skipped`] if it cannot be installed.
    pub fn folder(&self) -> Result<PathBuf, Failure> {
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.path()?;
        if !folder.exists() {
            self.install(&folder)?;
        }
        Ok(match self.registry {
            Registry::Npm => folder.join("node_modules"),
            Registry::PyPi => folder,
        })
    }

    /// Whether it is installed, and what runs it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.path().is_ok_and(|folder| folder.exists()) && self.missing_program().is_none()
    }

    fn missing_program(&self) -> Option<&'static str> {
        self.registry.install().1.iter().copied().find(|program| programs::find(program).is_none())
    }

    fn path(&self) -> Result<PathBuf, Failure> {
        // The version is part of the name, so that another one is not taken for it.
        let name = format!("package-{}", self.version.replace("==", "@"));
        Ok(binaries::profile_folder().map_err(Failure::unmet)?.join(name))
    }

    fn install(&self, folder: &PathBuf) -> Result<(), Failure> {
        let unmet = |error: std::io::Error| Failure::unmet(format!("a folder for the package {}: {error}", self.name));
        if let Some(missing) = self.missing_program() {
            return Err(Failure::skipped(format!("needs {missing}, which is not installed")));
        }
        let (command, _) = self.registry.install();
        let parent = folder.parent().ok_or_else(|| Failure::unmet("a folder for packages"))?;
        // Several processes may install at once: each into a folder of its own, and one of them is kept.
        let own = TempDir::with_prefix_in(format!("package-{}-", self.name), parent).map_err(unmet)?;
        let (program, arguments) = command.split_first().ok_or_else(|| Failure::unmet("a command"))?;
        let words = arguments.iter().map(OsStr::new).chain([own.path().as_os_str(), OsStr::new(self.version)]);
        let installed = Command::new(program).args(words).stdin(Stdio::null()).output();
        let installed = installed.map_err(|error| Failure::skipped(format!("needs {program}: {error}")))?;
        if !installed.status.success() {
            let why = String::from_utf8_lossy(&installed.stderr).into_owned();
            return Err(Failure::skipped(format!("needs {}, which could not be installed: {why}", self.version)));
        }
        match std::fs::rename(own.path(), folder) {
            // Its former path is gone, so dropping it would report an error.
            Ok(()) => drop(own.keep()),
            Err(_) if folder.exists() => {}
            Err(error) => return Err(unmet(error)),
        }
        Ok(())
    }
}
