//! Parses request bodies into a [`Batch`], or into a list of faults with location and reason. Pure functions.

mod body;
mod collector;
mod envelope;
mod event;
mod fault;
mod field;
mod mapping;
mod native;
mod place;
mod pointer;
mod record;

pub use fault::{EventFault, FaultCode};
pub(crate) use fault::{serialize_truncated, too_many_types};
pub use mapping::{Dialect, Mapping, TimeSource, TypeSource};
pub use place::Places;
pub use pointer::{Pointer, PointerError};

use alloc::sync::Arc;
use alloc::vec::Vec;

use thiserror::Error;

pub use crate::batch::Handling;
use crate::batch::{Batch, BatchFull};
use crate::event::{Timestamp, TypeTest};
use crate::room::{NoRoom, Room};

/// Most faults listed for one body.
pub const FAULTS_LISTED_MAX: usize = 100;

/// How to parse a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// How events are separated.
    pub framing: Framing,
    /// Where the array of events is within each JSON text of the body; `None` if each is an event. A token of the
    /// pointer that meets an array, and is not an index, goes on in each element.
    pub records: Option<Pointer>,
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
    /// The types of which an event must match any; `None` if every type is permitted. An event of another type is a
    /// fault.
    pub permitted: Option<Arc<[TypeTest]>>,
}

/// How events are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON text: an object is a single event, an array is a list of events.
    Document,
    /// One JSON object per line. Blank lines are skipped.
    Lines,
}

/// A parsed body.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// A single object. Always handled strictly.
    One(Batch),
    /// An array, lines, or records within the body.
    Many {
        /// The valid events.
        batch: Batch,
        /// Where they are in the body.
        places: Places,
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
        /// The line with the error; `None` if the body is one JSON text.
        line: Option<Line>,
    },
    /// The body is JSON, but has invalid events.
    #[error("{count} faults in the events of the body")]
    Faults {
        /// The first faults, at most [`FAULTS_LISTED_MAX`].
        listed: Vec<EventFault>,
        /// How many faults there are.
        count: usize,
    },
    /// The body has more than 4 GiB, or more than a batch can hold.
    #[error(transparent)]
    TooLarge(#[from] BatchFull),
    /// There is not enough memory to parse the body.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// A line of a body with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its index among the lines that are not blank.
    pub index: usize,
    /// Its number among all lines, from 1.
    pub number: usize,
}

/// Parses a body. `arrival` is the time of the events that have it from their [`TimeSource`].
///
/// A byte order mark at the start of the body is skipped. Events are numbered from 0 in order. Invalid events count,
/// blank lines do not. A line that is not JSON, and a JSON text without the array of records that there should be, is
/// one invalid event. With [`Handling::Strict`], such a line is an error. An empty array and a body without lines give
/// an empty batch.
///
/// # Errors
///
/// [`IngestError`]. The caller must not store any event of the body.
pub fn parse(body: &[u8], options: &ParseOptions, arrival: Timestamp) -> Result<Parsed, IngestError> {
    body::parse(body, options, arrival, Room::unlimited())
}

/// Like [`parse`], but with a limit on memory. The body itself does not count towards it.
///
/// # Errors
///
/// Like [`parse`], and [`IngestError::NoRoom`].
pub fn parse_within(
    body: &[u8],
    options: &ParseOptions,
    arrival: Timestamp,
    room: Room<'_>,
) -> Result<Parsed, IngestError> {
    body::parse(body, options, arrival, room)
}
