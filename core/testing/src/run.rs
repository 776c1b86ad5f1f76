//! Runs a query to its end, at any pace.

use std::fmt;
use std::sync::Arc;

use argus_core::damage::Damage;
use argus_core::query::{Position, Query};
use argus_core::repository::{Find, FindHead, FindStep, Flow, ReadError, Snapshot};

use super::stored::StoredEvent;

/// Everything that a query gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Where the next page begins, as the head said.
    pub next: Option<Position>,
    /// The events, in the order in which they came.
    pub events: Vec<StoredEvent>,
}

/// In which steps a query is to be run. Nothing of this may change its answer.
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

/// A query under way together with what it has given so far.
pub struct Run {
    find: Box<dyn Find>,
    pace: Pace,
    head: Option<FindHead>,
    events: Vec<StoredEvent>,
    calls_left: u64,
}

/// Runs a query to its end.
///
/// # Errors
///
/// As [`Run::step`].
pub fn collect(snapshot: &Arc<dyn Snapshot>, query: &Query, pace: Pace) -> Result<Answer, ReadError> {
    Run::begin(snapshot, query, pace).finish()
}

impl Run {
    /// Begins a query without asking for anything yet.
    #[must_use]
    pub fn begin(snapshot: &Arc<dyn Snapshot>, query: &Query, pace: Pace) -> Self {
        let stats = snapshot.stats();
        Self {
            find: Arc::clone(snapshot).find(query),
            pace,
            head: None,
            events: Vec::new(),
            // Each call is to make progress: a segment is opened, or an event examined. Thirty-two calls for each are
            // generous.
            calls_left: 1_000 + 32 * (stats.events + stats.segments),
        }
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
                "a query",
                format!("no end in sight after {events} events in steps of {pace:?}"),
            ))
        })?;
        if self.head.is_none() {
            self.head = self.find.poll_head(self.pace.budget)?;
            return Ok(false);
        }
        let (events, stop_every) = (&mut self.events, self.pace.stop_every);
        let step = self.find.poll_events(self.pace.budget, &mut |event| {
            events.push(StoredEvent::from(event));
            match events.len().checked_rem(stop_every) {
                Some(0) => Flow::Stop,
                Some(_) | None => Flow::More,
            }
        })?;
        Ok(step == FindStep::Done)
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
