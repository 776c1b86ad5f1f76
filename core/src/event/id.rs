//! Event ids: those of callers, and generated ones.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::CLIENT_ID_BYTES_MAX;
use crate::{hex, json};

/// An id that the caller chose: its idempotency key. 1 to [`CLIENT_ID_BYTES_MAX`](super::CLIENT_ID_BYTES_MAX) bytes of
/// UTF-8 without control characters.
///
/// Serialized as a string. Deserialized from one that is borrowed from the input: JSON with an escape in it gives an
/// error, as for `&str`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId<'a>(&'a str);

/// Why a text is no [`ClientId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClientIdError {
    /// No bytes at all.
    #[error("id is empty")]
    Empty,
    /// Longer than the limit.
    #[error("id has {bytes} bytes, more than {}", super::CLIENT_ID_BYTES_MAX)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A control character, which has no place in a key.
    #[error("id has the control character U+{:04X} at byte {at}", *character as u32)]
    Control {
        /// The character.
        character: char,
        /// Its offset in bytes.
        at: usize,
    },
}

/// A UUID (RFC 9562), most significant byte first. Serialized and deserialized as its text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// Why a text is no [`Uuid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a UUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12")]
pub struct UuidError;

/// The id of a stored event. Serialized as a string. It cannot be deserialized: the text does not say whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventId<'a> {
    /// The caller's.
    Given(ClientId<'a>),
    /// Ours, a UUID version 7.
    Generated(Uuid),
}

impl<'a> ClientId<'a> {
    /// The id of this text. Control characters are those of [`char::is_control`]: U+0000 to U+001F and U+007F to
    /// U+009F.
    ///
    /// ```
    /// use argus_core::event::{ClientId, ClientIdError};
    ///
    /// assert_eq!(ClientId::parse("order-1042")?.as_str(), "order-1042");
    /// assert!(ClientId::parse("two\nlines").is_err());
    /// # Ok::<(), ClientIdError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ClientIdError`] says which rule the text breaks.
    pub fn parse(text: &'a str) -> Result<Self, ClientIdError> {
        if text.is_empty() {
            return Err(ClientIdError::Empty);
        }
        if text.len() > CLIENT_ID_BYTES_MAX {
            return Err(ClientIdError::TooLong { bytes: text.len() });
        }
        match super::find_control(text) {
            Some((at, character)) => Err(ClientIdError::Control { character, at }),
            None => Ok(Self::from_validated(text)),
        }
    }

    /// The id of a text that was parsed before it was stored.
    pub(crate) const fn from_validated(text: &'a str) -> Self {
        Self(text)
    }

    /// The id.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for ClientId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for ClientId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ClientId<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Deserialize::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Uuid {
    /// Length of the text form, in bytes.
    pub const TEXT_BYTES: usize = 36;

    /// Reads the text form of RFC 9562, section 4, in which digits of either case are allowed. Nothing else is: no
    /// braces, no `urn:uuid:`, no missing hyphens.
    ///
    /// ```
    /// use argus_core::event::{Uuid, UuidError};
    ///
    /// let id = Uuid::parse("01A22312-803E-7d89-b964-bdd0f144ce72")?;
    /// assert_eq!(&id.to_text(), b"01a22312-803e-7d89-b964-bdd0f144ce72");
    /// assert_eq!(Uuid::parse("{01a22312-803e-7d89-b964-bdd0f144ce72}"), Err(UuidError));
    /// # Ok::<(), UuidError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`UuidError`] where `text` has another form.
    pub fn parse(text: &str) -> Result<Self, UuidError> {
        let mut bytes = [0; 16];
        let mut rest = text.as_bytes();
        for (index, byte) in bytes.iter_mut().enumerate() {
            if is_group_start(index) {
                rest = rest.strip_prefix(b"-").ok_or(UuidError)?;
            }
            let (&[high, low], tail) = rest.split_first_chunk().ok_or(UuidError)?;
            *byte = hex::value(high).ok_or(UuidError)? << 4 | hex::value(low).ok_or(UuidError)?;
            rest = tail;
        }
        if rest.is_empty() { Ok(Self(bytes)) } else { Err(UuidError) }
    }

