//! Floats as JSON numbers.

use alloc::vec::Vec;

/// Appends the shortest JSON number that reads back as this float, without `.0`: `0.1`, `13`, `1e300`. A number beyond
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
/// Up to 40 digits before the point and 6 zeros after it are written out, so that integers of 128 bits have no exponent.
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
            out.extend_from_slice(alloc::format!("e{}", scale - 1).as_bytes());
        }
    }
}
