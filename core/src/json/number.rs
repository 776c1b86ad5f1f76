//! Exact comparison of JSON numbers of any size and precision.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{Scanner, write_u64};

/// Largest absolute value of a scale. Programs do not use larger exponents, and the sum of two scales does not
/// overflow.
const SCALE_MAX: i64 = i64::MAX / 4;

/// Numbers up to this scale, and those down to the other one, are written without an exponent, as in JavaScript.
const PLAIN_SCALE_MAX: i64 = 21;
const PLAIN_SCALE_MIN: i64 = -5;

/// The exact value of a number token of any length, borrowed from the token. Ordered by value: `1`, `1.0` and `10e-1`
/// are equal, and so are `0` and `-0`.
///
/// Exponents of nineteen digits or more all count as the same, largest exponent.
#[derive(Clone, Copy, Debug)]
pub struct Decimal<'a> {
    negative: bool,
    /// Without leading and trailing zeros; may contain the decimal point. Empty for zero.
    digits: &'a str,
    /// The value is 0.digits × 10^scale. 0 for zero.
    scale: i64,
}

impl<'a> Decimal<'a> {
    /// The value of a number token (RFC 8259, section 6); `None` for any other text.
    ///
    /// ```
    /// use argus_core::json::Decimal;
    ///
    /// assert_eq!(Decimal::parse("1.0"), Decimal::parse("10e-1"));
    /// assert!(Decimal::parse("1e400") > Decimal::parse("9e399"), "no number is too large");
    /// assert_eq!(Decimal::parse("one"), None);
    /// ```
    #[must_use]
    pub fn parse(token: &'a str) -> Option<Self> {
        Scanner::is_number(token).then(|| Self::from_token(token))
    }

    /// The value of a text that is written as a number: like a number token, but it may also have a plus sign and
    /// leading zeros. `None` for any other text.
    ///
    /// ```
    /// use argus_core::json::Decimal;
    ///
    /// assert_eq!(Decimal::parse_text(b"+007.50"), Decimal::parse("7.5"));
    /// assert_eq!(Decimal::parse_text(b".5"), None);
    /// ```
    #[must_use]
    pub fn parse_text(text: &'a [u8]) -> Option<Self> {
        let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
        // The first byte decides about most texts, however long they are.
        if !unsigned.first()?.is_ascii_digit() {
            return None;
        }
        let unsigned = core::str::from_utf8(unsigned).ok()?;
        let significant = unsigned.trim_start_matches('0');
        let zeros = unsigned.len() - significant.len();
        // A token has a zero before its point or exponent.
        let token = if significant.starts_with(|first: char| first.is_ascii_digit()) {
            significant
        } else {
            unsigned.get(zeros.saturating_sub(1)..)?
        };
        let magnitude = Self::parse(token)?;
        Some(Self { negative: text.starts_with(b"-") && !magnitude.digits.is_empty(), ..magnitude })
    }

    pub(crate) const fn from_parts(negative: bool, digits: &'a str, scale: i64) -> Self {
        Self { negative, digits, scale }
    }

