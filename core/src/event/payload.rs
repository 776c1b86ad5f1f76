//! Payloads: one JSON value each.

use crate::json::{Scanner, SyntaxError};

/// One JSON value (RFC 8259), valid and without insignificant white space; every token is byte for byte what the caller
/// sent.
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
        match scanner.first_white() {
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
