//! Numbers the floats by their magnitude, so that floats with the same number differ by less than 2 %.
//!
//! A `DDSketch` (see [`Quantiles`](super::Quantiles)) puts a value into the bucket of its logarithm. This file needs no
//! logarithm: the exponent of a float is the whole part of its binary logarithm, and a table with the bounds of 35
//! buckets to an octave has the rest. An answer is the middle of a bucket, which differs by at most
//! (r − 1) / (r + 1) = 0.99 % from each value in it, where r = 2^(1/35) is the ratio of the bounds.
//!
//! The reserve up to 1 % is for the least numbers, of which an answer can only be a whole multiple of the least one:
//! below 2^13 times the least positive number, each has a bucket of its own, and from there on half of it is less than
//! the reserve.

/// Buckets to an octave, a factor of two.
const PER_OCTAVE: usize = 35;
/// Bits of a float below the exponent.
const MANTISSA_BITS: u32 = 52;
const MANTISSA_MASK: u64 = (1 << MANTISSA_BITS) - 1;
/// The least floats, which have 13 bits or fewer, have keys of their own: their bits.
const EXACT_BITS: u32 = 13;
/// A cell is a value of the first bits of the mantissa. It is narrower than a bucket, so it has parts of at most two.
const CELL_BITS: u32 = 6;
const CELLS: usize = 1 << CELL_BITS;

/// The mantissas at which the buckets of an octave begin, and one beyond all.
static BOUNDS: [u64; PER_OCTAVE + 1] = bounds();
/// The bucket in which each cell begins.
static CELL_BUCKETS: [u8; CELLS] = cell_buckets();
/// The middle of each bucket of the octave from 1 to 2.
static MIDDLES: [f64; PER_OCTAVE] = middles();

/// The greatest key. The least is its negative.
#[cfg(test)]
pub(super) const KEY_MAX: i32 = (1 << EXACT_BITS) + (2046 + MANTISSA_BITS - EXACT_BITS) as i32 * PER_OCTAVE as i32 - 1;

/// The key of the bucket of a finite float. Keys ascend with the floats, and negative floats have negative keys.
#[inline]
pub(super) fn key(value: f64) -> i32 {
    let bits = value.abs().to_bits();
    let (octave, mantissa) = if bits > MANTISSA_MASK {
        ((bits >> MANTISSA_BITS) as u32 + MANTISSA_BITS - EXACT_BITS - 1, bits & MANTISSA_MASK)
    } else if bits >> EXACT_BITS == 0 {
        let key = bits as i32;
        return if value.is_sign_negative() { -key } else { key };
    } else {
        // Subnormal: the highest bit that is set is the implicit one.
        let shift = bits.leading_zeros() - (u64::BITS - MANTISSA_BITS - 1);
        (MANTISSA_BITS - EXACT_BITS - shift, bits << shift & MANTISSA_MASK)
    };
    let bucket = bucket(mantissa);
    let key = (1 << EXACT_BITS) + (octave * PER_OCTAVE as u32 + bucket) as i32;
    if value.is_sign_negative() { -key } else { key }
}

/// The bucket of a mantissa within its octave.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a mantissa has 52 bits, and each cell's bucket has a bound after it")]
fn bucket(mantissa: u64) -> u32 {
    let first = CELL_BUCKETS[(mantissa >> (MANTISSA_BITS - CELL_BITS)) as usize % CELLS];
    u32::from(first) + u32::from(mantissa >= BOUNDS[usize::from(first) + 1])
}

/// The middle of the bucket with this key: at most 1 % of it away from each float in the bucket.
pub(super) fn middle(key: i32) -> f64 {
    let magnitude = key.unsigned_abs();
    let middle = match magnitude.checked_sub(1 << EXACT_BITS) {
        None => f64::from_bits(u64::from(magnitude)),
        Some(above) => {
            let octave = above / PER_OCTAVE as u32;
            let middle = MIDDLES.get((above % PER_OCTAVE as u32) as usize).expect("a remainder is below the divisor");
            // 2^octave times the first float of the scale's first octave, which is subnormal. Rounds once.
            match (octave + EXACT_BITS).checked_sub(MANTISSA_BITS) {
                None => *middle * f64::from_bits(1 << (octave + EXACT_BITS)),
                Some(exponent) => *middle * f64::from_bits(u64::from(exponent + 1) << MANTISSA_BITS),
            }
        }
    };
    if key < 0 { -middle } else { middle }
}

