//! The values of `by`, whose events are followed.

use alloc::vec::Vec;
use core::hash::Hasher as _;

use hashbrown::HashTable;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::key;
use super::slots::index;
use super::values::{Keys, Values};
use crate::json::Paths;
use crate::query::PayloadPath;

/// What a hash table of numbers takes for each of them: four bytes, and one that it looks at first.
const TABLE_BYTES: usize = 5;

/// Numbers the values at a path in the order in which they come.
///
/// There may be millions, so only hashes of 128 bits are kept. Among a billion values, two have the same hash with a
/// probability of 10^-21.
#[derive(Debug)]
pub(super) struct ByValues {
    values: Values,
    path: usize,
    keys: Keys,
    seed: u64,
    table: HashTable<u32>,
    hashes: Vec<u128>,
    /// The hashes of the last event's values.
    last: Vec<u128>,
}

impl ByValues {
    /// Chosen values cannot slow the table down, since whoever chooses them does not know the seed.
    pub(super) fn new(path: &PayloadPath, seed: u64) -> Self {
        let mut values = Values::default();
        let path = values.add(path);
        let (table, keys) = (HashTable::new(), Keys::default());
        Self { values, path, keys, seed, table, hashes: Vec::new(), last: Vec::new() }
    }

    /// Finds the distinct values in a payload, except null.
    pub(super) fn read(&mut self, payload: &str) -> &[u128] {
        let Self { values, path, keys, seed, last, .. } = self;
        values.read(payload);
        values.distinct(*path, payload, keys);
        last.clear();
        last.extend(keys.iter().filter(|key| !key::is_null(key)).map(|key| hash(*seed, key)));
        last
    }

    /// The hash of the value with this key; `None` for null.
    pub(super) fn hash(&self, key: &[u8]) -> Option<u128> {
        (!key::is_null(key)).then(|| hash(self.seed, key))
    }

    /// The path, as the only one of a set.
    pub(super) fn paths(&self) -> (&Paths, usize) {
        self.values.paths()
    }

    /// The number of a value, if it has one already.
    pub(super) fn find(&self, hash: u128) -> Option<u32> {
        let is_equal = |number: &u32| self.hashes.get(index(*number)) == Some(&hash);
        self.table.find(hash as u64, is_equal).copied()
    }

    /// Gives a number to a value, which has none yet.
    pub(super) fn add(&mut self, hash: u128) -> u32 {
        let Self { table, hashes, .. } = self;
        let number = u32::try_from(hashes.len()).expect("the limit on memory is reached long before 2^32 values");
        push(hashes, hash);
        let hash_of = |number: &u32| hashes.get(index(*number)).map_or(0, |hash| *hash as u64);
        table.insert_unique(hash as u64, number, hash_of);
        number
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let buffers = self.values.held_bytes() + self.keys.held_bytes() + self.last.capacity() * size_of::<u128>();
        buffers + self.hashes.capacity() * size_of::<u128>() + self.table.capacity() * TABLE_BYTES
    }
}

fn hash(seed: u64, key: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(seed, 0x6172_6775_735f_6279);
    hasher.write(key);
    hasher.finish128().as_u128()
}

/// Adds to a list that may become very long. It grows by an eighth at a time, not to twice its size.
pub(super) fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(64));
    }
    list.push(item);
}
