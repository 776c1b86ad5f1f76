//! Collects the values of a new segment's blocks for their index.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::Block;
use super::values::{LITERALS, Lines, NUMBERS, PATHS_MAX, PathColumns, STRINGS, number_key, write_index};
use crate::codec::{Corrupt, Path, Texts, ValueSummary};

/// Collects what [`ValueIndex`](super::values::ValueIndex) stores.
#[derive(Debug, Default)]
pub(super) struct ValueIndexBuilder {
    /// `None` for a path that was left out, because its filters were too large.
    paths: BTreeMap<Path, Option<PathValues>>,
    /// Whether there are paths that are not in `paths`.
    has_others: bool,
    filter_bytes: usize,
    /// For each block, whether some of its payloads are stored whole.
    has_whole: Vec<u64>,
    summary: ValueSummary,
}

/// The values at a path.
#[derive(Debug, Default)]
struct PathValues {
    blocks: Vec<BlockValues>,
    /// The words of a small filter. All filters have this times a power of two, so that each can be made as long as any
    /// other.
    filter_words: usize,
    /// About the number of different strings of each block, added up.
    strings: usize,
}

/// The values of a block at a path.
#[derive(Debug)]
struct BlockValues {
    block: usize,
    kinds: u64,
    /// The keys of the bounds of its numbers.
    bounds: [u64; 2],
    /// Its Bloom filter.
    filter: Box<[u64]>,
}

/// A filter has about this many bits for each string. Then 2.4 % of the other strings seem to be there. With half as
/// many, it is 16 %, and a look-up of one value among 5 million events takes four times as long.
const BITS_A_STRING: usize = 8;

/// The most words of a filter.
const WORDS_MAX: usize = 1 << 13;

/// The most bytes of all filters. Beyond it, the path with the largest ones is left out.
const FILTER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Longer paths are left out, since a query cannot have them.
const PATH_BYTES_MAX: usize = 1024;

impl ValueIndexBuilder {
    /// Adds the next block, which has no more than `u32::MAX` predecessors.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if its columns cannot be decoded.
    pub(super) fn add(&mut self, block: &Block, hash: impl Fn(&[u8]) -> u64 + Copy) -> Result<(), Corrupt> {
        let number = self.has_whole.len();
        let Some(documents) = block.documents() else {
            self.has_whole.push(1);
            return Ok(());
        };
        self.has_whole.push(documents.has_whole().into());
        let mut columns = BTreeMap::<&Path, Vec<(&Texts, usize)>>::new();
        for (path, column, count) in documents.columns() {
            columns.entry(path).or_default().push((column, count));
        }
        for (path, columns) in columns {
            if path.bytes() > PATH_BYTES_MAX || (self.paths.len() == PATHS_MAX && !self.paths.contains_key(path)) {
                self.has_others = true;
                continue;
            }
            self.summary.clear();
            for (column, count) in columns {
                column.summarize(count, &mut self.summary, hash)?;
            }
            if !self.paths.contains_key(path) {
                self.paths.insert(path.detached(), Some(PathValues::default()));
            }
            if let Some(values) = self.paths.get_mut(path).expect("the path was inserted") {
                self.filter_bytes += values.add(number, &self.summary);
            }
        }
        self.bound_filters();
        Ok(())
    }

    /// Leaves out paths while all filters together are too large.
    fn bound_filters(&mut self) {
        while self.filter_bytes > FILTER_BYTES_MAX {
            let bytes = |values: &Option<PathValues>| values.as_ref().map_or(0, PathValues::filter_bytes);
            let Some(largest) = self.paths.values_mut().max_by_key(|values| bytes(values)) else { return };
            self.filter_bytes -= bytes(largest);
            *largest = None;
        }
    }

    /// Appends the pages to `out`, whose end is at offset `at` of the blob, and the directory to `index`.
    pub(super) fn finish(&self, at: u64, out: &mut Vec<u8>, index: &mut Vec<u8>) {
        let count = self.has_whole.len();
        let is_complete = !self.has_others && self.paths.values().all(Option::is_some);
        let columns = self.paths.iter().filter_map(|(path, values)| Some(values.as_ref()?.columns(path, count)));
        write_index(columns, is_complete, &self.has_whole, at, out, index);
    }
}

