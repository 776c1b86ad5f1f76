//! The single writer over a [`Storage`], and the read snapshots that it hands out.
//!
//! A commit has three independent steps: *propose* decides which events are new and numbers them, *append* writes
//! records to the log with one sync, and *apply* turns each record into a segment in memory. Recovery replays the log
//! through *apply*.

mod backup;
mod check;
mod clock_doubt;
mod commit;
mod erase;
mod erasure;
mod gaps;
mod import;
mod log_end;
mod maintenance;
mod manifest;
mod open;
mod open_error;
mod parts;
mod questions;
mod quiet;
mod reading;
mod retention;
mod salvage;
mod scan;
mod size;
mod snapshot;
mod task;
mod tiers;
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
pub use reading::{HEADER_SEEN_BYTES, written_offsets};
pub use retention::Retention;
pub use salvage::{Loss, Salvage, SalvageError, salvage};
pub use snapshot::EngineSnapshot;

use crate::batch::Batch;
use crate::clock::{Clock, ClockDoubt, Moment};
use crate::event::Timestamp;
use crate::identity::IdentityKey;
pub use crate::identity::Seed;
use crate::query::Filter;
use crate::repository::{
    CommitError, Erased, Expired, Failure, ImportError, Maintenance, MaintenanceTask, Reader, Receipt, Repository,
    Snapshot, Stats,
};
use crate::segment::{Sealed, Segment, TypeName};
use crate::storage::Storage;
use crate::transfer::Transfer;
use erase::PendingErasures;
use erasure::{ErasureTest, Examination};
use log_end::LogEnd;
use manifest::Manifest;
use quiet::Quiet;
use task::{Busy, Replacement, Task};
use types::TypeRegistry;

/// When segments are merged and sealed, and how much is kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Fresh segments are sealed into an immutable blob once they hold this many events…
    pub seal_events: usize,
    /// …or this many bytes.
    pub seal_bytes: usize,
    /// Commits wait for maintenance from this many fresh segments on, or once their bytes exceed several times
    /// `seal_bytes`.
    pub fresh_segments_max: usize,
    /// How many segments of similar size are merged into one. At least 2.
    pub fan_in: usize,
    /// Most bytes of ids and payloads in a block of a sealed segment.
    pub block_bytes: usize,
    /// Sealed segments are not merged beyond this many events.
    pub segment_events_max: usize,
    /// Memory for filters of callers' ids, at ten bits an id. The newest segments get filters first; in the others,
    /// every id look-up reads the storage.
    pub filter_bytes_max: u64,
    /// The most different event types; their names are kept in memory. An event that would add one more type is
    /// refused, and a repository with more types is not opened.
    pub types_max: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            seal_events: 65_536,
            seal_bytes: 16 * 1024 * 1024,
            fresh_segments_max: 1024,
            fan_in: 8,
            block_bytes: 1024 * 1024,
            // Two merge tiers above the seal size, plus half: segments sealed by number of events are a little larger
            // than that number, because batches stay whole.
            segment_events_max: 6 * 1024 * 1024,
            filter_bytes_max: 64 * 1024 * 1024,
            types_max: TYPES_MAX_DEFAULT,
        }
    }
}

/// Default of [`Tuning::types_max`].
pub const TYPES_MAX_DEFAULT: usize = 100_000;

/// Back-pressure starts when the unsealed tail exceeds this many seal sizes.
const FRESH_SEALS_MAX: usize = 4;

