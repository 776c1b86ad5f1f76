//! A running funnel or retention, which is answered from columns.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::task::Poll;

use super::run::ColumnarRun;
use crate::analysis::{Fold, Occurrences};
use crate::engine::parts::Parts;
use crate::engine::scan::{Bounds, RequestedTypes, Run, share};
use crate::event::Timestamp;
use crate::query::{Position, Scan};
use crate::repository::{AnalysisPart, AnalysisRun, FoldRun, Progress, ReadError};
use crate::segment::Part;

/// The most events of a span, so that sorting and counting them takes some milliseconds.
const SPAN_EVENTS_MAX: usize = 131_072;

/// After so many spans at most, a run can be suspended.
const SPANS_AT_ONCE: usize = 8;

/// The place of one row in so many is looked at to divide fresh segments.
const FRESH_ROWS: usize = 1024;

/// A question that needs its events in order. It goes through spans of time: of each, it collects what it has to know
/// in any order, and sorts it.
pub(in crate::engine) struct SequenceRun {
    parts: Parts,
    state: State,
    /// Where the next span begins.
    start: i64,
    /// Where the spans end, the last one first.
    ends: Vec<i64>,
    up_to_seq: u64,
    /// What was reached when it began, and now.
    from: Option<Position>,
    reached: Option<Position>,
    read_bytes: u64,
}

enum State {
    /// Between spans.
    Between(Fold),
    /// Collects the events of a span.
    Collecting(Fold, Box<ColumnarRun>),
    Taking(Taking),
    /// Takes events one by one, because there are too many at one time.
    Ordered(Box<FoldRun>),
    Over,
}

/// Takes what was collected of a span. In the meantime, other threads collect from the next one.
struct Taking {
    fold: Fold,
    collected: Occurrences,
    /// Where the span ends.
    end: i64,
    next: Option<Box<ColumnarRun>>,
}

impl SequenceRun {
    /// Begins or continues a question. Returns it if it cannot be answered in this way.
    pub(in crate::engine) fn begin(parts: &Parts, progress: Progress) -> Result<Self, Progress> {
        let scan = progress.fold.scan();
        let bounds = (scan.filter.start, scan.filter.end);
        let (first, last) =
            (bounds.0.map_or(i64::MIN, Timestamp::as_nanos), bounds.1.map_or(i64::MAX, Timestamp::as_nanos));
        let start = match progress.reached {
            None => Some(first),
            Some(Position { timestamp, seq: u64::MAX }) => timestamp.as_nanos().checked_add(1),
            // In the middle of a time.
            Some(_) => None,
        };
        let span = [first, last].map(Timestamp::from_nanos);
        let (Some(start), Some(collector), None) = (start, progress.fold.collector(span[0], span[1]), &scan.filter.ids)
        else {
            return Err(progress);
        };
        let ends = span_ends(parts, &collector.scan(), collector.collected_max().min(SPAN_EVENTS_MAX), last);
        let Progress { fold, reached, up_to_seq } = progress;
        let ends = ends.into_iter().filter(|end| *end >= start).collect();
        let (parts, state) = (parts.clone(), State::Between(fold));
        Ok(Self { parts, state, start, ends, up_to_seq, from: reached, reached, read_bytes: 0 })
    }

    /// Begins to collect the next span; `None` if there is none.
    fn begin_span(&self, fold: &Fold) -> Option<Box<ColumnarRun>> {
        let [start, end] = [self.start, *self.ends.last()?].map(Timestamp::from_nanos);
        // A fold that has exceeded a limit collects nothing.
        let collector = Progress::new(fold.collector(start, end)?, self.up_to_seq);
        ColumnarRun::begin(&self.parts, collector).ok().map(Box::new)
    }

    /// Begins to take what was collected of a span.
    fn end_span(&mut self, fold: Fold, run: ColumnarRun) -> Result<(), ReadError> {
        self.read_bytes += run.scanned_bytes();
        let (collected, released) = Box::new(run).end();
        drop(released);
        if let Some(collected) = collected.fold.into_collected() {
            let end = self.ends.pop().expect("the span that was collected has an end");
            self.start = end.saturating_add(1);
            // Now and then, there must be a moment between two spans, at which the run can be suspended.
            let is_ahead = !self.ends.len().is_multiple_of(SPANS_AT_ONCE);
            let next = if is_ahead { self.begin_span(&fold) } else { None };
            self.state = State::Taking(Taking { fold, collected, end, next });
        } else {
            let progress = Progress { fold, reached: self.reached, up_to_seq: self.up_to_seq };
            let scan = Run::new(&self.parts, &progress.remaining_scan())?;
            self.state = State::Ordered(Box::new(FoldRun::new(Box::new(scan), progress)));
        }
        Ok(())
    }

    /// Takes some of what was collected.
    fn take(&mut self, mut taking: Taking, budget: u32) {
        taking.fold.take_collected(&mut taking.collected, budget as usize);
        self.state = if taking.collected.len() > 0 {
            State::Taking(taking)
        } else {
            let Taking { fold, end, next, .. } = taking;
            self.reached = Some(Position { timestamp: Timestamp::from_nanos(end), seq: u64::MAX });
            match next {
                Some(next) if next.has_advanced() => State::Collecting(fold, next),
                Some(_) | None => State::Between(fold),
            }
        };
    }
}

