//! Runs maintenance.

use std::task::Poll;

use argus_core::clock::Moment;
use argus_core::repository::{CommitError, MaintenanceQueue, Repository};

/// The budget of one step, in events.
const BUDGET: u32 = 1_000;

/// Does all maintenance that is due at this moment.
///
/// # Errors
///
/// The first error of a task. Tasks that were not finished by then are dropped.
pub fn maintain(repository: &mut dyn Repository, now: Moment) -> Result<(), CommitError> {
    let mut queue = MaintenanceQueue::default();
    while queue.step(repository, now, BUDGET)? == Poll::Pending {}
    Ok(())
}
