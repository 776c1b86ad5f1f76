//! How many different values there are.

use alloc::boxed::Box;
use alloc::vec;

/// Counts different values by their 64-bit hashes.
///
/// Up to [`EXACT_MAX`](Self::EXACT_MAX) hashes are kept, so the count is exact. (Two of so many values have the same
/// hash in one of 10^13 cases.) Beyond that, it keeps a `HyperLogLog` of 2^14 registers, with the improved raw
/// estimator of Otmar Ertl, ["New cardinality estimation algorithms for `HyperLogLog`
/// sketches"](https://arxiv.org/abs/1702.01284), 2017. It needs no table of corrections, and has no bias worth
/// mentioning at any size. The error is at most 1.6 % in 95 of 100 cases, and has a standard deviation of 0.81 %.
///
/// Which of the two it keeps depends only on how many different hashes there are.
#[derive(Clone, Debug, Default)]
pub struct Distinct(Hashes);

#[derive(Clone, Debug)]
enum Hashes {
    /// A hash table with open addressing: the high bits of a hash say where to start. Its length is a power of two, or
    /// 0. An empty slot is 0.
    Table { slots: Box<[u64]>, len: usize },
    /// For each value of the low 14 bits of a hash: how many zeros are before the first one in the others, at most,
    /// plus one. 0 if there is no such hash.
    Registers(Box<[u8]>),
}

/// Bits of a hash that choose its register.
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;
/// The greatest value of a register: all other bits of the hash are zero.
const REGISTER_MAX: usize = (u64::BITS - REGISTER_BITS) as usize + 1;
/// The first table. Holds three hashes.
const SLOTS_MIN: usize = 4;

impl Distinct {
    /// Up to how many different hashes the count is exact. The table then takes as much memory as the registers.
    pub const EXACT_MAX: usize = 1_536;

    /// The error of an estimate that 95 of 100 estimates do not exceed, relative to the exact count: twice the standard
    /// deviation, 1.04 / √2^14 = 0.81 %.
    pub const RELATIVE_ERROR: f64 = 0.0163;

    /// The count of no values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value with this hash: [`value_hash`](super::value_hash), or another that is well mixed in all bits.
    #[inline]
    pub fn add_hash(&mut self, hash: u64) {
        // 0 marks empty slots. Another hash stands for it.
        let hash = if hash == 0 { 0x9e37_79b9_7f4a_7c15 } else { hash };
        match &mut self.0 {
            Hashes::Registers(registers) => raise(registers, hash),
            Hashes::Table { slots, len } => {
                if contains(slots, hash) {
                    return;
                }
                if *len == Self::EXACT_MAX {
                    self.forget_hashes();
                    return self.add_hash(hash);
                }
                // A quarter stays empty, so that searches are short.
                if *len >= slots.len() / 4 * 3 {
                    *slots = grown(slots);
                }
                insert(slots, hash);
                *len += 1;
            }
        }
    }

    /// Adds all values of another count.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Hashes::Table { slots, .. } => {
                slots.iter().filter(|hash| **hash != 0).for_each(|hash| self.add_hash(*hash));
            }
            Hashes::Registers(theirs) => {
                self.forget_hashes();
                if let Hashes::Registers(ours) = &mut self.0 {
                    for (ours, theirs) in ours.iter_mut().zip(theirs) {
                        *ours = (*ours).max(*theirs);
                    }
                }
            }
        }
    }

    /// How many different hashes were added. See [`is_exact`](Self::is_exact).
    #[must_use]
    pub fn estimate(&self) -> u64 {
        match &self.0 {
            Hashes::Table { len, .. } => *len as u64,
            Hashes::Registers(registers) => estimate(registers),
        }
    }

    /// Whether the estimate is exact.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        matches!(self.0, Hashes::Table { .. })
    }

    /// The memory of this count in bytes, including the value itself. At most 16 KiB and a few bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let heap = match &self.0 {
            Hashes::Table { slots, .. } => size_of_val(&**slots),
            Hashes::Registers(registers) => registers.len(),
        };
        size_of::<Self>() + heap
    }

    /// Replaces the table by registers.
    fn forget_hashes(&mut self) {
        if let Hashes::Table { slots, .. } = &self.0 {
            let mut registers = vec![0; REGISTERS].into_boxed_slice();
            slots.iter().filter(|hash| **hash != 0).for_each(|hash| raise(&mut registers, *hash));
            self.0 = Hashes::Registers(registers);
        }
    }
}

