//! Payloads: one JSON value each.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json::{Scanner, SyntaxError};

/// One JSON value (RFC 8259), valid and without insignificant white space; every token is byte for byte what the caller
/// sent.
///
/// `serde_json` writes it as it is, and reads one from a text that outlives it and is compact already. It does both by
/// its [`RawValue`], which no other format understands: they see a structure with one field that holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a>(&'a str);

impl<'a> Payload<'a> {
    /// The payload that `text` is, if it is compact JSON. To bring other JSON into that form, see
    /// [`json::compact`](crate::json::compact).
    ///
    /// ```
    /// use argus_core::event::Payload;
    /// use argus_core::json::SyntaxError;
    ///
    /// // Tokens stay as they are: no number is read.
    /// assert_eq!(Payload::parse(r#"{"total":1.0}"#)?.as_str(), r#"{"total":1.0}"#);
    /// assert!(Payload::parse(r#"{"total": 1.0}"#).is_err(), "there is white space");
    /// # Ok::<(), SyntaxError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] where the text is not JSON or contains white space outside strings.
    pub fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        scanner.value()?;
        scanner.end()?;
        match scanner.first_white_space() {
            Some(offset) => Err(SyntaxError { reason: "insignificant white space in compact JSON", offset }),
            None => Ok(Self::from_validated(text)),
        }
    }

    /// The payload in a text that is known to be compact JSON: scanned just now, or before it was stored.
    pub(crate) const fn from_validated(text: &'a str) -> Self {
        Self(text)
    }

    /// The JSON text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Every payload is JSON; `RawValue` wants to see that for itself.
        serde_json::from_str::<&RawValue>(self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Payload<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Self::parse(raw.get()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_json_is_taken_as_it_is() {
        for text in ["null", "1.0", "1e400", r#"{"a":[1,"b c"],"a":2}"#, r#""\ud800""#] {
            assert_eq!(Payload::parse(text).map(Payload::as_str), Ok(text));
        }
    }

    #[test]
    fn white_space_and_nonsense_are_refused() {
        for (text, offset) in [("", 0), ("{} ", 2), (" 1", 0), ("[1, 2]", 3), ("[1,", 3), ("1 2", 2)] {
            assert_eq!(Payload::parse(text).map_err(|error| error.offset), Err(offset), "{text}");
        }
    }
}
