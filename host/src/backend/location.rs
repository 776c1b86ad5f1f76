//! Where events are kept, by its URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// A place that keeps events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `memory:` — this process, and gone with it.
    Memory,
    /// `disk:PATH` — a folder, made if it is not there.
    Disk(PathBuf),
}

/// A URL of a place that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "no such kind of repository; there are `disk:PATH` (a folder) and `memory:` (events are kept in this process and gone with it)"
)]
pub struct UnknownLocation;

impl Location {
    /// The kind of repository, as metrics show it.
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
