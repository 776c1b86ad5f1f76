//! The single writer over a [`Storage`], and the snapshots that it hands out.
//!
//! A commit goes through three steps that know nothing of each other: *propose* (which events are new, which sequence
//! numbers they get), *append* (records to the log, one sync) and *apply* (a record at its place becomes a segment in
//! memory). Recovery runs the last of them over the log.

mod backup;
mod check;
mod clock_doubt;
mod commit;
mod dedup;
mod log_end;
mod maintenance;
mod manifest;
mod open;
mod open_error;
mod parts;
mod proposal;
mod reading;
mod retention;
mod salvage;
mod scan;
mod snapshot;
mod task;
mod types;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

pub use backup::{Backup, BackupError, back_up};
pub use check::{Finding, Report, Severity, check};
pub use manifest::is_blob_name;
pub use open::Recovery;
pub use open_error::OpenError;
pub use reading::{HEAD_SEEN_BYTES, written_offsets};
pub use retention::Retention;
pub use salvage::{Loss, Salvage, SalvageError, salvage};
pub use snapshot::EngineSnapshot;

use crate::batch::Batch;
use crate::clock::{Clock, ClockDoubt, Moment};
use crate::event::Timestamp;
use crate::identity::IdentityKey;
pub use crate::identity::Seed;
use crate::repository::{
    CommitError, Expired, Failure, Maintenance, MaintenanceTask, Reader, Receipt, Repository, Snapshot, Stats,
};
use crate::segment::{Sealed, Segment, TypeName};
use crate::storage::Storage;
use log_end::LogEnd;
use manifest::Manifest;
use task::{Busy, Replacement, Task};
use types::TypeRegistry;

/// When segments are merged and sealed, and how much is kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Fresh segments are sealed into an immutable blob when they hold so many events…
    pub seal_events: usize,
    /// …or so many bytes.
    pub seal_bytes: usize,
    /// With so many fresh segments, or several times what is sealed at once, commits wait for maintenance.
    pub fresh_segments_max: usize,
    /// How many segments of about one size are merged into one of the next; at least 2.
    pub fan_in: usize,
    /// Sealed segments are made of blocks of about so many bytes of ids and payloads. They are read as a whole.
    pub block_bytes: usize,
    /// Sealed segments are not merged beyond so many events.
    pub segment_events_max: usize,
    /// Filters of callers' ids take up to so many bytes in memory, ten bits an id; the ids of older segments are looked
    /// up on the medium.
    pub filter_bytes_max: u64,
    /// How many different event types there may be. Their names are in memory. An event that would bring one more is
    /// refused, and a repository that has more is not opened.
    pub types_max: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            seal_events: 65_536,
            seal_bytes: 16 * 1024 * 1024,
            fresh_segments_max: 1024,
            fan_in: 8,
            block_bytes: 64 * 1024,
            // Two tiers above what is sealed at once, and half as much again: what is sealed for the number of its
            // events has some more.
            segment_events_max: 6 * 1024 * 1024,
            filter_bytes_max: 64 * 1024 * 1024,
            types_max: TYPES_MAX_DEFAULT,
        }
    }
}

/// How many different event types there may be, where nobody says otherwise.
pub const TYPES_MAX_DEFAULT: usize = 100_000;

/// Back-pressure starts when the unsealed tail exceeds this many seal sizes.
const FRESH_SEALS_MAX: usize = 4;

/// Keeps events in a [`Storage`].
#[derive(Debug)]
pub struct Engine<S: Storage> {
    storage: S,
    tuning: Tuning,
    key: IdentityKey,
    retention: Retention,
    /// Whether the wall clock is to be believed.
    clock: Clock,
    /// Immutable blobs, ascending by sequence number.
    sealed: Arc<Vec<Arc<Sealed>>>,
    /// What lies only in the log so far, ascending by sequence number, behind all of `sealed`.
    fresh: Vec<Fresh>,
    /// The types of `sealed` and `fresh`.
    types: TypeRegistry,
    /// What the storage says that the repository consists of.
    manifest: Manifest,
    /// The number of the next segment.
    next_number: u64,
    /// What waits for a manifest to say so, and how much of it the one says that is being written.
    unpublished: Vec<Replacement>,
    publishing: usize,
    /// Segments that no manifest lists any more, to be deleted.
    obsolete: Vec<String>,
    /// Whether there is log before what the manifest refers to, to be dropped.
    log_is_outdated: bool,
    busy: Busy,
    /// The checksum of the last head in the log.
    chain: u32,
    /// Everything in the log before this offset is durable…
    durable: u64,
    /// …and all events before this one are said to be so by a record behind them.
    noted: u64,
    /// Where the storage says that the log ended, when it was closed last.
    log_end: Option<LogEnd>,
    syncs_deferred: bool,
    last_seq: u64,
    /// The time of the last commit: generated ids do not go back when the clock does.
    last_millis: i64,
    stats: Stats,
    recovery: Recovery,
    /// Why nothing more is accepted, until it is opened anew: a sync is never tried again on the same data.
    failure: Option<Failure>,
}

