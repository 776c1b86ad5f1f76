//! Reads the fields of an event.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::FaultCode;
use crate::event::{ClientId, ClientIdError, EventType, Timestamp};
use crate::json::{LoneSurrogate, Span, Value};

/// A field of an event, as it was found in an object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field<'a> {
    /// The value; the last one, if the field is repeated.
    pub(super) value: Option<Span<'a>>,
    pub(super) repeated: bool,
}

/// Why a field is invalid.
pub(super) type FieldFault = (FaultCode, String);

impl<'a> Field<'a> {
    /// Adds a value.
    pub(super) fn set(&mut self, value: Span<'a>) {
        self.repeated |= self.value.is_some();
        self.value = Some(value);
    }

    /// The value; `None` if the field is missing or repeated.
    pub(super) fn once(&self) -> Option<Span<'a>> {
        self.value.filter(|_| !self.repeated)
    }
}

/// Reads a string. `what` names the field in errors.
pub(super) fn read_string<'s, 'a: 's>(
    raw: &'a str,
    what: &str,
    scratch: &'s mut Vec<u8>,
) -> Result<&'s str, FieldFault> {
    match Value::of(raw) {
        Value::String(string) => {
            string.text(scratch).map_err(|LoneSurrogate| (FaultCode::WrongType, format!("{what} {LoneSurrogate}")))
        }
        Value::Number(_) | Value::Bool(_) | Value::Null | Value::Object | Value::Array => {
            Err((FaultCode::WrongType, format!("{what} is a string, not {}", type_name(raw))))
        }
    }
}

/// Reads the type or the id of a foreign record: a string, or the token of a number.
pub(super) fn read_name<'s, 'a: 's>(raw: &'a str, what: &str, scratch: &'s mut Vec<u8>) -> Result<&'s str, FieldFault> {
    match Value::of(raw) {
        Value::Number(token) => Ok(token),
        Value::String(_) => read_string(raw, what, scratch),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => {
            Err((FaultCode::WrongType, format!("{what} is a string or a number, not {}", type_name(raw))))
        }
    }
}

pub(super) fn read_type(text: &str) -> Result<EventType<'_>, FieldFault> {
    EventType::parse(text).map_err(|error| (FaultCode::InvalidEventType, error.to_string()))
}

pub(super) fn read_id(text: &str) -> Result<ClientId<'_>, FieldFault> {
    ClientId::parse(text).map_err(|error| (FaultCode::InvalidId, error.to_string()))
}

/// Reads one of several texts that form an id. It follows the rules of ids, but only all together must not be too long.
/// An empty text is a fault, since exports write it for "no value": the rest may be the same for different events.
pub(super) fn read_id_part(text: &str) -> Result<&str, FieldFault> {
    match ClientId::parse(text) {
        Err(ClientIdError::Empty) => Err((FaultCode::InvalidId, "a part of the id is empty".to_owned())),
        Err(error @ ClientIdError::Control { .. }) => Err((FaultCode::InvalidId, error.to_string())),
        Ok(_) | Err(ClientIdError::TooLong { .. }) => Ok(text),
    }
}

pub(super) fn read_time(raw: &str, scratch: &mut Vec<u8>) -> Result<Timestamp, FieldFault> {
    let read = match Value::of(raw) {
        Value::Number(token) => Timestamp::parse_number(token),
        Value::String(_) => Timestamp::parse(read_string(raw, "the timestamp", scratch)?),
        Value::Bool(_) | Value::Null | Value::Object | Value::Array => {
            let detail = format!("a timestamp is a string or a number, not {}", type_name(raw));
            return Err((FaultCode::WrongType, detail));
        }
    };
    read.map_err(|error| (FaultCode::InvalidTimestamp, error.to_string()))
}

/// The JSON type of a value, for errors.
pub(super) fn type_name(raw: &str) -> &'static str {
    match Value::of(raw) {
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Bool(true) => "true",
        Value::Bool(false) => "false",
        Value::Null => "null",
        Value::Object => "an object",
        Value::Array => "an array",
    }
}
