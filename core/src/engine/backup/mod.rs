//! Backs up a repository while an engine works on it.
//!
//! The manifest says what to copy: segments, which never change, and the log after them. Meanwhile the engine may
//! append to the log, seal segments and discard log. None of this invalidates what was copied. It can only remove what
//! is still to be copied; then a newer manifest no longer needs that, and the backup starts again with the newer one.

mod log;

use alloc::format;

use thiserror::Error;

use self::log::{End, LogCopy};
use super::OpenError;
use super::log_end::{LogEnd, SavedEnd};
use super::manifest::{Entry, Manifest};
use super::open_error::log_damaged;
use super::reading::WINDOW_BYTES;
use crate::damage::Affected;
use crate::storage::{BackupTarget, Blob, Draft, StorageError, StorageReader, StorageWriter};

/// Attempts before the backup fails. Each attempt would have to be overtaken: the engine would have to discard the
/// whole log in the time that reading it takes.
const ATTEMPTS_MAX: u32 = 10;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// Segments.
    pub segments: u64,
    /// Segments whose bytes the target shares with the source.
    pub shared: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// The last sequence number. The target has all retained events up to it. 0 if there are none.
    pub last_seq: u64,
    /// Whether the source's saved end of the log is damaged, so that it is unknown whether the log had lost its end
    /// before. The target has a saved end of its own.
    pub end_is_unknown: bool,
    /// Attempts that were made, at least 1.
    pub attempts: u32,
}

/// Why a backup failed. The source is unchanged, and the target is useless.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BackupError {
    /// The source has no manifest.
    #[error("there is no repository, or one that was never opened: it has no manifest")]
    NoRepository,
    /// The source cannot be read, or is damaged.
    #[error("the source cannot be copied: {0}")]
    Source(#[from] OpenError),
    /// The target cannot be written.
    #[error("the copy cannot be written: {0}")]
    Target(StorageError),
    /// In each of this many attempts, the source discarded log before it was read.
    #[error("the repository changes faster than it can be copied: stopped after {0} attempts")]
    Overtaken(u32),
}

/// Copies a repository while an engine may write to it.
///
/// The target gets every event that was acknowledged before the call. Of the events that arrive during the call, it
/// gets a prefix of whole batches, acknowledged or about to be. On return the target is durable; to restore it,
/// [open](super::Engine::open) it. Its manifest is written last, when everything else is durable. Memory stays within
/// some MiB.
///
/// # Errors
///
/// [`BackupError`]. Damage in the log is an error, even where an engine would notice it only at its next open. Segments
/// are copied unchecked.
pub fn back_up<O: StorageReader, T: BackupTarget>(source: &O, target: &mut T) -> Result<Backup, BackupError> {
    let mut before = None;
    for attempts in 1..=ATTEMPTS_MAX {
        let manifest = newest(source)?;
        before = match attempt(source, target, &manifest) {
            Ok(Some(backup)) => return Ok(Backup { attempts, ..backup }),
            Ok(None) => None,
            Err(error @ BackupError::Target(_)) => return Err(error),
            // What an older manifest needs may be gone, or overwritten.
            Err(_) if newest(source)?.generation != manifest.generation => None,
            // An engine that is being opened may cut the log and repair files, but only once.
            Err(error) if before.as_ref() == Some(&error) => return Err(error),
            Err(error) => Some(error),
        }
    }
    Err(before.unwrap_or(BackupError::Overtaken(ATTEMPTS_MAX)))
}

fn newest<O: StorageReader>(source: &O) -> Result<Manifest, BackupError> {
    Manifest::load(source)?.map(|found| found.manifest).ok_or(BackupError::NoRepository)
}

/// Copies the segments that a manifest lists, and the log after them. `None` if the source discarded some of that log
/// before it was read.
fn attempt<O: StorageReader, T: BackupTarget>(
    source: &O,
    target: &mut T,
    manifest: &Manifest,
) -> Result<Option<Backup>, BackupError> {
    // Read before the log: from then on, the log reaches at least this far.
    let saved_end = LogEnd::load(source).map_err(unreadable)?;
    let end_is_unknown = matches!(saved_end, SavedEnd::Damaged(_));
    let closed_at = saved_end.known();
    // Read after the manifest: log that is gone by then is not needed by this manifest, or a newer one exists.
    let bounds = source.log_range().map_err(unreadable)?;
    let start = manifest.log_start;
    if start < bounds.start || start > bounds.end {
        let reason = format!("the medium has {bounds:?} of it");
        return Err(log_damaged(
            format!("the log at offset {start}"),
            start,
            &reason,
            Affected::between(manifest.next_seq, u64::MAX),
        )
        .into());
    }
    target.begin(start).map_err(BackupError::Target)?;
    let mut backup = Backup { end_is_unknown, ..Backup::default() };
    for entry in &manifest.segments {
        backup.segments += 1;
        backup.shared += u64::from(copy_segment(source, target, entry)?);
    }
    let mut log = LogCopy::new(source, target.medium(), manifest, bounds.end, closed_at);
    // An offset without a record is the end of the log only if the log still had that offset when it was read.
    if log.run()? == End::NoRecord && newest(source)?.log_start > log.end() {
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
    entry: &Entry,
) -> Result<bool, BackupError> {
    let name = entry.name();
    if target.share(&name).map_err(BackupError::Target)? {
        return Ok(true);
    }
    let Some(blob) = source.open(&name).map_err(unreadable)? else { return Err(entry.missing().into()) };
    let mut draft = target.medium().create(&name).map_err(BackupError::Target)?;
    copy_blob(blob.as_ref(), draft.as_mut())?;
    target.medium().adopt(draft.finish().map_err(BackupError::Target)?);
    Ok(false)
}

fn copy_blob(blob: &dyn Blob, draft: &mut dyn Draft) -> Result<(), BackupError> {
    let mut at = 0;
    while at < blob.len() {
        let end = blob.len().min(at + WINDOW_BYTES as u64);
        draft.write(&blob.read(at..end).map_err(unreadable)?).map_err(BackupError::Target)?;
        at = end;
    }
    Ok(())
}

/// Turns the target into a repository, or, if there is no room, leaves it without a manifest.
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
