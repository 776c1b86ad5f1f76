//! Backs up a repository while an engine works on it.
//!
//! The manifest says what to copy: segments, which never change, and the log after them. Meanwhile the engine may
//! append to the log, seal segments, and trim the log. Everything copied so far stays valid. If the engine removes
//! something before it was copied, a newer manifest does not need it, and the backup starts again with the newer
//! manifest.

mod log;

use alloc::format;

use thiserror::Error;

use self::log::{LogCopy, StopReason};
use super::OpenError;
use super::log_end::{LogEnd, SavedEnd};
use super::manifest::{Manifest, SegmentEntry};
use super::open_error::log_damaged;
use super::reading::{chunks, out_of_range};
use crate::damage::Affected;
use crate::storage::{BackupTarget, StorageError, StorageReader, StorageWriter};

/// Attempts before the backup fails. An attempt is repeated only if the engine trims the log faster than it is read.
const ATTEMPTS_MAX: u32 = 10;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// Number of segments.
    pub segments: u64,
    /// Number of segments whose bytes the target shares with the source.
    pub shared: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// The last sequence number; 0 if there are no events. The target has all retained events up to it.
    pub last_seq: u64,
    /// Whether the source's saved end of the log is damaged. A loss of the log's last records before the backup then
    /// went unnoticed. The target has a saved end of its own.
    pub end_is_unknown: bool,
    /// Attempts that were made, at least 1.
    pub attempts: u32,
}

/// Why a backup failed. The source is unchanged, and the target is useless.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BackupError {
    /// The source has no manifest.
    #[error("there is no repository: no manifest was found")]
    NoRepository,
    /// The source cannot be read, or is damaged.
    #[error("the source cannot be copied: {0}")]
    Source(#[from] OpenError),
    /// The target cannot be written.
    #[error("the copy cannot be written: {0}")]
    Target(StorageError),
    /// In each of this many attempts, the source trimmed the log before all of it was read.
    #[error("the repository changes faster than it can be copied: stopped after {0} attempts")]
    Overtaken(u32),
}

/// Copies a repository while an engine may write to it.
///
/// The target gets every event that was acknowledged before the call. It may also get the first batches that arrive
/// during the call; batches stay whole. On return the target is durable; to restore it, [open](super::Engine::open) it.
/// Its manifest is written last, when everything else is durable. The call needs a few MiB of memory.
///
/// # Errors
///
/// [`BackupError`]; the target is useless. Damage in the log is an error. Segments are copied without checks.
pub fn back_up<O: StorageReader, T: BackupTarget>(source: &O, target: &mut T) -> Result<Backup, BackupError> {
    let mut last_error = None;
    for attempts in 1..=ATTEMPTS_MAX {
        let manifest = newest(source)?;
        last_error = match attempt(source, target, &manifest) {
            Ok(Some(backup)) => return Ok(Backup { attempts, ..backup }),
            Ok(None) => None,
            Err(error @ BackupError::Target(_)) => return Err(error),
            // There is a newer manifest: the engine may have removed data that only the older one needs.
            Err(_) if newest(source)?.generation != manifest.generation => None,
            // Try again once: an engine that was opening may have cut the log or repaired a file.
            Err(error) if last_error.as_ref() == Some(&error) => return Err(error),
            Err(error) => Some(error),
        }
    }
    Err(last_error.unwrap_or(BackupError::Overtaken(ATTEMPTS_MAX)))
}

fn newest<O: StorageReader>(source: &O) -> Result<Manifest, BackupError> {
    Manifest::load(source)?.map(|found| found.manifest).ok_or(BackupError::NoRepository)
}

/// Copies the segments that a manifest lists, and the log after them. `None` if the source trimmed the log before all
/// of it was read.
fn attempt<O: StorageReader, T: BackupTarget>(
    source: &O,
    target: &mut T,
    manifest: &Manifest,
) -> Result<Option<Backup>, BackupError> {
    // Read this before the log, so that the log reaches at least to this end.
    let saved_end = LogEnd::load(source).map_err(unreadable)?;
    let end_is_unknown = matches!(saved_end, SavedEnd::Damaged(_));
    let closed_at = saved_end.known();
    // Read this after the manifest: if the log that the manifest needs is trimmed by now, a newer manifest exists.
    let bounds = source.log_range().map_err(unreadable)?;
    let start = manifest.log_start;
    if start < bounds.start || start > bounds.end {
        let place = format!("the log at offset {start}");
        let affected = Affected::between(manifest.next_seq, u64::MAX);
        return Err(log_damaged(place, start, &out_of_range(&bounds), affected).into());
    }
    target.begin(start).map_err(BackupError::Target)?;
    let mut backup = Backup { end_is_unknown, ..Backup::default() };
    for entry in &manifest.segments {
        backup.segments += 1;
        backup.shared += u64::from(copy_segment(source, target, entry)?);
    }
    let mut log = LogCopy::new(source, target.medium(), manifest, bounds.end, closed_at);
    // An offset without a record is the end of the log, unless the log was trimmed beyond it in the meantime.
    if log.run()? == StopReason::NoRecord && newest(source)?.log_start > log.end() {
        return Ok(None);
    }
    backup.log_bytes = log.end() - start;
    backup.last_seq = log.next_seq() - 1;
    let end = log.finish().map_err(BackupError::Target)?;
    publish(target.medium(), manifest, end).map_err(BackupError::Target)?;
    Ok(Some(backup))
}

/// Copies a segment. Returns whether its bytes are shared.
fn copy_segment<O: StorageReader, T: BackupTarget>(
    source: &O,
    target: &mut T,
    entry: &SegmentEntry,
) -> Result<bool, BackupError> {
    let name = entry.name();
    if target.share(&name).map_err(BackupError::Target)? {
        return Ok(true);
    }
    let Some(blob) = source.open(&name).map_err(unreadable)? else { return Err(entry.missing().into()) };
    let mut draft = target.medium().create(&name).map_err(BackupError::Target)?;
    for chunk in chunks(blob.as_ref()) {
        draft.write(&chunk.map_err(unreadable)?).map_err(BackupError::Target)?;
    }
    target.medium().adopt(draft.finish().map_err(BackupError::Target)?);
    Ok(false)
}

/// Writes the end of the log and the manifest, which turns the target into a repository. If the storage is full, it
/// writes no manifest.
fn publish<W: StorageWriter>(medium: &mut W, manifest: &Manifest, end: LogEnd) -> Result<(), StorageError> {
    let drafts = manifest.drafts(medium)?;
    end.store(medium)?;
    for published in manifest.publish(drafts)? {
        medium.adopt(published);
    }
    Ok(())
}

fn unreadable(error: StorageError) -> BackupError {
    OpenError::from(error).into()
}
