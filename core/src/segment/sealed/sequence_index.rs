//! The index from sequence numbers to blocks.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor, Packed, pack, pack_all, put_varint};
use crate::segment::tally::Imbalance;

use super::{Version, put_crc};

/// The block of each sequence number, in pages. In the segment's index:
///
/// | bytes | what |
/// |---|---|
/// | varint | lowest sequence number |
/// | varint | number of sequence numbers from it on |
/// | varint | offset of the first page |
/// | packed | for each page, its end relative to that offset |
///
/// A page covers 1024 sequence numbers, the last one the rest. Each has an *entry*: the number of its block plus 1, or
/// 0 if there is no such event. The page:
///
/// | bytes | what |
/// |---|---|
/// | 4 | CRC-32C of what follows |
/// | varint | number of different entries d |
/// | packed | these entries, ascending |
/// | packed | for each sequence number, its entry as an index into them |
///
/// In version 2, the checksum is followed by the entries of the sequence numbers, packed.
#[derive(Clone, Debug)]
pub(super) struct SequenceIndex {
    first: u64,
    count: usize,
    at: u64,
    ends: Packed,
    version: Version,
}

/// Builds a sequence index.
#[derive(Debug)]
pub(super) struct SequenceIndexBuilder {
    first: u64,
    last: u64,
    /// For each sequence number from `first` on, the number of the block plus 1.
    blocks: Vec<u64>,
}

const PAGE_SEQS: usize = 1024;
const CRC_BYTES: usize = 4;

impl SequenceIndexBuilder {
    /// For sequence numbers from the first to the last of these, inclusive.
    pub(super) fn new((first, last): (u64, u64)) -> Self {
        Self { first, last, blocks: Vec::new() }
    }

    /// Sets the block of an event; `false` if another event with this sequence number is replaced.
    ///
    /// # Errors
    ///
    /// [`Imbalance::Seq`] if the sequence number is outside of the segment's range; nothing is changed.
    pub(super) fn insert(&mut self, seq: u64, block: u32) -> Result<bool, Imbalance> {
        let at = seq.checked_sub(self.first).filter(|_| seq <= self.last).and_then(|at| usize::try_from(at).ok());
        let at = at.ok_or(Imbalance::Seq(seq))?;
        if at >= self.blocks.len() {
            self.blocks.resize(at + 1, 0);
        }
        let entry = self.blocks.get_mut(at).expect("it was resized to have this entry");
        Ok(core::mem::replace(entry, u64::from(block) + 1) == 0)
    }

    /// Appends the pages to `out`, whose end is at offset `at` of the blob, and their directory to `index`.
    pub(super) fn finish(&self, at: u64, out: &mut Vec<u8>, index: &mut Vec<u8>) {
        let begin = out.len();
        let mut ends = Vec::with_capacity(self.blocks.len().div_ceil(PAGE_SEQS));
        for page in self.blocks.chunks(PAGE_SEQS) {
            let crc_at = out.len();
            out.extend_from_slice(&[0; CRC_BYTES]);
            let mut entries = page.to_vec();
            entries.sort_unstable();
            entries.dedup();
            put_varint(entries.len() as u64, out);
            pack(&entries, out);
            let index = |entry| entries.partition_point(|&other| other < entry) as u64;
            pack_all(page.iter().map(|&entry| index(entry)), out);
            put_crc(out, crc_at);
            ends.push((out.len() - begin) as u64);
        }
        put_varint(self.first, index);
        put_varint(self.blocks.len() as u64, index);
        put_varint(at, index);
        pack(&ends, index);
    }
}

impl SequenceIndex {
    /// Decodes the directory.
    pub(super) fn decode(cursor: &mut Cursor, version: Version) -> Result<Self, Corrupt> {
        let first = cursor.varint()?;
        let count = cursor.length(u32::MAX as usize)?;
        let at = cursor.varint()?;
        let ends = Packed::decode(cursor, count.div_ceil(PAGE_SEQS))?;
        Ok(Self { first, count, at, ends, version })
    }

