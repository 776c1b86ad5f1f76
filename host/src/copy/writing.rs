//! Writes the events that the target does not have.

use std::sync::Arc;
use std::task::Poll;

use argus_core::repository::{CommitError, Flow, MaintenanceQueue, Repository, Snapshot};
use argus_core::transfer::Transfer;

use crate::clock;

use super::digest::Digest;
use super::error::CopyError;
use super::progress::Progress;
use super::reading::EventScan;

/// The most bytes of events that are stored at a time. They are in memory several times.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// The most events that are stored at a time.
const PIECE_EVENTS: usize = 5_000;

/// The budget of a step of maintenance, in events.
const MAINTENANCE_BUDGET: u32 = 65_536;

/// Copies the events after `after`, which is the last number of the target, adds them to `digest`, and closes the
/// target. Returns how many there were.
///
/// # Errors
///
/// [`CopyError`]. The target has the events up to some number.
pub(super) fn write(
    from: &Arc<dyn Snapshot>,
    after: u64,
    to: &mut dyn Repository,
    digest: &mut Digest,
    progress: &mut Progress,
) -> Result<u64, CopyError> {
    let (mut written, mut maintenance) = (0, MaintenanceQueue::default());
    let mut scan = EventScan::begin(from, after, from.last_seq()).map_err(CopyError::ReadSource)?;
    let mut piece = Transfer::after(after);
    while piece.first_after() < from.last_seq() {
        fill(&mut piece, &mut scan, from.last_seq())?;
        for event in piece.events() {
            digest.add(&event);
        }
        to.import(&piece).map_err(CopyError::Store)?;
        written += piece.len() as u64;
        progress.reach(piece.up_to());
        piece = Transfer::after(piece.up_to());
        maintain(to, &mut maintenance).map_err(CopyError::Maintain)?;
    }
    to.close().map_err(CopyError::Maintain)?;
    Ok(written)
}

/// Takes events until there are no more, or the piece is full. The last piece goes up to the last number of the source,
/// whether or not that has an event.
fn fill(piece: &mut Transfer, scan: &mut EventScan, last_seq: u64) -> Result<(), CopyError> {
    let (mut is_full, mut disorder) = (false, None);
    while !is_full {
        let step = scan.poll(&mut |event| {
            disorder = piece.push(&event).err();
            is_full = piece.len() >= PIECE_EVENTS || piece.bytes() >= PIECE_BYTES || disorder.is_some();
            if is_full { Flow::Stop } else { Flow::More }
        });
        if step.map_err(CopyError::ReadSource)?.is_ready() {
            piece.extend_to(last_seq);
            break;
        }
    }
    disorder.map_or(Ok(()), |disorder| Err(CopyError::Disorder(disorder)))
}

/// Does what maintenance is due, so that memory does not grow with the number of events.
fn maintain(to: &mut dyn Repository, queue: &mut MaintenanceQueue) -> Result<(), CommitError> {
    while queue.step(to, clock::moment(), MAINTENANCE_BUDGET)? == Poll::Pending {}
    Ok(())
}
