//! Walks the rows of all parts in the order of time, by merging.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::bounds::{Bounds, position};
use super::source::{Next, Source};
use super::step::{Address, BLOCK_ROWS, Row, Step};
use crate::query::{Filter, Order, Position};
use crate::repository::ReadError;
use crate::segment::{Part, SortKey};

/// A merge of sorted sources: one for each fresh segment and type, and one for each partition of a sealed segment.
#[derive(Debug)]
pub(super) struct Merge {
    sources: Vec<Source>,
    heads: BinaryHeap<Head>,
    bounds: Bounds,
    /// Whether a row was yielded.
    moved: bool,
}

/// The next row or block of a source. The greatest head is the next row of the walk, or the block that may contain it.
#[derive(Debug)]
struct Head {
    place: SortKey,
    order: Order,
    source: usize,
    /// `None` for a block that has not been read yet.
    row: Option<Address>,
}

impl Merge {
    /// The walk, and the parts that it needs. Parts without a row that can match are dropped at once, since the client
    /// may be slow.
    pub(super) fn over(parts: impl Iterator<Item = Part>, filter: &Filter, bounds: Bounds) -> (Self, Vec<Part>) {
        let (mut held, mut sources) = (Vec::new(), Vec::new());
        for part in parts {
            let before = sources.len();
            sources.extend(Source::of(held.len(), &part, filter, &bounds));
            if sources.len() > before {
                held.push(part);
            }
        }
        let heads = BinaryHeap::with_capacity(sources.len());
        let mut merge = Self { sources, heads, bounds, moved: false };
        for source in 0..merge.sources.len() {
            merge.advance(source);
        }
        (merge, held)
    }

    pub(super) fn step(&mut self) -> Result<Step, ReadError> {
        let Some(Head { place, source, row, .. }) = self.heads.pop() else { return Ok(Step::End) };
        let Some(address) = row else {
            if let Some(opened) = self.sources.get_mut(source) {
                opened.open()?;
            }
            self.advance(source);
            return Ok(Step::Work(BLOCK_ROWS));
        };
        let block = self.sources.get(source).and_then(Source::block).cloned();
        self.advance(source);
        self.moved = true;
        if !self.bounds.has_any_seq((place.seq, place.seq)) {
            return Ok(Step::Work(1));
        }
        Ok(Step::Row(Row { place, address, block }))
    }

    /// Everything up to this position was examined, which is just before the next head; `None` if nothing was.
    pub(super) fn reached(&self) -> Option<Position> {
        let SortKey { time, seq } = self.heads.peek().filter(|_| self.moved)?.place;
        // Sequence numbers begin at 1 and stay far below their maximum.
        let seq =
            if self.bounds.order() == Order::TimeDescending { seq.saturating_add(1) } else { seq.saturating_sub(1) };
        Some(position(SortKey { time, seq }))
    }

    /// Its memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let heads = self.heads.capacity() * size_of::<Head>();
        self.sources.iter().map(Source::held_bytes).fold(heads, usize::saturating_add)
    }

    /// Adds the next row or block of a source to the heads.
    fn advance(&mut self, source: usize) {
        let next = self.sources.get_mut(source).and_then(Source::next);
        let order = self.bounds.order();
        let head = next.map(|next| match next {
            Next::Row(place, row) => Head { place, order, source, row: Some(row) },
            Next::Block(place) => Head { place, order, source, row: None },
        });
        self.heads.extend(head);
    }
}

impl Ord for Head {
    /// If a block and a row have the same sort key, the block comes first, since it may contain an earlier row. No two
    /// rows have the same sort key.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_place = match self.order {
            Order::TimeAscending | Order::Sequence => other.place.cmp(&self.place),
            Order::TimeDescending => self.place.cmp(&other.place),
        };
        by_place.then_with(|| other.row.is_some().cmp(&self.row.is_some()))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}