    /// The value of a token that is known to be a number.
    pub(crate) fn from_token(token: &'a str) -> Self {
        let (negative, unsigned) = match token.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)),
            None => (unsigned, 0),
        };
        let is_zero_or_point = |character| matches!(character, '0' | '.');
        let digits = mantissa.trim_start_matches(is_zero_or_point);
        if digits.is_empty() {
            return Self { negative: false, digits: "", scale: 0 };
        }
        let point = mantissa.find('.').unwrap_or(mantissa.len());
        let first = mantissa.len() - digits.len();
        // The number of digits before the point, or minus the number of zeros after it.
        let places = if first < point { to_i64(point - first) } else { -to_i64(first - point - 1) };
        let digits = if point < mantissa.len() || digits.ends_with('0') {
            digits.trim_end_matches(is_zero_or_point)
        } else {
            digits
        };
        let scale = exponent.saturating_add(places).clamp(-SCALE_MAX, SCALE_MAX);
        Self { negative, digits, scale }
    }

    /// Whether the value is below zero.
    #[must_use]
    pub const fn is_negative(&self) -> bool {
        self.negative
    }

    /// The digits from the first to the last that is not zero. May contain the decimal point. Empty for zero.
    #[must_use]
    pub const fn digits(&self) -> &'a str {
        self.digits
    }

    /// The exponent for which 0.1 <= |value| / 10^scale < 1. 0 for zero.
    #[must_use]
    pub const fn scale(&self) -> i64 {
        self.scale
    }

    /// 0.digits × 10^`scale`, with the sign of this number: its digits with another scale. `None` if that is not an
    /// integer of at most 20 digits.
    pub(crate) fn to_integer(self, scale: i64) -> Option<i128> {
        let places = usize::try_from(scale.clamp(0, 21)).ok().filter(|&places| places <= 20)?;
        let mut digits = self.digits.bytes().filter(u8::is_ascii_digit);
        let mut value = 0_i128;
        for _ in 0..places {
            value = value * 10 + digits.next().map_or(0, |digit| i128::from(digit - b'0'));
        }
        if digits.next().is_some() {
            return None;
        }
        Some(if self.negative { -value } else { value })
    }

    /// Appends the shortest exact spelling as a JSON number: `1` for `1.00`, and `1e400` for `10e399`. Numbers below
    /// 10^21 that need no more than five zeros after the point have no exponent, and neither have integers without
    /// zeros at their end.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut digits = self.digits.bytes().filter(u8::is_ascii_digit);
        let count = to_i64(digits.clone().count());
        if self.negative {
            out.push(b'-');
        }
        match self.scale {
            _ if count == 0 => out.push(b'0'),
            places @ 1.. if places <= PLAIN_SCALE_MAX || places == count => {
                let places = usize::try_from(places).unwrap_or_default();
                out.extend((0..places).map(|_| digits.next().unwrap_or(b'0')));
                write_fraction(digits, out);
            }
            zeros @ PLAIN_SCALE_MIN..=0 => {
                out.extend_from_slice(b"0.");
                out.extend((zeros..0).map(|_| b'0'));
                out.extend(digits);
            }
            scale => {
                out.extend(digits.next());
                write_fraction(digits, out);
                out.push(b'e');
                let exponent = scale - 1;
                if exponent < 0 {
                    out.push(b'-');
                }
                write_u64(exponent.unsigned_abs(), out);
            }
        }
    }

    /// Compares the absolute values.
    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        if self.digits.is_empty() || other.digits.is_empty() {
            return self.digits.len().cmp(&other.digits.len());
        }
        let digits = |number: &Self| number.digits.bytes().filter(u8::is_ascii_digit);
        self.scale.cmp(&other.scale).then_with(|| digits(self).cmp(digits(other)))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal<'_> {}

/// Appends the point and the digits after it, if there are any.
fn write_fraction(digits: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'.');
    out.extend(digits);
    if out.len() == start + 1 {
        out.pop();
    }
}

/// The value of an exponent, saturating at the ends of `i64`.
fn read_exponent(text: &str) -> i64 {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value = 0_i64;
    for digit in digits.bytes() {
        value = (value * 10 + i64::from(digit.wrapping_sub(b'0'))).min(SCALE_MAX / 10);
    }
    // A capped value saturates, so that adding the number of digits cannot bring it back into range.
    let value = if value == SCALE_MAX / 10 { i64::MAX } else { value };
    if negative { -value } else { value }
}

