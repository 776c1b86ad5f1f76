//! What an event is: validated newtypes, each of which can only be made by parsing.

mod event_type;
mod id;
mod payload;
mod timestamp;

pub use event_type::{EventType, EventTypeError};
pub use id::{ClientId, ClientIdError, EventId, Uuid};
pub use payload::Payload;
pub use timestamp::{Timestamp, TimestampError};

use alloc::vec::Vec;

/// Longest `event_type`, in bytes of UTF-8.
pub const EVENT_TYPE_BYTES_MAX: usize = 256;
/// Longest `id` that a caller may choose, in bytes of UTF-8.
pub const CLIENT_ID_BYTES_MAX: usize = 128;
/// Longest `payload` unless the host sets another limit, in bytes of compact JSON.
pub const PAYLOAD_BYTES_DEFAULT: usize = 256 * 1024;

/// A stored event, borrowed from where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The caller's id, or the one that Argus gave.
    pub id: EventId<'a>,
    /// Position in the log: 1, 2, 3…, gapless, in the order of acknowledgement.
    pub seq: u64,
    /// What happened.
    pub event_type: EventType<'a>,
    /// When it happened, as the caller said.
    pub timestamp: Timestamp,
    /// The free-form part, as sent but for insignificant white space.
    pub payload: Payload<'a>,
}

impl Event<'_> {
    /// Appends the event as the wire has it: one JSON object without a line end, members in the order
    /// `id`, `seq`, `event_type`, `timestamp`, `payload`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }
}
