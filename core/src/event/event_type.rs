//! Event types.

use core::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::EVENT_TYPE_BYTES_MAX;

/// The kind of an event: 1 to [`EVENT_TYPE_BYTES_MAX`](super::EVENT_TYPE_BYTES_MAX) bytes of UTF-8 without control
/// characters. Case-sensitive; compared by bytes.
///
/// Serialized as a string. Deserialized from one that is borrowed from the input: JSON with an escape in it gives an
/// error, as for `&str`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType<'a>(&'a str);

/// Why a text is no [`EventType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventTypeError {
    /// No bytes at all.
    #[error("event_type is empty")]
    Empty,
    /// Longer than the limit.
    #[error("event_type has {bytes} bytes, more than {}", super::EVENT_TYPE_BYTES_MAX)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A control character, which has no place in a name.
    #[error("event_type has the control character U+{:04X} at byte {at}", *character as u32)]
    Control {
        /// The character.
        character: char,
        /// Its offset in bytes.
        at: usize,
    },
}

impl<'a> EventType<'a> {
    /// The type of this name. Control characters are those of [`char::is_control`]: U+0000 to U+001F and U+007F to
    /// U+009F.
    ///
    /// ```
    /// use argus_core::event::{EventType, EventTypeError};
    ///
    /// assert_eq!(EventType::parse("page_view")?.as_str(), "page_view");
    /// assert_eq!(EventType::parse(""), Err(EventTypeError::Empty));
    /// # Ok::<(), EventTypeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EventTypeError`] says which rule the text breaks.
    pub fn parse(text: &'a str) -> Result<Self, EventTypeError> {
        if text.is_empty() {
            return Err(EventTypeError::Empty);
        }
        if text.len() > EVENT_TYPE_BYTES_MAX {
            return Err(EventTypeError::TooLong { bytes: text.len() });
        }
        match super::find_control(text) {
            Some((at, character)) => Err(EventTypeError::Control { character, at }),
            None => Ok(Self::from_validated(text)),
        }
    }

    /// The type of a name that was parsed before it was stored.
    pub(crate) const fn from_validated(text: &'a str) -> Self {
        Self(text)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for EventType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for EventType<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EventType<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Deserialize::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn ordinary_names_are_kept_as_they_are() {
        for text in ["a", "page.view", "Größe", "日本語", "with space", "quote\" and \\", "\u{00a0}"] {
            assert_eq!(EventType::parse(text).map(EventType::as_str), Ok(text));
        }
    }

    #[test]
    fn the_length_is_limited_in_bytes() {
        assert_eq!(EventType::parse(""), Err(EventTypeError::Empty));
        assert!(EventType::parse(&"x".repeat(256)).is_ok());
        assert_eq!(EventType::parse(&"x".repeat(257)), Err(EventTypeError::TooLong { bytes: 257 }));
        assert_eq!(EventType::parse(&"ü".repeat(129)), Err(EventTypeError::TooLong { bytes: 258 }));
    }

    #[test]
    fn control_characters_are_named_with_their_place() {
        for (text, character, at) in
            [("a\nb", '\n', 1), ("\0", '\0', 0), ("ab\u{7f}", '\u{7f}', 2), ("ü\u{85}", '\u{85}', 2)]
        {
            assert_eq!(EventType::parse(text), Err(EventTypeError::Control { character, at }));
        }
        let message = EventType::parse("a\tb").map_err(|error| error.to_string());
        assert_eq!(message, Err("event_type has the control character U+0009 at byte 1".to_string()));
    }
}
