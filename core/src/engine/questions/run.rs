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

/// No part has fewer blocks when it is handed out.
const PART_BLOCKS_MIN: usize = 4;

/// A part whose fold holds more is not handed out, since several such folds would take much memory, and merging them
/// would take longer than the work that is saved.
const PART_BYTES_MAX: usize = 4 << 20;

/// A question whose events may come in any order: those of fresh segments first, so that their memory can be freed. The
/// newest segment comes first.
pub(in crate::engine) struct ColumnarRun {
    fresh: FreshRows,
    /// Does what nobody else does.
    own: Worker,
    /// Workers that were handed out before.
    others: Vec<Worker>,
    /// What is handed out.
    out: Lent,
    /// The events after this sequence number were seen when it began.
    from: u64,
    /// Those of the sealed segments.
    sealed_to: u64,
}

/// Workers that are handed out, as they were when they went.
#[derive(Debug, Default)]
struct Lent {
    count: usize,
    held_bytes: usize,
    read_bytes: u64,
}

impl ColumnarRun {
    /// Begins or continues a question. Returns it if it needs its events in order, or asks for ids, which have an
    /// index.
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
        let (from, sealed_to) = (up_to_seq, sealed_to.min(up_to_seq));
        Ok(Self { fresh, own, others: Vec::new(), out: Lent::default(), from, sealed_to })
    }

    /// The events after this sequence number were seen, and no others; `None` if that is not so.
    fn seen_after(&self) -> Option<u64> {
        if self.own.has_begun() || self.out.count > 0 || !self.others.is_empty() {
            None
        } else if self.fresh.is_empty() {
            Some(self.sealed_to)
        } else {
            self.fresh.last_seq().map(|last| last.min(self.from))
        }
    }

    fn poll_blocks(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        self.give_up_with_others();
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
        Ok(if self.out.count == 0 { Poll::Ready(()) } else { Poll::Pending })
    }

    /// If one worker has exceeded a limit, the question has, and nobody needs to go on.
    fn give_up_with_others(&mut self) {
        if let Some(at) = self.others.iter().position(|worker| !worker.fold.wants_more()) {
            let worker = self.others.swap_remove(at);
            self.own.absorb(&worker);
        }
        if !self.own.fold.wants_more() {
            self.others.clear();
        }
    }

    /// Divides the work among up to `count` workers beside the own one, as evenly as halves allow.
    fn divide(&mut self, count: usize) {
        loop {
            let idle = self.others.iter().position(Worker::is_idle);
            if !self.own.is_idle() && idle.is_none() && self.others.len() >= count {
                return;
            }
            let largest = self.others.iter_mut().chain([&mut self.own]).max_by_key(|worker| worker.pieces.blocks_max());
            let Some(largest) = largest.filter(|worker| worker.pieces.blocks_max() >= 2 * PART_BLOCKS_MIN) else {
                return;
            };
            let pieces = largest.pieces.split();
            if self.own.is_idle() {
                self.own.pieces = pieces;
            } else if let Some(worker) = idle.and_then(|at| self.others.get_mut(at)) {
                worker.pieces = pieces;
            } else if let Some(fold) = self.own.fold.emptied() {
                self.others.push(Worker::new(self.own.plan.clone(), fold, pieces));
            } else {
                self.own.pieces.append(pieces);
                return;
            }
        }
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

    fn split(&mut self, count: usize) -> Vec<Box<dyn AnalysisPart>> {
        if count == 0 || !self.fresh.is_empty() || self.own.fold.held_bytes() > PART_BYTES_MAX {
            return Vec::new();
        }
        self.divide(count);
        let is_part = |worker: &mut Worker| !worker.is_idle() && worker.fold.held_bytes() <= PART_BYTES_MAX;
        let parts = self.others.extract_if(.., is_part).take(count).map(|worker| {
            self.out.count += 1;
            self.out.held_bytes += worker.held_bytes();
            self.out.read_bytes += worker.read_bytes();
            Box::new(worker) as Box<dyn AnalysisPart>
        });
        parts.collect()
    }

    fn join(&mut self, part: Box<dyn AnalysisPart>) {
        match part.into_any().downcast::<Worker>() {
            Ok(worker) => {
                self.others.push(*worker);
                self.out.count -= 1;
                if self.out.count == 0 {
                    self.out = Lent::default();
                }
            }
            Err(_) => debug_assert!(false, "a part of another run was returned"),
        }
    }

    fn awaits_parts(&self) -> bool {
        self.out.count > 0 && self.own.is_idle() && self.others.is_empty()
    }

    fn held_bytes(&self) -> usize {
        let others: usize = self.others.iter().map(Worker::held_bytes).sum();
        size_of::<Self>() + self.fresh.held_bytes() + self.own.held_bytes() + others + self.out.held_bytes
    }

    fn scanned_bytes(&self) -> u64 {
        self.own.read_bytes() + self.others.iter().map(Worker::read_bytes).sum::<u64>() + self.out.read_bytes
    }

    fn end(self: Box<Self>) -> (Progress, Box<dyn Send>) {
        let up_to_seq = self.seen_after().unwrap_or_else(|| {
            debug_assert!(self.own.is_idle(), "a run that has begun with the blocks ends when it is ready");
            // All events were seen.
            0
        });
        let Self { fresh, own: Worker { fold, .. }, .. } = *self;
        (Progress::new(fold, up_to_seq), Box::new(fresh))
    }
}
