//! Random numbers for the generators.

use std::slice;

/// The decisions of the generators: a stream of numbers in which 0 always stands for the simplest choice.
///
/// A seed gives an endless stream, for simulations. Bytes give a finite stream followed by zeros, for fuzzers and
/// proptest: shorter or smaller bytes generate simpler values, so that they can be shrunk.
#[derive(Clone, Debug)]
pub struct Random<'a>(Stream<'a>);

#[derive(Clone, Debug)]
enum Stream<'a> {
    Seeded(SplitMix64),
    Bytes(slice::Iter<'a, u8>),
}

/// The generator `SplitMix64`: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014),
/// with the constants of Vigna's `splitmix64.c` (<https://prng.di.unimi.it/splitmix64.c>).
///
/// Small, fast and uniform enough for tests. Nothing else should use it.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl<'a> Random<'a> {
    /// An endless stream. Equal seeds give equal streams, on every machine and in every version.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Stream::Seeded(SplitMix64(seed)))
    }

    /// The bytes, followed by zeros.
    #[must_use]
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self(Stream::Bytes(bytes.iter()))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        match &mut self.0 {
            Stream::Seeded(random) => random.next(),
            Stream::Bytes(bytes) => take(bytes, 8),
        }
    }

    /// A number below `bound`; 0 if `bound` is 0. The slight bias of a remainder does not matter to tests.
    pub fn below(&mut self, bound: u64) -> u64 {
        let number = match &mut self.0 {
            Stream::Seeded(random) => random.next(),
            Stream::Bytes(bytes) if bound <= 1 << 8 => take(bytes, 1),
            Stream::Bytes(bytes) if bound <= 1 << 16 => take(bytes, 2),
            Stream::Bytes(bytes) => take(bytes, 8),
        };
        number.checked_rem(bound).unwrap_or(0)
    }

    /// As [`below`](Self::below), for lengths and indexes.
    pub fn index(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize has at most 64 bits");
        usize::try_from(self.below(bound)).expect("not above a usize")
    }

    /// True with probability 1/`n`, where `n` is at least 2. False when the bytes are used up.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == n.saturating_sub(1) && n > 1
    }

    /// One of `choices`; the first is the simplest.
    pub fn pick<T: Copy, const N: usize>(&mut self, choices: &[T; N]) -> T {
        const { assert!(N > 0, "a choice needs at least one element") };
        let index = self.index(N);
        *choices.get(index).expect("the index is below the length")
    }
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// The next `count` bytes in little-endian order; missing ones are 0.
fn take(bytes: &mut slice::Iter<'_, u8>, count: usize) -> u64 {
    bytes.by_ref().take(count).enumerate().map(|(index, byte)| u64::from(*byte) << (8 * index)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_numbers_are_those_of_the_reference() {
        let mut random = Random::seeded(1_234_567);
        let drawn: [u64; 5] = std::array::from_fn(|_| random.number());
        assert_eq!(
            drawn,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
        assert_eq!(Random::seeded(0).number(), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn a_larger_bound_takes_more_bytes_and_missing_bytes_are_zero() {
        let bytes = [7, 0x34, 0x12, 255];
        let mut random = Random::bytes(&bytes);
        assert_eq!(random.below(10), 7);
        assert_eq!(random.below(0x1_0000), 0x1234);
        assert_eq!(random.number(), 255);
        assert_eq!(random.number(), 0);
        assert_eq!(random.pick(&["simple", "other"]), "simple");
        assert!(!random.one_in(2));
        assert_eq!(random.below(0), 0);
    }
}
