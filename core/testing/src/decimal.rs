//! Compares numbers by value, with any number of digits, in the simplest way.

use std::cmp::Ordering;

/// Whether a text is written as a number: as in JSON, or with a plus sign or leading zeros.
pub(super) fn is_number(text: &str) -> bool {
    let unsigned = |text: &str| String::from(text.strip_prefix(['+', '-']).unwrap_or(text));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = unsigned(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    digits(whole) && digits(fraction) && digits(&unsigned(exponent))
}

/// Compares two numbers by value. Exponents outside of `i128` count as its limits.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Decimal::of(left), Decimal::of(right));
    match (left.sign, right.sign) {
        (-1, -1) => right.magnitude().cmp(&left.magnitude()),
        (1, 1) => left.magnitude().cmp(&right.magnitude()),
        (left, right) => left.cmp(&right),
    }
}

/// The spelling in which answers have a number: with an exponent only if the value is 10^21 or more and is no integer
/// that ends with another digit than zero, or if it has more than five zeros after the point.
pub(super) fn shortest(number: &str) -> String {
    let Decimal { sign, digits, exponent } = Decimal::of(number);
    let count = as_i128(digits.len());
    let zeros = |count: i128| "0".repeat(usize::try_from(count).unwrap_or_default());
    let split = |at: i128| digits.split_at(usize::try_from(at).expect("a place among the digits"));
    let unsigned = match exponent {
        _ if sign == 0 => "0".to_owned(),
        1..=21 if exponent >= count => digits.clone() + &zeros(exponent - count),
        _ if exponent == count => digits.clone(),
        1..=21 => format!("{}.{}", split(exponent).0, split(exponent).1),
        -5..=0 => format!("0.{}{digits}", zeros(-exponent)),
        _ if count == 1 => format!("{digits}e{}", exponent - 1),
        _ => format!("{}.{}e{}", split(1).0, split(1).1, exponent - 1),
    };
    if sign < 0 { format!("-{unsigned}") } else { unsigned }
}

/// A number as sign × 0.digits × 10^exponent, where the digits neither start nor end with a zero.
struct Decimal {
    /// -1, 0 or 1.
    sign: i8,
    digits: String,
    exponent: i128,
}

impl Decimal {
    fn of(number: &str) -> Self {
        let (negative, unsigned) = match number.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let lower = unsigned.to_ascii_lowercase();
        let (mantissa, exponent) = lower.split_once('e').unwrap_or((&lower, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));

        let all = String::from(whole) + fraction;
        let behind_zeros = all.trim_start_matches('0');
        let zeros = all.len() - behind_zeros.len();
        let point = as_i128(whole.len()) - as_i128(zeros);
        let digits = behind_zeros.trim_end_matches('0').to_string();
        let sign = match (digits.is_empty(), negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        Self { sign, digits, exponent: parse_exponent(exponent).saturating_add(point) }
    }

    /// A key that orders numbers without their sign: the exponent, then the digits, which compare as fractions do.
    fn magnitude(&self) -> (i128, &str) {
        (self.exponent, &self.digits)
    }
}

fn parse_exponent(exponent: &str) -> i128 {
    let furthest = if exponent.starts_with('-') { i128::MIN } else { i128::MAX };
    exponent.parse().unwrap_or(furthest)
}

fn as_i128(length: usize) -> i128 {
    i128::try_from(length).expect("a length has at most 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_from_texts_that_look_like_numbers() {
        for number in
            ["0", "-0", "10", "0.5", "1E5", "1e-05", "123456789012345678901234567890", "01", "+1", "-00.50e+7"]
        {
            assert!(is_number(number), "{number:?}");
        }
        for other in
            ["", "+", "--1", "1x", ".5", "5.", "1e", " 1", "1 ", "٣", "NaN", "Infinity", "0x10", "1_000", "true"]
        {
            assert!(!is_number(other), "{other:?}");
        }
    }

    #[test]
    fn numbers_have_one_shortest_spelling() {
        for (number, expected) in [
            ("-0.0e5", "0"),
            ("10.0", "10"),
            ("-15e-1", "-1.5"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e21"),
            ("1234567890123456789012345", "1234567890123456789012345"),
            ("12345678901234567890123.5", "1.23456789012345678901235e22"),
            ("1e-6", "0.000001"),
            ("0.00000012", "1.2e-7"),
            ("10e399", "1e400"),
        ] {
            assert_eq!(shortest(number), expected, "{number}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        // Each line has one value in several forms. The lines ascend.
        let ascending: &[&[&str]] = &[
            &["-1e99999999999999999999", "-10e99999999999999999998"],
            &["-1e400", "-0.1e401"],
            &["-123456789012345678901234567890"],
            &["-2", "-2.0", "-20e-1", "-0.2E+1"],
            &["-1.5"],
            &["-1e-400"],
            &["0", "-0", "0.000", "0e999999999999999999999", "-0.0e-5"],
            &["1e-99999999999999999999"],
            &["1e-400", "0.1e-399", "10e-401"],
            &["0.1", "0.10", "1e-1", "0.01E1"],
            &["0.100000000000000000000000000001"],
            &["0.2"],
            &["1", "1.0", "1e0", "1E-0", "1e+0", "100e-2", "0.001e3", "+1", "001", "+01.00e-00"],
            &["1.000000000000000000000000000000000000001"],
            &["9", "9.0"],
            &["10", "1e1", "1E1"],
            &["99"],
            &["100", "1e2"],
            &["9007199254740992", "9007199254740992.0"],
            &["9007199254740993", "9.007199254740993e15"],
            &["123456789012345678901234567890"],
            &["123456789012345678901234567891"],
            &["1e400"],
            &["1e99999999999999999999"],
        ];
        for (low, lows) in ascending.iter().enumerate() {
            for (high, highs) in ascending.iter().enumerate() {
                for (left, right) in lows.iter().flat_map(|left| highs.iter().map(move |right| (left, right))) {
                    assert_eq!(compare(left, right), low.cmp(&high), "{left} and {right}");
                }
            }
        }
    }
}
