//! The stored events of a page of the sequence index that are not erased.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::size_of;

use super::super::erasure::ErasureTest;
use crate::repository::ReadError;
use crate::segment::{Sealed, StoredSeqs};

/// To read a block costs about as much as to look up this many numbers. A page may name a thousand blocks; so a step
/// with the budget of a read gets through about thirty of them.
const BLOCK_NUMBERS: usize = 128;

/// Tests the events of a page. Reads each block at most once, and only those that may have erased events.
#[derive(Debug)]
pub(super) struct Page {
    sealed: Arc<Sealed>,
    /// The stored events.
    found: StoredSeqs,
    /// The events again, ascending by the number of their block; from `at` on, they are still to be tested.
    by_block: Vec<(usize, u64)>,
    at: usize,
    erased: Vec<u64>,
}

impl Page {
    /// Begins with the page that has `from`, at that sequence number.
    pub(super) fn open(sealed: &Arc<Sealed>, from: u64) -> Result<Self, ReadError> {
        let (mut by_block, mut found) =
            (Vec::new(), StoredSeqs { seqs: Vec::new(), next: sealed.seqs().1.saturating_add(1) });
        // The index ends with the last stored event; the segment may cover more.
        if let Some(page) = sealed.sequence_page(from)? {
            found.next = page.next;
            found.seqs.extend(page.blocks.iter().map(|&(seq, _)| seq));
            by_block.extend(page.blocks.into_iter().map(|(seq, block)| (block, seq)));
        }
        by_block.sort_unstable();
        Ok(Self { sealed: Arc::clone(sealed), found, by_block, at: 0, erased: Vec::new() })
    }

    /// All stored events of the page, erased or not.
    pub(super) fn found(&self) -> &StoredSeqs {
        &self.found
    }

    /// Goes on until about `budget` is used up. Returns the cost.
    pub(super) fn step(&mut self, budget: usize, test: &mut ErasureTest) -> Result<usize, ReadError> {
        let (mut cost, erased_to) = (0, self.sealed.erased_to());
        while cost < budget {
            let rest = self.by_block.get(self.at..).unwrap_or_default();
            let Some(in_block) = rest.chunk_by(|a, b| a.0 == b.0).next() else { break };
            let number = in_block.first().map_or(0, |&(number, _)| number);
            cost += 1;
            if test.may_erase_in_block(&self.sealed, number) {
                let block = self.sealed.block(number)?;
                for &(_, seq) in in_block {
                    if let Some(row) = block.row_of_seq(seq)
                        && test.erases_sealed(erased_to, &block, row)?
                    {
                        self.erased.push(seq);
                    }
                }
                cost += BLOCK_NUMBERS + in_block.len() + test.take_cost() as usize;
            }
            self.at += in_block.len();
        }
        Ok(cost)
    }

    /// Whether all events are tested.
    pub(super) fn is_complete(&self) -> bool {
        self.at >= self.by_block.len()
    }

    /// The events that are not erased, as far as they are tested.
    pub(super) fn finish(mut self) -> StoredSeqs {
        self.erased.sort_unstable();
        self.found.seqs.retain(|seq| self.erased.binary_search(seq).is_err());
        self.found
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.by_block.capacity() * size_of::<(usize, u64)>()
            + (self.found.seqs.capacity() + self.erased.capacity()) * size_of::<u64>()
    }
}
