//! Floats as JSON numbers.

use alloc::vec::Vec;

/// Appends the shortest JSON number that reads back as this float, without `.0`: `0.1`, `13`, `1e+300`. A number beyond
/// the range is written as the greatest one, and no number as 0.
///
/// ```
/// let mut out = Vec::new();
/// argus_core::sketch::write_f64(0.1 + 0.2, &mut out);
/// assert_eq!(out, b"0.30000000000000004");
/// ```
pub fn write_f64(value: f64, out: &mut Vec<u8>) {
    // JSON has no minus zero worth keeping.
    let value = if value.is_nan() || value == 0.0 { 0.0 } else { value.clamp(f64::MIN, f64::MAX) };
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}

/// Appends 0.digits × 10^`scale` as a JSON number. The digits have no zero at either end, and are empty for zero.
///
/// Up to 40 digits before the point and 6 zeros after it are written out, so that integers of 128 bits have no
/// exponent.
pub(super) fn write_decimal(negative: bool, digits: &str, scale: i64, out: &mut Vec<u8>) {
    if digits.is_empty() {
        out.push(b'0');
        return;
    }
    if negative {
        out.push(b'-');
    }
    match scale {
        -6..=0 => {
            out.extend_from_slice(b"0.");
            out.extend((scale..0).map(|_| b'0'));
            out.extend_from_slice(digits.as_bytes());
        }
        1..=40 => {
            let places = scale as usize;
            match digits.split_at_checked(places) {
                Some((whole, "")) => out.extend_from_slice(whole.as_bytes()),
                Some((whole, fraction)) => {
                    out.extend_from_slice(whole.as_bytes());
                    out.push(b'.');
                    out.extend_from_slice(fraction.as_bytes());
                }
                None => {
                    out.extend_from_slice(digits.as_bytes());
                    out.extend((digits.len()..places).map(|_| b'0'));
                }
            }
        }
        _ => {
            let (first, others) = digits.split_at(1);
            out.extend_from_slice(first.as_bytes());
            if !others.is_empty() {
                out.push(b'.');
                out.extend_from_slice(others.as_bytes());
            }
            out.extend_from_slice(alloc::format!("e{:+}", scale - 1).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;
    use crate::json::Decimal;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write_f64(value, &mut out);
        String::from_utf8(out).expect("a number is ASCII")
    }

    #[test]
    fn floats_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (13.0, "13"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::INFINITY, "1.7976931348623157e+308"),
            (f64::NEG_INFINITY, "-1.7976931348623157e+308"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn decimals_have_an_exponent_only_if_they_would_be_long() {
        for (digits, scale, expected) in [
            ("", 0, "0"),
            ("13", 2, "-13"),
            ("13", 1, "-1.3"),
            ("13", 4, "-1300"),
            ("13", 0, "-0.13"),
            ("13", -6, "-0.00000013"),
            ("13", -7, "-1.3e-8"),
            ("1", -7, "-1e-8"),
            ("1", 40, "-1000000000000000000000000000000000000000"),
            ("13", 41, "-1.3e+40"),
        ] {
            let mut out = Vec::new();
            write_decimal(!digits.is_empty(), digits, scale, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    proptest! {
        #[test]
        fn floats_read_back(value in any::<f64>()) {
            let text = text(value);
            prop_assert!(Decimal::parse(&text).is_some());
            prop_assert_eq!(text.parse(), Ok(value + 0.0));
        }

        #[test]
        fn decimals_read_back(digits in "[1-9]([0-9]{0,60}[1-9])?", scale in -100..100_i64, negative: bool) {
            let mut out = Vec::new();
            write_decimal(negative, &digits, scale, &mut out);
            let text = String::from_utf8(out).expect("a number is ASCII");
            prop_assert_eq!(Decimal::parse(&text), Some(Decimal::from_parts(negative, &digits, scale)));
        }
    }
}
