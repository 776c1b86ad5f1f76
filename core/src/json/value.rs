//! A value of a JSON text, without building a tree.

use super::string::RawString;

/// A value of a JSON text. Objects and arrays have no content here: [`Paths`](super::Paths) finds values in them.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string.
    String(RawString<'a>),
    /// A number's token.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
    /// An object.
    Object,
    /// An array.
    Array,
}

impl<'a> Value<'a> {
    /// The value of a valid JSON text without white space around it.
    #[must_use]
    pub fn of(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b'"') => Self::String(RawString::from_validated(between_quotes(raw))),
            Some(_) | None => Self::unquoted(raw),
        }
    }

    /// The value of a valid JSON text that is not a string.
    pub(super) fn unquoted(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number(raw),
        }
    }
}

fn between_quotes(raw: &str) -> &str {
    raw.get(1..raw.len() - 1).unwrap_or_default()
}