impl PathValues {
    /// Adds the values of the next block. Returns the bytes of its filter.
    fn add(&mut self, block: usize, summary: &ValueSummary) -> usize {
        let strings = different(&summary.hashes);
        self.strings += strings;
        let words = self.words_for(strings);
        let values = BlockValues::of(block, summary, words);
        let bytes = size_of_val(&*values.filter);
        self.blocks.push(values);
        bytes
    }

    fn filter_bytes(&self) -> usize {
        self.blocks.iter().map(|values| size_of_val(&*values.filter)).sum()
    }

    /// The words of a filter for this many strings.
    fn words_for(&mut self, strings: usize) -> usize {
        let wanted = (strings * BITS_A_STRING).div_ceil(64).min(WORDS_MAX);
        if wanted > 0 && self.filter_words == 0 {
            self.filter_words = wanted;
        }
        let mut words = if wanted > 0 { self.filter_words } else { 0 };
        // A filter that is a little short has a few more false positives.
        while words * 5 < wanted * 4 {
            words *= 2;
        }
        words
    }

    /// The words that the filters have in the index, so that most have about as many bits as they need.
    fn common_words(&self) -> usize {
        let with_strings = self.blocks.iter().filter(|values| !values.filter.is_empty()).count();
        let longest = self.blocks.iter().map(|values| values.filter.len()).max().unwrap_or_default();
        let mut words = self.filter_words;
        while words < longest && words * with_strings * 64 * 5 < self.strings * BITS_A_STRING * 4 {
            words *= 2;
        }
        words
    }

    /// The columns of the index for this many blocks.
    fn columns<'a>(&self, path: &'a Path, count: usize) -> PathColumns<'a> {
        let words = self.common_words();
        let mut filters = Vec::new();
        filters.resize_with(count, Box::default);
        let (kinds, bounds) = (vec![0; count], [vec![0; count], vec![0; count]]);
        let mut columns = PathColumns { path, kinds, bounds, lines: words * 64, filters };
        let slot = "a block has a number below their count";
        for values in &self.blocks {
            *columns.kinds.get_mut(values.block).expect(slot) = values.kinds;
            for (column, bound) in columns.bounds.iter_mut().zip(values.bounds) {
                *column.get_mut(values.block).expect(slot) = bound;
            }
            *columns.filters.get_mut(values.block).expect(slot) = folded(&values.filter, words);
        }
        columns
    }
}

/// An estimate of the number of different hashes; never too high, and usually some percent too low. There are sixteen
/// bits for each hash. A hash sets one of them, and is not counted if it is set already. An exact count would need the
/// hashes sorted, which takes much longer.
fn different(hashes: &[u64]) -> usize {
    let bits = (hashes.len() * 16).next_power_of_two().max(64);
    let mut seen = vec![0u64; bits / 64];
    let mut count = 0;
    for hash in hashes {
        let bit = *hash as usize & (bits - 1);
        let word = seen.get_mut(bit / 64).expect("bits are below their number");
        count += usize::from(*word >> (bit % 64) & 1 == 0);
        *word |= 1 << (bit % 64);
    }
    count
}

/// A filter of at most this many words.
fn folded(filter: &[u64], words: usize) -> Box<[u64]> {
    let mut folded = vec![0; filter.len().min(words)];
    for part in filter.chunks(words.max(1)) {
        folded.iter_mut().zip(part).for_each(|(folded, word)| *folded |= word);
    }
    folded.into()
}

impl BlockValues {
    /// The values of a summary.
    fn of(block: usize, summary: &ValueSummary, filter_words: usize) -> Self {
        let hashes = &summary.hashes;
        let mut filter = vec![0u64; filter_words].into_boxed_slice();
        let lines = Lines::new(filter.len() * 64);
        for line in hashes.iter().flat_map(|&hash| lines.of(hash)) {
            *filter.get_mut(line / 64).expect("lines are below the number of bits") |= 1 << (line % 64);
        }
        let strings = if hashes.is_empty() { 0 } else { STRINGS };
        let numbers = if summary.numbers.is_some() { NUMBERS } else { 0 };
        let literals = if summary.literals { LITERALS } else { 0 };
        let bounds = summary.numbers.map_or([0; 2], |(low, high)| [number_key(low), number_key(high)]);
        Self { block, kinds: strings | numbers | literals, bounds, filter }
    }
}
