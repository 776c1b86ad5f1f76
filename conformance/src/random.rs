//! Random numbers from a seed, so that a run can be repeated.

use std::ops::RangeInclusive;

/// A generator of pseudo-random numbers (`SplitMix64`; Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator for a part of a run, for example a round, or a client of a round.
    #[must_use]
    pub fn new(seed: u64, part: u64) -> Self {
        Self(mixed(seed ^ mixed(part)))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.any() % (end.max(1) as u64)).unwrap_or_default()
    }

    /// One of these numbers.
    pub fn from(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.any() % (range.end() - range.start() + 1)
    }

    /// True with this probability in percent.
    pub fn percent(&mut self, share: u64) -> bool {
        self.from(0..=99) < share
    }

    /// An element of the list, if it has any.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }
}

/// Mixes the bits of a number, so that the result looks random. The same number always gives the same result.
#[must_use]
pub fn mixed(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_run_differ_and_repeat() {
        let numbers = |part| {
            let mut random = Random::new(7, part);
            [random.any(), random.from(1..=6), random.any()]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn a_range_includes_both_its_ends() {
        let mut random = Random::new(1, 1);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| random.from(3..=5)).collect();
        assert_eq!(drawn, [3, 4, 5].into());
        assert_eq!(random.pick::<u8>(&[]), None);
    }
}
