//! A value of a payload, prepared for comparison.

use alloc::vec::Vec;

use crate::json::{Decimal, Value};

/// A value of a payload, prepared for comparison: an unescaped string, or a parsed number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Candidate<'a> {
    String(&'a [u8]),
    Number(Decimal<'a>),
    /// `true`, `false` or `null`.
    Literal(&'static str),
    Container,
}

impl<'a> Candidate<'a> {
    /// `text` is a buffer for unescaped strings.
    pub(super) fn of(value: Value<'a>, text: &'a mut Vec<u8>) -> Self {
        match value {
            Value::String(string) => Self::String(string.bytes_in(text)),
            Value::Number(token) => Self::Number(Decimal::from_token(token)),
            Value::Bool(true) => Self::Literal("true"),
            Value::Bool(false) => Self::Literal("false"),
            Value::Null => Self::Literal("null"),
            Value::Object | Value::Array => Self::Container,
        }
    }
}