fn to_i64(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(SCALE_MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::format;

    use super::*;

    #[test]
    fn equality_ignores_the_spelling() {
        for group in [
            &["1", "1.0", "10e-1", "0.1e1", "1E0", "1e+0", "100.00e-2", "0.00001e5"][..],
            &["0", "-0", "0.000", "0e99", "-0.0E-5"],
            &["123.456", "1234560e-4", "0.123456e3"],
            &["1e400", "10e399", "0.1e401"],
            &["-1200", "-1.2e3", "-12e2"],
            &[
                "123456789012345678901234567890",
                "1.2345678901234567890123456789e29",
                "123456789012345678901234567890.0",
            ],
        ] {
            for left in group {
                for right in group {
                    assert_eq!(Decimal::parse(left).unwrap(), Decimal::parse(right).unwrap(), "{left} {right}");
                }
            }
        }
    }

    #[test]
    fn values_are_in_order() {
        let ascending = [
            "-1e99999999999999999999999",
            "-1e400",
            "-100.5",
            "-100",
            "-2",
            "-1.5",
            "-1e-400",
            "0",
            "1e-99999999999999999999999",
            "1e-400",
            "0.001",
            "0.0010001",
            "0.5",
            "1",
            "1.0000000000000000000000000000001",
            "1.5",
            "2",
            "10",
            "99.9",
            "100",
            "9007199254740992",
            "9007199254740993",
            "1e400",
            "1.1e400",
            "1e401",
            "1e99999999999999999999999",
        ];
        for (index, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(
                    Decimal::parse(left).unwrap().cmp(&Decimal::parse(right).unwrap()),
                    index.cmp(&other),
                    "{left} {right}"
                );
            }
        }
    }

    #[test]
    fn exponents_of_thousands_of_digits_saturate() {
        let huge = format!("1e{}", "9".repeat(5_000));
        let tiny = format!("1e-{}", "9".repeat(5_000));
        assert!(Decimal::parse(&huge).unwrap() > Decimal::parse("1e1000000").unwrap());
        assert!(Decimal::parse(&tiny).unwrap() < Decimal::parse("1e-1000000").unwrap());
        assert!(Decimal::parse(&tiny).unwrap() > Decimal::parse("0").unwrap());
    }

    #[test]
    fn other_texts_are_not_numbers() {
        for token in ["", "-", "+1", "01", ".5", "5.", "1e", "1e+", " 1", "1 ", "0x1", "Infinity", "1,5"] {
            assert!(Decimal::parse(token).is_none(), "{token}");
        }
    }

    #[test]
    fn texts_may_have_a_plus_and_leading_zeros() {
        for (text, token) in [
            ("007", "7"),
            ("+1", "1"),
            ("-0012.50", "-12.5"),
            ("+00", "0"),
            ("-0", "0"),
            ("-000.0e9", "0"),
            ("00.5", "0.5"),
            ("+01e+02", "100"),
            ("0e5", "0"),
            ("1.0", "1"),
        ] {
            let number = Decimal::parse_text(text.as_bytes()).unwrap();
            assert_eq!(number, Decimal::parse(token).unwrap(), "{text}");
            assert_eq!(number.is_negative(), token.starts_with('-'), "{text}");
        }
        let others = [
            "",
            "-",
            "+",
            "--1",
            "+-1",
            "-+1",
            ".5",
            "-.5",
            "5.",
            "00.",
            "1e",
            "0e",
            "1e+",
            " 1",
            "1 ",
            "0x1",
            "1,5",
            "1_000",
            "Infinity",
            "NaN",
            "2026-11-28",
            "٣",
        ];
        for text in others {
            assert!(Decimal::parse_text(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Decimal::parse_text(b"1\xed\xa0\x80").is_none());
    }

    #[test]
    fn numbers_are_written_in_their_shortest_exact_spelling() {
        for (token, expected) in [
            ("0e5", "0"),
            ("-0", "0"),
            ("1.00", "1"),
            ("-12.340", "-12.34"),
            ("12e2", "1200"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e21"),
            ("1.5e21", "1.5e21"),
            ("123456789012345678901234567891", "123456789012345678901234567891"),
            ("123456789012345678901234567891.5", "1.234567890123456789012345678915e29"),
            ("0.10", "0.1"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("-0.00000015", "-1.5e-7"),
            ("10e399", "1e400"),
            ("1e-99999", "1e-99999"),
        ] {
            let mut out = Vec::new();
            Decimal::parse(token).unwrap().write(&mut out);
            assert_eq!(std::str::from_utf8(&out).unwrap(), expected, "{token}");
            assert_eq!(Decimal::parse(expected), Decimal::parse(token));
        }
    }

    #[test]
    fn integers_are_exact() {
        let number = Decimal::parse("-12.34").unwrap();
        assert_eq!(number.to_integer(4), Some(-1234));
        assert_eq!(number.to_integer(6), Some(-123_400));
        assert_eq!(number.to_integer(3), None);
        assert_eq!(number.to_integer(21), None);
        assert_eq!(Decimal::parse("0").unwrap().to_integer(9), Some(0));
    }
}
