//! The slots of the rows of a row group.

use alloc::vec::Vec;

/// For each row of a row group its slot.
#[derive(Debug, Default)]
pub(super) struct SlotRows {
    /// The different slots.
    slots: Vec<usize>,
    /// For each row the index of its slot; empty if all rows have the first one.
    indexes: Vec<u32>,
    rows: usize,
}

impl SlotRows {
    /// All rows have the same slot.
    pub(super) fn same(slot: usize, rows: usize) -> Self {
        Self { slots: Vec::from([slot]), indexes: Vec::new(), rows }
    }

    /// `indexes` has for each row the index of its slot among `slots`, which are all different.
    pub(super) fn new(slots: Vec<usize>, indexes: Vec<u32>) -> Self {
        Self { slots, rows: indexes.len(), indexes }
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The different slots.
    pub(super) fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// For each row the index of its slot.
    pub(super) fn indexes(&self) -> impl Iterator<Item = usize> {
        let same = core::iter::repeat_n(0, if self.indexes.is_empty() { self.rows } else { 0 });
        same.chain(self.indexes.iter().map(|index| *index as usize))
    }

    /// The only slot; `None` if there are several.
    pub(super) fn only(&self) -> Option<usize> {
        match self.slots.as_slice() {
            [slot] => Some(*slot),
            [..] => None,
        }
    }

    /// The slot of each row.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.indexes().map(|index| self.slots.get(index).copied().unwrap_or_default())
    }
}