impl AnalysisRun for SequenceRun {
    fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Between(fold) => {
                let next = self.begin_span(&fold);
                let step = if next.is_some() { Poll::Pending } else { Poll::Ready(()) };
                self.state = match next {
                    Some(next) => State::Collecting(fold, next),
                    None => State::Between(fold),
                };
                Ok(step)
            }
            State::Taking(taking) => {
                self.take(taking, budget);
                Ok(Poll::Pending)
            }
            State::Collecting(fold, mut run) => {
                if run.poll(budget)?.is_ready() {
                    self.end_span(fold, *run)?;
                } else {
                    self.state = State::Collecting(fold, run);
                }
                Ok(Poll::Pending)
            }
            State::Ordered(mut run) => {
                let step = run.poll(budget)?;
                self.state = State::Ordered(run);
                Ok(step)
            }
            State::Over => Ok(Poll::Ready(())),
        }
    }

    fn has_advanced(&self) -> bool {
        match &self.state {
            State::Ordered(run) => self.reached != self.from || run.has_advanced(),
            State::Between(_) | State::Collecting(..) | State::Taking(_) | State::Over => self.reached != self.from,
        }
    }

    fn can_end(&self) -> bool {
        match &self.state {
            State::Between(_) | State::Ordered(_) => true,
            State::Collecting(..) | State::Taking(_) | State::Over => false,
        }
    }

    fn split(&mut self, count: usize) -> Vec<Box<dyn AnalysisPart>> {
        match &mut self.state {
            State::Collecting(_, run) | State::Taking(Taking { next: Some(run), .. }) => run.split(count),
            State::Between(_) | State::Taking(Taking { next: None, .. }) | State::Ordered(_) | State::Over => {
                Vec::new()
            }
        }
    }

    fn join(&mut self, part: Box<dyn AnalysisPart>) {
        match &mut self.state {
            State::Collecting(_, run) | State::Taking(Taking { next: Some(run), .. }) => run.join(part),
            State::Between(_) | State::Taking(Taking { next: None, .. }) | State::Ordered(_) | State::Over => {
                debug_assert!(false, "a span goes on until its parts are back");
            }
        }
    }

    fn awaits_parts(&self) -> bool {
        match &self.state {
            State::Collecting(_, run) => run.awaits_parts(),
            State::Between(_) | State::Taking(_) | State::Ordered(_) | State::Over => false,
        }
    }

    fn held_bytes(&self) -> usize {
        let parts: usize = self.parts.fresh().map(|segment| share(segment.memory_bytes(), segment)).sum();
        let state = match &self.state {
            State::Between(fold) => fold.held_bytes(),
            State::Collecting(fold, run) => fold.held_bytes() + run.held_bytes(),
            State::Taking(Taking { fold, collected, next, .. }) => {
                fold.held_bytes() + collected.held_bytes() + next.as_ref().map_or(0, |next| next.held_bytes())
            }
            State::Ordered(run) => run.held_bytes(),
            State::Over => 0,
        };
        size_of::<Self>() + parts + self.ends.capacity() * size_of::<i64>() + state
    }

    fn scanned_bytes(&self) -> u64 {
        let current = match &self.state {
            State::Collecting(_, run) | State::Taking(Taking { next: Some(run), .. }) => run.scanned_bytes(),
            State::Ordered(run) => run.scanned_bytes(),
            State::Between(_) | State::Taking(Taking { next: None, .. }) | State::Over => 0,
        };
        self.read_bytes.saturating_add(current)
    }

    fn end(self: Box<Self>) -> (Progress, Box<dyn Send>) {
        let Self { parts, state, up_to_seq, reached, .. } = *self;
        match state {
            State::Between(fold) | State::Collecting(fold, _) | State::Taking(Taking { fold, .. }) => {
                (Progress { fold, reached, up_to_seq }, Box::new(parts))
            }
            State::Ordered(run) => run.end(),
            State::Over => unreachable!("a run that has failed is not continued"),
        }
    }
}

/// Divides the time of the events that a scan selects into spans with about `events_max` events at most. The last span
/// ends at `last`. Returns the ends, the last one first.
fn span_ends(parts: &Parts, scan: &Scan, events_max: usize, last: i64) -> Vec<i64> {
    let bounds = Bounds::of(scan);
    let mut places: Vec<(i64, usize)> = Vec::new();
    for part in parts.iter() {
        match part {
            Part::Fresh(segment) => {
                let rows = segment.rows().len();
                places.extend((0..rows).step_by(FRESH_ROWS).map(|row| (segment.rows().timestamp(row), FRESH_ROWS)));
            }
            Part::Sealed(sealed) => {
                let index = sealed.index();
                let Some(requested) = RequestedTypes::in_sealed(&scan.filter, &sealed) else { continue };
                let blocks = (0..index.blocks()).filter(|number| {
                    let times = (index.first(*number).time, index.last(*number).time);
                    bounds.has_any_time(times) && requested.has_any(&sealed, *number)
                });
                places.extend(blocks.map(|number| (index.last(number).time, index.rows(number))));
            }
        }
    }
    places.sort_unstable();
    let (mut ends, mut events) = (Vec::from([last]), 0);
    for (time, count) in places {
        events += count;
        if events >= events_max && time < last {
            events = 0;
            ends.push(time);
        }
    }
    ends.sort_unstable_by(|left, right| right.cmp(left));
    ends.dedup();
    ends
}
