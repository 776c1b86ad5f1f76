//! The steps of a walk, and what they yield.

use alloc::sync::Arc;
use core::ops::Range;

use crate::segment::{Block, SortKey};

/// Opening a block costs about as much as examining this many rows.
pub(super) const BLOCK_ROWS: u32 = 32;

/// The share of a value's bytes that each of its references accounts for. All references together account for its size.
pub(in crate::engine) fn share<T: ?Sized>(bytes: usize, reference: &Arc<T>) -> usize {
    bytes / Arc::strong_count(reference)
}

/// One step of a walk.
#[derive(Debug)]
pub(super) enum Step {
    /// The next row that matches, apart from the payload conditions.
    Row(Row),
    /// No row. The step cost about as much as examining this many rows.
    Work(u32),
    /// There are no more rows.
    End,
}

/// A row that matches, apart from the payload conditions.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) sort_key: SortKey,
    pub(super) address: Address,
    /// The block that has the row, if it is open.
    pub(super) block: Option<Arc<Block>>,
}

/// The next item of an input.
#[derive(Debug)]
pub(super) enum Next {
    /// A row and its sort key.
    Row(SortKey, Address),
    /// A block that has to be read, or rows that have to be searched. The walk reaches the first row at this sort key.
    Block(SortKey),
}

/// Which row of which part an event is.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// The index of the part among those of the run.
    pub(super) part: usize,
    /// The number of the block; `None` in a fresh segment, which has no blocks.
    pub(super) block: Option<usize>,
    pub(super) row: usize,
}

/// Takes the next number of a range, forwards or backwards.
pub(super) fn take(range: &mut Range<usize>, backwards: bool) -> Option<usize> {
    if backwards { range.next_back() } else { range.next() }
}
