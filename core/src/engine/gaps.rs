//! Finds the sequence numbers of which there are no events, segment by segment.

mod page;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem::size_of;

use page::Page;

use super::erasure::ErasureTest;
use super::parts::Parts;
use super::scan::share;
use crate::repository::{Gap, GapRun, ReadError};
use crate::segment::{Part, Segment, StoredSeqs};

/// A search over the segments of a snapshot. It holds only those in which events are missing or may be erased.
#[derive(Debug)]
pub(super) struct GapSearch {
    /// What the segments cover, from `next` on, ascending.
    stretches: VecDeque<Stretch>,
    /// The first number that was not looked at.
    next: u64,
    up_to: u64,
    test: ErasureTest,
    /// Where the gap before `next` begins, if there is one. It may go on.
    gap_first: Option<u64>,
    /// What is known of the page that has `next`, if its events may be erased.
    page: Option<Page>,
}

/// The sequence numbers that a segment covers.
#[derive(Debug)]
struct Stretch {
    first: u64,
    last: u64,
    /// The segment, if some of its events are missing or may be erased.
    incomplete: Option<Part>,
}

impl GapSearch {
    /// Searches after `after` and up to `up_to`.
    pub(super) fn over(parts: &Parts, after: u64, up_to: u64) -> Self {
        let next = after.saturating_add(1);
        let test = parts.erasure_test();
        let parts = parts.iter().filter(|part| part.seqs().1 >= next && part.seqs().0 <= up_to);
        let stretches = parts.map(|part| Stretch::of(part, &test)).collect();
        Self { stretches, next, up_to, test, gap_first: None, page: None }
    }

    /// Looks at the next numbers, within about this budget. Returns the cost.
    fn step(&mut self, budget: usize, gaps: &mut VecDeque<Gap>) -> Result<usize, ReadError> {
        let Some(stretch) = self.stretches.pop_front() else {
            self.missing_to(self.up_to);
            return Ok(0);
        };
        let (first, last) = (stretch.first, stretch.last.min(self.up_to));
        if self.next < first {
            self.missing_to(first - 1);
        }
        let cost = match &stretch.incomplete {
            None => {
                self.stored_to(last, gaps);
                0
            }
            Some(part) => {
                let (found, cost) = self.visible_seqs(part, budget)?;
                if let Some(StoredSeqs { seqs, next }) = found {
                    for seq in seqs.into_iter().take_while(|seq| *seq <= last) {
                        self.missing_to(seq - 1);
                        self.stored_to(seq, gaps);
                    }
                    self.missing_to(last.min(next - 1));
                }
                cost
            }
        };
        if self.next <= last {
            self.stretches.push_front(stretch);
        }
        Ok(cost)
    }

    /// As [`Part::stored_seqs`], without those of erased events; and the cost. `None` if that takes more steps.
    fn visible_seqs(&mut self, part: &Part, budget: usize) -> Result<(Option<StoredSeqs>, usize), ReadError> {
        let cost = |found: &StoredSeqs| usize::try_from(found.next.saturating_sub(self.next)).unwrap_or(usize::MAX);
        if !self.test.may_erase_in(part) {
            let found = part.stored_seqs(self.next)?;
            let cost = cost(&found);
            return Ok((Some(found), cost));
        }
        match part {
            Part::Fresh(segment) => {
                let found = part.stored_seqs(self.next)?;
                let cost = cost(&found);
                Ok((Some(visible_in(segment, found, &mut self.test)?), cost))
            }
            Part::Sealed(sealed) => {
                let (mut page, opened) = match self.page.take() {
                    Some(page) => (page, 0),
                    None => {
                        let page = Page::open(sealed, self.next)?;
                        let cost = cost(page.found());
                        (page, cost)
                    }
                };
                // At least one block, however much it took to open the page.
                let left = budget.saturating_sub(opened).max(1);
                let cost = page.step(left, &mut self.test)?.saturating_add(opened);
                if !page.is_complete() {
                    self.page = Some(page);
                    return Ok((None, cost));
                }
                Ok((Some(page.finish()), cost))
            }
        }
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
    fn of(part: Part, test: &ErasureTest) -> Self {
        let (first, last) = part.seqs();
        let is_complete = part.tally().events == last - first + 1 && !test.may_erase_in(&part);
        Self { first, last, incomplete: (!is_complete).then_some(part) }
    }

    fn held_bytes(&self) -> usize {
        match &self.incomplete {
            Some(Part::Fresh(segment)) => share(segment.memory_bytes(), segment),
            Some(Part::Sealed(_)) | None => 0,
        }
    }
}

/// As [`Part::stored_seqs`], without those of erased events.
fn visible_in(segment: &Segment, found: StoredSeqs, test: &mut ErasureTest) -> Result<StoredSeqs, ReadError> {
    let StoredSeqs { mut seqs, next } = found;
    let mut erased = Vec::new();
    for &seq in &seqs {
        let row = segment.row_of_seq(seq);
        if row.map_or(Ok(false), |row| test.erases_fresh(segment, row))? {
            erased.push(seq);
        }
    }
    seqs.retain(|seq| erased.binary_search(seq).is_err());
    Ok(StoredSeqs { seqs, next })
}

impl GapRun for GapSearch {
    fn poll_gaps(&mut self, budget: u32, gaps: &mut VecDeque<Gap>) -> Result<u64, ReadError> {
        let mut left = budget.max(1) as usize;
        while self.next <= self.up_to && left > 0 {
            // A stretch costs as much as looking up a number.
            left = left.saturating_sub(self.step(left, gaps)?.max(1));
        }
        if self.next <= self.up_to {
            return Ok(self.gap_first.unwrap_or(self.next) - 1);
        }
        gaps.extend(self.gap_first.take().map(|first| Gap { first, last: self.up_to }));
        Ok(self.up_to)
    }

    fn held_bytes(&self) -> usize {
        let segments: usize = self.stretches.iter().map(Stretch::held_bytes).sum();
        let page = self.page.as_ref().map_or(0, Page::held_bytes);
        self.stretches.capacity() * size_of::<Stretch>() + segments + page
    }
}
