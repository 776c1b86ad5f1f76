//! Hexadecimal digits.

use alloc::string::String;

/// The digit for the lowest four bits, in lower case.
pub(crate) fn digit(nibble: u8) -> u8 {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    DIGITS.get(usize::from(nibble & 15)).copied().unwrap_or_default()
}

/// The sixteen digits of a number.
pub(crate) fn digits(number: u64) -> String {
    let digits: [u8; 16] = core::array::from_fn(|index| digit((number >> (60 - 4 * index)) as u8));
    core::str::from_utf8(&digits).expect("digits are ASCII").into()
}

/// The value of a digit, in either case.
pub(crate) const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_are_kept() {
        assert_eq!(digits(0), "0000000000000000");
        assert_eq!(digits(0x0123_4567_89ab_cdef), "0123456789abcdef");
    }

    #[test]
    fn value_is_the_inverse_of_digit() {
        for byte in 0..=u8::MAX {
            assert_eq!(value(digit(byte)), Some(byte & 15));
            assert_eq!(value(byte).map(u32::from), char::from(byte).to_digit(16), "{byte}");
        }
    }
}