/// The mantissa of the least float that is at least 2^(bucket/35), for each bucket.
#[expect(clippy::indexing_slicing, reason = "the loop counts the elements")]
const fn bounds() -> [u64; PER_OCTAVE + 1] {
    let mut bounds = [u64::MAX; PER_OCTAVE + 1];
    let mut bucket = 0;
    while bucket < PER_OCTAVE {
        let (mut low, mut high) = (0, MANTISSA_MASK);
        while low < high {
            let half = low + (high - low) / 2;
            if power(float(half)) >= (1_u64 << bucket) as f64 { high = half } else { low = half + 1 }
        }
        bounds[bucket] = low;
        bucket += 1;
    }
    bounds
}

#[expect(clippy::indexing_slicing, reason = "the loops count the elements")]
const fn cell_buckets() -> [u8; CELLS] {
    let bounds = bounds();
    let mut cells = [0; CELLS];
    let (mut cell, mut bucket) = (0, 0);
    while cell < CELLS {
        let begin = (cell as u64) << (MANTISSA_BITS - CELL_BITS);
        while bounds[bucket + 1] <= begin {
            bucket += 1;
        }
        cells[cell] = bucket as u8;
        cell += 1;
    }
    cells
}

/// The harmonic mean of the bounds: it has the same relative error to both.
#[expect(clippy::indexing_slicing, reason = "the loop counts the elements")]
const fn middles() -> [f64; PER_OCTAVE] {
    let bounds = bounds();
    let mut middles = [0.0; PER_OCTAVE];
    let mut bucket = 0;
    while bucket < PER_OCTAVE {
        let low = float(bounds[bucket]);
        let high = if bucket + 1 < PER_OCTAVE { float(bounds[bucket + 1]) } else { 2.0 };
        middles[bucket] = 2.0 * low * high / (low + high);
        bucket += 1;
    }
    middles
}

/// The float from 1 to 2 with this mantissa.
const fn float(mantissa: u64) -> f64 {
    f64::from_bits(1.0_f64.to_bits() | mantissa)
}

/// The 35th power.
const fn power(base: f64) -> f64 {
    let mut power = 1.0;
    let mut factors = 0;
    while factors < PER_OCTAVE {
        power *= base;
        factors += 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least positive float, in bits, whose key is at least this.
    fn first_with(least: i32) -> u64 {
        let (mut low, mut high) = (0, f64::MAX.to_bits() + 1);
        while low < high {
            let half = low + (high - low) / 2;
            if key(f64::from_bits(half)) >= least { high = half } else { low = half + 1 }
        }
        low
    }

    #[test]
    fn the_middle_of_every_bucket_is_within_one_percent_of_both_ends() {
        let mut first = 1;
        for number in 1..=KEY_MAX {
            let next = first_with(number + 1);
            for end in [f64::from_bits(first), f64::from_bits(next - 1)] {
                assert_eq!(key(end), number);
                assert_eq!(key(-end), -number);
                assert!((middle(number) - end).abs() * 100.0 <= end, "{end:e} {:e}", middle(number));
            }
            assert_eq!(key(middle(number)), number, "it is in the bucket");
            assert_eq!(middle(-number), -middle(number));
            first = next;
        }
        assert_eq!(f64::from_bits(first - 1), f64::MAX, "all floats have a bucket");
        assert_eq!((key(0.0), key(-0.0), middle(0)), (0, 0, 0.0));
    }

    #[test]
    fn the_scale_is_that_of_the_documentation() {
        // Other stores number their buckets in the same way. The bounds of an octave are powers of 2^(1/35).
        for bucket in 0..35 {
            let bound = 2.0_f64.powf(f64::from(bucket) / 35.0);
            let [below, above] = [bound * (1.0 - 1e-12), bound * (1.0 + 1e-12)].map(key);
            assert_eq!(above, key(1.0) + bucket);
            assert_eq!(below, above - 1);
        }
        assert_eq!(key(1.0), 8_192 + 1_061 * 35);
        assert_eq!(key(f64::MAX), KEY_MAX);
        assert_eq!(KEY_MAX, 81_166);
    }
}
