//! Finds out whether a sealed segment has erased events.

use alloc::sync::Arc;

use super::ErasureTest;
use crate::segment::{Sealed, SealedError};

/// Reading a block costs about as much as testing this many rows.
const BLOCK_ROWS: u32 = 32;

/// A search for an erased event in a sealed segment. It reads only blocks that may have one, and ends with the first
/// one that is found. So a segment without erased events is read, but not rewritten.
#[derive(Debug)]
pub(in crate::engine) struct Examination {
    sealed: Arc<Sealed>,
    test: ErasureTest,
    /// The next block.
    block: usize,
    found: Option<bool>,
}

impl Examination {
    pub(in crate::engine) fn new(sealed: Arc<Sealed>, test: ErasureTest) -> Self {
        Self { sealed, test, block: 0, found: None }
    }

    /// The segment.
    pub(in crate::engine) fn sealed(&self) -> &Arc<Sealed> {
        &self.sealed
    }

    /// Whether an erased event was found; `None` until that is known.
    pub(in crate::engine) fn found(&self) -> Option<bool> {
        self.found
    }

    /// Tests about `budget` rows.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if a block cannot be read or is damaged.
    pub(in crate::engine) fn step(&mut self, budget: u32) -> Result<(), SealedError> {
        let mut left = budget;
        while left > 0 && self.found.is_none() {
            if self.block >= self.sealed.index().blocks() {
                self.found = Some(false);
                return Ok(());
            }
            let cost = self.examine(self.block)?;
            self.block += 1;
            left = left.saturating_sub(cost);
        }
        Ok(())
    }

    /// Tests the rows of a block. Returns the cost.
    fn examine(&mut self, number: usize) -> Result<u32, SealedError> {
        if !self.test.may_erase_in_block(&self.sealed, number) {
            return Ok(1);
        }
        let erased_to = self.sealed.erased_to();
        let block = self.sealed.block(number)?;
        for row in 0..block.len() {
            if self.test.erases_sealed(erased_to, &block, row)? {
                self.found = Some(true);
                break;
            }
        }
        Ok(BLOCK_ROWS.saturating_add(block.len() as u32).saturating_add(self.test.take_cost()))
    }
}
