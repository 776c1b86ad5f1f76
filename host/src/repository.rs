//! Where events are kept, by its URL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use argus_core::engine::{self, Engine, Recovery, Retention, Seed, Tuning};
use argus_core::repository::Repository;
use argus_core::storage::{MemoryStorage, StorageReader as _};
use argus_disk::DiskStorage;
use thiserror::Error;

/// A place that keeps events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `memory:` — this process, and gone with it.
    Memory,
    /// `disk:PATH` — a folder, made if it is not there.
    Disk(PathBuf),
}

/// When a commit to a disk counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `sync`: when the disk has it.
    Sync,
    /// `interval:MS`: when the operating system has it; the disk has it after so long at most.
    Interval(Duration),
    /// `os`: when the operating system has it; the disk has it when the system sees fit.
    Os,
}

/// A URL of a place that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "no such kind of repository; there are `disk:PATH` (a folder) and `memory:` (events are kept in this process and gone with it)"
)]
pub struct UnknownLocation;

/// A text that names no [`Durability`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected `sync`, `interval:MS` with a number of milliseconds above 0, or `os`")]
pub struct UnknownDurability;

/// Why a repository could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The system gave no randomness for its hash seeds.
    #[error("the system's random generator failed: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The folder could not be opened.
    #[error(transparent)]
    Folder(#[from] argus_disk::OpenError),
    /// What is stored could not be read.
    #[error(transparent)]
    Repository(#[from] engine::OpenError),
    /// Something in the folder is not as it was left.
    #[error("{reason}. Nothing was changed; `check {0}` lists all that is damaged, and `check {0} --salvage TO` saves what is whole", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// The place, what is wrong with it, and which events are concerned.
        reason: String,
    },
}

impl OpenError {
    /// The same error; of damage in a folder, with what can be done about it.
    fn in_folder(self, path: &Path) -> Self {
        match self {
            Self::Folder(argus_disk::OpenError::Damaged { .. })
            | Self::Repository(engine::OpenError::Damaged { .. }) => {
                Self::Damaged { path: path.to_owned(), reason: self.to_string() }
            }
            Self::Randomness(_) | Self::Folder(_) | Self::Repository(_) | Self::Damaged { .. } => self,
        }
    }
}

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

impl Durability {
    /// How often what was committed has to be made durable apart from the commits, if at all.
    #[must_use]
    pub fn flush_every(&self) -> Option<Duration> {
        match self {
            Self::Sync | Self::Os => None,
            Self::Interval(interval) => Some(*interval),
        }
    }
}

impl FromStr for Durability {
    type Err = UnknownDurability;

    fn from_str(text: &str) -> Result<Self, UnknownDurability> {
        match text {
            "sync" => Ok(Self::Sync),
            "os" => Ok(Self::Os),
            _ => {
                let millis = text.strip_prefix("interval:").and_then(|millis| millis.parse::<u32>().ok());
                let interval = millis.filter(|&millis| millis > 0).ok_or(UnknownDurability)?;
                Ok(Self::Interval(Duration::from_millis(interval.into())))
            }
        }
    }
}

/// Opens the repository at a location, and logs what was found there.
///
/// # Errors
///
/// [`OpenError`]; no event was changed.
pub fn open(
    location: &Location,
    tuning: Tuning,
    durability: Durability,
    retention: Retention,
    clock_trust_after: Duration,
) -> Result<Box<dyn Repository>, OpenError> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)?;
    let seed = Seed(u128::from_ne_bytes(seed));
    let trust_after = i64::try_from(clock_trust_after.as_nanos()).unwrap_or(i64::MAX);
    match location {
        Location::Memory => {
            let mut engine = Engine::open_with(MemoryStorage::default(), seed, tuning)?;
            engine.retain(retention);
            engine.trust_clock_after(trust_after);
            Ok(Box::new(engine))
        }
        Location::Disk(path) => {
            let mut engine = open_folder(path, seed, tuning).map_err(|error| error.in_folder(path))?;
            engine.retain(retention);
            engine.trust_clock_after(trust_after);
            match durability {
                Durability::Sync => {}
                Durability::Interval(_) | Durability::Os => engine.defer_syncs(),
            }
            Ok(Box::new(engine))
        }
    }
}

/// Logs what an operator should know about the folder and what else lies in it.
fn report_folder(path: &Path, storage: &DiskStorage) -> Result<(), OpenError> {
    let blobs = storage.list().map_err(engine::OpenError::from)?;
    let others = blobs.into_iter().filter(|name| !engine::is_blob_name(name));
    let others = others.map(|name| path.join("blobs").join(name));
    for stranger in storage.strangers().iter().cloned().chain(others) {
        tracing::warn!(path = %stranger.display(), "this lies among the files of the repository and is none of them; it is left alone");
    }
    for folder in storage.exposed() {
        let path = folder.display();
        tracing::warn!(%path, "other users can read the events in this folder; `chmod -R go= {path}` keeps them out");
    }
    Ok(())
}

fn open_folder(path: &Path, seed: Seed, tuning: Tuning) -> Result<Engine<DiskStorage>, OpenError> {
    let begun = Instant::now();
    let storage = DiskStorage::open(path, argus_disk::Options::default())?;
    let engine = Engine::open_with(storage, seed, tuning)?;
    report(path, engine.recovery(), begun.elapsed());
    report_folder(path, engine.storage())?;
    Ok(engine)
}

/// Logs what was found, and what of it an operator should know.
fn report(path: &Path, recovery: &Recovery, took: Duration) {
    let Recovery {
        sealed_events,
        replayed_events,
        was_closed,
        end_is_unknown,
        cut_bytes,
        cut_record,
        orphans,
        manifest_repaired,
        manifest_outdated,
    } = *recovery;
    let path = path.display();
    tracing::info!(%path, sealed_events, replayed_events, was_closed, ?took, "opened the repository");
    if end_is_unknown {
        tracing::warn!(
            %path,
            "the note of where the log ended when it was closed is damaged: whether the log has lost its end since then cannot be told"
        );
    }
    if cut_record {
        tracing::warn!(
            %path,
            cut_bytes,
            "the process before ended in the midst of a commit, which was cut from the log: nobody was told that it was durable"
        );
    } else if cut_bytes > 0 {
        tracing::info!(
            %path,
            cut_bytes,
            "the process before did not close the log; what lies behind its last record was cut: it is what the files held before, or of a \
             commit that nobody was told was durable"
        );
    }
    if orphans > 0 {
        tracing::info!(%path, orphans, "deleted segments that belonged to nothing");
    }
    if manifest_repaired {
        tracing::warn!(%path, "one copy of the manifest was missing, damaged, unreadable or old, and was made good from the other");
    }
    if manifest_outdated {
        tracing::warn!(%path, "the storage was full or not available, and the second copy of the manifest could not be made good; it is tried again");
    }
}
