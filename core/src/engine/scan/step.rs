//! What a walk over parts gives.

use alloc::sync::Arc;

use crate::segment::{Block, SortKey};

/// Opening a block is as much work as examining so many rows.
pub(super) const BLOCK_ROWS: u32 = 32;

/// What one reference to something costs its holder, in bytes: all holders together, what it takes.
pub(super) fn share<T>(bytes: usize, reference: &Arc<T>) -> usize {
    bytes / Arc::strong_count(reference)
}

/// One step of a walk.
#[derive(Debug)]
pub(super) enum Step {
    /// The next row, which fulfils all conditions but those on the payload.
    Row(Row),
    /// As much work as examining so many rows, and no row.
    Work(u32),
    /// There are no more rows.
    End,
}

/// A row that may be part of the answer.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: SortKey,
    pub(super) address: Address,
    /// Its block, if it lies in one that is open.
    pub(super) block: Option<Arc<Block>>,
}

/// Where an event lies.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// The part, as an index into those of the run.
    pub(super) part: usize,
    /// The number of the block, where the part has blocks.
    pub(super) block: Option<usize>,
    pub(super) row: usize,
}
