//! The rows of a fresh segment that may match, in the order of time.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::bounds::Bounds;
use super::requested_types::RequestedTypes;
use super::step::{Address, Next, share, take};
use crate::query::Filter;
use crate::row_group::{ROWS_MAX, RowSet};
use crate::segment::{Segment, SortKey, TextSearch};

/// If more types than this are requested in a fresh segment, the rows of all types are read, and those of other types
/// left out. So the number of inputs is limited, even if a prefix matches most of many types.
const GROUPS_MAX: usize = 256;

/// About so many bytes are searched at a time.
const SEARCHED_BYTES: usize = 1 << 20;

/// The rows of a fresh segment, of all types or of one, that may match.
#[derive(Debug)]
pub(super) struct FreshRows {
    segment: Arc<Segment>,
    grouping: Grouping,
    /// The rows that remain, or their indexes in the group.
    rest: Range<usize>,
    /// If there is one, rows are searched, some thousand at a time, when the walk reaches them.
    search: Option<Arc<TextSearch>>,
    searched: Option<Box<Searched>>,
}

#[derive(Debug)]
enum Grouping {
    /// The rows of all types. Those of other types than these are left out when they are reached.
    All(RequestedTypes),
    /// The rows of one type, as indexes into the rows grouped by type.
    OneType,
}

/// Rows that were searched.
#[derive(Debug)]
struct Searched {
    /// Those of them that remain.
    rest: Range<usize>,
    /// The first of them…
    first: usize,
    /// …and which of them, from that one on, may match.
    candidates: RowSet,
}

impl FreshRows {
    /// The rows of a segment that may match, sorted: of all types, or for each type those of that type.
    pub(super) fn of(
        segment: &Arc<Segment>,
        filter: &Filter,
        search: Option<&Arc<TextSearch>>,
        bounds: &Bounds,
    ) -> Vec<Self> {
        let rows = segment.rows();
        if !bounds.has_any_seq((segment.base(), segment.last_seq())) {
            return Vec::new();
        }
        let Some(requested) = RequestedTypes::in_fresh(filter, segment) else { return Vec::new() };
        let input = |grouping, rest| Self {
            segment: Arc::clone(segment),
            grouping,
            rest,
            search: search.cloned(),
            searched: None,
        };
        if let Some(codes) = requested.few(GROUPS_MAX) {
            let group = |code| bounds.clip(rows.type_group(code), |index| segment.sort_key(rows.grouped_row(index)));
            return codes.map(|code| input(Grouping::OneType, group(code))).collect();
        }
        let rest = bounds.clip(0..rows.len(), |row| segment.sort_key(row));
        alloc::vec![input(Grouping::All(requested), rest)]
    }

    /// Whether no rows remain to be searched or, without a search, to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next row. If rows have to be searched first, says where they begin.
    pub(super) fn next(&mut self, part: usize, backwards: bool) -> Option<Next> {
        if self.search.is_none() {
            let at = take(&mut self.rest, backwards)?;
            let row = self.row(at);
            return Some(Next::Row(self.segment.sort_key(row), Address { part, block: None, row }));
        }
        while let Some(Searched { rest, first, candidates }) = self.searched.as_deref_mut() {
            let Some(at) = take(rest, backwards) else {
                self.searched = None;
                break;
            };
            if candidates.has(at - *first) {
                let row = self.row(at);
                return Some(Next::Row(self.segment.sort_key(row), Address { part, block: None, row }));
            }
        }
        let next = if backwards { self.rest.clone().next_back() } else { self.rest.clone().next() }?;
        Some(Next::Block(self.sort_key(next)))
    }

    /// Searches the next rows. Returns what that cost, in rows.
    pub(super) fn search(&mut self, backwards: bool) -> u32 {
        let Some(search) = &self.search else { return 0 };
        let rows = self.segment.rows();
        let (mut rest, mut bytes) = (self.rest.clone(), 0);
        while self.rest.len() - rest.len() < ROWS_MAX && bytes < SEARCHED_BYTES {
            let Some(at) = take(&mut rest, backwards) else { break };
            bytes += rows.row_text(self.row(at)).len();
        }
        let range = if backwards { rest.end..self.rest.end } else { self.rest.start..rest.start };
        let candidates = match &self.grouping {
            Grouping::All(_) => search.rows_in(range.clone(), rows),
            Grouping::OneType => {
                let indexes: Vec<usize> = range.clone().collect();
                RowSet::of(&indexes, |index| search.may_have(rows.row_text(rows.grouped_row(*index))))
            }
        };
        self.rest = rest;
        self.searched = Some(Box::new(Searched { first: range.start, rest: range, candidates }));
        TextSearch::cost(bytes)
    }

    /// Whether there are searched rows that may match.
    pub(super) fn has_found(&self) -> bool {
        self.searched.as_ref().is_some_and(|searched| !searched.candidates.is_empty())
    }

    /// Whether a row has a requested type.
    pub(super) fn is_requested(&self, row: usize) -> bool {
        match &self.grouping {
            Grouping::All(requested) => requested.has(self.segment.rows().row_type(row)),
            Grouping::OneType => true,
        }
    }

    /// Its memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let types = match &self.grouping {
            Grouping::All(requested) => requested.held_bytes(),
            Grouping::OneType => 0,
        };
        let searched = self.searched.as_ref().map_or(0, |searched| size_of_val(&**searched));
        share(self.segment.memory_bytes(), &self.segment) + types + searched
    }

    fn row(&self, at: usize) -> usize {
        match self.grouping {
            Grouping::All(_) => at,
            Grouping::OneType => self.segment.rows().grouped_row(at),
        }
    }

    fn sort_key(&self, at: usize) -> SortKey {
        self.segment.sort_key(self.row(at))
    }
}
