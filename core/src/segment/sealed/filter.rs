//! A Bloom filter of callers' ids.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

/// A split block Bloom filter (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007; the
/// variant of Apache Parquet). The upper half of a hash selects a group of 32 bytes, the lower half one bit in each of
/// the group's eight words. With ten bits per hash, about 1 % of other hashes are false positives.
#[derive(Clone, Debug)]
pub(super) struct BloomFilter(Bytes);

/// A filter that is being built.
#[derive(Debug)]
pub(super) struct BloomFilterBuilder {
    words: Vec<u32>,
}

const GROUP_WORDS: usize = 8;
const GROUP_BYTES: usize = GROUP_WORDS * 4;
const BITS_A_HASH: usize = 10;

/// Parquet's multipliers, one for each word of a group.
const SALTS: [u32; GROUP_WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

impl BloomFilterBuilder {
    /// For about `hashes` hashes. More only increase the rate of false positives.
    pub(super) fn new(hashes: usize) -> Self {
        let groups = if hashes == 0 { 0 } else { (hashes * BITS_A_HASH).div_ceil(GROUP_BYTES * 8) };
        Self { words: vec![0; groups * GROUP_WORDS] }
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let start = group_of(hash, self.words.len() / GROUP_WORDS) * GROUP_WORDS;
        let group = self.words.iter_mut().skip(start).take(GROUP_WORDS);
        group.zip(bits(hash)).for_each(|(word, bit)| *word |= bit);
    }

    /// The words, little-endian.
    pub(super) fn finish(self) -> Vec<u8> {
        self.words.into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

impl BloomFilter {
    /// Opens the bytes of a filter; `None` if their length is invalid.
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        bytes.len().is_multiple_of(GROUP_BYTES).then_some(Self(bytes))
    }

    /// Its size in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether a hash may be in the set; `false` is certain.
    pub(super) fn may_contain(&self, hash: u64) -> bool {
        let start = group_of(hash, self.0.len() / GROUP_BYTES) * GROUP_BYTES;
        let Some(group) = self.0.get(start..start + GROUP_BYTES) else { return false };
        let (words, _) = group.as_chunks::<4>();
        words.iter().zip(bits(hash)).all(|(word, bit)| u32::from_le_bytes(*word) & bit != 0)
    }
}

fn group_of(hash: u64, groups: usize) -> usize {
    (((hash >> 32) * groups as u64) >> 32) as usize
}

fn bits(hash: u64) -> impl Iterator<Item = u32> {
    SALTS.into_iter().map(move |salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::segment::id_hash;

    #[test]
    fn there_are_no_false_negatives_and_few_false_positives() {
        let hash = |number: u32| id_hash(&number.to_le_bytes());
        let mut builder = BloomFilterBuilder::new(10_000);
        (0..10_000).for_each(|number| builder.insert(hash(number)));
        let filter = BloomFilter::new(builder.finish().into()).unwrap();
        assert!((0..10_000).all(|number| filter.may_contain(hash(number))));
        let false_positives = (10_000..110_000).filter(|&number| filter.may_contain(hash(number))).count();
        assert!(false_positives < 2_000, "{false_positives} of 100,000 others");
    }

    #[test]
    fn an_empty_filter_contains_nothing() {
        let filter = BloomFilter::new(BloomFilterBuilder::new(0).finish().into()).unwrap();
        assert!(!filter.may_contain(0) && !filter.may_contain(u64::MAX));
        assert!(BloomFilter::new(Bytes::from_static(&[0; 31])).is_none());
    }
}
