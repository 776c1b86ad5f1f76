//! Answers blocks, one after the other.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::task::Poll;

use super::block_columns::{Answered, answer_columns};
use super::block_rows::BlockRows;
use super::pieces::{Next, Piece, Pieces};
use super::plan::{BLOCK_ROWS, Plan};
use crate::analysis::Fold;
use crate::engine::scan::RequestedTypes;
use crate::repository::{AnalysisPart, ReadError};
use crate::row_group::RowSet;
use crate::segment::{Sealed, Sieve as _, SortKey};

/// What one thread does for a question.
pub(super) struct Worker {
    pub(super) plan: Plan,
    pub(super) fold: Fold,
    pub(super) pieces: Pieces,
    has_begun: bool,
    /// A block that is looked at row by row.
    rows: Option<Box<BlockRows>>,
    /// Bytes that were read.
    read_bytes: u64,
}

impl Worker {
    pub(super) fn new(plan: Plan, fold: Fold, pieces: Pieces) -> Self {
        Self { plan, fold, pieces, has_begun: false, rows: None, read_bytes: 0 }
    }

    /// Whether it has begun to look at blocks.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether nothing is left to do.
    pub(super) fn is_idle(&self) -> bool {
        self.rows.is_none() && self.pieces.is_empty()
    }

    /// Examines about `budget` events. Ready once none is left.
    pub(super) fn work(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        self.has_begun = true;
        let mut left = budget.max(1);
        while left > 0 {
            if !self.fold.wants_more() {
                (self.pieces, self.rows) = (Pieces::default(), None);
            }
            if let Some(rows) = &mut self.rows {
                match rows.step(&mut self.plan, &mut self.fold)? {
                    Some(cost) => left = left.saturating_sub(cost),
                    None => self.rows = None,
                }
                continue;
            }
            if let Some(sealed) = self.pieces.next_segment().cloned()
                && self.answer_segment(&sealed)
            {
                self.pieces.skip_segment();
                left = left.saturating_sub(u32::try_from(sealed.index().types().len()).unwrap_or(u32::MAX));
                continue;
            }
            match self.pieces.next(&self.plan)? {
                Next::Piece(piece) => left = left.saturating_sub(self.answer(piece)?),
                Next::Opened => left = left.saturating_sub(BLOCK_ROWS),
                Next::End => return Ok(Poll::Ready(())),
            }
        }
        Ok(Poll::Pending)
    }

    /// Takes what another one, which is idle, has seen.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.fold.merge(&other.fold);
        self.read_bytes += other.read_bytes;
    }

    /// Bytes that were read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let rows = self.rows.as_ref().map_or(0, |rows| rows.held_bytes());
        self.fold.held_bytes() + self.pieces.held_bytes() + rows
    }

    /// Answers a whole segment by the list of its types, if that suffices. Returns whether it did.
    fn answer_segment(&mut self, sealed: &Sealed) -> bool {
        let Self { plan: Plan { filter, bounds, erasures, .. }, fold, .. } = self;
        let times = sealed.times();
        let first = SortKey { time: times.0, seq: u64::MIN };
        let last = SortKey { time: times.1, seq: u64::MAX };
        let is_whole = filter.payload.is_empty()
            && !bounds.is_before(first)
            && !bounds.is_after(last)
            && bounds.has_all_seqs(sealed.seqs())
            && !erasures.may_select_in(sealed.erased_to(), sealed.seqs(), times);
        if !is_whole || !fold.needs().is_some_and(|needs| needs.are_types_enough()) {
            return false;
        }
        let Some(requested) = RequestedTypes::in_sealed(filter, sealed) else { return true };
        let types = sealed.index().types().iter().enumerate().filter(|(code, _)| requested.has(*code));
        let names =
            types.map(|(_, summary)| Some((core::str::from_utf8(summary.name.as_bytes()).ok()?, summary.events)));
        // A name that is not UTF-8 is reported when its block is read.
        let Some(names) = names.collect::<Option<Vec<(&str, u64)>>>() else { return false };
        for (name, events) in names {
            let is_taken = fold.add_counted(Some(name), events, times);
            debug_assert!(is_taken, "a fold that needs only types takes their numbers of events");
        }
        true
    }

    /// Answers a block, or leaves some of its rows to [`BlockRows`]. Returns the cost.
    fn answer(&mut self, piece: Piece) -> Result<u32, ReadError> {
        let (index, number) = (piece.sealed.index(), piece.number);
        let (first, last, seqs) = (index.first(number), index.last(number), index.seqs(number));
        if !self.plan.bounds.has_any_seq(seqs) {
            return Ok(1);
        }
        if self.plan.erasures.may_select_in(piece.sealed.erased_to(), seqs, (first.time, last.time)) {
            return self.answer_rows(piece, RowSet::ALL);
        }
        if self.is_whole(&piece)
            && let Some(name) = only_type(&piece)
            && self.fold.add_counted(Some(name), index.rows(number) as u64, (first.time, last.time))
        {
            return Ok(1);
        }
        let Some(columns) = piece.sealed.columns(number)? else { return self.answer_rows(piece, RowSet::ALL) };
        let Answered { others, cost, read_bytes } = answer_columns(&mut self.plan, &mut self.fold, &piece, columns)?;
        self.read_bytes += read_bytes;
        if others.is_empty() { Ok(cost) } else { Ok(cost.saturating_add(self.answer_rows(piece, others)?)) }
    }

    /// Whether all events of a block match, and the index knows that.
    fn is_whole(&self, piece: &Piece) -> bool {
        let (index, bounds) = (piece.sealed.index(), &self.plan.bounds);
        let (first, last, seqs) = (index.first(piece.number), index.last(piece.number), index.seqs(piece.number));
        let in_bounds = !bounds.is_before(first) && !bounds.is_after(last);
        in_bounds && bounds.has_all_seqs(seqs) && self.plan.filter.payload.is_empty()
    }

    fn answer_rows(&mut self, piece: Piece, rows: RowSet) -> Result<u32, ReadError> {
        let rows = BlockRows::open(piece, rows)?;
        self.read_bytes += rows.held_bytes() as u64;
        self.rows = Some(Box::new(rows));
        Ok(BLOCK_ROWS)
    }
}

impl AnalysisPart for Worker {
    fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        self.work(budget)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The type of all events of a block, if there is only one.
fn only_type(piece: &Piece) -> Option<&str> {
    let index = piece.sealed.index();
    let mut codes = index.codes(piece.number);
    let (code, others) = (codes.next()?, codes.next());
    let name = index.types().get(code as usize)?.name.as_bytes();
    core::str::from_utf8(name).ok().filter(|_| others.is_none())
}
