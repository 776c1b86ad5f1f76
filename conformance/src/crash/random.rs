//! Random numbers of a run, all from its seed, so that it can be repeated.

use std::ops::RangeInclusive;

/// A `SplitMix64` generator. Its numbers depend only on the seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator for a part of a run, such as a round or a client of a round.
    pub(crate) fn new(seed: u64, part: u64) -> Self {
        Self(mixed(seed ^ mixed(part)))
    }

    /// Any number.
    pub(crate) fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// One of these numbers.
    pub(crate) fn from(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.any() % (range.end() - range.start() + 1)
    }

    /// True with this probability in percent.
    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.from(0..=99) < share
    }

    /// An element of the list, if it has any.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(usize::try_from(self.any() % (list.len().max(1) as u64)).unwrap_or_default())
    }
}

/// Mixes the bits of a number, so that the result looks unrelated.
pub(crate) fn mixed(number: u64) -> u64 {
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
