//! Request bytes become a [`Batch`], or a list of faults that name the place and the reason. Pure functions.

mod fault;

pub use fault::{Fault, FaultCode};

use alloc::boxed::Box;
use alloc::vec::Vec;

use thiserror::Error;

use crate::batch::Batch;

/// Most faults that are listed for one body.
pub const FAULTS_LISTED_MAX: usize = 100;

/// How to read a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manner {
    /// How events are told apart.
    pub framing: Framing,
    /// What an event looks like.
    pub dialect: Dialect,
    /// What one fault means for the rest.
    pub handling: Handling,
    /// Longest payload, in bytes of compact JSON.
    pub payload_bytes_max: usize,
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
    /// `{"event_type", "timestamp", "payload", "id"?}`.
    Native,
    /// Somebody else's record: as a whole it is the payload, and pointers say where the rest is.
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

/// A JSON pointer (RFC 6901), unescaped into its reference tokens. Empty for the whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Box<[Box<str>]>);

/// Why a text is no [`Pointer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PointerError {
    /// Not empty and not beginning with a slash.
    #[error("a JSON pointer begins with '/'")]
    NoSlash,
    /// A tilde that is not `~0` or `~1`.
    #[error("'~' stands for nothing but in ~0 and ~1")]
    Tilde,
}

/// What one fault means for the rest of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// All or nothing.
    Strict,
    /// The good ones are kept.
    Lenient,
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
        /// The bad ones; empty under [`Handling::Strict`]. At most [`FAULTS_LISTED_MAX`] are listed.
        rejected: Vec<Fault>,
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
    },
    /// JSON, but these events are at fault.
    #[error("{count} events are at fault")]
    Faults {
        /// At most [`FAULTS_LISTED_MAX`] of them.
        listed: Vec<Fault>,
        /// How many faults there are.
        count: usize,
    },
}

/// Reads a body.
///
/// # Errors
///
/// [`IngestError`]; nothing of the body is to be stored.
pub fn parse(body: &[u8], manner: &Manner) -> Result<Parsed, IngestError> {
    let _ = (body, manner);
    todo!()
}
