//! The decimal encoding, for texts that are numbers with a fraction.

use alloc::vec::Vec;

use super::cursor::{Corrupt, Cursor};
use super::integers::parse_u64;
use super::packed::{Packed, pack, packed_len};
use super::span::Span;
use crate::json::write_scaled;
use crate::row_group::MANTISSA_END;

/// Texts that are decimal numbers in their usual form, such as `-0.5`, `12.90` and `7`: an integer, and how many of its
/// digits are after the point.
///
/// | bytes | what |
/// |---|---|
/// | … | for each row the digits without the point as a signed integer of 64 bits with the sign bit flipped, [`Packed`] |
/// | … | for each row the number of digits after the point, [`Packed`] |
#[derive(Clone, Debug)]
pub(super) struct Decimals {
    digits: Packed,
    scales: Packed,
}

/// The most bytes of a number: a sign, 19 digits and a point.
pub(super) const DECIMAL_BYTES_MAX: usize = 21;

/// The most digits of a number.
const DIGITS_MAX: usize = 19;

const SIGN: u64 = 1 << 63;

/// Parses the numbers of a column.
#[derive(Debug, Default)]
pub(super) struct DecimalsBuilder {
    digits: Vec<u64>,
    scales: Vec<u64>,
}

impl DecimalsBuilder {
    /// Parses the texts. Returns the size in bytes; `None` if one is not such a number.
    pub(super) fn build(&mut self, text: &[u8], spans: &[Span]) -> Option<usize> {
        self.digits.clear();
        self.scales.clear();
        for span in spans {
            let (digits, scale) = parse(span.of(text))?;
            self.digits.push(digits);
            self.scales.push(scale);
        }
        Some(packed_len(&self.digits) + packed_len(&self.scales))
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        pack(&self.digits, out);
        pack(&self.scales, out);
    }
}

impl Decimals {
    pub(super) fn decode(cursor: &mut Cursor, count: usize) -> Result<Self, Corrupt> {
        let (digits, scales) = (Packed::decode(cursor, count)?, Packed::decode(cursor, count)?);
        if scales.exceeds(DIGITS_MAX as u64 + 1) {
            return Err(Corrupt("a number has too many digits after its point"));
        }
        Ok(Self { digits, scales })
    }

    pub(super) fn append(&self, index: usize, out: &mut Vec<u8>) {
        write_scaled((self.digits.get(index) ^ SIGN) as i64, self.scales.get(index) as u32, out);
    }

    /// The numbers as integers, which are divided by 10 to the power of the second; `None` if one is no mantissa of a
    /// [`ValueColumn`](crate::row_group::ValueColumn).
    pub(super) fn mantissas(&self) -> Option<(Vec<i64>, u32)> {
        let (mut digits, mut scales) = (Vec::new(), Vec::new());
        self.digits.append_all(&mut digits);
        let same_scale = self.scales.only();
        if same_scale.is_none() {
            self.scales.append_all(&mut scales);
        }
        let places = same_scale.or_else(|| scales.iter().copied().max()).unwrap_or_default() as u32;
        let mut mantissas: Vec<i64> = digits.into_iter().map(|digits| (digits ^ SIGN) as i64).collect();
        for (mantissa, scale) in mantissas.iter_mut().zip(&scales) {
            *mantissa = mantissa.checked_mul(10_i64.checked_pow(places - *scale as u32)?)?;
        }
        let fits = mantissas.iter().fold(0, |bits, mantissa| bits | mantissa.unsigned_abs()) < MANTISSA_END;
        fits.then_some((mantissas, places))
    }
}

/// The digits as a signed integer with the sign bit flipped, and how many are after the point; `None` for any text that
/// [`Decimals::append`] would not write like this.
fn parse(text: &[u8]) -> Option<(u64, u64)> {
    let (is_negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let point = unsigned.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (unsigned.get(..at)?, unsigned.get(at + 1..).filter(|fraction| !fraction.is_empty())?),
        None => (unsigned, &[][..]),
    };
    if whole.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    let whole = parse_u64(whole)?;
    let digits = fraction.iter().try_fold(whole, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + u64::from(digit))
    })?;
    let digits = i64::try_from(digits).ok()?;
    if is_negative && digits == 0 {
        return None;
    }
    let signed = if is_negative { -digits } else { digits };
    Some((signed as u64 ^ SIGN, fraction.len() as u64))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn numbers_are_written_as_they_were_read() {
        let texts = [
            "0",
            "0.0",
            "-0.5",
            "12.90",
            "7",
            "-7",
            "0.0000000000000000001",
            "999999999999999999.9",
            "9223372036854775807",
            "-9223372036854775.807",
            "100.00",
        ];
        let texts: Vec<&str> = texts.into_iter().filter(|text| parse(text.as_bytes()).is_some()).collect();
        assert_eq!(texts.len(), 9, "those of 20 digits are missing");
        let text = texts.concat();
        let mut ends = Vec::new();
        texts.iter().for_each(|part| ends.push(ends.last().copied().unwrap_or(0) + part.len() as u32));
        let mut spans = Vec::new();
        Span::consecutive(&ends, &mut spans);
        let mut builder = DecimalsBuilder::default();
        let cost = builder.build(text.as_bytes(), &spans).unwrap();
        let mut out = Vec::new();
        builder.encode(&mut out);
        assert_eq!(out.len(), cost);
        let column = Decimals::decode(&mut Cursor::new(out.into()), texts.len()).unwrap();
        for (index, expected) in texts.iter().enumerate() {
            let mut found = b"1".to_vec();
            column.append(index, &mut found);
            assert_eq!(core::str::from_utf8(&found).unwrap().strip_prefix('1'), Some(*expected));
        }
    }

    #[test]
    fn other_texts_are_no_such_numbers() {
        for text in
            ["", "-", ".5", "5.", "-0", "-0.0", "00", "01.5", "+1", "1e5", "1.2.3", "1.5e3", "12345678901234567890"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
