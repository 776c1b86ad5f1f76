//! The index of callers' ids in a sealed segment.

use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor, Packed, decode_series, encode_series, pack, pack_all, put_varint};
use crate::column::{partition_point, u32_at};

use super::filter::{BloomFilter, BloomFilterBuilder};
use super::{Version, put_crc};

/// Finds the rows of callers' ids in a sealed segment by the hashes of the ids.
///
/// Entries ascend by hash and lie in pages. For nearly all ids that the segment does not have, a [`BloomFilter`] avoids
/// reading a page. In the segment's index:
///
/// | bytes | what |
/// |---|---|
/// | varint | number of entries k; nothing follows if it is 0 |
/// | varint | offset of the first page |
/// | packed | for each page, the hash of its first entry |
/// | packed | for each page, its end relative to that offset (not in version 2) |
/// | varint, varint, 4 | offset, length and CRC-32C of the filter |
///
/// A page has 409 entries, the last one the rest: the CRC-32C of what follows (4), the upper halves of the hashes, a
/// series, the numbers of the blocks, packed, and the rows in them, packed. In version 2, the checksum is followed by
/// the entries: upper half of the hash (4), block (4), row (2), all little-endian.
#[derive(Clone, Debug)]
pub(super) struct IdIndex {
    count: usize,
    at: u64,
    firsts: Packed,
    /// `None` in version 2.
    ends: Option<Packed>,
    /// `None` if it does not fit into the memory for filters. Lookups give the same results without it, more slowly.
    filter: Option<BloomFilter>,
}

/// Collects entries, and writes pages and filter.
#[derive(Debug)]
pub(super) struct IdIndexBuilder {
    entries: Vec<IdEntry>,
    filter: BloomFilterBuilder,
}

/// The upper half of an id's hash, and its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct IdEntry {
    hash: u32,
    pub(super) block: u32,
    pub(super) row: u16,
}

/// The length of an entry in version 2.
const ENTRY_BYTES: usize = 10;
const PAGE_ENTRIES: usize = 409;
const CRC_BYTES: usize = 4;

const fn page_bytes(entries: usize) -> usize {
    CRC_BYTES + entries * ENTRY_BYTES
}

impl IdEntry {
    /// The entry of an id with this hash.
    pub(super) fn new(hash: u64, block: u32, row: u16) -> Self {
        Self { hash: upper(hash), block, row }
    }

    /// An entry in version 2.
    fn of_bytes(&[a, b, c, d, e, f, g, h, i, j]: &[u8; ENTRY_BYTES]) -> Self {
        Self {
            hash: u32::from_le_bytes([a, b, c, d]),
            block: u32::from_le_bytes([e, f, g, h]),
            row: u16::from_le_bytes([i, j]),
        }
    }

    /// The stored half of the hash.
    pub(super) fn hash(&self) -> u32 {
        self.hash
    }
}

impl IdIndexBuilder {
    /// For at most `ids_max` ids.
    pub(super) fn new(ids_max: usize) -> Self {
        Self { entries: Vec::new(), filter: BloomFilterBuilder::new(ids_max) }
    }

    pub(super) fn insert(&mut self, hash: u64, block: u32, row: u16) {
        self.filter.insert(hash);
        self.entries.push(IdEntry::new(hash, block, row));
    }

    /// Appends pages and filter to `out`, whose end is at offset `at` of the blob, and their directory to `index`.
    pub(super) fn finish(mut self, at: u64, out: &mut Vec<u8>, index: &mut Vec<u8>) {
        put_varint(self.entries.len() as u64, index);
        if self.entries.is_empty() {
            return;
        }
        self.entries.sort_unstable();
        let begin = out.len();
        let (mut firsts, mut ends) = (Vec::new(), Vec::new());
        for page in self.entries.chunks(PAGE_ENTRIES) {
            let hashes: Vec<u64> = page.iter().map(|entry| entry.hash.into()).collect();
            let crc_at = out.len();
            out.extend_from_slice(&[0; CRC_BYTES]);
            encode_series(&hashes, out);
            pack_all(page.iter().map(|entry| entry.block.into()), out);
            pack_all(page.iter().map(|entry| entry.row.into()), out);
            put_crc(out, crc_at);
            firsts.extend(hashes.first());
            ends.push((out.len() - begin) as u64);
        }
        put_varint(at, index);
        pack(&firsts, index);
        pack(&ends, index);
        put_varint(at + (out.len() - begin) as u64, index);
        let filter = self.filter.finish();
        put_varint(filter.len() as u64, index);
        index.extend_from_slice(&Crc32c::of(&filter).to_le_bytes());
        out.extend_from_slice(&filter);
    }
}

