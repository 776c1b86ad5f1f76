//! Backends: the kinds of repository, and the options of each.
//!
//! Only these modules know how a repository is built; all others know only the trait [`Repository`].

mod database_options;
mod disk;
mod engine_options;
mod error;
mod location;
mod memory;
mod mongodb;
mod postgres;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argus_core::engine::Seed;
use argus_core::repository::{Repository, Snapshot};
use clap::Args;

pub use database_options::DatabaseOptions;
pub use disk::{DiskOptions, Durability, UnknownDurability};
pub use engine_options::EngineOptions;
pub use error::OpenError;
pub use location::{DatabaseUrl, Location, UnknownLocation};
pub(crate) use postgres::schema as postgres_schema;

/// The options of all backends.
#[derive(Args, Clone, Debug)]
pub struct BackendOptions {
    /// Options of a repository on disk.
    #[command(flatten)]
    pub disk: DiskOptions,
    /// Options of the engine, on disk and in memory.
    #[command(flatten)]
    pub engine: EngineOptions,
    /// Options of a repository in a database.
    #[command(flatten)]
    pub database: DatabaseOptions,
}

/// An opened repository, and how its owner must flush it.
pub struct Opened {
    /// The repository.
    pub repository: Box<dyn Repository>,
    /// How often the owner must flush it, apart from commits, if at all.
    pub flush_every: Option<Duration>,
}

impl BackendOptions {
    /// Checks that a location can be opened, as far as that can be told from its text.
    ///
    /// # Errors
    ///
    /// What is wrong with it. The message quotes nothing of the URL of a database.
    pub(crate) fn check(&self, location: &Location) -> Result<(), String> {
        match location {
            Location::Memory | Location::Disk(_) => Ok(()),
            Location::Postgres(url) => postgres::check(url),
            Location::Mongodb(url) => mongodb::check(url),
        }
    }

    /// The most memory that a repository at a location needs, without the index of stored events: a name and a number
    /// of bytes for each purpose. `group_bytes` is the largest group that is committed.
    pub(crate) fn memory(&self, location: &Location, group_bytes: usize) -> Vec<(&'static str, usize)> {
        match location {
            Location::Memory | Location::Disk(_) => self.engine.memory().into(),
            Location::Postgres(_) | Location::Mongodb(_) => {
                vec![("database", self.database.memory().saturating_add(group_bytes))]
            }
        }
    }

    /// The longest payload that a location can store, in bytes, if there is a limit.
    pub(crate) fn payload_bytes_max(location: &Location) -> Option<usize> {
        match location {
            Location::Memory | Location::Disk(_) | Location::Postgres(_) => None,
            Location::Mongodb(_) => Some(mongodb::PAYLOAD_BYTES_MAX),
        }
    }

    /// The options of a copy, which differ from those of a server in that everything is kept.
    pub(crate) fn of_copy(database: DatabaseOptions) -> Self {
        let disk = DiskOptions { durability: Durability::Sync };
        Self { disk, engine: EngineOptions::of_copy(), database }
    }

    /// Opens the repository at a location for reading alone, which changes nothing there. A server may use it. Takes a
    /// snapshot of it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]
    pub(crate) fn open_source(&self, location: &Location) -> Result<Arc<dyn Snapshot>, OpenError> {
        match location {
            Location::Memory => Err(OpenError::Memory),
            Location::Disk(path) => Ok(argus_export::open(path)?),
            Location::Postgres(url) => postgres::open_source(url, &self.database),
            Location::Mongodb(url) => mongodb::open_source(url, &self.database),
        }
    }

    /// Opens the repository at a location, and logs what recovery found there. Errors advise to run commands of
    /// `program`.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; no event has changed.
    pub fn open(&self, location: &Location, program: &'static str) -> Result<Opened, OpenError> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed)?;
        let seed = Seed(u128::from_ne_bytes(seed));
        Ok(match location {
            Location::Memory => Opened { repository: memory::open(seed, &self.engine)?, flush_every: None },
            Location::Postgres(url) => {
                let repository = postgres::open(url, &self.database, &self.engine, self.disk.durability)?;
                Opened { repository, flush_every: None }
            }
            Location::Mongodb(url) => {
                let repository = mongodb::open(url, &self.database, &self.engine, self.disk.durability)?;
                Opened { repository, flush_every: None }
            }
            Location::Disk(path) => Opened {
                repository: self.disk.open(path, program, seed, &self.engine)?,
                flush_every: self.disk.durability.flush_every(),
            },
        })
    }
}

/// The message of a program that was built without a kind of repository.
#[cfg(not(all(feature = "postgres", feature = "mongodb")))]
fn built_without(kind: &str, feature: &str) -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| name.starts_with("argus-"));
    let package = name.unwrap_or("argus-tokio");
    format!(
        "this program was built without {kind}; `cargo build --release --package {package} --features {feature}` \
         builds one with it"
    )
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("flush_every", &self.flush_every).finish_non_exhaustive()
    }
}
