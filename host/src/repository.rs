//! Where events are kept, by its URL.

use std::str::FromStr;

use argus_core::engine::{self, Engine, Seed};
use argus_core::repository::Repository;
use argus_core::storage::MemoryStorage;
use thiserror::Error;

/// A place that keeps events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `memory:` — this process, and gone with it.
    Memory,
}

/// A URL of a place that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no such kind of repository; there is `memory:` (events are kept in this process and gone with it)")]
pub struct UnknownLocation;

/// Why a repository could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The system gave no randomness for its hash seeds.
    #[error("the system's random generator failed: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The storage could not be read or set up.
    #[error("repository: {0}")]
    Repository(#[from] engine::OpenError),
}

impl Location {
    /// The kind of repository, as metrics show it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
        }
    }
}

impl FromStr for Location {
    type Err = UnknownLocation;

    fn from_str(url: &str) -> Result<Self, UnknownLocation> {
        match url {
            "memory:" => Ok(Self::Memory),
            _ => Err(UnknownLocation),
        }
    }
}

/// Opens the repository at a location.
///
/// # Errors
///
/// [`OpenError`]; nothing was changed.
pub fn open(location: &Location) -> Result<Box<dyn Repository>, OpenError> {
    match location {
        Location::Memory => {
            let mut seed = [0; 16];
            getrandom::fill(&mut seed)?;
            Ok(Box::new(Engine::open(MemoryStorage::default(), Seed(u128::from_ne_bytes(seed)))?))
        }
    }
}
