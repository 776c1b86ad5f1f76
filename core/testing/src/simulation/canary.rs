//! Bugs that the simulation has to find. None of them is in the engine.

use std::ops::Range;
use std::sync::Arc;

use argus_core::batch::{Batch, BatchBuilder, NewEvent};
use argus_core::engine::{OpenError, check};
use argus_core::storage::{
    Blob, Deletion, Draft, MemoryStorage, Published, Storage, StorageError, StorageReader, StorageWriter,
};
use bytes::Bytes;

use super::super::medium::{SimDraft, SimStorage};

/// A deliberate bug that the simulation must find. The engine is the one of production: the bug is in the medium or in
/// the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// Commits are acknowledged before the log is synced.
    AcknowledgeBeforeSync,
    /// The name of a blob is never made durable.
    NoDirectorySync,
    /// A failed sync is repeated, and its second result is trusted.
    RetryFailedSync,
    /// A damaged log is cut at the damage.
    CutAtDamage,
    /// A process that is stopped removes its lock file.
    UnlinkedLock,
    /// A sync of an unlinked log counts as success, as the system call reports it.
    UnlinkedLog,
    /// Altered log records are accepted, as if their checksums were not compared. (The checksums are forged.)
    UncheckedRecord,
    /// The same for segments.
    UncheckedSegment,
    /// Ids stored before the process started are forgotten: the engine does not see them in new batches.
    ForgottenIds,
    /// Events are sealed before they are durable in the log, so a manifest can point beyond the end of the log: the
    /// sync before a manifest does nothing.
    HastySeal,
    /// The recorded end of a closed log is not checked on opening: the note is hidden.
    IgnoredEnd,
    /// Every wall clock is trusted, so that events expire by a wrong one: the uptime moves along with it.
    CredulousClock,
    /// Expired events are not reported.
    SilentExpiry,
    /// A segment made of several contains the events of only one of them; its checksums are right.
    LossyRewrite,
    /// The log is only discarded before an offset where erased bytes have to be overwritten.
    Unscrubbed,
    /// Erasures are acknowledged, and never reach the engine.
    IgnoredErasure,
}

impl Canary {
    /// All canaries.
    pub const ALL: [Self; 16] = [
        Self::AcknowledgeBeforeSync,
        Self::NoDirectorySync,
        Self::RetryFailedSync,
        Self::CutAtDamage,
        Self::UnlinkedLock,
        Self::UnlinkedLog,
        Self::UncheckedRecord,
        Self::UncheckedSegment,
        Self::ForgottenIds,
        Self::HastySeal,
        Self::IgnoredEnd,
        Self::CredulousClock,
        Self::SilentExpiry,
        Self::LossyRewrite,
        Self::Unscrubbed,
        Self::IgnoredErasure,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeSync => "acknowledge-before-sync",
            Self::NoDirectorySync => "no-directory-sync",
            Self::RetryFailedSync => "retry-failed-sync",
            Self::CutAtDamage => "cut-at-damage",
            Self::UnlinkedLock => "unlinked-lock",
            Self::UnlinkedLog => "unlinked-log",
            Self::UncheckedRecord => "unchecked-record",
            Self::UncheckedSegment => "unchecked-segment",
            Self::ForgottenIds => "forgotten-ids",
            Self::HastySeal => "hasty-seal",
            Self::IgnoredEnd => "ignored-end",
            Self::CredulousClock => "credulous-clock",
            Self::SilentExpiry => "silent-expiry",
            Self::LossyRewrite => "lossy-rewrite",
            Self::Unscrubbed => "unscrubbed",
            Self::IgnoredErasure => "ignored-erasure",
        }
    }

    /// The canary with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|canary| canary.name() == name)
    }
}

/// The blob that records where the log ended when it was closed; see `docs/format.md`.
const LOG_END: &str = "log-end";

/// The simulated medium with a canary's bug.
#[derive(Debug)]
pub(super) struct Flawed {
    pub(super) inner: SimStorage,
    pub(super) canary: Option<Canary>,
}

