//! Reads the events of a snapshot, in order of time.

use std::sync::Arc;

use argus_core::event::Event;
use argus_core::query::{Filter, Scan};
use argus_core::repository::{Flow, Snapshot};

use crate::error::ExportError;

/// About how many events are examined between two reports of progress.
const BUDGET: u32 = 4096;

/// Passes the events that a filter selects to `sink`, by time and then by sequence number. Returns their number.
/// `progress` gets the number so far, also while no event is found, and at the end.
///
/// # Errors
///
/// The first error of `sink`, or [`ExportError::Read`].
pub(crate) fn scan(
    snapshot: &Arc<dyn Snapshot>,
    filter: &Filter,
    sink: &mut dyn FnMut(&Event<'_>) -> Result<(), ExportError>,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, ExportError> {
    let mut run = Arc::clone(snapshot).scan(&Scan::from(filter.clone()))?;
    while run.poll_head(BUDGET)?.is_pending() {
        progress(0);
    }
    let mut events = 0;
    let mut outcome = Ok(());
    loop {
        let polled = run.poll_events(BUDGET, &mut |event| {
            events += 1;
            outcome = sink(&event);
            if outcome.is_ok() { Flow::More } else { Flow::Stop }
        });
        // An error of the sink stops the scan, which reports none of its own then.
        std::mem::replace(&mut outcome, Ok(()))?;
        let is_complete = polled?.is_ready();
        progress(events);
        if is_complete {
            return Ok(events);
        }
    }
}
