//! Counts the events that a `DELETE` of `/events` has erased.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::task::Poll;

use serde::Serialize;

use super::text::to_json;
use super::{Reply, Route};
use crate::query::{Filter, Order, Scan};
use crate::repository::{Flow, ReadError, ScanRun, Snapshot};

/// The reply's body.
#[derive(Serialize)]
struct Summary {
    erased: u64,
}

/// Counts erased events, in the snapshot from before they were erased.
pub(super) struct ErasedCount {
    snapshot: Arc<dyn Snapshot>,
    scan: Scan,
    run: Option<Box<dyn ScanRun>>,
    erased: u64,
}

impl ErasedCount {
    /// Counts the events of `snapshot` that `filter` selects.
    pub(super) fn new(snapshot: Arc<dyn Snapshot>, filter: Filter) -> Self {
        // In this order, a scan holds the fewest blocks.
        let scan = Scan { order: Order::Sequence, ..filter.into() };
        Self { snapshot, scan, run: None, erased: 0 }
    }

    /// The memory of the scan in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.held_bytes())
    }

    /// Examines about `budget` events. Ready with the reply.
    pub(super) fn poll(&mut self, budget: u32) -> Result<Poll<Reply>, ReadError> {
        let run = match self.run.take() {
            Some(run) => run,
            None => {
                let mut run = Arc::clone(&self.snapshot).scan(&self.scan)?;
                // At once, because the scan has no limit.
                while run.poll_head(budget)?.is_pending() {}
                run
            }
        };
        let run = self.run.insert(run);
        let mut left = budget;
        let step = run.poll_events(budget, &mut |_| {
            self.erased += 1;
            left = left.saturating_sub(1);
            if left > 0 { Flow::More } else { Flow::Stop }
        })?;
        Ok(step.map(|()| reply(self.erased)))
    }
}

/// 200: this number of events was erased.
pub(super) fn reply(erased: u64) -> Reply {
    Reply::new(Route::Events, 200, "application/json", to_json(&Summary { erased }))
}

impl fmt::Debug for ErasedCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErasedCount").field("erased", &self.erased).finish_non_exhaustive()
    }
}
