//! Runs questions over a snapshot.

use alloc::boxed::Box;
use core::task::Poll;

use super::error::ReadError;
use super::scan::{Flow, ScanRun};
use crate::analysis::Fold;
use crate::query::{Position, Scan};

/// How far a question has got. A run begins with it and gives it back, so that another run, also on a later snapshot,
/// can go on.
#[derive(Debug)]
pub struct Progress {
    /// What was seen so far.
    pub fold: Fold,
    /// All events of the fold's scan up to here were seen; `None` if none was.
    pub reached: Option<Position>,
    /// Later events are not part of the answer.
    pub up_to_seq: u64,
}

/// A running question: a state machine that does a bounded amount of work per call. Calls may wait for the storage. It
/// may be dropped at any time.
pub trait AnalysisRun: Send {
    /// Examines about `budget` events at most. Ready once [`Progress::fold`] has seen all of them.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; the run cannot be continued.
    fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError>;

    /// As [`Progress::reached`].
    fn reached(&self) -> Option<Position>;

    /// Bytes of memory that the run holds, with those of its fold. Memory that it shares with other runs counts by its
    /// share. Cheap.
    fn held_bytes(&self) -> usize;

    /// Bytes of stored events that the run has read so far, as they are in memory; 0 if unknown. Cheap.
    fn scanned_bytes(&self) -> u64;

    /// Ends the run. Returns how far it has got, and what it releases, so that the caller can drop that where it may
    /// take time.
    fn end(self: Box<Self>) -> (Progress, Box<dyn Send>);
}

/// How many bytes of a payload are read in one unit of a budget.
const BYTES_PER_UNIT: usize = 32;

/// A question that is answered by a scan.
pub(super) struct FoldRun {
    scan: Box<dyn ScanRun>,
    has_head: bool,
    progress: Progress,
}

impl Progress {
    /// The events that the fold has not seen yet.
    #[must_use]
    pub fn remaining_scan(&self) -> Scan {
        Scan { from: self.reached, up_to_seq: Some(self.up_to_seq), ..self.fold.scan() }
    }
}

impl FoldRun {
    /// `scan` is that of [`Progress::remaining_scan`].
    pub(super) fn new(scan: Box<dyn ScanRun>, progress: Progress) -> Self {
        Self { scan, has_head: false, progress }
    }
}

impl AnalysisRun for FoldRun {
    fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        let Self { scan, has_head, progress } = self;
        if !progress.fold.wants_more() {
            return Ok(Poll::Ready(()));
        }
        if !*has_head {
            *has_head = scan.poll_head(budget)?.is_ready();
            return Ok(Poll::Pending);
        }
        let mut left = budget;
        let step = scan.poll_events(budget, &mut |event| {
            // Reading a long payload takes longer than anything that the fold does with it.
            let reading = u32::try_from(event.payload.as_str().len() / BYTES_PER_UNIT).unwrap_or(u32::MAX);
            let cost = progress.fold.add(&event).saturating_add(reading);
            progress.reached = Some(Position { timestamp: event.timestamp, seq: event.seq });
            left = left.saturating_sub(cost);
            if left > 0 && progress.fold.wants_more() { Flow::More } else { Flow::Stop }
        })?;
        if let Some(reached) = scan.reached() {
            progress.reached = Some(reached);
        }
        Ok(if progress.fold.wants_more() { step } else { Poll::Ready(()) })
    }

    fn reached(&self) -> Option<Position> {
        self.progress.reached
    }

    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.scan.held_bytes() + self.progress.fold.held_bytes()
    }

    fn scanned_bytes(&self) -> u64 {
        self.scan.scanned_bytes()
    }

    fn end(self: Box<Self>) -> (Progress, Box<dyn Send>) {
        let Self { scan, progress, .. } = *self;
        (progress, Box::new(scan))
    }
}
