//! The index of payload values in a sealed segment: which blocks may have them.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;

use super::put_crc;
use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor, Packed, Path, pack, put_varint};
use crate::json::{Wanted, WantedStrings};

/// Says which blocks may have certain values at a path, so that a scan need not read the others. In the segment's
/// index:
///
/// | bytes | what |
/// |---|---|
/// | varint | number of paths p |
/// | 1 | 1 if every path of the blocks is listed, otherwise 0 |
/// | … | p [paths](Path) |
/// | packed | for each path, the number of lines m of its filter |
/// | varint | offset of the first page |
/// | varint | number of pages |
/// | packed | the end of each page relative to that offset |
///
/// The first page has a bit for each block, packed: whether some payloads of the block are stored whole, so that their
/// values are unknown. For each path, a page of ranges follows, and the pages of its filter. Each page begins with the
/// CRC-32C of the rest (4).
///
/// A page of ranges has for each block the kinds of values at the path, packed (1 for strings, 2 for numbers, 4 for
/// `true`, `false` and `null`), and then bounds of its least and of its greatest number, packed: the bits of the number
/// as `f64`, all inverted if it is negative, else with the sign bit set, so that they are in the order of the numbers;
/// 0 if the block has none. The bounds are absent if no block has a number.
///
/// The filter is a Bloom filter for the strings of each block, with m bits, stored line by line: a line has one bit of
/// each block, lowest first, filled up to whole bytes. So a look-up reads four lines, however many blocks there are.
/// This is the bit-sliced signature file of Faloutsos ("Access Methods for Text", 1985) with the hashing of Kirsch and
/// Mitzenmacher ("Less Hashing, Same Performance", 2006). A page has as many lines as fit into 4,096 bytes, at least
/// one.
#[derive(Clone, Debug)]
pub(super) struct ValueIndex {
    paths: Vec<IndexedPath>,
    is_complete: bool,
    at: u64,
    ends: Packed,
    blocks: usize,
}

#[derive(Clone, Debug)]
struct IndexedPath {
    path: Path,
    /// The number of its page of ranges. The pages of the filter follow.
    page: usize,
    lines: usize,
}

/// A set of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockSet(Box<[u64]>);

/// The kinds of values at a path.
pub(super) const STRINGS: u64 = 1;
pub(super) const NUMBERS: u64 = 2;
pub(super) const LITERALS: u64 = 4;

/// The most paths of an index. Values at others are unknown.
pub(super) const PATHS_MAX: usize = 128;

/// The most lines of a filter.
const LINES_MAX: usize = 1 << 20;

/// How many lines a string sets bits in.
const LINES_A_STRING: usize = 4;

const PAGE_BYTES: usize = 4096;
const CRC_BYTES: usize = 4;

/// The paths of an index that is being written.
pub(super) struct PathColumns<'a> {
    pub(super) path: &'a Path,
    /// For each block, the kinds of its values.
    pub(super) kinds: Vec<u64>,
    /// For each block, the keys of the bounds of its numbers.
    pub(super) bounds: [Vec<u64>; 2],
    /// The number of lines, and for each block its bits, as many as divide the number of lines.
    pub(super) lines: usize,
    pub(super) filters: Vec<Box<[u64]>>,
}

/// Appends the pages to `out`, whose end is at offset `at` of the blob, and the directory to `index`. `has_whole` says
/// of each block whether some of its payloads are stored whole. Takes the paths one by one, since each may be large.
pub(super) fn write_index<'a>(
    paths: impl Iterator<Item = PathColumns<'a>>,
    is_complete: bool,
    has_whole: &[u64],
    at: u64,
    out: &mut Vec<u8>,
    index: &mut Vec<u8>,
) {
    let blocks = has_whole.len();
    let mut pages = PageWriter { begin: out.len(), page: out.len(), ends: Vec::new() };
    pages.open(out);
    pack(has_whole, out);
    pages.close(out);
    let (mut listed, mut line_counts) = (Vec::new(), Vec::new());
    for PathColumns { path, kinds, bounds: [least, greatest], lines, filters } in paths {
        path.encode(&mut listed);
        line_counts.push(lines as u64);
        pages.open(out);
        pack(&kinds, out);
        if kinds.iter().any(|kinds| kinds & NUMBERS != 0) {
            pack(&least, out);
            pack(&greatest, out);
        }
        pages.close(out);
        let lines_a_page = lines_a_page(blocks);
        for first in (0..lines).step_by(64) {
            let bytes = sixty_four_lines(&filters, first / 64);
            for (line, bits) in (first..).zip(bytes.chunks(bytes.len() / 64)) {
                if line % lines_a_page == 0 {
                    pages.open(out);
                }
                out.extend_from_slice(bits);
                if (line + 1) % lines_a_page == 0 || line + 1 == lines {
                    pages.close(out);
                }
            }
        }
    }
    put_varint(line_counts.len() as u64, index);
    index.push(u8::from(is_complete));
    index.extend_from_slice(&listed);
    pack(&line_counts, index);
    put_varint(at, index);
    put_varint(pages.ends.len() as u64, index);
    pack(&pages.ends, index);
}

