//! Chance that can be repeated: everything that a run draws comes from its seed.

use std::ops::RangeInclusive;

/// A generator of numbers (`SplitMix64`). What it gives depends on nothing but its seed.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// The generator of a part of a run, such as a round or a client of a round.
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

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, share: u64) -> bool {
        self.from(0..=99) < share
    }

    /// One of these, if there is any.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(usize::try_from(self.any() % (list.len().max(1) as u64)).unwrap_or_default())
    }
}

/// A number that looks as if it had nothing to do with this one.
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
            let mut draw = Draw::new(7, part);
            [draw.any(), draw.from(1..=6), draw.any()]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn a_range_is_drawn_from_its_first_to_its_last() {
        let mut draw = Draw::new(1, 1);
        let drawn: std::collections::BTreeSet<u64> = (0..200).map(|_| draw.from(3..=5)).collect();
        assert_eq!(drawn, [3, 4, 5].into());
        assert_eq!(draw.pick::<u8>(&[]), None);
    }
}
