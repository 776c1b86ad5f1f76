//! Faults of the events in a body.

use alloc::format;
use alloc::string::String;

use serde::{Serialize, Serializer};

use crate::json::LONG_NUMBER_DIGITS;

/// Longest serialized `pointer` or `detail`, in bytes. Both can contain callers' texts of any length.
const TEXT_BYTES_MAX: usize = 1024;

/// What is wrong with an event of a body, and where. Serializes to `{"pointer","line"?,"code","detail"}`, with each
/// text cut to 1,024 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventFault {
    /// Index of the event among all events of the body, including invalid ones; 0 for a single object.
    #[serde(skip)]
    pub index: usize,
    /// JSON pointer as a URI fragment (RFC 6901, section 6): `#/3/timestamp`, or `#/timestamp` for a single object.
    #[serde(serialize_with = "serialize_truncated")]
    pub pointer: String,
    /// The number of its line, from 1, if the body has lines. Blank lines count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The kind of fault, for programs.
    pub code: FaultCode,
    /// What is wrong, for people.
    #[serde(serialize_with = "serialize_truncated")]
    pub detail: String,
}

crate::listed::listed! {
    /// The kinds of fault. The list is closed, so it can label metrics.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum FaultCode {
        /// Not JSON: a line, or the body as a whole.
        InvalidJson,
        /// Not a JSON object.
        NotAnObject,
        /// A required field is missing.
        MissingField,
        /// A field that events do not have.
        UnknownField,
        /// A repeated field.
        DuplicateField,
        /// A field of the wrong JSON type.
        WrongType,
        /// An invalid `event_type`.
        InvalidEventType,
        /// An invalid `timestamp`.
        InvalidTimestamp,
        /// An invalid `id`.
        InvalidId,
        /// A payload above the limit.
        PayloadTooLarge,
        /// A payload with more nested arrays and objects than the limit.
        PayloadTooDeep,
        /// A payload with a number of more digits than the limit.
        NumberTooLong,
        /// A type that would exceed the limit on event types.
        TooManyTypes,
        /// A type that the caller's key may not write.
        TypeNotPermitted,
    }
}

impl FaultCode {
    /// The name on the wire and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingField => "missing_field",
            Self::UnknownField => "unknown_field",
            Self::DuplicateField => "duplicate_field",
            Self::WrongType => "wrong_type",
            Self::InvalidEventType => "invalid_event_type",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::InvalidId => "invalid_id",
            Self::PayloadTooLarge => "payload_too_large",
            Self::PayloadTooDeep => "payload_too_deep",
            Self::NumberTooLong => "number_too_long",
            Self::TooManyTypes => "too_many_types",
            Self::TypeNotPermitted => "type_not_permitted",
        }
    }
}

impl Serialize for FaultCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Serializes a text that may contain callers' texts, cut to 1,024 bytes.
pub(crate) fn serialize_truncated<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(truncated(text, TEXT_BYTES_MAX))
}

/// Cuts `text` at a character boundary to at most `bytes_max` bytes.
fn truncated(text: &str, bytes_max: usize) -> &str {
    let (kept, _) = text.split_at(text.floor_char_boundary(bytes_max));
    kept
}

/// The detail of [`FaultCode::TooManyTypes`].
pub(crate) fn too_many_types(types_max: u64) -> String {
    format!(
        "at most {types_max} different event types are stored (--max-event-types), and this would be one more; values \
         that differ between events, for example URLs and ids, belong in the payload"
    )
}

/// The detail of [`FaultCode::TypeNotPermitted`].
pub(super) fn type_not_permitted() -> String {
    "the key may not write events of this type; the operator's file of keys lists the types of each key".into()
}

/// The detail of [`FaultCode::PayloadTooDeep`].
pub(super) fn payload_too_deep(depth: usize, depth_max: usize) -> String {
    format!("the payload is {depth} levels deep, more than {depth_max} (--max-depth)")
}

/// The detail of [`FaultCode::NumberTooLong`].
pub(super) fn number_too_long() -> String {
    format!("the payload has a number of more than {LONG_NUMBER_DIGITS} digits; send it as a string")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_never_splits_a_character() {
        assert_eq!(truncated("aé", 2), "a");
        assert_eq!(truncated("aé", 3), "aé");
        assert_eq!(truncated("aé", 99), "aé");
    }

    #[test]
    fn names_are_the_variants_in_snake_case() {
        for (index, code) in FaultCode::ALL.iter().enumerate() {
            assert_eq!(*code as usize, index);
            assert_eq!(std::format!("{code:?}").to_lowercase(), code.as_str().replace('_', ""));
        }
    }
}