/// Writes pages with checksums.
struct PageWriter {
    begin: usize,
    /// Where the open page begins.
    page: usize,
    ends: Vec<u64>,
}

impl PageWriter {
    fn open(&mut self, out: &mut Vec<u8>) {
        self.page = out.len();
        out.extend_from_slice(&[0; CRC_BYTES]);
    }

    fn close(&mut self, out: &mut [u8]) {
        put_crc(out, self.page);
        self.ends.push((out.len() - self.begin) as u64);
    }
}

/// The lines that belong to one word of each block's filter, one after the other.
fn sixty_four_lines(filters: &[Box<[u64]>], word: usize) -> Vec<u8> {
    let line_bytes = filters.len().div_ceil(8);
    let mut bytes = vec![0; 64 * line_bytes];
    for (group, filters) in filters.chunks(64).enumerate() {
        let mut square = [0; 64];
        for (row, filter) in square.iter_mut().zip(filters) {
            // A filter of fewer lines is repeated.
            *row = word.checked_rem(filter.len()).and_then(|at| filter.get(at)).copied().unwrap_or(0);
        }
        transpose(&mut square);
        for (line, bits) in bytes.chunks_mut(line_bytes).zip(square) {
            line.iter_mut().skip(group * 8).zip(bits.to_le_bytes()).for_each(|(byte, bits)| *byte = bits);
        }
    }
    bytes
}

/// Transposes a square of bits: bit `b` of row `r` becomes bit `r` of row `b` (Warren, "Hacker's Delight", section
/// 7-3).
fn transpose(square: &mut [u64; 64]) {
    let (mut width, mut mask) = (32, u64::MAX >> 32);
    while width > 0 {
        for pair in square.chunks_mut(2 * width) {
            let (low, high) = pair.split_at_mut(width);
            for (low, high) in low.iter_mut().zip(high) {
                let swapped = (*low >> width ^ *high) & mask;
                *low ^= swapped << width;
                *high ^= swapped;
            }
        }
        width /= 2;
        mask ^= mask << width;
    }
}

fn lines_a_page(blocks: usize) -> usize {
    (PAGE_BYTES / blocks.div_ceil(8).max(1)).max(1)
}

/// The lines of a filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    count: u32,
    /// 2^64 divided by the number of lines, rounded up.
    reciprocal: u64,
}

impl Lines {
    /// At most 2^32 - 1.
    pub(super) fn new(count: usize) -> Self {
        let count = (count as u32).max(1);
        Self { count, reciprocal: (u64::MAX / u64::from(count)).wrapping_add(1) }
    }

    /// Those in which a string of this hash sets a bit.
    pub(super) fn of(self, hash: u64) -> impl Iterator<Item = usize> {
        let (start, stride) = (hash as u32, (hash >> 32) as u32 | 1);
        // The remainder, so that a filter of fewer lines can be repeated.
        (0..LINES_A_STRING as u32).map(move |number| self.remainder(start.wrapping_add(number.wrapping_mul(stride))))
    }

    /// The remainder of a division by the number of lines, which two multiplications find faster (Lemire, Kaser and
    /// Kurz, "Faster Remainder by Direct Computation", 2019).
    fn remainder(self, number: u32) -> usize {
        let fraction = self.reciprocal.wrapping_mul(number.into());
        ((u128::from(fraction) * u128::from(self.count)) >> u64::BITS) as usize
    }
}