impl Default for Hashes {
    fn default() -> Self {
        Self::Table { slots: Box::default(), len: 0 }
    }
}

impl PartialEq for Distinct {
    /// Whether both have the same hashes, or the same registers.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Hashes::Registers(left), Hashes::Registers(right)) => left == right,
            (Hashes::Table { slots: left, len }, Hashes::Table { slots: right, len: other_len }) => {
                len == other_len && left.iter().all(|hash| *hash == 0 || contains(right, *hash))
            }
            (Hashes::Registers(_), Hashes::Table { .. }) | (Hashes::Table { .. }, Hashes::Registers(_)) => false,
        }
    }
}

impl Eq for Distinct {}

/// The index at which the search for a hash starts, in a table with slots.
#[inline]
fn home(slots: &[u64], hash: u64) -> usize {
    // The high bits: as many as the length has.
    (hash >> 1 >> (u64::BITS - 1 - slots.len().trailing_zeros())) as usize
}

#[inline]
fn contains(slots: &[u64], hash: u64) -> bool {
    if slots.is_empty() {
        return false;
    }
    let mut at = home(slots, hash);
    // A quarter of the slots is empty, so the search ends.
    while let Some(slot) = slots.get(at) {
        if *slot == hash {
            return true;
        }
        if *slot == 0 {
            return false;
        }
        at = (at + 1) & (slots.len() - 1);
    }
    false
}

/// Inserts a hash that is not in the table, which must have an empty slot.
fn insert(slots: &mut [u64], hash: u64) {
    let mut at = home(slots, hash);
    while slots.get(at).is_some_and(|slot| *slot != 0) {
        at = (at + 1) & (slots.len() - 1);
    }
    *slots.get_mut(at).expect("the search stays within the table, which is not empty") = hash;
}

/// The same hashes in a table of twice the length.
fn grown(slots: &[u64]) -> Box<[u64]> {
    let mut grown = vec![0; (slots.len() * 2).max(SLOTS_MIN)].into_boxed_slice();
    slots.iter().filter(|hash| **hash != 0).for_each(|hash| insert(&mut grown, *hash));
    grown
}

#[inline]
fn raise(registers: &mut [u8], hash: u64) {
    let others = hash >> REGISTER_BITS;
    let value = (others.leading_zeros() - REGISTER_BITS + 1) as u8;
    if let Some(register) = registers.get_mut(hash as usize % REGISTERS) {
        *register = (*register).max(value);
    }
}

/// Ertl's improved estimator. Leaves out τ, which corrects for registers that have the greatest value: there are none
/// before about 10^15 different values.
fn estimate(registers: &[u8]) -> u64 {
    // Four tables, because neighbours are often equal, and counting one value twice at once takes longer.
    let mut tables = [[0_u32; REGISTER_MAX + 1]; 4];
    for registers in registers.chunks_exact(tables.len()) {
        for (table, register) in tables.iter_mut().zip(registers) {
            if let Some(count) = table.get_mut(usize::from(*register)) {
                *count += 1;
            }
        }
    }
    let counts: [u32; REGISTER_MAX + 1] =
        core::array::from_fn(|value| tables.iter().filter_map(|table| table.get(value)).sum());
    let [zeros, counts @ ..] = counts;
    // Σ counts[k] × 2^−k, from the smallest terms on.
    let sum = counts.iter().rev().fold(0.0, |sum, count| (sum + f64::from(*count)) * 0.5);
    let registers = REGISTERS as f64;
    let denominator = registers * sigma(f64::from(zeros) / registers) + sum;
    // Truncates and saturates.
    (registers * registers / (2.0 * core::f64::consts::LN_2 * denominator) + 0.5) as u64
}

/// σ(x) = x + Σ x^(2^k) × 2^(k−1) for k from 1 on, for x from 0 to 1.
fn sigma(x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut factor, mut sum) = (x, 1.0, x);
    loop {
        power *= power;
        let next = sum + power * factor;
        if next == sum {
            return sum;
        }
        sum = next;
        factor += factor;
    }
}

#[cfg(test)]
mod tests;
