//! A Bloom filter of callers' ids.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

/// Which hashes are certainly not in a set: a split block Bloom filter (Putze, Sanders and Singler, "Cache-, Hash- and
/// Space-Efficient Bloom Filters", 2007; the form of Apache Parquet). A hash chooses a group of 32 bytes by its upper
/// half, and one bit in each of the group's eight words by its lower half. With about ten bits a hash, one in a hundred
/// others is taken for a member.
#[derive(Clone, Debug)]
pub(super) struct Filter(Bytes);

/// A filter that is being filled.
#[derive(Debug)]
pub(super) struct FilterBuilder {
    words: Vec<u32>,
}

const GROUP_WORDS: usize = 8;
const GROUP_BYTES: usize = GROUP_WORDS * 4;
const BITS_A_HASH: usize = 10;

/// Odd multipliers, one a word, that make eight bit numbers of one hash; those of Parquet.
const SALTS: [u32; GROUP_WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

impl FilterBuilder {
    /// For up to so many hashes. More make it less sharp, and nothing worse.
    pub(super) fn new(hashes: usize) -> Self {
        let groups = if hashes == 0 { 0 } else { (hashes * BITS_A_HASH).div_ceil(GROUP_BYTES * 8) };
        Self { words: vec![0; groups * GROUP_WORDS] }
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let start = group_of(hash, self.words.len() / GROUP_WORDS) * GROUP_WORDS;
        let group = self.words.iter_mut().skip(start).take(GROUP_WORDS);
        group.zip(bits(hash)).for_each(|(word, bit)| *word |= bit);
    }

    /// The filter's bytes: words in little-endian.
    pub(super) fn finish(self) -> Vec<u8> {
        self.words.into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

impl Filter {
    /// The filter in bytes that a builder has made; `None` if they cannot be one.
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        bytes.len().is_multiple_of(GROUP_BYTES).then_some(Self(bytes))
    }

    /// What it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether a hash may be in the set.
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
    fn members_are_never_denied_and_few_others_are_taken_for_one() {
        let hash = |number: u32| id_hash(&number.to_le_bytes());
        let mut builder = FilterBuilder::new(10_000);
        (0..10_000).for_each(|number| builder.insert(hash(number)));
        let filter = Filter::new(builder.finish().into()).unwrap();
        assert!((0..10_000).all(|number| filter.may_contain(hash(number))));
        let mistaken = (10_000..110_000).filter(|&number| filter.may_contain(hash(number))).count();
        assert!(mistaken < 2_000, "{mistaken} of 100,000 others");
    }

    #[test]
    fn an_empty_filter_contains_nothing() {
        let filter = Filter::new(FilterBuilder::new(0).finish().into()).unwrap();
        assert!(!filter.may_contain(0) && !filter.may_contain(u64::MAX));
        assert!(Filter::new(Bytes::from_static(&[0; 31])).is_none());
    }
}