/// Maps numbers to integers in the same order.
pub(super) fn number_key(number: f64) -> u64 {
    // As values, -0 and 0 are equal.
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

impl ValueIndex {
    /// Decodes the directory of a segment with this many blocks.
    pub(super) fn decode(cursor: &mut Cursor, blocks: usize) -> Result<Self, Corrupt> {
        let count = cursor.length(PATHS_MAX)?;
        let is_complete = cursor.byte()? > 0;
        let paths = (0..count).map(|_| Ok(Path::decode(cursor)?.detached())).collect::<Result<Vec<_>, Corrupt>>()?;
        let lines = Packed::decode(cursor, count)?;
        if lines.exceeds(LINES_MAX as u64 + 1) {
            return Err(Corrupt("the number of lines of a filter is invalid"));
        }
        let at = cursor.varint()?;
        let pages = cursor.length(u32::MAX as usize)?;
        let ends = Packed::decode(cursor, pages)?;
        let mut next = 1;
        let indexed = |(path, lines): (Path, u64)| {
            let page = next;
            next += 1 + (lines as usize).div_ceil(lines_a_page(blocks));
            IndexedPath { path, page, lines: lines as usize }
        };
        let paths = paths.into_iter().zip(lines.iter()).map(indexed).collect();
        let is_ascending = || ends.iter().zip(ends.iter().skip(1)).all(|(end, next)| end <= next);
        if next != pages || !is_ascending() {
            return Err(Corrupt("the pages of the index of values are inconsistent"));
        }
        Ok(Self { paths, is_complete, at, ends, blocks })
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

    /// Removes those blocks from `set` that have no wanted value at a path. `read` returns the bytes of a page.
    pub(super) fn retain<E: From<Corrupt>>(
        &self,
        set: &mut BlockSet,
        names: &[&[u8]],
        wanted: &Wanted,
        hash: impl Fn(&[u8]) -> u64,
        mut read: impl FnMut(usize) -> Result<Bytes, E>,
    ) -> Result<(), E> {
        let found = self.paths.iter().find(|indexed| indexed.path.names().eq(names.iter().copied()));
        if found.is_none() && !self.is_complete {
            return Ok(());
        }
        let mut page = |number| content(&read(number)?).map_err(E::from);
        let has_whole = Packed::decode(&mut page(0)?, self.blocks)?;
        let Some(IndexedPath { page: ranges, lines, .. }) = found else {
            set.retain(|block| has_whole.get(block) != 0);
            return Ok(());
        };
        let with_string = match &wanted.strings {
            WantedStrings::One(string) => Some(self.with_string(*ranges, *lines, hash(string), &mut page)?),
            WantedStrings::All => None,
        };
        let mut cursor = page(*ranges)?;
        let kinds = Packed::decode(&mut cursor, self.blocks)?;
        let bounds = if cursor.is_empty() {
            None
        } else {
            Some([Packed::decode(&mut cursor, self.blocks)?, Packed::decode(&mut cursor, self.blocks)?])
        };
        let numbers = wanted.numbers.map(|(low, high)| (number_key(low), number_key(high)));
        set.retain(|block| {
            let kinds = kinds.get(block);
            let has_string =
                kinds & STRINGS != 0 && with_string.as_ref().is_none_or(|with_string| with_string.has(block));
            let has_number = kinds & NUMBERS != 0
                && numbers.zip(bounds.as_ref()).is_some_and(|((low, high), [least, greatest])| {
                    least.get(block) <= high && greatest.get(block) >= low
                });
            let has_literal = kinds & LITERALS != 0 && wanted.literals;
            has_string || has_number || has_literal || has_whole.get(block) != 0
        });
        Ok(())
    }

    /// The blocks that may have a string of this hash.
    fn with_string<E: From<Corrupt>>(
        &self,
        ranges: usize,
        lines: usize,
        hash: u64,
        page: &mut impl FnMut(usize) -> Result<Cursor, E>,
    ) -> Result<BlockSet, E> {
        let mut set = if lines == 0 { BlockSet::none(self.blocks) } else { BlockSet::all(self.blocks) };
        let (bytes, lines_a_page) = (self.blocks.div_ceil(8), lines_a_page(self.blocks));
        for line in Lines::new(lines).of(hash).filter(|_| lines > 0) {
            let mut cursor = page(ranges + 1 + line / lines_a_page)?;
            cursor.take(line % lines_a_page * bytes)?;
            let bits = cursor.take(bytes)?;
            set.retain(|block| bits.get(block / 8).is_some_and(|byte| byte >> (block % 8) & 1 == 1));
        }
        Ok(set)
    }
}

impl BlockSet {
    /// All of this many blocks.
    pub(crate) fn all(blocks: usize) -> Self {
        let mut set = Self(vec![u64::MAX; blocks.div_ceil(64)].into());
        if let Some(last) = set.0.last_mut().filter(|_| !blocks.is_multiple_of(64)) {
            *last = (1 << (blocks % 64)) - 1;
        }
        set
    }

    fn none(blocks: usize) -> Self {
        Self(vec![0; blocks.div_ceil(64)].into())
    }

    /// Whether it has the block with this number.
    pub(crate) fn has(&self, block: usize) -> bool {
        self.0.get(block / 64).is_some_and(|word| word >> (block % 64) & 1 == 1)
    }

    /// Its memory in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    /// Removes the blocks for which `keep` is false.
    fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        for (index, word) in self.0.iter_mut().enumerate() {
            let mut left = *word;
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                if !keep(index * 64 + bit as usize) {
                    *word &= !(1 << bit);
                }
            }
        }
    }
}

/// A cursor over the content of a page, after its checksum.
pub(super) fn content(page: &Bytes) -> Result<Cursor, Corrupt> {
    let (crc, covered) = page.split_first_chunk::<CRC_BYTES>().ok_or(Corrupt("it ends too early"))?;
    if Crc32c::of(covered) != u32::from_le_bytes(*crc) {
        return Err(Corrupt("the checksum of a page of the index of values is wrong"));
    }
    Ok(Cursor::new(page.slice(CRC_BYTES..)))
}

#[cfg(test)]
mod tests;
