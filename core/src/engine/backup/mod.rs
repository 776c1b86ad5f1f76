//! A copy of a repository, made beside the engine that is at work on it.
//!
//! The manifest says what there is to be copied: segments, which never change, and the log behind them. Meanwhile the
//! engine appends to the log, seals, and gives up what it has sealed; none of this makes wrong what was copied already.
//! It only can take away what was about to be: then the newest manifest no longer needs it, and the copying begins anew
//! with that one.

mod log;

use alloc::format;

use thiserror::Error;

use self::log::{End, LogCopy};
use super::OpenError;
use super::log_end::{LogEnd, Noted};
use super::manifest::{Entry, Manifest};
use super::open_error::log_damaged;
use super::reading::WINDOW_BYTES;
use crate::damage::Concerned;
use crate::storage::{BackupTarget, Blob, Draft, StorageError, StorageReader, StorageWriter};

/// How often the copying is begun, before it is given up. An engine would have to give up as much log as there is, each
/// time within the time in which that is read.
const ATTEMPTS_MAX: u32 = 10;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// Segments.
    pub segments: u64,
    /// Those of them whose bytes the copy shares with the original.
    pub shared: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// The last sequence number; all events up to it are in the copy. 0 if there are none.
    pub last_seq: u64,
    /// Whether the original's note of where its log ended is damaged: it is unknown whether the log had lost its end
    /// before it was copied. The copy has a note of its own, of where its log ends.
    pub end_is_unknown: bool,
    /// How often the copying was begun, at least 1.
    pub attempts: u32,
}

/// Why there is no copy. The original is as it was, and the copy of no use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BackupError {
    /// The original has no manifest.
    #[error("there is no repository, or one that was never opened: it has no manifest")]
    NoRepository,
    /// The original cannot be read, or is damaged.
    #[error("the original cannot be copied: {0}")]
    Original(#[from] OpenError),
    /// The copy cannot be written.
    #[error("the copy cannot be written: {0}")]
    Copy(StorageError),
    /// Whatever was begun, the original gave up before it was read.
    #[error("the repository changes faster than it can be copied: given up after {0} attempts")]
    Overtaken(u32),
}

/// Copies a repository, which an engine may be writing to meanwhile.
///
/// The copy has every event that was acknowledged before this was called, and of those that come during the call a
/// part: the first ones, in whole batches, acknowledged or about to be. When this returns, it is durable, and
/// [opening](super::Engine::open) it is all there is to restoring it. Its manifest is written last, when all else is
/// durable. Memory stays within some MiB.
///
/// # Errors
///
/// [`BackupError`]. Damage in the log is one, also where an engine would only notice it when it is opened the next
/// time; segments are taken as they are.
pub fn back_up<O: StorageReader, T: BackupTarget>(source: &O, target: &mut T) -> Result<Backup, BackupError> {
    let mut before = None;
    for attempts in 1..=ATTEMPTS_MAX {
        let manifest = newest(source)?;
        before = match attempt(source, target, &manifest) {
            Ok(Some(backup)) => return Ok(Backup { attempts, ..backup }),
            Ok(None) => None,
            Err(error @ BackupError::Copy(_)) => return Err(error),
            // What an older manifest needs may be gone, or be something else by now.
            Err(_) if newest(source)?.generation != manifest.generation => None,
            // An engine that is just being opened cuts the log's end and makes other things good; not twice.
            Err(error) if before.as_ref() == Some(&error) => return Err(error),
            Err(error) => Some(error),
        }
    }
    Err(before.unwrap_or(BackupError::Overtaken(ATTEMPTS_MAX)))
}

fn newest<O: StorageReader>(source: &O) -> Result<Manifest, BackupError> {
    Manifest::load(source)?.map(|found| found.manifest).ok_or(BackupError::NoRepository)
}

/// Copies what a manifest lists, and the log behind; nothing if the original has given that up before it was read.
fn attempt<O: StorageReader, T: BackupTarget>(
    source: &O,
    target: &mut T,
    manifest: &Manifest,
) -> Result<Option<Backup>, BackupError> {
    // Looked at before the log, which reaches so far at least from then on.
    let noted = LogEnd::load(source).map_err(unreadable)?;
    let end_is_unknown = matches!(noted, Noted::Damaged(_));
    let closed_at = noted.known();
    // Looked at after the manifest: whatever the log has lost by then, this manifest or a newer one does not need.
    let bounds = source.log_range().map_err(unreadable)?;
    let start = manifest.log_start;
    if start < bounds.start || start > bounds.end {
        let reason = format!("the medium has {bounds:?} of it");
        return Err(log_damaged(
            format!("the log at offset {start}"),
            start,
            &reason,
            Concerned::between(manifest.next_seq, u64::MAX),
        )
        .into());
    }
    target.begin(start).map_err(BackupError::Copy)?;
    let mut backup = Backup { end_is_unknown, ..Backup::default() };
    for entry in &manifest.segments {
        backup.segments += 1;
        backup.shared += u64::from(copy_segment(source, target, entry)?);
    }
    let mut log = LogCopy::new(source, target.medium(), manifest, bounds.end, closed_at);
    // A place without a record is the end of the log only if the log still had that place when it was read.
    if log.run()? == End::NoRecord && newest(source)?.log_start > log.end() {
        return Ok(None);
    }
    backup.log_bytes = log.end() - start;
    backup.last_seq = log.next_seq() - 1;
    let end = log.finish().map_err(BackupError::Copy)?;
    publish(target.medium(), manifest, end).map_err(BackupError::Copy)?;
    Ok(Some(backup))
}

/// Copies a segment; says whether its bytes are shared.
fn copy_segment<O: StorageReader, T: BackupTarget>(
    source: &O,
    target: &mut T,
    entry: &Entry,
) -> Result<bool, BackupError> {
    let name = entry.name();
    if target.share(&name).map_err(BackupError::Copy)? {
        return Ok(true);
    }
    let Some(blob) = source.open(&name).map_err(unreadable)? else { return Err(entry.missing().into()) };
    let mut draft = target.medium().create(&name).map_err(BackupError::Copy)?;
    copy_blob(blob.as_ref(), draft.as_mut())?;
    target.medium().adopt(draft.finish().map_err(BackupError::Copy)?);
    Ok(false)
}

fn copy_blob(blob: &dyn Blob, draft: &mut dyn Draft) -> Result<(), BackupError> {
    let mut at = 0;
    while at < blob.len() {
        let end = blob.len().min(at + WINDOW_BYTES as u64);
        draft.write(&blob.read(at..end).map_err(unreadable)?).map_err(BackupError::Copy)?;
        at = end;
    }
    Ok(())
}

/// Makes a repository of the copy. Where there is no room for all of it, none of it is there.
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
