//! Walks the rows of all parts in the order of time, by merging sorted inputs.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::bounds::{Bounds, position};
use super::input::MergeInput;
use super::pruning::Pruning;
use super::step::{Address, Next, Row, Step};
use crate::query::{Filter, Order, Position};
use crate::repository::ReadError;
use crate::segment::{Part, SortKey};

/// A merge of sorted inputs. A fresh segment has one input for each requested type, or one for all rows; a sealed
/// segment has one for each type partition.
#[derive(Debug)]
pub(super) struct TimeMerge {
    inputs: Vec<MergeInput>,
    candidates: BinaryHeap<Candidate>,
    bounds: Bounds,
    pruning: Pruning,
    /// Whether any row was yielded, or any block or searched rows passed over.
    has_advanced: bool,
    /// Bytes of the blocks that were read, as they are in memory.
    read_bytes: u64,
}

/// The next row or block of an input. The greatest candidate is the next row of the walk, or the block that may contain
/// it.
#[derive(Debug)]
struct Candidate {
    sort_key: SortKey,
    order: Order,
    input: usize,
    /// `None` for a block that is not read yet, and for rows that are not searched yet.
    row: Option<Address>,
}

/// Why the input of a candidate can be found.
const INPUT: &str = "each candidate belongs to an input";

impl TimeMerge {
    /// The walk, and the parts that it needs. Parts without rows that can match are dropped at once, because a slow
    /// client may keep the scan open for long.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if an index cannot be read or is damaged.
    pub(super) fn over(
        parts: impl Iterator<Item = Part>,
        filter: &Filter,
        bounds: Bounds,
    ) -> Result<(Self, Vec<Part>), ReadError> {
        let pruning = Pruning::of(filter);
        let (mut held, mut inputs) = (Vec::new(), Vec::new());
        for part in parts {
            let before = inputs.len();
            inputs.extend(MergeInput::of(held.len(), &part, filter, &pruning, &bounds)?);
            if inputs.len() > before {
                held.push(part);
            }
        }
        let candidates = BinaryHeap::with_capacity(inputs.len());
        let mut merge = Self { inputs, candidates, bounds, pruning, has_advanced: false, read_bytes: 0 };
        for input in 0..merge.inputs.len() {
            merge.advance(input);
        }
        Ok((merge, held))
    }

    pub(super) fn step(&mut self) -> Result<Step, ReadError> {
        let Some(Candidate { sort_key, input, row, .. }) = self.candidates.pop() else { return Ok(Step::End) };
        let Some(address) = row else {
            let opening = self.inputs.get_mut(input).expect(INPUT);
            let (bytes, cost) = opening.open(&mut self.pruning)?;
            self.read_bytes += bytes;
            self.has_advanced |= !opening.has_found();
            self.advance(input);
            return Ok(Step::Work(cost));
        };
        let source = self.inputs.get(input).expect(INPUT);
        let (block, is_requested) = (source.block().cloned(), source.is_requested(address.row));
        self.advance(input);
        self.has_advanced = true;
        if !is_requested || !self.bounds.has_any_seq((sort_key.seq, sort_key.seq)) {
            return Ok(Step::Work(1));
        }
        Ok(Step::Row(Row { sort_key, address, block }))
    }

    /// The position just before the next candidate: all events up to it were examined. `None` if nothing was examined
    /// yet.
    pub(super) fn reached(&self) -> Option<Position> {
        let next = self.candidates.peek().filter(|_| self.has_advanced)?.sort_key;
        // A block that is not read yet may begin before the range.
        let SortKey { time, seq } =
            Some(next).filter(|key| !self.bounds.is_before(*key) && !self.bounds.is_after(*key))?;
        // Sequence numbers begin at 1 and stay far below their maximum.
        let seq =
            if self.bounds.order() == Order::TimeDescending { seq.saturating_add(1) } else { seq.saturating_sub(1) };
        Some(position(SortKey { time, seq }))
    }

    /// Bytes of the blocks that were read, as they are in memory.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Its memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let candidates = self.candidates.capacity() * size_of::<Candidate>();
        self.inputs.iter().map(MergeInput::held_bytes).fold(candidates, usize::saturating_add)
    }

    /// Adds the next row or block of an input to the candidates.
    fn advance(&mut self, input: usize) {
        let next = self.inputs.get_mut(input).expect(INPUT).next();
        let order = self.bounds.order();
        let candidate = next.map(|next| match next {
            Next::Row(sort_key, row) => Candidate { sort_key, order, input, row: Some(row) },
            Next::Block(sort_key) => Candidate { sort_key, order, input, row: None },
        });
        self.candidates.extend(candidate);
    }
}

impl Ord for Candidate {
    /// If a block and a row have the same sort key, the block comes first, since it may contain an earlier row. No two
    /// rows have the same sort key.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_key = match self.order {
            Order::TimeAscending | Order::Sequence => other.sort_key.cmp(&self.sort_key),
            Order::TimeDescending => self.sort_key.cmp(&other.sort_key),
        };
        by_key.then_with(|| other.row.is_some().cmp(&self.row.is_some()))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}
