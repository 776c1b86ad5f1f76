//! The types that a scan requests, by their codes in a segment.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::step::share;
use crate::column::partition_point;
use crate::query::{Filter, TypeTest};
use crate::segment::{Block, Sealed, Segment};

/// The codes of the requested types in a segment: ranges with gaps between them, ascending; `None` for all types. Types
/// with the same beginning have codes in a row.
#[derive(Clone, Debug)]
pub(in crate::engine) struct RequestedTypes(Option<Arc<[Range<usize>]>>);

impl RequestedTypes {
    /// The types that a filter requests in a sealed segment. `None` if the segment has none of them.
    pub(in crate::engine) fn in_sealed(filter: &Filter, sealed: &Sealed) -> Option<Self> {
        let types = sealed.index().types();
        let name = |code: usize| types.get(code).expect("a code is below the number of types").name.as_bytes();
        Self::of(filter, types.len(), name)
    }

    /// The types that a filter requests in a fresh segment. `None` if the segment has none of them.
    pub(in crate::engine) fn in_fresh(filter: &Filter, segment: &Segment) -> Option<Self> {
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
        let mut merged: Vec<Range<usize>> = Vec::new();
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                Some(_) | None => merged.push(range),
            }
        }
        match merged.as_slice() {
            [] => None,
            [range] if range.len() == count => Some(Self(None)),
            [..] => Some(Self(Some(merged.into()))),
        }
    }

    /// The codes, ascending, if there are at most `count_max`, and other types as well.
    pub(in crate::engine) fn few(&self, count_max: usize) -> Option<impl Iterator<Item = usize>> {
        let ranges = self.0.as_deref()?;
        let count: usize = ranges.iter().map(Range::len).sum();
        (count <= count_max).then(|| ranges.iter().cloned().flatten())
    }

    /// Its memory in bytes.
    pub(in crate::engine) fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |ranges| share(size_of_val(&**ranges), ranges))
    }

    /// Whether a type is requested.
    pub(in crate::engine) fn has(&self, code: usize) -> bool {
        self.0.as_deref().is_none_or(|ranges| {
            let at = ranges.partition_point(|range| range.end <= code);
            ranges.get(at).is_some_and(|range| range.contains(&code))
        })
    }

    /// Whether the index says that a block has any of them.
    pub(in crate::engine) fn has_any(&self, sealed: &Sealed, number: usize) -> bool {
        self.0.is_none() || sealed.index().codes(number).any(|code| self.has(code as usize))
    }

    /// For each type of a block, whether it is one of them; `None` for all.
    pub(in crate::engine) fn in_block(&self, sealed: &Sealed, block: &Block) -> Option<Box<[bool]>> {
        self.among(sealed, block.names())
    }

    /// For each of these types, whether it is one of them; `None` for all.
    pub(in crate::engine) fn among<'n>(
        &self,
        sealed: &Sealed,
        names: impl Iterator<Item = &'n [u8]>,
    ) -> Option<Box<[bool]>> {
        self.0.as_ref()?;
        let is_requested = |name: &[u8]| sealed.index().code(name).is_some_and(|code| self.has(code as usize));
        Some(names.map(is_requested).collect())
    }
}

/// Whether the type of a row is requested, given the result of [`RequestedTypes::in_block`] for its block.
pub(in crate::engine) fn is_requested(requested: Option<&[bool]>, block: &Block, row: usize) -> bool {
    let each = "there is an entry for each type of the block";
    requested.is_none_or(|requested| *requested.get(block.type_index(row)).expect(each))
}
