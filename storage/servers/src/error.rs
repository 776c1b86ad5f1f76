//! Why there is no server, and why one does not do what it should.

use std::fmt;
use std::process::Command;

/// Something about a server failed. The text names the place and the reason, and what the programs have printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError(String);

/// Why there is no server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is not installed. The text says how to install it.
    NotInstalled(String),
    /// It is installed, but it does not start.
    Failed(ServerError),
}

impl ServerError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What was being done when something failed.
    pub(crate) fn of<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled(text) => f.write_str(text),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Absent {}

impl From<ServerError> for Absent {
    fn from(error: ServerError) -> Self {
        Self::Failed(error)
    }
}

/// Runs a program to its end; returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, ServerError> {
    let name = format!("{command:?}");
    let output = command.output().map_err(ServerError::of(&name))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    Err(ServerError(format!("{name}: {}\n{stdout}{stderr}", output.status)))
}
