//! The types that a scan requests, by their codes in a sealed segment.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::query::Filter;
use crate::segment::{Block, Sealed};

/// The codes of the requested types in a sealed segment, ascending; `None` for all.
#[derive(Clone, Debug)]
pub(super) struct RequestedTypes(Option<Box<[u32]>>);

impl RequestedTypes {
    /// `None` if the segment has none of the requested types.
    pub(super) fn of(filter: &Filter, sealed: &Sealed) -> Option<Self> {
        let Some(types) = &filter.types else { return Some(Self(None)) };
        let mut codes: Vec<u32> = types.iter().filter_map(|name| sealed.index().code(name.as_bytes())).collect();
        codes.sort_unstable();
        codes.dedup();
        (!codes.is_empty()).then(|| Self(Some(codes.into())))
    }

    /// Whether the index says that a block has any of them.
    pub(super) fn has_any(&self, sealed: &Sealed, number: usize) -> bool {
        let has = |codes: &[u32]| sealed.index().codes(number).any(|code| codes.binary_search(&code).is_ok());
        self.0.as_deref().is_none_or(has)
    }

    /// For each type of a block, whether it is one of them; `None` for all.
    pub(super) fn in_block(&self, sealed: &Sealed, block: &Block) -> Option<Box<[bool]>> {
        let codes = self.0.as_ref()?;
        let is_requested =
            |name: &[u8]| sealed.index().code(name).is_some_and(|code| codes.binary_search(&code).is_ok());
        Some(block.names().map(is_requested).collect())
    }
}

/// Whether the type of a row is requested, given the result of [`RequestedTypes::in_block`] for its block.
pub(super) fn is_requested(requested: Option<&[bool]>, block: &Block, row: usize) -> bool {
    let each = "there is an entry for each type of the block";
    requested.is_none_or(|requested| *requested.get(block.type_index(row)).expect(each))
}
