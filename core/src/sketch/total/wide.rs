//! Sums of numbers with many digits.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Digits of a limb.
const LIMB_DIGITS: i64 = 18;
const LIMB: i128 = 10_i128.pow(LIMB_DIGITS as u32);
/// The least and the greatest limb that a number may reach. 10^18 to the power of them is 10^−2016 and 10^990.
const LIMBS: (i64, i64) = (-112, 55);
/// From here on a number is too large.
const SCALE_MAX: i64 = (LIMBS.1 + 1) * LIMB_DIGITS;
/// From here on the limbs are normalised, so that none overflows: 2^60 × 10^18 is below 2^120.
const LOAD_MAX: u64 = 1 << 60;

/// A number as the sum of `limbs[i]` × 10^(18 × (`first` + i)). Limbs may be negative, and may exceed 10^18.
#[derive(Clone, Debug, Default)]
pub(super) struct Wide {
    first: i64,
    limbs: Vec<i128>,
    /// The absolute value of each limb is at most this many times 10^18.
    load: u64,
}

impl Wide {
    /// Adds 0.digits × 10^`scale`, or subtracts it. Returns whether that was exact.
    pub(super) fn add(&mut self, negative: bool, digits: impl Iterator<Item = u8>, scale: i64) -> bool {
        self.make_room();
        if scale > SCALE_MAX {
            self.reach(LIMBS.1 + 1, LIMBS.1 + 1);
            self.add_to_limb(LIMBS.1 + 1, if negative { -1 } else { 1 });
            return false;
        }
        let mut exact = true;
        // From the first digit on: the limb that it is in, and what it is worth there.
        let mut power = scale;
        for digit in digits {
            power = power.saturating_sub(1);
            let limb = power.div_euclid(LIMB_DIGITS);
            if limb < LIMBS.0 {
                // Not all of the digits that follow are zeros.
                exact = false;
                break;
            }
            let worth = 10_i128.pow(power.rem_euclid(LIMB_DIGITS) as u32) * i128::from(digit);
            self.reach(limb, limb);
            self.add_to_limb(limb, if negative { -worth } else { worth });
        }
        exact
    }

    /// Adds `number` × 10^(18 × `limb`).
    pub(super) fn add_integer(&mut self, number: i128, limb: i64) {
        self.make_room();
        self.reach(limb, limb + 2);
        self.add_to_limb(limb, number % LIMB);
        self.add_to_limb(limb + 1, number / LIMB % LIMB);
        self.add_to_limb(limb + 2, number / LIMB / LIMB);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        if other.load >= LOAD_MAX / 2 {
            other.normalise();
        }
        if self.load >= LOAD_MAX / 2 {
            self.normalise();
        }
        self.load += other.load;
        for (limb, number) in (other.first..).zip(&other.limbs) {
            self.reach(limb, limb);
            self.add_to_limb(limb, *number);
        }
    }

    /// Sign, digits and scale: the number is 0.digits × 10^scale. There is no zero at either end of the digits, and no
    /// digit if the number is zero.
    pub(super) fn digits(mut self) -> (bool, String, i64) {
        self.normalise();
        let negative = self.limbs.last().is_some_and(|limb| *limb < 0);
        if negative {
            self.limbs.iter_mut().for_each(|limb| *limb = -*limb);
            self.normalise();
        }
        let end = self.first + i64::try_from(self.limbs.len()).expect("there are a few hundred limbs at most");
        let mut digits = String::new();
        for limb in self.limbs.iter().rev() {
            write!(digits, "{limb:018}").expect("a string takes any text");
        }
        let significant = digits.trim_start_matches('0');
        let zeros = i64::try_from(digits.len() - significant.len()).expect("there are a few thousand digits at most");
        (negative, significant.trim_end_matches('0').into(), end * LIMB_DIGITS - zeros)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.limbs.capacity() * size_of::<i128>()
    }

    /// Makes room for adding less than 10^18 to each limb.
    fn make_room(&mut self) {
        if self.load >= LOAD_MAX {
            self.normalise();
        }
        self.load += 1;
    }

    /// Carries, so that all limbs but the last are from 0 to 10^18 − 1. The last has the sign of the number, and is not
    /// zero.
    fn normalise(&mut self) {
        let mut carry = 0;
        for limb in &mut self.limbs {
            *limb += carry;
            carry = limb.div_euclid(LIMB);
            *limb = limb.rem_euclid(LIMB);
        }
        // −1 alone would remain of a negative number however often it is carried.
        while carry != 0 && carry != -1 {
            self.limbs.push(carry.rem_euclid(LIMB));
            carry = carry.div_euclid(LIMB);
        }
        if carry == -1
            && let Some(last) = self.limbs.last_mut()
        {
            *last -= LIMB;
        }
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
        self.load = 1;
    }

    /// Adds limbs so that those from `low` to `high` exist.
    fn reach(&mut self, low: i64, high: i64) {
        if self.limbs.is_empty() {
            self.first = low;
        }
        while low < self.first {
            self.limbs.insert(0, 0);
            self.first -= 1;
        }
        while self.first + self.limbs.len() as i64 <= high {
            self.limbs.push(0);
        }
    }

    /// The limb must exist.
    fn add_to_limb(&mut self, limb: i64, number: i128) {
        let index = usize::try_from(limb - self.first).ok();
        let limb = index.and_then(|index| self.limbs.get_mut(index)).expect("`reach` has made the limb");
        *limb += number;
    }
}
