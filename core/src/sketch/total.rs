//! Exact sums of numbers.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::number::write_decimal;
use crate::json::Decimal;
use wide::Wide;

mod wide;

/// Decimal places of `fraction`.
const PLACES: u32 = 18;
/// The unit of `whole`, in units of `fraction`.
const ONE: i64 = 10_i64.pow(PLACES);
/// Digits before the point that a number may have to be added to `whole`: those that 64 bits always hold.
const WHOLE_DIGITS_MAX: i64 = 19;

/// The sum of any number of decimal numbers, without an error: `12.99 + 0.01` is `13`, in every order.
///
/// Common numbers (up to 19 digits before the point and 18 after it) are summed in two integers. Numbers with more
/// digits take more memory, up to 4 KiB. Only outside 10^±1008 the sum gives up, see [`is_exact`](Self::is_exact).
#[derive(Clone, Debug, Default)]
pub struct Total {
    whole: i128,
    /// What is added to `whole`, in units of 10^−18: from 0 to [`ONE`] − 1.
    fraction: i64,
    /// Whether a number was not added exactly.
    inexact: bool,
    /// What is added to both: the numbers that do not fit them.
    wide: Option<Box<Wide>>,
}

impl Total {
    /// The sum of no numbers: 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number of any size and precision. Its digits beyond 10^−2016 are left out, and a number from 10^1008 on
    /// counts as 10^1008; see [`is_exact`](Self::is_exact).
    ///
    /// ```
    /// use argus_core::json::Decimal;
    /// use argus_core::sketch::Total;
    ///
    /// let mut total = Total::new();
    /// for price in ["12.99", "0.01", "1e30", "-1e30"] {
    ///     total.add(&Decimal::parse(price).unwrap());
    /// }
    /// let mut out = Vec::new();
    /// total.write(&mut out);
    /// assert_eq!(out, b"13");
    /// ```
    pub fn add(&mut self, number: &Decimal<'_>) {
        let text = number.digits();
        let scale = number.scale();
        let digits = text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0');
        let len = text.len() - usize::from(text.contains('.'));
        let lowest = scale.saturating_sub_unsigned(len as u64);
        if scale > WHOLE_DIGITS_MAX || lowest < -i64::from(PLACES) {
            self.inexact |= !self.wide().add(number.is_negative(), digits, scale);
            return;
        }
        let (mut whole, mut fraction) = (0_u64, 0_i64);
        for (place, digit) in (0_i64..).zip(digits) {
            if place < scale {
                whole = whole * 10 + u64::from(digit);
            } else {
                fraction = fraction * 10 + i64::from(digit);
            }
        }
        // Zeros that the digits lack: up to the point, and up to the last place of `fraction`.
        whole *= 10_u64.pow(u32::try_from(lowest).unwrap_or(0));
        fraction *= 10_i64.pow(u32::try_from(i64::from(PLACES) + lowest.min(0)).unwrap_or(0));
        if number.is_negative() {
            self.add_parts(-i128::from(whole), -fraction);
        } else {
            self.add_parts(i128::from(whole), fraction);
        }
    }

    /// Adds an integer.
    #[inline]
    pub fn add_integer(&mut self, number: i64) {
        self.add_parts(i128::from(number), 0);
    }

    /// Adds all integers of a slice, faster than one by one.
    pub fn add_integers(&mut self, numbers: &[i64]) {
        self.add_parts(numbers.iter().map(|number| i128::from(*number)).sum(), 0);
    }

    /// Adds `mantissa` × 10^−`places`. It is fastest to sum mantissas with the same places before.
    pub fn add_scaled(&mut self, mut mantissa: i128, mut places: u32) {
        while places > PLACES && mantissa % 10 == 0 {
            if mantissa == 0 {
                return;
            }
            mantissa /= 10;
            places -= 1;
        }
        if places > PLACES {
            let text = alloc::format!("{}", mantissa.unsigned_abs());
            let scale = i64::try_from(text.len()).expect("it has 39 digits at most") - i64::from(places);
            let digits = text.bytes().map(|digit| digit - b'0');
            self.inexact |= !self.wide().add(mantissa < 0, digits, scale);
            return;
        }
        if let Ok(mantissa) = i64::try_from(mantissa) {
            // `places` is at most 18, and division of 64 bits is several times as fast.
            let unit = 10_i64.pow(places);
            self.add_parts(i128::from(mantissa / unit), mantissa % unit * 10_i64.pow(PLACES - places));
            return;
        }
        let unit = 10_i128.pow(places);
        let fraction = mantissa % unit * 10_i128.pow(PLACES - places);
        self.add_parts(mantissa / unit, i64::try_from(fraction).expect("it is below 10^18"));
    }

    /// Adds another total.
    pub fn merge(&mut self, other: &Self) {
        self.add_parts(other.whole, other.fraction);
        self.inexact |= other.inexact;
        if let Some(theirs) = &other.wide {
            self.wide().merge(theirs);
        }
    }

    /// The float next to the sum; `f64::MAX` or `f64::MIN` if it is beyond the floats.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        if let Some(integer) = self.integer() {
            return integer as f64;
        }
        let mut text = Vec::new();
        self.write(&mut text);
        let text = String::from_utf8(text).expect("a number is ASCII");
        let value: f64 = text.parse().expect("JSON numbers are a part of what Rust reads as floats");
        value.clamp(f64::MIN, f64::MAX)
    }

    /// Appends the sum as a JSON number with all its digits, without zeros that say nothing: `13`, `0.5`, `1.5e+60`.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(integer) = self.integer() {
            out.extend_from_slice(alloc::format!("{integer}").as_bytes());
            return;
        }
        let mut sum = self.wide.as_deref().cloned().unwrap_or_default();
        sum.add_integer(self.whole, 0);
        sum.add_integer(i128::from(self.fraction), -1);
        let (negative, digits, scale) = sum.digits();
        write_decimal(negative, &digits, scale, out);
    }

    /// Whether the sum is exact: false if a number was 10^1008 or more, or had digits beyond 10^−2016.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        !self.inexact
    }

    /// The memory of this total in bytes, including the value itself.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.wide.as_ref().map_or(0, |wide| wide.memory_bytes())
    }

    /// The sum, if it is known to be an integer of 128 bits without looking at many digits.
    const fn integer(&self) -> Option<i128> {
        if self.wide.is_none() && self.fraction == 0 { Some(self.whole) } else { None }
    }

    fn wide(&mut self) -> &mut Wide {
        self.wide.get_or_insert_default()
    }

    /// Adds an integer, and a fraction between −[`ONE`] and [`ONE`].
    #[inline]
    fn add_parts(&mut self, whole: i128, fraction: i64) {
        self.fraction += fraction;
        let mut carry = 0;
        if self.fraction >= ONE {
            self.fraction -= ONE;
            carry = 1;
        } else if self.fraction < 0 {
            self.fraction += ONE;
            carry = -1;
        }
        self.add_whole(whole);
        self.add_whole(carry);
    }

    #[inline]
    fn add_whole(&mut self, whole: i128) {
        match self.whole.checked_add(whole) {
            Some(sum) => self.whole = sum,
            None => {
                self.wide().add_integer(whole, 0);
            }
        }
    }
}

impl PartialEq for Total {
    /// Whether the sums are equal, and both exact or both not.
    fn eq(&self, other: &Self) -> bool {
        let [mut left, mut right] = [Vec::new(), Vec::new()];
        self.write(&mut left);
        other.write(&mut right);
        left == right && self.inexact == other.inexact
    }
}

impl Eq for Total {}

#[cfg(test)]
mod tests;
