//! The types that a scan requests, by their codes in a segment.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::step::share;
use crate::column::partition_point;
use crate::query::{Filter, TypeTest};
use crate::segment::{Block, Sealed, Segment};

/// The codes of the requested types in a segment, ascending; `None` for all.
#[derive(Clone, Debug)]
pub(super) struct RequestedTypes(Option<Arc<[usize]>>);

impl RequestedTypes {
    /// The types that a filter requests in a sealed segment. `None` if the segment has none of them.
    pub(super) fn in_sealed(filter: &Filter, sealed: &Sealed) -> Option<Self> {
        let types = sealed.index().types();
        let name = |code: usize| types.get(code).expect("a code is below the number of types").name.as_bytes();
        Self::of(filter, types.len(), name)
    }

    /// The types that a filter requests in a fresh segment. `None` if the segment has none of them.
    pub(super) fn in_fresh(filter: &Filter, segment: &Segment) -> Option<Self> {
        let rows = segment.rows();
        Self::of(filter, rows.type_count(), |code| rows.type_name(code))
    }

    /// `name` gives the name of each of `count` types, which ascend.
    fn of<'n>(filter: &Filter, count: usize, name: impl Fn(usize) -> &'n [u8]) -> Option<Self> {
        let Some(tests) = &filter.types else { return Some(Self(None)) };
        let codes = |test: &TypeTest| -> Range<usize> {
            let start = partition_point(0..count, |code| name(code) < test.text().as_bytes());
            start..partition_point(start..count, |code| test.matches(name(code)))
        };
        let mut ranges: Vec<Range<usize>> = tests.iter().map(codes).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let (mut requested, mut end) = (Vec::new(), 0);
        for range in ranges {
            requested.extend(range.start.max(end)..range.end);
            end = end.max(range.end);
        }
        match requested.len() {
            0 => None,
            len if len == count => Some(Self(None)),
            _ => Some(Self(Some(requested.into()))),
        }
    }

    /// The codes, ascending; `None` for all types.
    pub(super) fn codes(&self) -> Option<&[usize]> {
        self.0.as_deref()
    }

    /// Its memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |codes| share(size_of_val(&**codes), codes))
    }

    /// Whether a type is requested.
    pub(super) fn has(&self, code: usize) -> bool {
        self.codes().is_none_or(|codes| codes.binary_search(&code).is_ok())
    }

    /// Whether the index says that a block has any of them.
    pub(super) fn has_any(&self, sealed: &Sealed, number: usize) -> bool {
        self.0.is_none() || sealed.index().codes(number).any(|code| self.has(code as usize))
    }

    /// For each type of a block, whether it is one of them; `None` for all.
    pub(super) fn in_block(&self, sealed: &Sealed, block: &Block) -> Option<Box<[bool]>> {
        self.codes()?;
        let is_requested = |name: &[u8]| sealed.index().code(name).is_some_and(|code| self.has(code as usize));
        Some(block.names().map(is_requested).collect())
    }
}

/// Whether the type of a row is requested, given the result of [`RequestedTypes::in_block`] for its block.
pub(super) fn is_requested(requested: Option<&[bool]>, block: &Block, row: usize) -> bool {
    let each = "there is an entry for each type of the block";
    requested.is_none_or(|requested| *requested.get(block.type_index(row)).expect(each))
}
