//! Finds the block of an event by its sequence number.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor, Packed, pack, put_varint};

/// In which block the event of each sequence number lies, in pages. In the segment's index:
///
/// | bytes | what |
/// |---|---|
/// | varint | lowest sequence number |
/// | varint | how many there are from it on |
/// | varint | offset of the first page |
/// | packed | for each page, where it ends behind that offset |
///
/// A page is for 1024 sequence numbers, the last one for what is left: the CRC-32C of the rest (4), and for each the
/// number of its block and one, or 0 if there is no such event, packed.
#[derive(Clone, Debug)]
pub(super) struct Order {
    first: u64,
    count: usize,
    at: u64,
    ends: Packed,
}

/// The blocks of events on their way into a segment.
#[derive(Debug)]
pub(super) struct OrderBuilder {
    first: u64,
    /// By sequence number: the number of the block and one.
    blocks: Vec<u64>,
}

const PAGE_SEQS: usize = 1024;
const CRC_BYTES: usize = 4;

impl OrderBuilder {
    /// For sequence numbers from this one on.
    pub(super) fn new(first: u64) -> Self {
        Self { first, blocks: Vec::new() }
    }

    pub(super) fn insert(&mut self, seq: u64, block: u32) {
        let Some(at) = seq.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else { return };
        if at >= self.blocks.len() {
            self.blocks.resize(at + 1, 0);
        }
        self.blocks.get_mut(at).into_iter().for_each(|place| *place = u64::from(block) + 1);
    }

    /// Appends the pages to `out`, which begins at offset `at` of the blob, and what the index says of them to `index`.
    pub(super) fn finish(&self, at: u64, out: &mut Vec<u8>, index: &mut Vec<u8>) {
        let begin = out.len();
        let mut ends = Vec::with_capacity(self.blocks.len().div_ceil(PAGE_SEQS));
        for page in self.blocks.chunks(PAGE_SEQS) {
            let crc_at = out.len();
            out.extend_from_slice(&[0; CRC_BYTES]);
            pack(page, out);
            let crc = Crc32c::of(out.get(crc_at + CRC_BYTES..).unwrap_or_default());
            out.iter_mut().skip(crc_at).zip(crc.to_le_bytes()).for_each(|(place, byte)| *place = byte);
            ends.push((out.len() - begin) as u64);
        }
        put_varint(self.first, index);
        put_varint(self.blocks.len() as u64, index);
        put_varint(at, index);
        pack(&ends, index);
    }
}

impl Order {
    /// Reads what the index says.
    pub(super) fn decode(cursor: &mut Cursor) -> Result<Self, Corrupt> {
        let first = cursor.varint()?;
        let count = cursor.length(u32::MAX as usize)?;
        let at = cursor.varint()?;
        let ends = Packed::decode(cursor, count.div_ceil(PAGE_SEQS))?;
        Ok(Self { first, count, at, ends })
    }

    /// The lowest sequence number.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Number of pages.
    pub(super) fn pages(&self) -> usize {
        self.ends.len()
    }

    /// Where a page lies.
    pub(super) fn page(&self, page: usize) -> Range<u64> {
        let start = page.checked_sub(1).map_or(0, |before| self.ends.get(before));
        self.at.saturating_add(start)..self.at.saturating_add(self.ends.get(page))
    }

    /// The page that has a sequence number, and the place in it.
    pub(super) fn place(&self, seq: u64) -> Option<(usize, usize)> {
        let at = usize::try_from(seq.checked_sub(self.first)?).ok().filter(|&at| at < self.count)?;
        Some((at / PAGE_SEQS, at % PAGE_SEQS))
    }

    /// What a page says: for each of its sequence numbers the block, if there is such an event.
    pub(super) fn blocks(
        &self,
        page: usize,
        bytes: &Bytes,
        is_trusted: bool,
    ) -> Result<impl Iterator<Item = (u64, Option<u32>)> + use<>, Corrupt> {
        let (crc, content) = bytes.split_first_chunk::<CRC_BYTES>().ok_or(Corrupt("too short"))?;
        if Crc32c::of(content) != u32::from_le_bytes(*crc) && !is_trusted {
            return Err(Corrupt("the checksum of a page of the order is wrong"));
        }
        let start = page * PAGE_SEQS;
        let count = PAGE_SEQS.min(self.count.saturating_sub(start));
        let packed = Packed::decode(&mut Cursor::new(bytes.slice(CRC_BYTES..)), count)?;
        let first = self.first + start as u64;
        Ok((0..count).map(move |at| {
            let block = packed.get(at).checked_sub(1).and_then(|block| u32::try_from(block).ok());
            (first + at as u64, block)
        }))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn every_event_is_found_in_its_block_and_what_is_missing_in_none() {
        let mut builder = OrderBuilder::new(100);
        let block = |seq: u64| (seq % 7 != 3).then_some((seq / 50) as u32);
        (100..2600)
            .rev()
            .filter_map(|seq| Some((seq, block(seq)?)))
            .for_each(|(seq, block)| builder.insert(seq, block));
        let (mut out, mut index) = (std::vec![9; 5], Vec::new());
        builder.finish(5, &mut out, &mut index);
        let order = Order::decode(&mut Cursor::new(index.into())).unwrap();
        let out = Bytes::from(out);
        let page = |page| out.slice(order.page(page).start as usize..order.page(page).end as usize);
        for seq in 100..2600 {
            let (number, at) = order.place(seq).unwrap();
            let found = order.blocks(number, &page(number), false).unwrap().nth(at).unwrap();
            assert_eq!(found, (seq, block(seq)));
        }
        assert_eq!((order.place(99), order.place(2600)), (None, None));
        assert_eq!(order.pages(), 3);
        let mut damaged = page(1).to_vec();
        damaged[7] ^= 1;
        assert!(order.blocks(1, &damaged.into(), false).is_err());
    }
}
