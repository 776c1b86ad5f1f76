//! Payloads.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json::{Scanner, SyntaxError};

/// One valid JSON value (RFC 8259) without insignificant white space. Every token has the same bytes as the caller
/// sent.
///
/// Serialization with `serde_json` writes the text unchanged. Deserialization borrows from the input, which must be
/// compact. Both use its [`RawValue`], so other formats see a structure with one field that contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a>(&'a str);

impl<'a> Payload<'a> {
    /// Parses a payload, which must be compact. [`json::compact`](crate::json::compact) makes other JSON compact.
    ///
    /// ```
    /// use argus_core::event::Payload;
    /// use argus_core::json::SyntaxError;
    ///
    /// // Tokens are unchanged: numbers are not converted.
    /// assert_eq!(Payload::parse(r#"{"total":1.0}"#)?.as_str(), r#"{"total":1.0}"#);
    /// assert!(Payload::parse(r#"{"total": 1.0}"#).is_err(), "there is white space");
    /// # Ok::<(), SyntaxError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SyntaxError`] if the text is not JSON, or has white space outside strings.
    pub fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        let mut scanner = Scanner::new(text);
        scanner.value()?;
        scanner.end()?;
        match scanner.first_white_space() {
            Some(offset) => Err(SyntaxError { reason: "insignificant white space in compact JSON", offset }),
            None => Ok(Self::from_validated(text)),
        }
    }

    /// A payload that is known to be compact JSON, because it was scanned before.
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
        // `RawValue` validates the text again.
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
    fn compact_json_is_unchanged() {
        for text in ["null", "1.0", "1e400", r#"{"a":[1,"b c"],"a":2}"#, r#""\ud800""#] {
            assert_eq!(Payload::parse(text).map(Payload::as_str), Ok(text));
        }
    }

    #[test]
    fn white_space_and_invalid_json_are_refused() {
        for (text, offset) in [("", 0), ("{} ", 2), (" 1", 0), ("[1, 2]", 3), ("[1,", 3), ("1 2", 2)] {
            assert_eq!(Payload::parse(text).map_err(|error| error.offset), Err(offset), "{text}");
        }
    }
}
