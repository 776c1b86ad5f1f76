//! A key that the operator allows.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::likeness::looks_like_key;
use super::{Access, Scopes};
use crate::event::Timestamp;
use crate::hex;
use crate::limit::Quotas;

/// Longest name of a key, in characters.
const NAME_CHARS_MAX: usize = 64;

/// A key, as the file describes it. The key itself is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name in logs and metrics.
    pub name: KeyName,
    /// The hash of the key.
    pub hash: KeyHash,
    /// What it is for.
    pub scopes: Scopes,
    /// Which events it may see and write.
    pub access: Access,
    /// From this time on it is not valid.
    pub expires: Option<Timestamp>,
    /// Its own limits.
    pub quotas: Quotas,
}

/// The name of a key: 1 to 64 ASCII letters, digits, `.`, `_` and `-`, so that it needs no quotes anywhere. It does not
/// look like a key, since logs show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(Arc<str>);

/// A text is not a [`KeyName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a name has 1 to {NAME_CHARS_MAX} letters, digits, '.', '_' and '-', and does not look like a key")]
pub struct KeyNameError;

/// The SHA-256 of a key.
///
/// It is no secret. A key has 256 random bits, so a plain hash suffices: slow ones protect secrets that can be guessed.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl Key {
    /// Whether the key is no longer valid at this time.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl KeyName {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// [`KeyNameError`].
    pub fn parse(text: &str) -> Result<Self, KeyNameError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_name = (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_allowed);
        (is_name && !looks_like_key(text)).then(|| Self(text.into())).ok_or(KeyNameError)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyHash {
    /// The hash of a text that a caller sends as a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Parses 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut digits = text.bytes().map(hex::value);
        for byte in &mut bytes {
            *byte = digits.next()?? << 4 | digits.next()??;
        }
        digits.next().is_none().then_some(Self(bytes))
    }

    /// The first 64 bits, by which keys are sorted.
    pub(super) fn start(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl PartialEq for KeyHash {
    /// Takes the same time for all hashes.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Display for KeyHash {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: String = self
            .0
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|nibble| char::from(hex::digit(nibble)))
            .collect();
        f.write_str(&digits)
    }
}

impl fmt::Debug for KeyHash {
    /// The start, which is enough to find the entry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({}…)", hex::digits(self.start()))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn a_hash_is_sha_256_in_hexadecimal() {
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of("abc").to_string(), abc);
        assert_eq!(KeyHash::parse(&abc.to_uppercase()), Some(KeyHash::of("abc")));
        assert_eq!(KeyHash::parse(""), None);
        assert_eq!(KeyHash::parse(&abc.replace('b', "g")), None);
        assert_eq!(KeyHash::parse(&[abc, "0"].concat()), None);
        assert_ne!(KeyHash::of("abd"), KeyHash::of("abc"));
    }

    #[test]
    fn names_need_no_quotes() {
        for name in ["a", "web-1.eu_west", "argus_backup", &"n".repeat(64)] {
            assert!(KeyName::parse(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a\"", "ä", "a\n", &"n".repeat(65), "argus_0123456789abcdefghij"] {
            assert_eq!(KeyName::parse(name), Err(KeyNameError), "{name}");
        }
    }
}
