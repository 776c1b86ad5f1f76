//! The slots of the rows of a row group.

use alloc::vec::Vec;

/// Stands for a slot that no row has.
pub(super) const NO_SLOT: usize = usize::MAX;

/// For each row of a row group its slot.
#[derive(Debug)]
pub(super) struct SlotRows {
    /// Different slots, and [`NO_SLOT`] any number of times.
    slots: Vec<usize>,
    /// How many rows each slot has.
    counts: Vec<u64>,
    /// For each row the index of its slot; empty if all rows have the first one.
    indexes: Vec<u32>,
    rows: usize,
}

impl SlotRows {
    /// All rows have the same slot.
    pub(super) fn same(slot: usize, rows: usize) -> Self {
        Self { slots: Vec::from([slot]), counts: Vec::from([rows as u64]), indexes: Vec::new(), rows }
    }

    /// `counts` has the number of rows of each slot, and `indexes` for each row the index of its slot.
    pub(super) fn new(slots: Vec<usize>, counts: Vec<u64>, indexes: Vec<u32>) -> Self {
        Self { slots, counts, rows: indexes.len(), indexes }
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The slots by their indexes.
    pub(super) fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// How many rows each slot has, by its index.
    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// For each row the index of its slot.
    pub(super) fn indexes(&self) -> impl Iterator<Item = usize> {
        let same = core::iter::repeat_n(0, if self.indexes.is_empty() { self.rows } else { 0 });
        same.chain(self.indexes.iter().map(|index| *index as usize))
    }

    /// The only slot; `None` if there may be several.
    pub(super) fn only(&self) -> Option<usize> {
        match self.slots.as_slice() {
            [slot] => Some(*slot),
            [..] => None,
        }
    }

    /// The slot of each row.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.indexes().map(|index| *self.slots.get(index).expect("each row has a slot"))
    }
}
