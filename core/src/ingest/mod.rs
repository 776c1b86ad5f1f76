//! Request bytes become a [`Batch`], or a list of faults that name the place and the reason. Pure functions.

mod body;
mod fault;
mod indexes;
mod pointer;
mod record;

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

/// Most faults that are listed for one body.
pub const FAULTS_LISTED_MAX: usize = 100;

/// How to read a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// How events are told apart.
    pub framing: Framing,
    /// What an event looks like.
    pub dialect: Dialect,
    /// What one fault means for the rest.
    pub handling: Handling,
    /// Longest payload, in bytes of compact JSON.
    pub payload_bytes_max: usize,
    /// Most different event types in one body. An event that would bring another is a fault.
    pub types_max: usize,
}

/// How events are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON text: an object is one event, an array is many.
    Document,
    /// One JSON object a line; blank lines are skipped.
    Lines,
}

/// What an event looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `{"event_type", "timestamp", "payload", "id"?}`. Other members and members given twice are faults.
    Native,
    /// Somebody else's record, an object: as a whole it is the payload, and pointers say where the rest is. A type or
    /// id may be a string or a number, of which the token is taken; a pointer that leads to nothing, or to one of two
    /// members with the same name, is a fault.
    Foreign(Mapping),
}

/// Where a foreign record has what an event needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The type of every event, or where to find it.
    pub event_type: TypeSource,
    /// Where the time is.
    pub timestamp: Pointer,
    /// Where the id is, if records have one.
    pub id: Option<Pointer>,
}

/// Where a foreign record's type comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeSource {
    /// The same for all records; a valid [`EventType`](crate::event::EventType).
    Literal(Box<str>),
    /// Found in the record.
    Pointer(Pointer),
}

impl Dialect {
    /// Appends the part of a pointer that leads to the type of an event, as a URI fragment.
    pub(crate) fn write_type_place(&self, out: &mut String) {
        match self {
            Self::Native => pointer::write_token("event_type", out),
            Self::Foreign(mapping) => mapping.event_type.write_place(out),
        }
    }
}

impl TypeSource {
    fn write_place(&self, out: &mut String) {
        match self {
            Self::Literal(_) => {}
            Self::Pointer(pointer) => pointer.write_fragment(out),
        }
    }
}

/// What a body held.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// One object, not in an array. Always read strictly.
    One(Batch),
    /// An array or lines.
    Many {
        /// The good events.
        batch: Batch,
        /// Which events of the body they are.
        indexes: Indexes,
        /// The bad ones; empty under [`Handling::Strict`]. At most [`FAULTS_LISTED_MAX`] are listed.
        rejected: Vec<EventFault>,
        /// How many events were rejected, listed or not.
        rejected_count: usize,
    },
}

/// Why a body was refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IngestError {
    /// Not JSON.
    #[error("not JSON: {reason} at byte {offset}")]
    Syntax {
        /// What was found or missing.
        reason: &'static str,
        /// Offset in bytes from the beginning of the body.
        offset: usize,
        /// Index of the event whose line it is; `None` where the body is one JSON text.
        index: Option<usize>,
    },
    /// JSON, but these events are at fault.
    #[error("{count} events are at fault")]
    Faults {
        /// At most [`FAULTS_LISTED_MAX`] of them.
        listed: Vec<EventFault>,
        /// How many faults there are.
        count: usize,
    },
    /// More than one batch can hold, which takes a body of some gigabytes.
    #[error(transparent)]
    TooLarge(#[from] BatchFull),
    /// There is not the memory to read it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// Reads a body.
///
/// Events are numbered from 0 in their order, the faulty ones included and blank lines not. Under [`Framing::Lines`]
/// and [`Handling::Lenient`] a line that is not JSON is one fault among others; everywhere else it refuses the body. A
/// body without any event is an empty batch if its framing has a form for that: an empty array, or no lines.
///
/// # Errors
///
/// [`IngestError`]; nothing of the body is to be stored.
pub fn parse(body: &[u8], options: &ParseOptions) -> Result<Parsed, IngestError> {
    body::parse(body, options, Room::unlimited())
}

/// Reads a body as [`parse`] does, within the memory that there is for it; the body itself is not counted.
///
/// # Errors
///
/// As [`parse`], and [`IngestError::NoRoom`].
pub fn parse_within(body: &[u8], options: &ParseOptions, room: Room<'_>) -> Result<Parsed, IngestError> {
    body::parse(body, options, room)
}