    /// The text form in lower case: ASCII.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_BYTES] {
        const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
        let mut text = [b'-'; Self::TEXT_BYTES];
        for (byte, place) in self.0.into_iter().zip(PLACES) {
            if let Some([high, low]) = text.get_mut(place..place + 2) {
                (*high, *low) = (hex::digit(byte >> 4), hex::digit(byte));
            }
        }
        text
    }
}

impl fmt::Display for Uuid {
    /// The usual form: 32 lower-case hexadecimal digits in groups of 8, 4, 4, 4 and 12.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.to_text()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(core::str::from_utf8(&self.to_text()).expect("digits and hyphens are ASCII"))
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl EventId<'_> {
    /// Appends the id as a JSON string, quotes included.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Given(id) => json::write_string(id.as_str(), out),
            Self::Generated(uuid) => {
                out.push(b'"');
                out.extend_from_slice(&uuid.to_text());
                out.push(b'"');
            }
        }
    }
}

impl Serialize for EventId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Given(id) => id.serialize(serializer),
            Self::Generated(uuid) => uuid.serialize(serializer),
        }
    }
}

impl fmt::Display for EventId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(id) => id.fmt(f),
            Self::Generated(uuid) => uuid.fmt(f),
        }
    }
}

/// Whether a hyphen stands before the byte of this index.
const fn is_group_start(index: usize) -> bool {
    matches!(index, 4 | 6 | 8 | 10)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::string::ToString;

    use super::*;

    #[test]
    fn ids_have_their_own_limits() {
        assert_eq!(ClientId::parse(""), Err(ClientIdError::Empty));
        assert!(ClientId::parse(&"x".repeat(128)).is_ok());
        assert_eq!(ClientId::parse(&"x".repeat(129)), Err(ClientIdError::TooLong { bytes: 129 }));
        assert_eq!(ClientId::parse("a\u{9f}"), Err(ClientIdError::Control { character: '\u{9f}', at: 1 }));
        assert_eq!(ClientId::parse("order/17 ✓").unwrap().as_str(), "order/17 ✓");
    }

    #[test]
    fn a_uuid_survives_its_text() {
        let text = "0192f0c1-7e3a-7abc-8def-0123456789ab";
        let uuid = Uuid::parse(text).unwrap();
        assert_eq!(uuid.0[0], 0x01);
        assert_eq!(uuid.0[15], 0xab);
        assert_eq!(uuid.to_string(), text);
        assert_eq!(Uuid::parse(&text.to_uppercase()), Ok(uuid));
        assert_eq!(EventId::Generated(uuid).to_string(), text);
        assert_eq!(serde_json::to_value(uuid).unwrap(), text);
        assert_eq!(serde_json::from_value::<Uuid>(text.into()).unwrap(), uuid);
        assert_eq!(EventId::Given(ClientId::parse("mine").unwrap()).to_string(), "mine");
    }

    #[test]
    fn other_forms_of_a_uuid_are_refused() {
        for text in [
            "",
            "0192f0c17e3a7abc8def0123456789ab",
            "0192f0c1-7e3a-7abc-8def-0123456789a",
            "0192f0c1-7e3a-7abc-8def-0123456789ab0",
            "0192f0c17-e3a-7abc-8def-0123456789ab",
            "{0192f0c1-7e3a-7abc-8def-0123456789ab}",
            "0192f0c1-7e3a-7abc-8def-0123456789ag",
            "+192f0c1-7e3a-7abc-8def-0123456789ab",
            "0192f0c1-7e3a-7abc-8def-0123456789é",
        ] {
            assert_eq!(Uuid::parse(text), Err(UuidError), "{text}");
            assert!(serde_json::from_value::<Uuid>(text.into()).is_err(), "{text}");
        }
    }
}
