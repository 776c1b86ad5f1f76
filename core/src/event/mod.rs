//! What an event is. Its parts are types that cannot hold anything invalid: they are made by parsing, or from numbers
//! all of which are valid.

mod event_type;
mod id;
mod payload;
mod timestamp;

pub use event_type::{EventType, EventTypeError};
pub use id::{ClientId, ClientIdError, EventId, Uuid, UuidError};
pub use payload::Payload;
pub use timestamp::{Timestamp, TimestampError};

use alloc::vec::Vec;

use serde::Serialize;

use crate::json;

/// Longest `event_type`, in bytes of UTF-8.
pub const EVENT_TYPE_BYTES_MAX: usize = 256;
/// Longest `id` that a caller may choose, in bytes of UTF-8.
pub const CLIENT_ID_BYTES_MAX: usize = 128;
/// Longest `payload` unless the host sets another limit, in bytes of compact JSON.
pub const PAYLOAD_BYTES_DEFAULT: usize = 256 * 1024;

/// A stored event, borrowed from where it lies.
///
/// Serialized as the wire has it (see [`Payload`] for formats other than JSON). It cannot be deserialized: events get
/// their sequence numbers from a repository, and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    ///
    /// By hand, because large answers are made of nothing else: an ordinary event takes 0.3 µs. `serde_json` writes the
    /// same bytes in 0.8 µs, since it validates the payload once more (bench `event out` in `core/benches/json.rs`).
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let payload = self.payload.as_str().as_bytes();
        // Names, punctuation, number and time take at most 120 bytes, a generated id 36; escapes are rare.
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

/// The first control character and its offset in bytes.
fn find_control(text: &str) -> Option<(usize, char)> {
    // U+0080 to U+009F are the bytes C2 80 to C2 9F; a text without C2 and without ASCII controls, which is nearly
    // every one, has none.
    let suspicious = text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == 0x7f) | (byte == 0xc2));
    if suspicious { text.char_indices().find(|(_, character)| character.is_control()) } else { None }
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
    fn an_event_is_written_as_the_wire_has_it() {
        let mut event = Event {
            id: EventId::Given(ClientId::parse(r#"a"b\c/ü"#).unwrap()),
            seq: 42,
            event_type: EventType::parse(r#"page "view""#).unwrap(),
            timestamp: Timestamp::from_nanos(1_500_000_000),
            payload: Payload::parse(r#"{"n":1.0}"#).unwrap(),
        };
        assert_eq!(
            written(&event),
            r#"{"id":"a\"b\\c/ü","seq":42,"event_type":"page \"view\"","timestamp":"1970-01-01T00:00:01.500Z","payload":{"n":1.0}}"#
        );
        event.id = EventId::Generated(Uuid([0x5a; 16]));
        event.seq = u64::MAX;
        assert_eq!(
            written(&event),
            r#"{"id":"5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a","seq":18446744073709551615,"event_type":"page \"view\"","timestamp":"1970-01-01T00:00:01.500Z","payload":{"n":1.0}}"#
        );
    }
}
