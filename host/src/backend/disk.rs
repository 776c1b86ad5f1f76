//! The disk backend: the engine over files in a folder.

use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use argus_core::engine::{self, Engine, Recovery, Seed, Tuning};
use argus_core::repository::Repository;
use argus_core::storage::StorageReader as _;
use argus_disk::DiskStorage;
use clap::Args;
use thiserror::Error;

use super::engine_options::EngineOptions;
use super::error::OpenError;
use crate::shell;

/// Options of a repository on disk, besides those of the [engine](EngineOptions).
#[derive(Args, Clone, Debug)]
pub struct DiskOptions {
    /// When to acknowledge an event: `sync` (when the disk has it), `interval:MS` (when the operating system has it;
    /// the disk has it at most that many milliseconds later) or `os` (when the operating system has it). In PostgreSQL,
    /// the last two are `synchronous_commit = off`. Only with `sync` every acknowledged event survives a loss of power
    #[arg(long, env = "ARGUS_DURABILITY", value_name = "WHEN", default_value = "sync", help_heading = "Service")]
    pub durability: Durability,
}

/// When a commit is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `sync`: once the disk has it.
    Sync,
    /// `interval:MS`: once the operating system has it; the disk has it after at most this long.
    Interval(Duration),
    /// `os`: once the operating system has it, which writes it to disk in its own time.
    Os,
}

/// The text is not a [`Durability`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected `sync`, `interval:MS` with a number of milliseconds above 0, or `os`")]
pub struct UnknownDurability;

impl DiskOptions {
    /// Opens a folder, and logs what recovery found there.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; no event has changed.
    pub(super) fn open(
        &self,
        path: &Path,
        program: &'static str,
        seed: Seed,
        options: &EngineOptions,
    ) -> Result<Box<dyn Repository>, OpenError> {
        let opened = open_folder(path, seed, options.tuning());
        let mut engine = options.apply(opened.map_err(|error| error.in_folder(path, program))?);
        match self.durability {
            Durability::Sync => {}
            Durability::Interval(_) | Durability::Os => engine.defer_syncs(),
        }
        Ok(Box::new(engine))
    }
}

impl Durability {
    /// How often commits have to be flushed to disk by a separate thread, if at all.
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

/// Logs what the operator should know about the folder: foreign files, and permissions that are too wide.
fn report_folder(path: &Path, storage: &DiskStorage) -> Result<(), OpenError> {
    let blobs = storage.list().map_err(engine::OpenError::from)?;
    let others = blobs.into_iter().filter(|name| !engine::is_blob_name(name));
    let others = others.map(|name| path.join("blobs").join(name));
    for unknown in storage.unknown_files().iter().cloned().chain(others) {
        let path = &*unknown.to_string_lossy();
        tracing::warn!(path, "a file in the folder does not belong to the repository; it is ignored");
    }
    for folder in storage.exposed() {
        let (path, word) = (&*folder.to_string_lossy(), shell::word(folder));
        tracing::warn!(path, "other users can read the events in this folder; `chmod -R go= {word}` keeps them out");
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

/// Logs what recovery found.
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
    // As a string value: logs quote and escape it.
    let path = &*path.to_string_lossy();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(path, sealed_events, replayed_events, was_closed, took_ms, "opened the repository");
    if end_is_unknown {
        tracing::warn!(
            path,
            "the record of where the log ended when it was closed is damaged: it is unknown whether the log has lost \
             its end since"
        );
    }
    if cut_record {
        tracing::warn!(
            path,
            cut_bytes,
            "the previous process ended during a commit, which was cut from the log: it was never acknowledged as \
             durable"
        );
    } else if cut_bytes > 0 {
        tracing::info!(
            path,
            cut_bytes,
            "the previous process did not close the log; the bytes after its last record were cut: they are stale, or \
             a commit that was never acknowledged as durable"
        );
    }
    if orphans > 0 {
        tracing::info!(path, orphans, "deleted orphaned segments, which no manifest lists");
    }
    if manifest_repaired {
        tracing::warn!(
            path,
            "one copy of the manifest was missing, damaged, unreadable or old, and was restored from the other"
        );
    }
    if manifest_outdated {
        tracing::warn!(
            path,
            "the storage was full or unavailable, and the second copy of the manifest could not be restored; this will \
             be retried"
        );
    }
}
