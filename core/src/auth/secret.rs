//! Keys in memory.

use alloc::string::String;
use core::fmt;

use super::KeyHash;
use super::likeness::PREFIX;

/// The random bytes of a key.
pub(super) const RANDOM_BYTES: usize = 32;
/// The characters that 256 bits take in base 62.
const DIGITS: usize = 43;

/// A key as its owner sends it. It is shown by [`expose`](Self::expose) alone, not by `Debug`, and has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The key with these 256 bits, which must be unpredictable: `argus_` and 43 characters of base 62.
    #[must_use]
    pub fn from_random(random: [u8; RANDOM_BYTES]) -> Self {
        const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut number = random;
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            // Division of a long number by 62; what remains is the next digit from the end.
            let mut rest = 0_u16;
            for byte in &mut number {
                let dividend = rest << 8 | u16::from(*byte);
                *byte = (dividend / 62) as u8;
                rest = dividend % 62;
            }
            *digit =
                *ALPHABET.get(usize::from(rest)).expect("a remainder of 62 is below 62, the length of the alphabet");
        }
        Self(digits.into_iter().map(char::from).fold(String::from(PREFIX), |mut key, digit| {
            key.push(digit);
            key
        }))
    }

    /// The text of the key. Whoever calls this makes sure that it gets into no log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The hash of the key, for the file of keys.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(self.expose())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn a_key_has_all_its_bits_in_base_62() {
        assert_eq!(Secret::from_random([0; 32]).expose(), format!("argus_{}", "0".repeat(43)));
        let mut one = [0; 32];
        if let Some(last) = one.last_mut() {
            *last = 61;
        }
        assert_eq!(Secret::from_random(one).expose(), format!("argus_{}z", "0".repeat(42)));
        // 2^256 - 1, converted by Python.
        assert_eq!(Secret::from_random([255; 32]).expose(), "argus_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
    }

    #[test]
    fn a_key_is_not_shown() {
        let secret = Secret::from("argus_visible");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(…) Some(Secret(…))");
    }
}
