//! Event types.

use core::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::EVENT_TYPE_BYTES_MAX;

/// The type of an event: 1 to [`EVENT_TYPE_BYTES_MAX`](super::EVENT_TYPE_BYTES_MAX) bytes of UTF-8, without characters
/// that make a list of types misleading to look at (see [`parse`](Self::parse)). Case-sensitive; compared by bytes.
///
/// Serializes to a string. Deserializes from a string borrowed from the input, so a JSON string with escapes is an
/// error, as for `&str`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventType<'a>(&'a str);

/// Why a text is not a valid [`EventType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventTypeError {
    /// The text is empty.
    #[error("event_type is empty")]
    Empty,
    /// The text is too long.
    #[error("event_type has {bytes} bytes, more than {}", super::EVENT_TYPE_BYTES_MAX)]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The text has a character that types must not have.
    #[error("event_type has U+{:04X} at byte {at}, a character that types must not have", *character as u32)]
    Character {
        /// The character.
        character: char,
        /// Its offset in bytes.
        at: usize,
    },
}

impl<'a> EventType<'a> {
    /// Parses a type. It must not have:
    ///
    /// - control characters, those of [`char::is_control`]: U+0000 to U+001F and U+007F to U+009F;
    /// - bidirectional controls: U+061C, U+200E, U+200F, U+202A to U+202E and U+2066 to U+2069;
    /// - separators of lines and paragraphs: U+2028 and U+2029;
    /// - the byte order mark U+FEFF.
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
        match find_forbidden(text) {
            Some((at, character)) => Err(EventTypeError::Character { character, at }),
            None => Ok(Self::from_validated(text)),
        }
    }

    /// A type that was parsed before, for example one that is read from a segment. It may be older than some of the
    /// rules.
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

/// The first character that types must not have, and its offset in bytes.
fn find_forbidden(text: &str) -> Option<(usize, char)> {
    let is_plain = text.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte));
    if is_plain { None } else { text.char_indices().find(|&(_, character)| is_forbidden(character)) }
}

fn is_forbidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn valid_names_are_unchanged() {
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
    fn errors_name_the_character_and_its_offset() {
        for (text, character, at) in [
            ("a\nb", '\n', 1),
            ("\0", '\0', 0),
            ("ab\u{7f}", '\u{7f}', 2),
            ("ü\u{85}", '\u{85}', 2),
            ("日\u{202e}x\n", '\u{202e}', 3),
        ] {
            assert_eq!(EventType::parse(text), Err(EventTypeError::Character { character, at }));
        }
        let message = EventType::parse("a\tb").map_err(|error| error.to_string());
        assert_eq!(message, Err("event_type has U+0009 at byte 1, a character that types must not have".to_string()));
    }

    #[test]
    fn all_other_characters_are_allowed() {
        let forbidden =
            [0..=0x1f, 0x7f..=0x9f, 0x61c..=0x61c, 0x200e..=0x200f, 0x2028..=0x202e, 0x2066..=0x2069, 0xfeff..=0xfeff];
        for character in '\0'..=char::MAX {
            let is_allowed = !forbidden.iter().any(|range| range.contains(&u32::from(character)));
            assert_eq!(EventType::parse(character.encode_utf8(&mut [0; 4])).is_ok(), is_allowed, "{character:?}");
        }
    }
}
