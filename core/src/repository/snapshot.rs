//! The read side of a repository: snapshots.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use super::analysis::{AnalysisRun, FoldRun, Progress};
use super::count_run::CountRun;
use super::counts::{EventCounter, Grouping};
use super::erasure_stats::ErasureStats;
use super::error::ReadError;
use super::gaps::GapRun;
use super::scan::ScanRun;
use crate::analysis::Counting;
use crate::event::Event;
use crate::query::Scan;

/// The source of snapshots. Cheap to clone.
#[derive(Clone)]
pub enum Reader {
    /// One snapshot for all reads. Taking it neither waits nor fails.
    Current(Arc<dyn Snapshot>),
    /// A new snapshot for each read. Taking it may wait and may fail. It shows what other processes have committed.
    Shared(Arc<dyn TakeSnapshot>),
}

/// Takes snapshots of a repository that other processes may write to.
pub trait TakeSnapshot: Send + Sync {
    /// Takes a snapshot of the stored events. May wait. Its [`last_seq`](Snapshot::last_seq) must not be lower than
    /// that of an earlier snapshot, unless the repository was replaced: live streams then tell their clients of a gap.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the repository cannot be reached.
    fn take_snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError>;
}

/// A view of all events that were stored when the snapshot was taken, and of no later ones.
pub trait Snapshot: Send + Sync {
    /// Statistics of the snapshot. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if they cannot be read.
    fn stats(&self) -> Result<Stats, ReadError>;

    /// The highest sequence number; 0 if there are no events. Later events get higher numbers, so a reader that
    /// continues after this number misses none.
    fn last_seq(&self) -> u64;

    /// How many erasures it shows: 0 if there were none, or if it does not know. A live stream goes on in a snapshot
    /// with more of them as soon as there is one.
    fn erasures(&self) -> u64 {
        0
    }

    /// Whether it keeps events that are removed later. If not, live streams ask
    /// [`has_lost_events`](Self::has_lost_events) after they have read.
    fn keeps_events(&self) -> bool {
        true
    }

    /// Whether events were removed since it was taken, so that they may be missing from what was read of it. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the repository cannot be reached.
    fn has_lost_events(&self) -> Result<bool, ReadError> {
        Ok(false)
    }

    /// Starts a search for gaps among the sequence numbers after `after` and up to `up_to`, which is not above
    /// [`last_seq`](Self::last_seq). It may be dropped at any time. Does not wait.
    fn gaps(self: Arc<Self>, after: u64, up_to: u64) -> Box<dyn GapRun>;

    /// Passes the event with this id to `sink`; returns whether there is one. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the storage cannot be read.
    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError>;

    /// Starts a scan. It keeps the snapshot alive and may be dropped at any time. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the storage cannot be read.
    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError>;

    /// Starts to count the events of a scan in order of time. `None` if that is not faster than to read them. It keeps
    /// the snapshot alive and may be dropped at any time. May wait.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the storage cannot be read.
    fn counter(self: Arc<Self>, scan: &Scan, grouping: Grouping) -> Result<Option<Box<dyn EventCounter>>, ReadError> {
        let _ = (scan, grouping);
        Ok(None)
    }

    /// Starts to answer a question, or goes on. The run keeps the snapshot alive and may be dropped at any time. May
    /// wait.
    ///
    /// By default, this is a [`scan`](Self::scan) whose events the fold takes; if numbers of events suffice, the
    /// [`counter`](Self::counter) counts them. A repository that knows a faster way overrides it.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the storage cannot be read.
    fn analyze(self: Arc<Self>, progress: Progress) -> Result<Box<dyn AnalysisRun>, ReadError> {
        let remaining = progress.remaining_scan();
        if let Some(Counting { by_type, exact_times, cells }) = progress.fold.counting()
            && let Some(counter) = Arc::clone(&self).counter(&remaining, Grouping { by_type, exact_times })?
        {
            return Ok(Box::new(CountRun::new(counter, cells, progress)));
        }
        Ok(Box::new(FoldRun::new(self.scan(&remaining)?, progress)))
    }
}

/// Statistics of a [`Snapshot`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// The number of events. Erased ones count until they are removed, if there are [pending](ErasureStats) erasures.
    pub events: u64,
    /// Their size in bytes, with their indexes.
    pub bytes: u64,
    /// The number of segments, each of which a scan may have to read.
    pub segments: u64,
    /// The highest sequence number, 0 if there is none.
    pub last_seq: u64,
    /// The number of different event types, with those of erased events until they are removed.
    pub event_types: u64,
    /// The limit on different event types.
    pub event_types_max: u64,
    /// How far erasures are.
    pub erasures: ErasureStats,
}

impl Reader {
    /// The number of erasures that it shows; `None` if a snapshot has to be taken to know it.
    #[must_use]
    pub fn erasures(&self) -> Option<u64> {
        match self {
            Self::Current(snapshot) => Some(snapshot.erasures()),
            Self::Shared(_) => None,
        }
    }

    /// Takes a snapshot. May wait if the reader is [`Shared`](Self::Shared).
    ///
    /// # Errors
    ///
    /// As [`TakeSnapshot::take_snapshot`]; never if the reader is [`Current`](Self::Current).
    pub fn take(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
        match self {
            Self::Current(snapshot) => Ok(Arc::clone(snapshot)),
            Self::Shared(source) => source.take_snapshot(),
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Current(_) => "Current",
            Self::Shared(_) => "Shared",
        })
    }
}
