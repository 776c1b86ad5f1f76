//! Finds the sequence numbers of which there are no events, segment by segment.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem::size_of;

use super::erasure::ErasureTest;
use super::parts::Parts;
use super::scan::share;
use crate::repository::{Gap, GapRun, ReadError};
use crate::segment::{Part, Sealed, Segment, StoredSeqs};

/// To read a block, or to find out that this is not necessary, costs about as much as to look up this many numbers. So
/// a step with the budget of a read gets through about thirty of them.
const BLOCK_NUMBERS: usize = 128;

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
                let (StoredSeqs { seqs, next }, cost) = self.visible_seqs(part, budget)?;
                for seq in seqs.into_iter().take_while(|seq| *seq <= last) {
                    self.missing_to(seq - 1);
                    self.stored_to(seq, gaps);
                }
                self.missing_to(last.min(next - 1));
                cost
            }
        };
        if self.next <= last {
            self.stretches.push_front(stretch);
        }
        Ok(cost)
    }

    /// As [`Part::stored_seqs`], without those of erased events; and the cost.
    fn visible_seqs(&mut self, part: &Part, budget: usize) -> Result<(StoredSeqs, usize), ReadError> {
        let next = self.next;
        let with_cost = |found: StoredSeqs| {
            let cost = usize::try_from(found.next.saturating_sub(next)).unwrap_or(usize::MAX);
            (found, cost)
        };
        match part {
            Part::Fresh(segment) => Ok(with_cost(visible_in(segment, part.stored_seqs(next)?, &mut self.test)?)),
            Part::Sealed(_) if !self.test.may_erase_in(part) => Ok(with_cost(part.stored_seqs(next)?)),
            Part::Sealed(sealed) => visible_in_sealed(sealed, next, budget, &mut self.test),
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

/// As [`Part::stored_seqs`], without those of erased events. Stops before the first event whose block the budget does
/// not suffice to read, but reads at least one block, so that each step gets further.
fn visible_in_sealed(
    sealed: &Sealed,
    from: u64,
    budget: usize,
    test: &mut ErasureTest,
) -> Result<(StoredSeqs, usize), ReadError> {
    // The index ends with the last stored event; the segment may cover more.
    let end = sealed.seqs().1.saturating_add(1);
    let Some(page) = sealed.sequence_page(from)? else { return Ok((StoredSeqs { seqs: Vec::new(), next: end }, 1)) };
    let (mut blocks, blocks_max) = (BTreeSet::new(), (budget / BLOCK_NUMBERS).max(1));
    let is_within =
        |&&(_, block): &&(u64, usize)| blocks.contains(&block) || (blocks.len() < blocks_max && blocks.insert(block));
    let within = page.blocks.iter().take_while(is_within).count();
    let (within, beyond) = page.blocks.split_at(within);
    let mut by_block: Vec<(usize, u64)> = within.iter().map(|&(seq, block)| (block, seq)).collect();
    by_block.sort_unstable();
    let (mut seqs, mut cost) = (Vec::with_capacity(within.len()), within.len());
    for in_block in by_block.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(number, _)) = in_block.first() else { continue };
        cost += BLOCK_NUMBERS;
        let block = if test.may_erase_in_block(sealed, number) { Some(sealed.block(number)?) } else { None };
        for &(_, seq) in in_block {
            let row = block.as_ref().and_then(|block| Some((block, block.row_of_seq(seq)?)));
            let is_erased = row.map_or(Ok(false), |(block, row)| test.erases_sealed(sealed.erased_to(), block, row))?;
            seqs.extend((!is_erased).then_some(seq));
        }
        cost += test.take_cost() as usize;
    }
    seqs.sort_unstable();
    Ok((StoredSeqs { seqs, next: beyond.first().map_or(page.next, |&(seq, _)| seq) }, cost))
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
        self.stretches.capacity() * size_of::<Stretch>() + segments
    }
}
