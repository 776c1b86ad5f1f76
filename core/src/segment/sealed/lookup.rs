//! Finds events in a sealed segment by sequence number and by callers' ids.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::sequence_index::SequenceIndex;
use super::{Block, BlockSet, PartError, Sealed, SealedError, id_hash, read};
use crate::codec::Corrupt;
use crate::damage::Damage;
use crate::json::Wanted;
use crate::segment::StoredSeqs;

/// A page of the sequence index.
#[derive(Debug)]
pub(crate) struct SequencePage {
    /// Sequence numbers of events, ascending, and the numbers of their blocks.
    pub(crate) blocks: Vec<(u64, usize)>,
    /// The sequence number at which to continue.
    pub(crate) next: u64,
}

impl Sealed {
    /// Finds the event with this sequence number: the number of its block, the block, and the row.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if a block or a page cannot be read or is damaged.
    pub(crate) fn find_seq(&self, seq: u64) -> Result<Option<(usize, Arc<Block>, usize)>, SealedError> {
        let is_inside = |number: usize| (self.index.seqs(number).0..=self.index.seqs(number).1).contains(&seq);
        let blocks = match &self.sequence_index {
            Some(sequence_index) => self.block_of_seq(sequence_index, seq)?.into_iter().collect(),
            None => (0..self.index.blocks()).filter(|&number| is_inside(number)).collect::<Vec<_>>(),
        };
        for number in blocks {
            let block = self.block(number)?;
            if let Some(row) = block.row_of_seq(seq) {
                return Ok(Some((number, block, row)));
            }
        }
        Ok(None)
    }

    /// The page of the sequence index that has `seq`, from that sequence number on; `None` after the last page.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if the page cannot be read or is damaged.
    pub(crate) fn sequence_page(&self, seq: u64) -> Result<Option<SequencePage>, SealedError> {
        let Some(sequence_index) = &self.sequence_index else {
            return Err(self.damaged(self.bytes(), "it has no sequence index"));
        };
        let Some((page, _)) = sequence_index.locate(seq.max(sequence_index.first())) else { return Ok(None) };
        let (mut blocks, mut next) = (Vec::new(), seq);
        for entry in self.page_entries(sequence_index, page)? {
            let (entry_seq, block) = entry?;
            next = entry_seq.saturating_add(1);
            blocks.extend(block.filter(|_| entry_seq >= seq).map(|block| (entry_seq, block)));
        }
        Ok(Some(SequencePage { blocks, next }))
    }

    /// As [`Part::stored_seqs`](crate::segment::Part::stored_seqs): those of a page of the sequence index.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if the page cannot be read or is damaged.
    pub(crate) fn stored_seqs(&self, seq: u64) -> Result<StoredSeqs, SealedError> {
        // The index ends with the last stored event; the segment may cover more.
        let page = self.sequence_page(seq)?.unwrap_or(SequencePage { blocks: Vec::new(), next: self.seqs.1 + 1 });
        Ok(StoredSeqs { seqs: page.blocks.into_iter().map(|(seq, _)| seq).collect(), next: page.next })
    }

    fn block_of_seq(&self, sequence_index: &SequenceIndex, seq: u64) -> Result<Option<usize>, SealedError> {
        let Some((page, at)) = sequence_index.locate(seq) else { return Ok(None) };
        let entry = self.page_entries(sequence_index, page)?.nth(at).transpose()?;
        Ok(entry.and_then(|(_, block)| block))
    }

    /// Reads a page of the sequence index: each of its sequence numbers, and the number of the block if there is such
    /// an event.
    fn page_entries(
        &self,
        sequence_index: &SequenceIndex,
        page: usize,
    ) -> Result<impl Iterator<Item = Result<(u64, Option<usize>), SealedError>>, SealedError> {
        let range = sequence_index.page(page);
        let offset = range.start;
        let bytes = self.blob.read(range)?;
        let blocks = sequence_index.blocks(page, &bytes);
        let blocks = blocks.map_err(|Corrupt(reason)| self.damaged(offset, reason))?;
        Ok(blocks.map(move |(seq, block)| match block {
            Some(block) if block as usize >= self.index.blocks() => {
                Err(self.damaged(offset, "the sequence index names a block that does not exist"))
            }
            Some(_) | None => Ok((seq, block.map(|block| block as usize))),
        }))
    }

    /// Finds the events with these callers' ids, which ascend by their hashes. For each event found, `sink` gets the
    /// index in `ids`, the number of the block, the block, and the row.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if a page or a block cannot be read or is damaged; the error of `sink`.
    pub(crate) fn find_ids(
        &self,
        ids: &[(u64, &[u8])],
        mut sink: impl FnMut(usize, usize, &Arc<Block>, usize) -> Result<(), Damage>,
    ) -> Result<(), SealedError> {
        let Some(stored) = &self.ids else { return Ok(()) };
        let mut page_at = 0;
        let read = |range: Range<u64>| {
            page_at = range.start;
            read(&*self.blob, range)
        };
        let hashes = ids.iter().map(|&(hash, _)| hash);
        let candidates = stored.candidates(hashes, read);
        let mut candidates = candidates.map_err(|error| self.at(page_at, error))?;
        // Sort by block, so that each block is read once.
        candidates.sort_unstable_by_key(|(entry, _)| (entry.block, entry.row));
        let mut found = Vec::new();
        for in_block in candidates.chunk_by(|(a, _), (b, _)| a.block == b.block) {
            let Some((first, _)) = in_block.first() else { continue };
            let number = first.block as usize;
            if number >= self.index.blocks() {
                return Err(self.damaged(page_at, "the index of ids names a block that does not exist"));
            }
            let block = self.block(number)?;
            for &(entry, index) in in_block {
                let row = usize::from(entry.row);
                found.clear();
                if row < block.len() {
                    block.append_id(row, &mut found)?;
                }
                let (_, id) = ids.get(index).expect("each candidate is for one of these ids");
                if found == *id {
                    sink(index, number, &block, row)?;
                }
            }
        }
        Ok(())
    }

    /// The blocks that may have an event with a wanted value at each of these paths; `None` if all may.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if a page of the index of values cannot be read or is damaged.
    pub(crate) fn blocks_with(&self, conditions: &[(Vec<&[u8]>, Wanted)]) -> Result<Option<BlockSet>, SealedError> {
        let Some(values) = self.values.as_ref().filter(|_| !conditions.is_empty()) else { return Ok(None) };
        let mut set = BlockSet::all(self.index.blocks());
        for (names, wanted) in conditions {
            let mut page_at = 0;
            let read = |page| {
                let range = values.page(page);
                page_at = range.start;
                read(&*self.blob, range)
            };
            let retained = values.retain(&mut set, names, wanted, id_hash, read);
            retained.map_err(|error| self.at(page_at, error))?;
        }
        Ok(Some(set))
    }

    fn at(&self, offset: u64, error: PartError) -> SealedError {
        match error {
            PartError::Storage(error) => error.into(),
            PartError::Corrupt(Corrupt(reason)) => self.damaged(offset, reason),
        }
    }
}