/// Stores events in a [`Storage`].
#[derive(Debug)]
pub struct Engine<S: Storage> {
    storage: S,
    tuning: Tuning,
    key: IdentityKey,
    retention: Retention,
    /// Decides whether the wall clock is trusted.
    clock: Clock,
    /// Segments in immutable blobs, ascending by sequence number.
    sealed: Arc<Vec<Arc<Sealed>>>,
    /// Segments that exist only in the log and in memory, ascending by sequence number; they follow all of `sealed`.
    fresh: Vec<Fresh>,
    /// The event types of `sealed` and `fresh`.
    types: TypeRegistry,
    /// The manifest that is durable now.
    manifest: Manifest,
    /// The number of the next segment.
    next_number: u64,
    /// Finished replacements that no manifest lists yet. The manifest that is being written lists the first
    /// `publishing` of them.
    unpublished: Vec<Replacement>,
    publishing: usize,
    /// Segments that no manifest lists any more and that are still to be deleted.
    obsolete: Vec<String>,
    /// Whether the log has bytes before `manifest.log_start` that are still to be discarded.
    log_is_outdated: bool,
    busy: Busy,
    quiet: Quiet,
    erasures: PendingErasures,
    /// Header checksum of the last record in the log.
    chain: u32,
    /// The log is durable up to this offset…
    durable: u64,
    /// …and the log itself says so, in a later record, for all events before this offset.
    marked: u64,
    /// The saved end of the log, as of the last close.
    log_end: Option<LogEnd>,
    syncs_deferred: bool,
    last_seq: u64,
    /// The time of the last commit, so that generated ids do not go back when the clock does.
    last_millis: i64,
    stats: Stats,
    recovery: Recovery,
    /// Why the engine refuses commits until it is opened anew. A failed sync is never retried on the same data.
    failure: Option<Failure>,
}

/// A segment that exists only in the log and in memory.
#[derive(Clone, Debug)]
struct Fresh {
    segment: Arc<Segment>,
    /// Its types, as the registry counts them.
    types: Box<[TypeName]>,
    /// The place in the log after its last record, and after erasures and skips that follow it.
    end: LogCut,
}

/// A place between two records of the log, from which replay may begin once all events before it are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LogCut {
    offset: u64,
    /// The header checksum of the record before.
    chain: u32,
    /// The sequence number of the next event.
    next_seq: u64,
}

impl<S: Storage> Engine<S> {
    /// The storage, for tests and tools.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// From now on, commits do not wait until they are durable; [`flush`](Repository::flush) makes them durable.
    pub fn defer_syncs(&mut self) {
        self.syncs_deferred = true;
    }

    /// A snapshot of the stored events. Cheap to take, and valid for as long as it is held.
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
        stats.event_types_max = self.types.max() as u64;
        stats.erasures = self.erasure_stats();
        EngineSnapshot::new(Arc::clone(&self.sealed), fresh, self.key, self.erasures.shared().clone(), stats)
    }
}

impl<S: Storage> Repository for Engine<S> {
    fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        self.refuse_if_failed()?;
        self.commit_group(now, group)
    }

    fn erase(&mut self, now: Timestamp, filter: &Filter) -> Result<Erased, CommitError> {
        self.refuse_if_failed()?;
        self.accept_erasure(now, filter)
    }

    fn import(&mut self, transfer: &Transfer) -> Result<(), ImportError> {
        self.refuse_if_failed()?;
        self.import_events(transfer)
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
        self.append_durability_mark()
    }

    fn close(&mut self) -> Result<(), CommitError> {
        self.refuse_if_failed()?;
        self.save_log_end()
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
            Ok(task) => self.install_task(*task),
            Err(_) => Err(self.fail("a maintenance task of another repository cannot be installed")),
        }
    }

    fn is_behind(&self) -> bool {
        // Waiting does not help if the fresh segments are sealed already, and a full storage has no space for the
        // manifest that would list them.
        let can_catch_up = self.busy.manifest || (self.busy.fresh && !self.has_sealed());
        can_catch_up
            && (self.fresh.len() >= self.tuning.fresh_segments_max
                || self.fresh_bytes() / FRESH_SEALS_MAX >= self.tuning.seal_bytes)
    }

    fn clock_doubt(&self) -> Option<ClockDoubt> {
        self.clock.doubt()
    }
}
