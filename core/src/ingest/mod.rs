//! Parses request bodies into a [`Batch`], or into a list of faults with location and reason. Pure functions.

mod body;
mod collector;
mod fault;
mod field;
mod indexes;
mod pointer;

pub use fault::{EventFault, FaultCode};
pub(crate) use fault::{serialize_truncated, too_many_types};
pub use indexes::Indexes;
pub use pointer::{Pointer, PointerError};

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

pub use crate::batch::Handling;
use crate::batch::{Batch, BatchFull};
use crate::room::{NoRoom, Room};

/// Most faults listed for one body.
pub const FAULTS_LISTED_MAX: usize = 100;

/// How to parse a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// How events are separated.
    pub framing: Framing,
    /// The format of each event.
    pub dialect: Dialect,
    /// Whether a fault rejects the whole body or only its event.
    pub handling: Handling,
    /// Longest payload, in bytes of compact JSON.
    pub payload_bytes_max: usize,
    /// Deepest payload: how many arrays and objects it may have within each other.
    pub depth_max: usize,
    /// Most event types in one body. An event of one more type is a fault.
    pub types_max: usize,
}

/// How events are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON text: an object is a single event, an array is a list of events.
    Document,
    /// One JSON object per line. Blank lines are skipped.
    Lines,
}

/// The format of each event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"event_type", "timestamp", "payload", "id"?}`. Unknown and repeated members are faults.
    Native,
    /// Any object. The whole object becomes the payload, and pointers locate the other fields in it. A type or id may
    /// be a string, or a number, whose token is used. A pointer to nothing, or to one of two members with the same
    /// name, is a fault.
    Foreign(Mapping),
}

/// Where to find the fields of an event in a foreign record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The type, or where it is.
    pub event_type: TypeSource,
    /// Where the time is.
    pub timestamp: Pointer,
    /// Where the id is, if the records have one.
    pub id: Option<Pointer>,
}

/// Where the type of a foreign record comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeSource {
    /// The same type for all records: a valid [`EventType`](crate::event::EventType).
    Literal(Box<str>),
    /// The value in the record that this points to.
    Pointer(Pointer),
}

impl Dialect {
    /// Appends the pointer from an event to its type, in the form of URI fragments.
    pub(crate) fn write_type_pointer(&self, out: &mut String) {
        match self {
            Self::Native => pointer::write_token("event_type", out),
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

/// A parsed body.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// A single object. Always handled strictly.
    One(Batch),
    /// An array or lines.
    Many {
        /// The valid events.
        batch: Batch,
        /// Their indexes in the body.
        indexes: Indexes,
        /// Faults of the invalid events, at most [`FAULTS_LISTED_MAX`]. Empty with [`Handling::Strict`].
        rejected: Vec<EventFault>,
        /// The number of invalid events, including those with faults that are not listed.
        rejected_count: usize,
    },
}

/// Why a whole body is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IngestError {
    /// The body is not JSON.
    #[error("not JSON: {reason} at byte {offset}")]
    Syntax {
        /// What was found or is missing.
        reason: &'static str,
        /// Offset in bytes from the start of the body.
        offset: usize,
        /// Index of the event on the line with the error; `None` if the body is one JSON text.
        index: Option<usize>,
    },
    /// The body is JSON, but has invalid events.
    #[error("{count} faults in the events of the body")]
    Faults {
        /// The first faults, at most [`FAULTS_LISTED_MAX`].
        listed: Vec<EventFault>,
        /// How many faults there are.
        count: usize,
    },
    /// The body has more than a batch can hold: some gigabytes.
    #[error(transparent)]
    TooLarge(#[from] BatchFull),
    /// There is not enough memory to parse the body.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// Parses a body.
///
/// Events are numbered from 0 in order. Invalid events count, blank lines do not. A line that is not JSON is one
/// invalid event with [`Handling::Lenient`], and an error with [`Handling::Strict`]. An empty array and a body without
/// lines give an empty batch.
///
/// # Errors
///
/// [`IngestError`]. The caller must not store any event of the body.
pub fn parse(body: &[u8], options: &ParseOptions) -> Result<Parsed, IngestError> {
    body::parse(body, options, Room::unlimited())
}

/// Like [`parse`], but with a limit on memory. The body itself does not count towards it.
///
/// # Errors
///
/// Like [`parse`], and [`IngestError::NoRoom`].
pub fn parse_within(body: &[u8], options: &ParseOptions, room: Room<'_>) -> Result<Parsed, IngestError> {
    body::parse(body, options, room)
}
