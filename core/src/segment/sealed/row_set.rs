//! Sets of rows of a block.

use super::block::ROWS_MAX;

const WORDS: usize = ROWS_MAX / 64;

/// A set of rows of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowSet([u64; WORDS]);

impl RowSet {
    /// The empty set.
    pub(super) const EMPTY: Self = Self([0; WORDS]);

    /// All rows.
    pub(super) const ALL: Self = Self([u64::MAX; WORDS]);

    pub(super) fn insert(&mut self, row: usize) {
        if let Some(word) = self.0.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }

    /// Removes the rows that are not in the other set.
    pub(super) fn intersect(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    /// Whether it has a row.
    pub(crate) fn has(&self, row: usize) -> bool {
        self.0.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}
