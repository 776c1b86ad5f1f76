//! The integer encoding, for texts that are decimal integers.

use alloc::vec::Vec;

use super::cursor::{Corrupt, Cursor};
use super::packed::{Packed, pack};
use super::span::Span;
use crate::json::write_u64;
use crate::row_group::MANTISSA_END;

/// Texts that are integers in their shortest decimal form. Saves 0.1 to 0.2 bytes per event on the streams of the
/// [module](super), which have few numbers; on those, LZ4 does nearly as well.
///
/// The values are [`Packed`]. If one is negative, all are signed integers of 64 bits with the sign bit flipped.
#[derive(Clone, Debug)]
pub(super) struct Integers {
    values: Packed,
    signed: bool,
}

/// The most bytes of an integer of 64 bits.
pub(super) const INTEGER_BYTES_MAX: usize = 20;

const SIGN: u64 = 1 << 63;

/// Integers below this are exact as `f64`.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Parses the integers of a column.
#[derive(Debug, Default)]
pub(super) struct IntegersBuilder {
    values: Vec<u64>,
    signed: bool,
}

impl IntegersBuilder {
    /// Parses the texts. Returns the size in bytes; `None` if one is not an integer.
    pub(super) fn build(&mut self, text: &[u8], spans: &[Span]) -> Option<usize> {
        self.values.clear();
        self.signed = false;
        for span in spans {
            let value = span.of(text);
            if let [b'-', ..] = value {
                self.signed = true;
                return self.build_signed(text, spans);
            }
            self.values.push(parse_u64(value)?);
        }
        Some(self.cost())
    }

    fn build_signed(&mut self, text: &[u8], spans: &[Span]) -> Option<usize> {
        self.values.clear();
        for span in spans {
            let value = match span.of(text) {
                [b'-', digits @ ..] => {
                    // "-0" is not the shortest form of 0.
                    let magnitude = parse_u64(digits).filter(|&magnitude| magnitude != 0 && magnitude <= SIGN)?;
                    SIGN - magnitude
                }
                digits => parse_u64(digits).filter(|&value| value < SIGN)? | SIGN,
            };
            self.values.push(value);
        }
        Some(self.cost())
    }

    fn cost(&self) -> usize {
        let (min, max) = self.values.iter().fold((u64::MAX, 0), |(min, max), &value| (value.min(min), value.max(max)));
        let width = u64::BITS - max.saturating_sub(min).leading_zeros();
        self.values.len() * width as usize / 8
    }

    /// Whether any value is negative.
    pub(super) fn signed(&self) -> bool {
        self.signed
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        pack(&self.values, out);
    }
}

impl Integers {
    pub(super) fn decode(cursor: &mut Cursor, signed: bool, count: usize) -> Result<Self, Corrupt> {
        Ok(Self { values: Packed::decode(cursor, count)?, signed })
    }

    /// Numbers that are not above the least integer and not below the greatest; `None` if there are none.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let (least, greatest) = (self.values.iter().min()?, self.values.iter().max()?);
        let value = |value: u64| if self.signed { (value ^ SIGN) as i64 as f64 } else { value as f64 };
        let (low, high) = (value(least), value(greatest));
        // Beyond 53 bits, the conversion rounds.
        let is_exact = low.abs().max(high.abs()) < EXACT_MAX;
        Some(if is_exact { (low, high) } else { (low.next_down(), high.next_up()) })
    }

    /// The integers; `None` if one is no mantissa of a [`ValueColumn`](crate::row_group::ValueColumn).
    pub(super) fn mantissas(&self) -> Option<Vec<i64>> {
        let mut values = Vec::new();
        self.values.append_all(&mut values);
        let flip = if self.signed { SIGN } else { 0 };
        let fits = !self.signed && self.values.bound() < MANTISSA_END
            || values.iter().all(|value| {
                let magnitude = if self.signed { ((value ^ SIGN) as i64).unsigned_abs() } else { *value };
                magnitude < MANTISSA_END
            });
        fits.then(|| values.into_iter().map(|value| (value ^ flip) as i64).collect())
    }

    pub(super) fn append(&self, index: usize, out: &mut Vec<u8>) {
        let value = self.values.get(index);
        if !self.signed {
            write_u64(value, out);
        } else if value >= SIGN {
            write_u64(value - SIGN, out);
        } else {
            out.push(b'-');
            write_u64(SIGN - value, out);
        }
    }
}

/// The number, if `digits` is how [`write_u64`] writes it.
pub(super) fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.len() > INTEGER_BYTES_MAX || (digits.len() != 1 && !matches!(digits, [b'1'..=b'9', ..])) {
        return None;
    }
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}
