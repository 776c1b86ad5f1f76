//! Bugs that the simulation has to find.

use std::ops::Range;
use std::sync::Arc;

use argus_core::engine::{Flaw, OpenError};
use argus_core::storage::{Blob, Deletion, Draft, Published, Storage, StorageError};
use bytes::Bytes;

use super::super::medium::{SimDraft, SimStorage};

/// A bug that is there on purpose, to see that the simulation finds it.
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
    /// The engine itself has a bug.
    InEngine(Flaw),
}

impl Canary {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AcknowledgeBeforeSync,
        Self::NoDirectorySync,
        Self::RetryFailedSync,
        Self::CutAtDamage,
        Self::UnlinkedLock,
        Self::UnlinkedLog,
        Self::InEngine(Flaw::NoPayloadChecksum),
        Self::InEngine(Flaw::TrustedIndex),
        Self::InEngine(Flaw::ForgottenIds),
        Self::InEngine(Flaw::HastySeal),
        Self::InEngine(Flaw::IgnoredEnd),
        Self::InEngine(Flaw::CredulousClock),
        Self::InEngine(Flaw::SilentExpiry),
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
            Self::InEngine(Flaw::NoPayloadChecksum) => "no-payload-checksum",
            Self::InEngine(Flaw::TrustedIndex) => "trusted-index",
            Self::InEngine(Flaw::ForgottenIds) => "forgotten-ids",
            Self::InEngine(Flaw::HastySeal) => "hasty-seal",
            Self::InEngine(Flaw::IgnoredEnd) => "ignored-end",
            Self::InEngine(Flaw::CredulousClock) => "credulous-clock",
            Self::InEngine(Flaw::SilentExpiry) => "silent-expiry",
        }
    }

    /// The bug of the engine, if it is one.
    pub(super) const fn flaw(self) -> Option<Flaw> {
        match self {
            Self::InEngine(flaw) => Some(flaw),
            Self::AcknowledgeBeforeSync
            | Self::NoDirectorySync
            | Self::RetryFailedSync
            | Self::CutAtDamage
            | Self::UnlinkedLock
            | Self::UnlinkedLog => None,
        }
    }

    /// The canary of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|canary| canary.name() == name)
    }
}

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

impl Storage for Flawed {
    fn is_volatile(&self) -> bool {
        self.inner.is_volatile()
    }

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
            Some(Canary::NoDirectorySync | Canary::CutAtDamage | Canary::UnlinkedLock | Canary::InEngine(_)) | None => {
                self.inner.sync()
            }
        }
    }

    fn log_range(&self) -> Range<u64> {
        self.inner.log_range()
    }

    fn read_log(&self, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        self.inner.read_log(offset, len)
    }

    fn truncate(&mut self, end: u64) -> Result<(), StorageError> {
        self.inner.truncate(end)
    }

    fn discard(&mut self, offset: u64) -> Result<bool, StorageError> {
        self.inner.discard(offset)
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        self.inner.list()
    }

    fn open(&self, name: &str) -> Result<Option<Arc<dyn Blob>>, StorageError> {
        self.inner.open(name)
    }

    fn create(&mut self, name: &str) -> Result<Box<dyn Draft>, StorageError> {
        let draft = self.inner.draft(name)?;
        Ok(if self.canary == Some(Canary::NoDirectorySync) { Box::new(Unnamed(draft)) } else { Box::new(draft) })
    }

    fn adopt(&mut self, published: Published) {
        self.inner.adopt(published);
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