    /// The lowest sequence number.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Number of pages.
    pub(super) fn pages(&self) -> usize {
        self.ends.len()
    }

    /// The range of a page in the blob.
    pub(super) fn page(&self, page: usize) -> Range<u64> {
        let start = page.checked_sub(1).map_or(0, |before| self.ends.get(before));
        self.at.saturating_add(start)..self.at.saturating_add(self.ends.get(page))
    }

    /// The page of a sequence number, and the index in the page.
    pub(super) fn locate(&self, seq: u64) -> Option<(usize, usize)> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok().filter(|&at| at < self.count)?;
        Some((at / PAGE_SEQS, at % PAGE_SEQS))
    }

    /// Checks and decodes a page: each of its sequence numbers, and the block if there is such an event.
    pub(super) fn blocks(
        &self,
        page: usize,
        bytes: &Bytes,
    ) -> Result<impl Iterator<Item = (u64, Option<u32>)> + use<>, Corrupt> {
        let (crc, content) = bytes.split_first_chunk::<CRC_BYTES>().ok_or(Corrupt("it ends too early"))?;
        if Crc32c::of(content) != u32::from_le_bytes(*crc) {
            return Err(Corrupt("the checksum of a page of the sequence index is wrong"));
        }
        let start = page * PAGE_SEQS;
        let count = PAGE_SEQS.min(self.count.saturating_sub(start));
        let mut cursor = Cursor::new(bytes.slice(CRC_BYTES..));
        let entries = match self.version {
            Version::Two => None,
            Version::Three => {
                let different = cursor.length(PAGE_SEQS)?;
                Some(Packed::decode(&mut cursor, different)?)
            }
        };
        let packed = Packed::decode(&mut cursor, count)?;
        if entries.as_ref().is_some_and(|entries| packed.exceeds(entries.len() as u64)) {
            return Err(Corrupt("a page of the sequence index is invalid"));
        }
        let first = self.first + start as u64;
        Ok((0..count).map(move |at| {
            // No block has a number above 32 bits or `u32::MAX`: the caller reports it.
            let entry = entries.as_ref().map_or_else(|| packed.get(at), |entries| entries.get(packed.get(at) as usize));
            let block = entry.checked_sub(1).map(|block| u32::try_from(block).unwrap_or(u32::MAX));
            (first + at as u64, block)
        }))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn events_are_found_in_their_blocks_and_missing_ones_in_none() {
        let mut builder = SequenceIndexBuilder::new((100, 2599));
        let block = |seq: u64| (seq % 7 != 3).then_some((seq / 50) as u32);
        (100..2600)
            .rev()
            .filter_map(|seq| Some((seq, block(seq)?)))
            .for_each(|(seq, block)| assert_eq!(builder.insert(seq, block), Ok(true)));
        assert_eq!(builder.insert(100, 2), Ok(false), "it has a block already");
        for outside in [0, 99, 2600, u64::MAX] {
            assert_eq!(builder.insert(outside, 2), Err(Imbalance::Seq(outside)));
        }
        let (mut out, mut index) = (std::vec![9; 5], Vec::new());
        builder.finish(5, &mut out, &mut index);
        let sequence_index = SequenceIndex::decode(&mut Cursor::new(index.into()), Version::CURRENT).unwrap();
        let out = Bytes::from(out);
        let page = |page| out.slice(sequence_index.page(page).start as usize..sequence_index.page(page).end as usize);
        for seq in 100..2600 {
            let (number, at) = sequence_index.locate(seq).unwrap();
            let found = sequence_index.blocks(number, &page(number)).unwrap().nth(at).unwrap();
            assert_eq!(found, (seq, block(seq)));
        }
        assert_eq!((sequence_index.locate(99), sequence_index.locate(2600)), (None, None));
        assert_eq!(sequence_index.pages(), 3);
        let mut damaged = page(1).to_vec();
        damaged[7] ^= 1;
        assert!(sequence_index.blocks(1, &damaged.into()).is_err());
    }
}
