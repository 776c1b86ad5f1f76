//! Runs a scan to its end in steps of any size.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use argus_core::damage::Damage;
use argus_core::query::{Filter, Position, Scan};
use argus_core::repository::{Erased, Flow, Gap, ReadError, ScanHead, ScanRun, Snapshot};

use super::stored::StoredEvent;

/// The whole result of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Where the next page starts, from the head of the answer.
    pub next: Option<Position>,
    /// The events in the order of the scan.
    pub events: Vec<StoredEvent>,
}

/// The size of the steps in which a scan is run. It must not change the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The most events to examine in one call.
    pub budget: u32,
    /// The sink pauses the run at every `stop_every`th event; never, if 0.
    pub stop_every: usize,
}

impl Pace {
    /// As few calls as possible.
    pub const UNBROKEN: Self = Self { budget: u32::MAX, stop_every: 0 };
}

/// A running scan and its result so far.
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

/// How many events an erasure with this filter has erased.
///
/// # Errors
///
/// As [`Run::step`].
pub fn count_erased(erased: &Erased, filter: &Filter, pace: Pace) -> Result<u64, ReadError> {
    match erased {
        Erased::Exactly(events) => Ok(*events),
        Erased::Among(snapshot) => Ok(collect(snapshot, &Scan::from(filter.clone()), pace)?.events.len() as u64),
    }
}

/// All events in order of their sequence numbers. Scans by time, which needs no index of sequence numbers.
///
/// # Errors
///
/// As [`Run::step`].
pub fn all_events(snapshot: &Arc<dyn Snapshot>) -> Result<Vec<StoredEvent>, ReadError> {
    let mut events = collect(snapshot, &Scan::default(), Pace::UNBROKEN)?.events;
    events.sort_by_key(|event| event.seq);
    Ok(events)
}

/// All gaps after `after` and up to `up_to`, found in steps of this size. Checks what each step promises.
///
/// # Errors
///
/// The error of the search.
///
/// # Panics
///
/// If the search breaks its contract.
pub fn all_gaps(snapshot: &Arc<dyn Snapshot>, after: u64, up_to: u64, budget: u32) -> Result<Vec<Gap>, ReadError> {
    let (mut search, mut known_to) = (Arc::clone(snapshot).gaps(after, up_to), after);
    let (mut found, mut all) = (VecDeque::new(), Vec::<Gap>::new());
    // Each call must make progress: look at a number, or pass a segment.
    let mut calls_left = 100 + 2 * (up_to - after) + snapshot.stats()?.segments;
    while known_to < up_to {
        calls_left = calls_left.checked_sub(1).expect("the search gets nowhere");
        let before = known_to;
        known_to = search.poll_gaps(budget, &mut found)?;
        assert!((before..=up_to).contains(&known_to), "the search goes back from {before} to {known_to}");
        for gap in found.drain(..) {
            let earliest = all.last().map_or(after + 1, |last| last.last + 2).max(before + 1);
            assert!(earliest <= gap.first && gap.first <= gap.last && gap.last <= known_to, "{gap:?} after {all:?}");
            all.push(gap);
        }
    }
    Ok(all)
}

impl Run {
    /// Starts a scan without polling it.
    ///
    /// # Errors
    ///
    /// The snapshot's error.
    pub fn begin(snapshot: &Arc<dyn Snapshot>, scan: &Scan, pace: Pace) -> Result<Self, ReadError> {
        let stats = snapshot.stats()?;
        let ids = scan.filter.ids.as_ref().map_or(0, Vec::len) as u64;
        Ok(Self {
            run: Arc::clone(snapshot).scan(scan)?,
            pace,
            head: None,
            events: Vec::new(),
            // Each call must make progress: open a segment, examine an event or look up an id. 32 calls for each are
            // generous.
            calls_left: 1_000 + 32 * (stats.events + stats.segments + ids),
        })
    }

    /// Polls once; returns true when the run has finished.
    ///
    /// # Errors
    ///
    /// The run's error; [`ReadError::Damaged`] after far more calls than the work explains, which would otherwise loop
    /// for ever.
    pub fn step(&mut self) -> Result<bool, ReadError> {
        self.calls_left = self.calls_left.checked_sub(1).ok_or_else(|| {
            let (events, pace) = (self.events.len(), self.pace);
            ReadError::Damaged(Damage::of("a scan", format!("not finished after {events} events in steps of {pace:?}")))
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

    /// Whether the run has returned its head.
    #[must_use]
    pub fn has_head(&self) -> bool {
        self.head.is_some()
    }

    /// Ends the page at the current position, if possible. Returns where the next page starts.
    pub fn end_page(&mut self) -> Option<Position> {
        if self.head.is_none() { self.run.end_page() } else { None }
    }

    /// Runs the scan to its end.
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