/// Where to cut the log after recovery has refused it, if the canary does so.
pub(super) fn cut_after(canary: Option<Canary>, error: &OpenError) -> Option<u64> {
    match (canary, error) {
        (Some(Canary::CutAtDamage), OpenError::Damaged { log_offset, .. }) => *log_offset,
        _ => None,
    }
}

/// A group without those ids from callers for which `is_hidden` is true.
pub(super) fn without_ids(group: &[Batch], is_hidden: impl Fn(&str) -> bool) -> Vec<Batch> {
    let without = |batch: &Batch| {
        let mut builder = BatchBuilder::new();
        for event in batch.events() {
            let id = event.id.filter(|id| !is_hidden(id.as_str()));
            builder.push(NewEvent { id, ..event }).expect("the events fitted into a batch before");
        }
        builder.finish().handled(batch.handling())
    };
    group.iter().map(without).collect()
}

impl StorageReader for Flawed {
    fn log_range(&self) -> Result<Range<u64>, StorageError> {
        self.inner.log_range()
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.inner.read_log(offset, len)
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.inner.list()
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        let opened = self.inner.open(name);
        if self.canary == Some(Canary::IgnoredEnd) && name == LOG_END { opened.map(|_| None) } else { opened }
    }
}

impl StorageWriter for Flawed {
    fn append(&mut self, parts: &[&[u8]]) -> Result<(), StorageError> {
        self.inner.append(parts)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        match self.canary {
            Some(Canary::AcknowledgeBeforeSync) => Ok(()),
            Some(Canary::RetryFailedSync) => self.inner.sync().or_else(|_| self.inner.sync()),
            Some(Canary::UnlinkedLog) => match self.inner.sync() {
                Err(_) if self.inner.is_unlinked() => Ok(()),
                synced => synced,
            },
            Some(_) | None => self.inner.sync(),
        }
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        self.inner.truncate(end)
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        let draft = self.inner.draft(name)?;
        Ok(match self.canary {
            Some(Canary::NoDirectorySync) => Box::new(Unnamed(draft)),
            Some(Canary::LossyRewrite) if name.starts_with("segment") => {
                Box::new(Lossy { draft, medium: self.inner.clone(), bytes: Vec::new() })
            }
            Some(_) | None => Box::new(draft),
        })
    }

    fn adopt(&mut self, published: Published) {
        self.inner.adopt(published);
    }
}

impl Storage for Flawed {
    fn is_volatile(&self) -> bool {
        self.inner.is_volatile()
    }

    fn log_end(&self) -> u64 {
        self.inner.log_end()
    }

    fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        self.inner.discard(offset)
    }

    fn scrub(&mut self, offset: u64) -> Result<bool, StorageError> {
        match self.canary {
            Some(Canary::Unscrubbed) => self.inner.discard(offset),
            Some(_) | None => self.inner.scrub(offset),
        }
    }

    fn delete(&mut self, name: &str) -> Deletion {
        self.inner.delete(name)
    }
}

/// A draft whose name is never made durable.
struct Unnamed(SimDraft);

impl Draft for Unnamed {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.0.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<Published, StorageError> {
        self.0.finish_in_doubt()
    }
}

/// A draft of a segment. If it is made of several segments, it is replaced by one of them.
struct Lossy {
    draft: SimDraft,
    medium: SimStorage,
    bytes: Vec<u8>,
}

impl Draft for Lossy {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Published, StorageError> {
        let all = seqs_in(&self.bytes);
        let is_part = |other: &Bytes| {
            let seqs = seqs_in(other);
            seqs != all && all.start <= seqs.start && seqs.end <= all.end
        };
        let part =
            self.medium.contents().blobs.into_iter().find(|(name, blob)| name.starts_with("segment") && is_part(blob));
        let bytes = part.map_or_else(|| Bytes::from(std::mem::take(&mut self.bytes)), |(_, part)| part);
        self.draft.write(&bytes)?;
        Box::new(self.draft).finish()
    }
}

/// The range of sequence numbers in a segment from which nothing has expired.
fn seqs_in(segment: &[u8]) -> Range<u64> {
    let mut alone = MemoryStorage::default();
    alone.insert("segment-000000000001", Bytes::copy_from_slice(segment));
    let report = check(&alone);
    let end = report.last_seq + 1;
    end - report.events.min(end)..end
}
