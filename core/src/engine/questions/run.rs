//! A running question that is answered from columns.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::task::Poll;

use super::fresh::FreshRows;
use super::pieces::Pieces;
use super::plan::Plan;
use super::worker::Worker;
use crate::engine::parts::Parts;
use crate::query::Scan;
use crate::repository::{AnalysisPart, AnalysisRun, Progress, ReadError};

/// With fewer blocks, no part of the work is handed out.
const SPLIT_BLOCKS_MIN: usize = 8;

/// A fold that holds more has many groups. Merging two of those may take longer than the work that is saved.
const SPLIT_BYTES_MAX: usize = 4 << 20;

/// A question whose events may come in any order: those of fresh segments first, so that their memory can be freed. The
/// newest segment comes first.
pub(in crate::engine) struct ColumnarRun {
    fresh: FreshRows,
    /// Does what nobody else does.
    own: Worker,
    /// Workers that were handed out before.
    others: Vec<Worker>,
    /// How many workers are handed out.
    out: usize,
    /// The events after this sequence number were seen when it began.
    from: u64,
    /// Those of the sealed segments.
    sealed_to: u64,
}

impl ColumnarRun {
    /// Begins or continues a question. Returns it if it needs its events in order.
    pub(in crate::engine) fn begin(parts: &Parts, progress: Progress) -> Result<Self, Progress> {
        let scan = progress.fold.scan();
        if progress.fold.needs().is_none() || scan.filter.ids.is_some() {
            return Err(progress);
        }
        let Progress { fold, up_to_seq, .. } = progress;
        let sealed_to = parts.fresh().next().map_or(up_to_seq, |segment| segment.base().saturating_sub(1));
        let plan = Plan::new(parts, &Scan { up_to_seq: Some(up_to_seq), ..scan });
        // Other segments have no events of the answer. It can be continued after each of these.
        let fresh = parts.fresh().filter(|segment| {
            let times = (segment.sort_key(0).time, segment.sort_key(segment.rows().len().saturating_sub(1)).time);
            segment.base() <= up_to_seq && plan.bounds.has_any_time(times)
        });
        let fresh = FreshRows::of(fresh.cloned());
        let own = Worker::new(plan, fold, Pieces::of(parts.sealed().cloned()));
        Ok(Self { fresh, own, others: Vec::new(), out: 0, from: up_to_seq, sealed_to: sealed_to.min(up_to_seq) })
    }

    /// The events after this sequence number were seen, and no others; `None` if that is not so.
    fn seen_after(&self) -> Option<u64> {
        if self.own.has_begun() {
            None
        } else if self.fresh.is_empty() {
            Some(self.sealed_to)
        } else {
            self.fresh.last_seq().map(|last| last.min(self.from))
        }
    }

    fn poll_blocks(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        if self.own.work(budget)?.is_pending() {
            return Ok(Poll::Pending);
        }
        if let Some(mut worker) = self.others.pop() {
            if worker.is_idle() {
                self.own.absorb(&worker);
            } else {
                mem::swap(&mut self.own, &mut worker);
                self.others.push(worker);
            }
            return Ok(Poll::Pending);
        }
        Ok(if self.out == 0 { Poll::Ready(()) } else { Poll::Pending })
    }

    fn split_worker(&mut self) -> Option<Worker> {
        if let Some(at) = self.others.iter().position(|worker| !worker.is_idle()) {
            let mut worker = self.others.swap_remove(at);
            if self.own.is_idle() {
                self.own.pieces = worker.pieces.split();
            }
            return Some(worker);
        }
        let is_worth_it =
            self.own.pieces.blocks_max() >= SPLIT_BLOCKS_MIN && self.own.fold.held_bytes() <= SPLIT_BYTES_MAX;
        if !is_worth_it {
            return None;
        }
        let mut worker = match self.others.pop() {
            Some(worker) => worker,
            None => Worker::new(self.own.plan.clone(), self.own.fold.emptied()?, Pieces::default()),
        };
        worker.pieces = self.own.pieces.split();
        Some(worker)
    }
}

impl AnalysisRun for ColumnarRun {
    fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        let mut left = budget.max(1);
        while !self.fresh.is_empty() && self.own.fold.wants_more() && left > 0 {
            left = left.saturating_sub(self.fresh.step(&mut self.own.plan, &mut self.own.fold)?);
        }
        if left == 0 { Ok(Poll::Pending) } else { self.poll_blocks(left) }
    }

    fn has_advanced(&self) -> bool {
        self.seen_after() != Some(self.from)
    }

    fn can_end(&self) -> bool {
        self.seen_after().is_some()
    }

    fn split(&mut self) -> Option<Box<dyn AnalysisPart>> {
        if !self.fresh.is_empty() {
            return None;
        }
        let worker = self.split_worker()?;
        self.own.begin();
        self.out += 1;
        Some(Box::new(worker))
    }

    fn join(&mut self, part: Box<dyn AnalysisPart>) {
        match part.into_any().downcast::<Worker>() {
            Ok(worker) => {
                self.others.push(*worker);
                self.out -= 1;
            }
            Err(_) => debug_assert!(false, "a part of another run was returned"),
        }
    }

    fn awaits_parts(&self) -> bool {
        self.out > 0 && self.own.is_idle()
    }

    fn held_bytes(&self) -> usize {
        let others: usize = self.others.iter().map(Worker::held_bytes).sum();
        size_of::<Self>() + self.fresh.held_bytes() + self.own.held_bytes() + others
    }

    fn scanned_bytes(&self) -> u64 {
        self.own.read_bytes() + self.others.iter().map(Worker::read_bytes).sum::<u64>()
    }

    fn end(self: Box<Self>) -> (Progress, Box<dyn Send>) {
        let up_to_seq = self.seen_after().unwrap_or_default();
        let Self { fresh, own: Worker { fold, .. }, .. } = *self;
        (Progress::new(fold, up_to_seq), Box::new(fresh))
    }
}
