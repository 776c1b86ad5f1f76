//! Runs a scan to its end, at any pace.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::Poll;

use super::stored::StoredEvent;
use crate::damage::Damage;
use crate::query::{Position, Scan};
use crate::repository::{Flow, ReadError, ScanHead, ScanRun, Snapshot};

/// Everything that a scan gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Where the next page begins, as the head said.
    pub next: Option<Position>,
    /// The events, in the order in which they came.
    pub events: Vec<StoredEvent>,
}

/// In which steps a scan is to be run. Nothing of this may change its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Events to be examined in one call.
    pub budget: u32,
    /// The sink asks the run to stop and be continued at each so-many-th event; never, if this is 0.
    pub stop_every: usize,
}

impl Pace {
    /// All in one go, as far as the run is able to.
    pub const UNBROKEN: Self = Self { budget: u32::MAX, stop_every: 0 };
}

/// A scan under way together with what it has given so far.
pub struct Run {
    run: Box<dyn ScanRun>,
    pace: Pace,
    head: Option<ScanHead>,
    events: Vec<StoredEvent>,
    calls_left: u64,
}

/// Runs a scan to its end.
///
/// # Errors
///
/// As [`Run::step`].
pub fn collect(snapshot: &Arc<dyn Snapshot>, scan: &Scan, pace: Pace) -> Result<Answer, ReadError> {
    Run::begin(snapshot, scan, pace)?.finish()
}

impl Run {
    /// Begins a scan without asking for anything yet.
    ///
    /// # Errors
    ///
    /// What the snapshot reported.
    pub fn begin(snapshot: &Arc<dyn Snapshot>, scan: &Scan, pace: Pace) -> Result<Self, ReadError> {
        let stats = snapshot.stats()?;
        let ids = scan.filter.ids.as_ref().map_or(0, Vec::len) as u64;
        Ok(Self {
            run: Arc::clone(snapshot).scan(scan)?,
            pace,
            head: None,
            events: Vec::new(),
            // Each call is to make progress: a segment is opened, an event examined, or an id looked up. Thirty-two
            // calls for each are generous.
            calls_left: 1_000 + 32 * (stats.events + stats.segments + ids),
        })
    }

    /// Makes one call and says whether the run has come to its end.
    ///
    /// # Errors
    ///
    /// What the run reported; and [`ReadError::Damaged`] where it was called far more often than its work explains,
    /// which would otherwise be a loop without an end.
    pub fn step(&mut self) -> Result<bool, ReadError> {
        self.calls_left = self.calls_left.checked_sub(1).ok_or_else(|| {
            let (events, pace) = (self.events.len(), self.pace);
            ReadError::Damaged(Damage::of(
                "a scan",
                format!("no end in sight after {events} events in steps of {pace:?}"),
            ))
        })?;
        if self.head.is_none() {
            if let Poll::Ready(head) = self.run.poll_head(self.pace.budget)? {
                self.head = Some(head);
            }
            return Ok(false);
        }
        let (events, stop_every) = (&mut self.events, self.pace.stop_every);
        let step = self.run.poll_events(self.pace.budget, &mut |event| {
            events.push(StoredEvent::from(event));
            match events.len().checked_rem(stop_every) {
                Some(0) => Flow::Stop,
                Some(_) | None => Flow::More,
            }
        })?;
        Ok(step.is_ready())
    }

    /// Whether the head is known.
    #[must_use]
    pub fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// Ends the page where the run stands, if that is possible; where the next page begins then.
    pub fn end_page(&mut self) -> Option<Position> {
        if self.head.is_none() { self.run.end_page() } else { None }
    }

    /// Runs what is left.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn finish(mut self) -> Result<Answer, ReadError> {
        while !self.step()? {}
        Ok(Answer { next: self.head.and_then(|head| head.next), events: self.events })
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("pace", &self.pace).field("events", &self.events.len()).finish_non_exhaustive()
    }
}
