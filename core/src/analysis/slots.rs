//! Numbers the pairs of a bucket of time and a group.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::Hasher as _;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::question::Periods;
use crate::calendar::{Bucket, Buckets};
use crate::event::Timestamp;

/// What a hash table of numbers takes for each of them: four bytes, and one that it looks at first.
const TABLE_BYTES: usize = 5;

/// Numbers texts in the order in which they come.
#[derive(Debug)]
pub(super) struct Interner {
    seed: u64,
    table: HashTable<u32>,
    /// All texts, one after another.
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<usize>,
}

/// Numbers the buckets of time in the order in which they come.
#[derive(Clone, Debug)]
pub(super) struct BucketIndex {
    buckets: Buckets,
    numbers: BTreeMap<i64, u32>,
    list: Vec<Bucket>,
    /// The bucket of the last time, and its number.
    last: Option<(Bucket, u32)>,
}

/// Numbers the pairs of a bucket and a group in the order in which they come: the *slots*. What is known about a pair
/// is kept in columns, by this number.
#[derive(Debug)]
pub(super) struct Slots {
    seed: u64,
    table: HashTable<u32>,
    pairs: Vec<(u32, u32)>,
}

impl Interner {
    /// Chosen texts cannot slow the table down, since whoever chooses them does not know the seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, table: HashTable::new(), bytes: Vec::new(), ends: Vec::new() }
    }

    /// The number of a text.
    pub(super) fn number(&mut self, text: &[u8]) -> u32 {
        let Self { seed, table, bytes, ends } = self;
        let hash = text_hash(*seed, text);
        if let Some(number) = table.find(hash, |&number| text_of(bytes, ends, number) == text) {
            return *number;
        }
        let number = u32::try_from(ends.len()).expect("the limit on memory is reached long before 2^32 texts");
        bytes.extend_from_slice(text);
        ends.push(bytes.len());
        table.insert_unique(hash, number, |&other| text_hash(*seed, text_of(bytes, ends, other)));
        number
    }

    /// The text with this number.
    pub(super) fn text(&self, number: u32) -> &[u8] {
        text_of(&self.bytes, &self.ends, number)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.table.capacity() * TABLE_BYTES
    }
}

impl BucketIndex {
    pub(super) fn new(periods: &Periods) -> Self {
        let buckets = Buckets::new(Some(periods.interval), periods.zone.clone());
        Self { buckets, numbers: BTreeMap::new(), list: Vec::new(), last: None }
    }

    /// The number of the bucket of a time.
    pub(super) fn number(&mut self, time: Timestamp) -> u32 {
        let bucket = self.buckets.of(time.as_nanos());
        match self.last {
            Some((last, number)) if last.start == bucket.start => number,
            Some(_) | None => self.number_of(bucket),
        }
    }

    /// The number of a bucket.
    pub(super) fn number_of(&mut self, bucket: Bucket) -> u32 {
        let Self { numbers, list, .. } = self;
        let number = *numbers.entry(bucket.start).or_insert_with(|| {
            list.push(bucket);
            u32::try_from(list.len() - 1).expect("the limit on rows is reached long before 2^32 buckets")
        });
        self.last = Some((bucket, number));
        number
    }

    /// The buckets by their numbers.
    pub(super) fn list(&self) -> &[Bucket] {
        &self.list
    }

    pub(super) fn buckets(&mut self) -> &mut Buckets {
        &mut self.buckets
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        // A node of the tree has room for 11 entries, and is two thirds full on average.
        self.list.capacity() * size_of::<Bucket>() + self.numbers.len() * 2 * size_of::<(i64, u32)>()
    }
}

impl Slots {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, table: HashTable::new(), pairs: Vec::new() }
    }

    /// The slot of a pair.
    pub(super) fn slot(&mut self, bucket: u32, group: u32) -> usize {
        let Self { seed, table, pairs } = self;
        let pair = (bucket, group);
        let hash = pair_hash(*seed, pair);
        let pair_of = |pairs: &[(u32, u32)], slot: u32| pairs.get(index(slot)).copied().unwrap_or_default();
        if let Some(slot) = table.find(hash, |&slot| pair_of(pairs, slot) == pair) {
            return index(*slot);
        }
        let slot = u32::try_from(pairs.len()).expect("the limit on rows is reached long before 2^32 of them");
        pairs.push(pair);
        table.insert_unique(hash, slot, |&other| pair_hash(*seed, pair_of(pairs, other)));
        index(slot)
    }

    /// The pairs of a bucket and a group, by slot.
    pub(super) fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.pairs.capacity() * size_of::<(u32, u32)>() + self.table.capacity() * TABLE_BYTES
    }
}

/// A number as an index.
pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).expect("usize has at least 32 bits")
}

fn text_of<'b>(bytes: &'b [u8], ends: &[usize], number: u32) -> &'b [u8] {
    let number = index(number);
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let end = ends.get(number).copied().unwrap_or(start);
    bytes.get(start..end).unwrap_or_default()
}

fn text_hash(seed: u64, text: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed, 0x6172_6775_735f_6772);
    hasher.write(text);
    hasher.finish()
}

/// Both numbers are ours, so a weak hash is enough. Its high and its low bits depend on all bits of both.
fn pair_hash(seed: u64, (bucket, group): (u32, u32)) -> u64 {
    let pair = u64::from(bucket) << 32 | u64::from(group);
    let product = u128::from(pair ^ seed) * 0x9e37_79b9_7f4a_7c15;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_pairs_keep_their_numbers() {
        let (mut interner, mut slots) = (Interner::new(7), Slots::new(7));
        for _ in 0..2 {
            for number in 0..10_000_u32 {
                assert_eq!(interner.number(&number.to_be_bytes()), number);
                assert_eq!(slots.slot(number % 7, number), index(number));
            }
        }
        assert_eq!(interner.number(b""), 10_000);
        assert_eq!((interner.text(10_000), interner.text(5)), (&b""[..], &5_u32.to_be_bytes()[..]));
        assert_eq!(slots.pairs().get(8), Some(&(1, 8)));
        assert!(interner.held_bytes() > 10_000 * 17 && interner.held_bytes() < 10_000 * 70);
    }
}