impl IdIndex {
    /// Decodes the directory of at most `ids_max` ids, and reads the filter with `read` if it has at most
    /// `filter_bytes_max` bytes. `None` if the segment has no callers' ids.
    pub(super) fn decode<E: From<Corrupt>>(
        cursor: &mut Cursor,
        version: Version,
        ids_max: usize,
        read: impl FnOnce(Range<u64>) -> Result<Bytes, E>,
        filter_bytes_max: u64,
    ) -> Result<Option<Self>, E> {
        let count = cursor.length(ids_max)?;
        if count == 0 {
            return Ok(None);
        }
        let at = cursor.varint()?;
        let pages = count.div_ceil(PAGE_ENTRIES);
        let firsts = Packed::decode(cursor, pages)?;
        let ends = match version {
            Version::Two => None,
            Version::Three => Some(Packed::decode(cursor, pages)?),
        };
        let (filter_at, filter_len) = (cursor.varint()?, cursor.varint()?);
        let crc = u32_at(&cursor.take(4)?, 0, 0);
        let end = filter_at.checked_add(filter_len).ok_or(Corrupt("a length is invalid"))?;
        if filter_len > filter_bytes_max {
            return Ok(Some(Self { count, at, firsts, ends, filter: None }));
        }
        let filter = read(filter_at..end)?;
        if Crc32c::of(&filter) != crc {
            return Err(Corrupt("the checksum of the filter of ids is wrong").into());
        }
        let filter = BloomFilter::new(filter).ok_or(Corrupt("the length of the filter of ids is invalid"))?;
        Ok(Some(Self { count, at, firsts, ends, filter: Some(filter) }))
    }

    /// Number of ids.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Bytes of the filter in memory.
    pub(super) fn filter_bytes(&self) -> u64 {
        self.filter.as_ref().map_or(0, BloomFilter::bytes)
    }

    /// Frees the filter.
    pub(super) fn release_filter(&mut self) {
        self.filter = None;
    }

    /// The offset of the first page.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Number of pages.
    pub(super) fn pages(&self) -> usize {
        self.firsts.len()
    }

    /// The hash that the first entry of a page must have.
    pub(super) fn first_hash(&self, page: usize) -> u64 {
        self.firsts.get(page)
    }

    /// Whether an id of this hash may exist; `false` is certain.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_contain(hash))
    }

    /// The range of a page in the blob.
    pub(super) fn page(&self, page: usize) -> Range<u64> {
        if let Some(ends) = &self.ends {
            let start = page.checked_sub(1).map_or(0, |before| ends.get(before));
            return self.at.saturating_add(start)..self.at.saturating_add(ends.get(page));
        }
        let start = self.at + (page * page_bytes(PAGE_ENTRIES)) as u64;
        start..start + page_bytes(self.entries_of(page)) as u64
    }

    /// Number of entries of a page.
    fn entries_of(&self, page: usize) -> usize {
        PAGE_ENTRIES.min(self.count.saturating_sub(page * PAGE_ENTRIES))
    }

    /// Checks and decodes a page.
    pub(super) fn entries(&self, page: usize, bytes: &Bytes) -> Result<Vec<IdEntry>, Corrupt> {
        let (crc, content) = bytes.split_first_chunk::<CRC_BYTES>().ok_or(Corrupt("it ends too early"))?;
        if Crc32c::of(content) != u32::from_le_bytes(*crc) {
            return Err(Corrupt("the checksum of a page of ids is wrong"));
        }
        if self.ends.is_none() {
            let (chunks, _) = content.as_chunks::<ENTRY_BYTES>();
            return Ok(chunks.iter().map(IdEntry::of_bytes).collect());
        }
        let count = self.entries_of(page);
        let mut cursor = Cursor::new(bytes.slice(CRC_BYTES..));
        let hashes = decode_series(&mut cursor, count)?;
        let (blocks, rows) = (Packed::decode(&mut cursor, count)?, Packed::decode(&mut cursor, count)?);
        if !cursor.is_empty() || blocks.exceeds(1 << 32) || rows.exceeds(1 << 16) || !hashes.is_sorted() {
            return Err(Corrupt("a page of ids is invalid"));
        }
        let entry = |((hash, block), row)| IdEntry { hash: hash as u32, block: block as u32, row: row as u16 };
        Ok(hashes.into_iter().zip(blocks.iter()).zip(rows.iter()).map(entry).collect())
    }

    /// The entries that may have one of these ascending hashes, each with the index of the hash. `read` returns the
    /// bytes of a page.
    pub(super) fn candidates<E: From<Corrupt>>(
        &self,
        hashes: impl Iterator<Item = u64>,
        mut read: impl FnMut(Range<u64>) -> Result<Bytes, E>,
    ) -> Result<Vec<(IdEntry, usize)>, E> {
        let mut found = Vec::new();
        // Keep the last page: the next hash is often in the same one.
        let (mut open, mut entries): (Option<usize>, Vec<IdEntry>) = (None, Vec::new());
        for (index, hash) in hashes.enumerate() {
            if self.filter.as_ref().is_some_and(|filter| !filter.may_contain(hash)) {
                continue;
            }
            let hash = upper(hash);
            let next_page = partition_point(0..self.firsts.len(), |page| self.firsts.get(page) < u64::from(hash));
            // Entries of this hash may begin at the end of the page before.
            for page in next_page.saturating_sub(1)..self.firsts.len() {
                if self.firsts.get(page) > u64::from(hash) {
                    break;
                }
                if open != Some(page) {
                    entries = self.entries(page, &read(self.page(page))?)?;
                    open = Some(page);
                }
                let start =
                    partition_point(0..entries.len(), |at| entries.get(at).is_some_and(|entry| entry.hash < hash));
                let same = entries.iter().skip(start).take_while(|entry| entry.hash == hash);
                found.extend(same.map(|&entry| (entry, index)));
            }
        }
        Ok(found)
    }
}

fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}
