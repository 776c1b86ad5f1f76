//! Finds the sequence numbers of which there are no events, segment by segment.

use alloc::collections::VecDeque;
use core::mem::size_of;

use super::parts::Parts;
use super::scan::share;
use crate::repository::{Gap, GapRun, ReadError};
use crate::segment::{Part, StoredSeqs};

/// A search over the segments of a snapshot. It holds only those in which events are missing.
#[derive(Debug)]
pub(super) struct GapSearch {
    /// What the segments cover, from `next` on, ascending.
    stretches: VecDeque<Stretch>,
    /// The first number that was not looked at.
    next: u64,
    up_to: u64,
    /// Where the gap before `next` begins, if there is one. It may go on.
    gap_first: Option<u64>,
}

/// The sequence numbers that a segment covers.
#[derive(Debug)]
struct Stretch {
    first: u64,
    last: u64,
    /// The segment, if some of its events are missing.
    incomplete: Option<Part>,
}

impl GapSearch {
    /// Searches after `after` and up to `up_to`.
    pub(super) fn over(parts: &Parts, after: u64, up_to: u64) -> Self {
        let next = after.saturating_add(1);
        let stretches = parts.iter().map(Stretch::of).filter(|stretch| stretch.last >= next && stretch.first <= up_to);
        Self { stretches: stretches.collect(), next, up_to, gap_first: None }
    }

    /// Looks at the next numbers. Returns how many of them had to be looked up.
    fn step(&mut self, gaps: &mut VecDeque<Gap>) -> Result<usize, ReadError> {
        let Some(stretch) = self.stretches.pop_front() else {
            self.missing_to(self.up_to);
            return Ok(0);
        };
        let (first, last) = (stretch.first, stretch.last.min(self.up_to));
        if self.next < first {
            self.missing_to(first - 1);
        }
        let looked_up = match &stretch.incomplete {
            None => {
                self.stored_to(last, gaps);
                0
            }
            Some(part) => {
                let StoredSeqs { seqs, next } = part.stored_seqs(self.next)?;
                let looked_up = next.saturating_sub(self.next);
                for seq in seqs.into_iter().take_while(|seq| *seq <= last) {
                    self.missing_to(seq - 1);
                    self.stored_to(seq, gaps);
                }
                self.missing_to(last.min(next - 1));
                usize::try_from(looked_up).unwrap_or(usize::MAX)
            }
        };
        if self.next <= last {
            self.stretches.push_front(stretch);
        }
        Ok(looked_up)
    }

    /// There are no events from `next` to this number. Does nothing if that is before `next`.
    fn missing_to(&mut self, last: u64) {
        if self.next <= last {
            self.gap_first.get_or_insert(self.next);
            self.next = last.saturating_add(1);
        }
    }

    /// All events from `next` to this number, which is not before it, are stored.
    fn stored_to(&mut self, last: u64, gaps: &mut VecDeque<Gap>) {
        if let Some(first) = self.gap_first.take() {
            gaps.push_back(Gap { first, last: self.next - 1 });
        }
        self.next = last.saturating_add(1);
    }
}

impl Stretch {
    fn of(part: Part) -> Self {
        let (first, last) = part.seqs();
        let is_complete = part.tally().events == last - first + 1;
        Self { first, last, incomplete: (!is_complete).then_some(part) }
    }

    fn held_bytes(&self) -> usize {
        match &self.incomplete {
            Some(Part::Fresh(segment)) => share(segment.memory_bytes(), segment),
            Some(Part::Sealed(_)) | None => 0,
        }
    }
}

impl GapRun for GapSearch {
    fn poll_gaps(&mut self, budget: u32, gaps: &mut VecDeque<Gap>) -> Result<u64, ReadError> {
        let mut left = budget.max(1) as usize;
        while self.next <= self.up_to && left > 0 {
            // A stretch costs as much as looking up a number.
            left = left.saturating_sub(self.step(gaps)?.max(1));
        }
        if self.next <= self.up_to {
            return Ok(self.gap_first.unwrap_or(self.next) - 1);
        }
        gaps.extend(self.gap_first.take().map(|first| Gap { first, last: self.up_to }));
        Ok(self.up_to)
    }

    fn held_bytes(&self) -> usize {
        let segments: usize = self.stretches.iter().map(Stretch::held_bytes).sum();
        self.stretches.capacity() * size_of::<Stretch>() + segments
    }
}
