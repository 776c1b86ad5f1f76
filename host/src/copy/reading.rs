//! Reads the events of a repository by their numbers.

use std::sync::Arc;
use std::task::Poll;

use argus_core::event::Event;
use argus_core::query::{Filter, Order, Scan};
use argus_core::repository::{Flow, ReadError, ScanRun, Snapshot};

/// How many events are examined in one call.
const BUDGET: u32 = 4_096;

/// A scan by sequence number.
pub(super) struct EventScan {
    run: Box<dyn ScanRun>,
    has_head: bool,
}

impl EventScan {
    /// The events after `after` and up to `up_to`.
    ///
    /// # Errors
    ///
    /// [`ReadError`]
    pub(super) fn begin(snapshot: &Arc<dyn Snapshot>, after: u64, up_to: u64) -> Result<Self, ReadError> {
        let filter = Filter { after_seq: Some(after), ..Filter::default() };
        let scan = Scan { order: Order::Sequence, up_to_seq: Some(up_to), ..Scan::from(filter) };
        Ok(Self { run: Arc::clone(snapshot).scan(&scan)?, has_head: false })
    }

    /// Passes some of the next events to `take`, until that stops it. Ready once there are no more.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the scan cannot be continued.
    pub(super) fn poll(&mut self, take: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<Poll<()>, ReadError> {
        while !self.has_head {
            self.has_head = self.run.poll_head(BUDGET)?.is_ready();
        }
        self.run.poll_events(BUDGET, take)
    }
}
