//! Runs questions over a snapshot.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::task::Poll;

use super::error::ReadError;
use super::scan::{Flow, ScanRun};
use crate::analysis::Fold;
use crate::query::{Position, Scan};

/// How far a question has got. A run begins with it and gives it back, so that another run, also on a later snapshot of
/// the same repository, can go on.
#[derive(Debug)]
pub struct Progress {
    /// What was seen so far.
    pub fold: Fold,
    /// All events of the fold's scan up to here were seen; `None` if none was.
    pub reached: Option<Position>,
    /// Later events are not part of the answer, or were seen already.
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

    /// Whether it has got further since it began. If not, another run would start over.
    fn has_advanced(&self) -> bool;

    /// Whether it may be [ended](Self::end) now. A run that sees events in an order of its own can be continued by
    /// another one only at some points.
    fn can_end(&self) -> bool {
        true
    }

    /// Hands out up to `count` parts of the remaining work, so that other threads can do them at the same time: none if
    /// it is not worth it. Each part must be [returned](Self::join), finished or not, before the next call.
    fn split(&mut self, count: usize) -> Vec<Box<dyn AnalysisPart>> {
        let _ = count;
        Vec::new()
    }

    /// Takes back a part that [`split`](Self::split) has handed out.
    fn join(&mut self, part: Box<dyn AnalysisPart>) {
        debug_assert!(false, "this run has handed out no part");
        drop(part);
    }

    /// Whether all that remains is in parts that were handed out.
    fn awaits_parts(&self) -> bool {
        false
    }

    /// Bytes of memory that the run holds, with those of its fold. Memory that it shares with other runs counts by its
    /// share. Cheap.
    fn held_bytes(&self) -> usize;

    /// Bytes of stored events that the run has read so far, as they are in memory; 0 if unknown. Cheap.
    fn scanned_bytes(&self) -> u64;

    /// Ends the run when it is ready, or when it [can](Self::can_end). Returns how far it has got, and what it
    /// releases, so that the caller can drop that where it may take time.
    fn end(self: Box<Self>) -> (Progress, Box<dyn Send>);
}

/// A part of the work of an [`AnalysisRun`].
pub trait AnalysisPart: Send {
    /// Examines about `budget` events at most. Ready once none is left.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; neither the part nor its run can be continued.
    fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError>;

    /// This value, for the run that it came from.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// How many bytes of a payload are read in one unit of a budget.
const BYTES_PER_UNIT: usize = 32;

/// A question that is answered by a scan.
pub(crate) struct FoldRun {
    scan: Box<dyn ScanRun>,
    has_head: bool,
    /// What was reached when it began.
    from: Option<Position>,
    progress: Progress,
}

impl Progress {
    /// Before the first event.
    #[must_use]
    pub fn new(fold: Fold, up_to_seq: u64) -> Self {
        Self { fold, reached: None, up_to_seq }
    }

    /// The events that the fold has not seen yet.
    #[must_use]
    pub fn remaining_scan(&self) -> Scan {
        Scan { from: self.reached, up_to_seq: Some(self.up_to_seq), ..self.fold.scan() }
    }
}

impl FoldRun {
    /// `scan` is that of [`Progress::remaining_scan`].
    pub(crate) fn new(scan: Box<dyn ScanRun>, progress: Progress) -> Self {
        Self { scan, has_head: false, from: progress.reached, progress }
    }
}

impl AnalysisRun for FoldRun {
    fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        let Self { scan, has_head, progress, .. } = self;
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

    fn has_advanced(&self) -> bool {
        self.progress.reached != self.from
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