/// A segment that lies only in the log.
#[derive(Clone, Debug)]
struct Fresh {
    segment: Arc<Segment>,
    /// Its types, as they are counted.
    types: Box<[TypeName]>,
    /// Where the log goes on behind its last record…
    log_end: u64,
    /// …and the checksum of that record's head.
    chain: u32,
}

impl Fresh {
    fn new(segment: Arc<Segment>, types: Box<[TypeName]>, (log_end, chain): (u64, u32)) -> Self {
        Self { segment, types, log_end, chain }
    }
}

impl<S: Storage> Engine<S> {
    /// The medium, for tests and tools.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// From now on a commit does not wait until it is durable; [`flush`](Repository::flush) makes it so.
    pub fn defer_syncs(&mut self) {
        self.syncs_deferred = true;
    }

    /// What is stored at this moment, for readers to keep as long as they like. Cheap.
    pub fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(self.view())
    }

    fn refuse_if_failed(&self) -> Result<(), CommitError> {
        self.failure.as_ref().map_or(Ok(()), |failure| Err(failure.clone().into()))
    }

    fn fresh_bytes(&self) -> usize {
        self.fresh.iter().map(|fresh| fresh.segment.rows().bytes()).sum()
    }

    fn view(&self) -> EngineSnapshot {
        let fresh: Box<[Arc<Segment>]> = self.fresh.iter().map(|fresh| Arc::clone(&fresh.segment)).collect();
        let mut stats = self.stats;
        stats.segments = (self.sealed.len() + fresh.len()) as u64;
        stats.last_seq = self.last_seq;
        stats.event_types = self.types.len() as u64;
        stats.event_types_max = self.types.most() as u64;
        EngineSnapshot::new(Arc::clone(&self.sealed), fresh, self.key, stats)
    }
}

impl<S: Storage> Repository for Engine<S> {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        self.refuse_if_failed()?;
        self.commit_group(now, group)
    }

    fn is_immediate(&self) -> bool {
        self.storage.is_volatile()
    }

    fn flush(&mut self) -> Result<(), CommitError> {
        self.refuse_if_failed()?;
        self.sync_log()
    }

    fn on_idle(&mut self) -> Result<(), CommitError> {
        self.refuse_if_failed()?;
        self.note_durable()
    }

    fn close(&mut self) -> Result<(), CommitError> {
        self.refuse_if_failed()?;
        self.note_end()
    }

    fn maintenance(&mut self) -> Option<&mut dyn Maintenance> {
        Some(self)
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn reader(&self) -> Reader {
        Reader::Current(self.snapshot())
    }
}

impl<S: Storage> Maintenance for Engine<S> {
    fn next_task(&mut self, now: Moment) -> Option<Box<dyn MaintenanceTask>> {
        self.next_due(now).map(|task| Box::new(task) as Box<dyn MaintenanceTask>)
    }

    fn install(&mut self, task: Box<dyn MaintenanceTask>) -> Result<Vec<Expired>, CommitError> {
        self.refuse_if_failed()?;
        match (task as Box<dyn Any>).downcast::<Task>() {
            Ok(task) => self.put_in_place(*task),
            Err(_) => Err(self.fail("a maintenance task of another repository was to be installed")),
        }
    }

    fn is_behind(&self) -> bool {
        // A product that waits for a manifest for which there is no room is nothing to wait for.
        let is_worked_on = self.busy.manifest || (self.busy.fresh && !self.has_sealed());
        is_worked_on
            && (self.fresh.len() >= self.tuning.fresh_segments_max
                || self.fresh_bytes() / FRESH_SEALS_MAX >= self.tuning.seal_bytes)
    }

    fn clock_doubt(&self) -> Option<ClockDoubt> {
        self.clock.doubt()
    }
}
