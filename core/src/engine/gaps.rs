//! Finds the sequence numbers of which there are no events, segment by segment.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem::size_of;

use super::erasure::ErasureTest;
use super::parts::Parts;
use super::scan::share;
use crate::repository::{Gap, GapRun, ReadError};
use crate::segment::{Part, Sealed, Sieve as _, StoredSeqs};

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
        Self { stretches, next, up_to, test, gap_first: None }
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
                let StoredSeqs { seqs, next } = visible_seqs(part, self.next, &mut self.test)?;
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
fn visible_seqs(part: &Part, from: u64, test: &mut ErasureTest) -> Result<StoredSeqs, ReadError> {
    let mut found = part.stored_seqs(from)?;
    if !test.may_erase_in(part) {
        return Ok(found);
    }
    let erased = match part {
        Part::Fresh(segment) => {
            let mut erased = Vec::new();
            for &seq in &found.seqs {
                let row = segment.row_of_seq(seq);
                if row.map_or(Ok(false), |row| test.erases_fresh(segment, row))? {
                    erased.push(seq);
                }
            }
            erased
        }
        Part::Sealed(sealed) => erased_in_page(sealed, from, test)?,
    };
    found.seqs.retain(|seq| erased.binary_search(seq).is_err());
    Ok(found)
}

/// The sequence numbers of erased events in the page of the sequence index that has `from`, ascending. Reads each block
/// at most once.
fn erased_in_page(sealed: &Sealed, from: u64, test: &mut ErasureTest) -> Result<Vec<u64>, ReadError> {
    let Some(page) = sealed.sequence_page(from)? else { return Ok(Vec::new()) };
    let mut by_block: Vec<(usize, u64)> = page.blocks.into_iter().map(|(seq, block)| (block, seq)).collect();
    by_block.sort_unstable();
    let (erased_to, index) = (sealed.erased_to(), sealed.index());
    let mut erased = Vec::new();
    for in_block in by_block.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(number, _)) = in_block.first() else { continue };
        let times = (index.first(number).time, index.last(number).time);
        if !test.may_select_in(erased_to, index.seqs(number), times) {
            continue;
        }
        let block = sealed.block(number)?;
        for &(_, seq) in in_block {
            if let Some(row) = block.row_of_seq(seq)
                && test.erases_sealed(erased_to, &block, row)?
            {
                erased.push(seq);
            }
        }
    }
    erased.sort_unstable();
    Ok(erased)
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
