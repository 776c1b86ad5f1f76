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

/// A bug that is there on purpose, to see that the simulation finds it. The engine is the one of production: the bug
/// lies in the medium, or in the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canary {
    /// A commit is acknowledged before the log was synced.
    AcknowledgeBeforeSync,
    /// A blob is written and named, but nobody makes the name durable.
    NoDirectorySync,
    /// A sync that failed is tried again, and the second answer believed.
    RetryFailedSync,
    /// Wherever the log is damaged, it is cut there.
    CutAtDamage,
    /// A process that is stopped removes the file by whose lock it has kept others out.
    UnlinkedLock,
    /// A sync of a log that has no name any more is taken for success, as the system calls it.
    UnlinkedLog,
    /// Records are read that are not as they were written, as if nobody compared their checksums: these are right.
    UncheckedRecord,
    /// The same for sealed segments.
    UncheckedSegment,
    /// Events are stored again whose ids were stored before the process started: these ids are hidden from the engine.
    ForgottenIds,
    /// What was not made durable in the log is sealed nevertheless, so that a manifest may point behind what is left of
    /// it: the sync before a manifest does nothing.
    HastySeal,
    /// Where the log ended when it was closed is not looked at when it is opened: the note is hidden.
    IgnoredEnd,
    /// Every wall clock is believed, so that events expire by one that was set wrong: the uptime follows it.
    CredulousClock,
    /// What expires is gone, and nobody is told.
    SilentExpiry,
    /// A segment that is made of several has the events of one of them only, and nothing in it is damaged.
    LossyRewrite,
}

impl Canary {
    /// All of them.
    pub const ALL: [Self; 14] = [
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
    ];

    /// The name by which it is asked for.
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
        }
    }

    /// The canary of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|canary| canary.name() == name)
    }
}

/// The blob that says where the log ended when it was closed; `docs/format.md` has its name.
const LOG_END: &str = "log-end";

/// The simulated medium, with a canary's bug between it and the engine.
#[derive(Debug)]
pub(super) struct Flawed {
    pub(super) inner: SimStorage,
    pub(super) canary: Option<Canary>,
}

/// What to cut after recovery has refused, if a canary says so: the log from where it is damaged.
pub(super) fn cut_after(canary: Option<Canary>, error: &OpenError) -> Option<u64> {
    match (canary, error) {
        (Some(Canary::CutAtDamage), OpenError::Damaged { log_offset, .. }) => *log_offset,
        _ => None,
    }
}

/// A group without the ids of callers for which `is_hidden` holds.
pub(super) fn without_ids(group: &[Batch], is_hidden: impl Fn(&str) -> bool) -> Vec<Batch> {
    let without = |batch: &Batch| {
        let mut builder = BatchBuilder::new();
        for event in batch.events() {
            let id = event.id.filter(|id| !is_hidden(id.as_str()));
            builder.push(NewEvent { id, ..event }).expect("a batch takes as many events as it had");
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

    fn delete(&mut self, name: &str) -> Deletion {
        self.inner.delete(name)
    }
}

/// A draft whose name stays in doubt.
struct Unnamed(SimDraft);

impl Draft for Unnamed {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.0.write(bytes)
    }

    fn finish(self: Box<Self>) -> Result<Published, StorageError> {
        self.0.finish_in_doubt()
    }
}

/// A draft of a segment, which becomes one of those that it is made of, if it is made of several.
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

/// The sequence numbers of a segment's events, if none has expired.
fn seqs_in(segment: &[u8]) -> Range<u64> {
    let mut alone = MemoryStorage::default();
    alone.insert("segment-000000000001", Bytes::copy_from_slice(segment));
    let report = check(&alone);
    let end = report.last_seq + 1;
    end - report.events.min(end)..end
}
