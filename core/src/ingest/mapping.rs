//! Where foreign records have the fields of an event.

use alloc::boxed::Box;
use alloc::string::String;

use super::pointer::{Pointer, write_token};

/// The format of each event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"event_type", "timestamp", "payload", "id"?}`. Unknown and repeated members are faults.
    Native,
    /// Any object. Pointers locate the fields in it. A pointer to one of two members with the same name is a fault.
    Foreign(Mapping),
}

/// Where to find the fields of an event in a foreign record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The type, or where it is.
    pub event_type: TypeSource,
    /// Where the time is.
    pub timestamp: TimeSource,
    /// Where the id is, or the parts of it. With one pointer, the id is the string there, or the token of the number.
    /// With several, it is the compact JSON array of these strings and numbers: `["source","100"]`. Equal strings give
    /// equal ids, however they are escaped in the record. If anything is absent or null, the record has no id: the
    /// rest of it may be the same for different events.
    pub id: Box<[Pointer]>,
    /// Where the payload is: any value, which must be there. `None`: the payload is the whole record.
    pub payload: Option<Pointer>,
}

/// Where the type of a foreign record comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeSource {
    /// The same type for all records: a valid [`EventType`](crate::event::EventType).
    Literal(Box<str>),
    /// The string in the record that this points to, or the token of a number.
    Pointer(Pointer),
}

/// Where the time of a foreign record comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSource {
    /// Where it may be. The first value that is there and not null counts.
    pub from: Box<[Pointer]>,
    /// Whether the time of arrival is used if there is no such value. Otherwise, this is a fault.
    pub or_arrival: bool,
}

impl Dialect {
    /// Appends the pointer from an event to its type, in the form of URI fragments.
    pub(crate) fn write_type_pointer(&self, out: &mut String) {
        match self {
            Self::Native => write_token("event_type", out),
            Self::Foreign(mapping) => mapping.event_type.write_pointer(out),
        }
    }
}

impl TypeSource {
    fn write_pointer(&self, out: &mut String) {
        match self {
            Self::Literal(_) => {}
            Self::Pointer(pointer) => pointer.write_fragment(out),
        }
    }
}
