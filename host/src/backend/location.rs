//! The URL that says where events are kept.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Where events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `memory:`: in this process; they are lost when it ends.
    Memory,
    /// `disk:PATH`: in a folder, which is created if it does not exist.
    Disk(PathBuf),
}

/// A URL of no known kind of repository.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "unknown kind of repository; expected `disk:PATH` (a folder) or `memory:` (events are lost when the process ends)"
)]
pub struct UnknownLocation;

impl Location {
    /// The kind of repository, for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk(_) => "disk",
        }
    }
}

impl fmt::Display for Location {
    /// The URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Disk(path) => write!(f, "disk:{}", path.display()),
        }
    }
}

impl FromStr for Location {
    type Err = UnknownLocation;

    fn from_str(url: &str) -> Result<Self, UnknownLocation> {
        match url {
            "memory:" => Ok(Self::Memory),
            _ => match url.strip_prefix("disk:") {
                Some(path) if !path.is_empty() => Ok(Self::Disk(path.into())),
                Some(_) | None => Err(UnknownLocation),
            },
        }
    }
}
