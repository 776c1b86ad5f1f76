//! Answers a question from numbers of events.

use alloc::boxed::Box;
use alloc::vec::{IntoIter, Vec};
use core::num::NonZeroU32;
use core::task::Poll;

use super::analysis::{AnalysisRun, Progress};
use super::counts::{Count, Counts, EventCounter};
use super::error::ReadError;
use crate::query::Position;

/// How many events are counted in one unit of a budget. A database counts many in the time in which it sends one. They
/// are not so many that their groups take much memory.
const EVENTS_PER_UNIT: u32 = 16;

/// A question that needs nothing but numbers of events.
///
/// Where its buckets of time begin is the business of the calendar, of which a database knows nothing. So events are
/// counted by cells of equal length. As soon as a cell has events of two buckets, they are counted by shorter cells.
pub(super) struct CountRun {
    counter: Box<dyn EventCounter>,
    /// The length of the cells; `None` if there is one bucket for all time.
    cell_seconds: Option<NonZeroU32>,
    /// Shorter ones, the longest first.
    shorter: IntoIter<NonZeroU32>,
    /// What was reached when it began.
    from: Option<Position>,
    progress: Progress,
}

impl CountRun {
    /// `counter` is that of [`Progress::remaining_scan`], and `cells` has the lengths of cells that may suffice.
    pub(super) fn new(counter: Box<dyn EventCounter>, cells: Vec<NonZeroU32>, progress: Progress) -> Self {
        let mut cells = cells.into_iter();
        Self { counter, cell_seconds: cells.next(), shorter: cells, from: progress.reached, progress }
    }
}

impl AnalysisRun for CountRun {
    fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        if !self.progress.fold.wants_more() {
            return Ok(Poll::Ready(()));
        }
        let max = budget.max(1).saturating_mul(EVENTS_PER_UNIT);
        let Counts { groups, reached } = self.counter.count(self.progress.reached, max, self.cell_seconds)?;
        let fold = &mut self.progress.fold;
        if !groups.iter().all(|group| fold.is_in_one_bucket(nanos(group))) {
            self.cell_seconds = Some(self.shorter.next().ok_or_else(miscounted)?);
            return Ok(Poll::Pending);
        }
        for group in &groups {
            if !fold.add_counted(group.event_type.as_deref(), group.events, nanos(group)) {
                return Err(miscounted());
            }
        }
        self.progress.reached = reached.or(self.progress.reached);
        Ok(if reached.is_some() && self.progress.fold.wants_more() { Poll::Pending } else { Poll::Ready(()) })
    }

    fn has_advanced(&self) -> bool {
        self.progress.reached != self.from
    }

    fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.progress.fold.held_bytes()
    }

    fn scanned_bytes(&self) -> u64 {
        // No event was read.
        0
    }

    fn end(self: Box<Self>) -> (Progress, Box<dyn Send>) {
        let Self { counter, progress, .. } = *self;
        (progress, Box::new(counter))
    }
}

fn nanos(count: &Count) -> (i64, i64) {
    (count.times.0.as_nanos(), count.times.1.as_nanos())
}

/// The error for a repository that does not do what it is asked.
fn miscounted() -> ReadError {
    ReadError::Failed("the repository has counted events together that it was asked to count apart".into())
}
