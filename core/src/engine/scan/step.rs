//! The steps of a walk, and what they yield.

use alloc::sync::Arc;

use crate::segment::{Block, SortKey};

/// Opening a block is as much work as examining so many rows.
pub(super) const BLOCK_ROWS: u32 = 32;

/// The bytes that one of several references to a value accounts for, so that all references add up to its size.
pub(super) fn share<T>(bytes: usize, reference: &Arc<T>) -> usize {
    bytes / Arc::strong_count(reference)
}

/// One step of a walk.
#[derive(Debug)]
pub(super) enum Step {
    /// The next row that matches, apart from the payload conditions.
    Row(Row),
    /// No row; the step cost as much as examining so many rows.
    Work(u32),
    /// There are no more rows.
    End,
}

/// A row that may be part of the answer.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: SortKey,
    pub(super) address: Address,
    /// Its block, if it is in an open one.
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
