//! Events and their parts. The values of each type are always valid: constructors parse and check. Every number is a
//! valid timestamp.

mod event_type;
mod id;
mod payload;
mod timestamp;
mod type_test;

pub use event_type::{EventType, EventTypeError};
pub use id::{ClientId, ClientIdError, EventId, Uuid, UuidError};
pub use payload::Payload;
pub use timestamp::{Timestamp, TimestampError};
pub use type_test::TypeTest;

use alloc::vec::Vec;

use serde::Serialize;

use crate::json;

/// Longest `event_type`, in bytes of UTF-8.
pub const EVENT_TYPE_BYTES_MAX: usize = 256;
/// Longest `id` that a caller may choose, in bytes of UTF-8.
pub const CLIENT_ID_BYTES_MAX: usize = 255;
/// Longest `payload` unless the host sets another limit, in bytes of compact JSON.
pub const PAYLOAD_BYTES_DEFAULT: usize = 256 * 1024;
/// Deepest `payload` unless the host sets another limit: how many arrays and objects it may have within each other.
pub const PAYLOAD_DEPTH_DEFAULT: usize = 128;

/// A stored event, borrowed from storage.
///
/// Serializes to the form on the wire (see [`Payload`] for formats other than JSON). Not deserializable, since only a
/// repository assigns sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Event<'a> {
    /// The id of the caller, or a generated one.
    pub id: EventId<'a>,
    /// The sequence number: 1, 2, 3… in the order in which events were stored, without gaps. The numbers of expired
    /// events are not used again.
    pub seq: u64,
    /// What happened.
    pub event_type: EventType<'a>,
    /// When it happened, according to the caller.
    pub timestamp: Timestamp,
    /// The free-form part, as sent but without insignificant white space.
    pub payload: Payload<'a>,
    /// When it was stored: the time of its commit. Repositories keep at least whole milliseconds. Not on the wire.
    #[serde(skip)]
    pub stored_at: Timestamp,
}

impl Event<'_> {
    /// Appends the event in the form on the wire: one JSON object without a line end, with the members `id`, `seq`,
    /// `event_type`, `timestamp`, `payload` in this order.
    ///
    /// Written by hand, because most bytes of large replies are events: an ordinary event takes 0.3 µs. `serde_json`
    /// takes 0.8 µs for the same bytes, since it validates the payload again (bench `event out` in
    /// `core/benches/json.rs`).
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let payload = self.payload.as_str().as_bytes();
        // Names, punctuation, sequence number and time take at most 120 bytes, a generated id 36. Escapes are rare.
        out.reserve(payload.len() + self.event_type.as_str().len() + 256);
        out.extend_from_slice(b"{\"id\":");
        self.id.write_json(out);
        out.extend_from_slice(b",\"seq\":");
        json::write_u64(self.seq, out);
        out.extend_from_slice(b",\"event_type\":");
        json::write_string(self.event_type.as_str(), out);
        out.extend_from_slice(b",\"timestamp\":\"");
        self.timestamp.write(out);
        out.extend_from_slice(b"\",\"payload\":");
        out.extend_from_slice(payload);
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn written(event: &Event<'_>) -> std::string::String {
        let mut out = Vec::new();
        event.write_json(&mut out);
        assert_eq!(serde_json::to_vec(event).unwrap(), out, "serde_json writes the same");
        std::string::String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_is_written_in_the_form_on_the_wire() {
        let mut event = Event {
            id: EventId::Given(ClientId::parse(r#"a"b\c/ü"#).unwrap()),
            seq: 42,
            event_type: EventType::parse(r#"page "view""#).unwrap(),
            timestamp: Timestamp::from_nanos(1_500_000_000),
            payload: Payload::parse(r#"{"n":1.0}"#).unwrap(),
            stored_at: Timestamp::from_nanos(0),
        };
        assert_eq!(
            written(&event),
            concat!(
                r#"{"id":"a\"b\\c/ü","seq":42,"event_type":"page \"view\"","#,
                r#""timestamp":"1970-01-01T00:00:01.500Z","payload":{"n":1.0}}"#
            )
        );
        event.id = EventId::Generated(Uuid([0x5a; 16]));
        event.seq = u64::MAX;
        assert_eq!(
            written(&event),
            concat!(
                r#"{"id":"5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a","seq":18446744073709551615,"#,
                r#""event_type":"page \"view\"","timestamp":"1970-01-01T00:00:01.500Z","payload":{"n":1.0}}"#
            )
        );
    }
}
