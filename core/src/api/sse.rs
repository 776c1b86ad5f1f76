//! Server-Sent Events (WHATWG HTML, section 9.2): how a stream is written.
//!
//! Compact JSON has no line ends, so an event is always one line of data.

use alloc::vec::Vec;

use crate::json;
use crate::subscribe::Message;

/// The media type.
pub(super) const MEDIA_TYPE: &str = "text/event-stream";

/// The start of a stream: how many milliseconds a browser waits before it reconnects.
pub const SSE_OPENING: &[u8] = b"retry: 1000\n\n";

/// A comment. It shows the client, and whatever is in between, that the connection is alive.
pub const SSE_HEARTBEAT: &[u8] = b":\n\n";

/// Why a stream does not go on as it was, for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// No events between the last one and this sequence number are stored any more. The stream goes on with this
    /// sequence number or a later one.
    Gap {
        /// That sequence number.
        first_seq: u64,
    },
    /// The client is too slow, and the stream ends here.
    Slow {
        /// The sequence number to resume after: that of the last event sent.
        after_seq: u64,
    },
    /// The server stops, and the stream ends here.
    Drain {
        /// The sequence number to resume after: that of the last event sent.
        after_seq: u64,
    },
    /// The key of the request was removed or changed, or has expired, and the stream ends here.
    Revoked {
        /// The sequence number to resume after, with another key: that of the last event sent.
        after_seq: u64,
    },
}

/// Appends events: the id is the sequence number, so a browser sends it back in `Last-Event-ID`.
pub fn write_sse_messages(messages: &[Message], out: &mut Vec<u8>) {
    // Field names, line ends and a sequence number.
    const FRAME_BYTES: usize = 36;
    out.reserve(messages.iter().map(|message| FRAME_BYTES + message.json.len()).sum());
    for Message { seq, json } in messages {
        out.extend_from_slice(b"id: ");
        json::write_u64(*seq, out);
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(json);
        out.extend_from_slice(b"\n\n");
    }
}

/// Appends a notice.
///
/// A gap has an id, so that a browser which reconnects before the next event does not ask again for what is gone. It
/// might else miss events of a repository that was replaced, once that has reached the old number.
pub fn write_sse_notice(notice: Notice, out: &mut Vec<u8>) {
    let (name, member, seq) = match notice {
        Notice::Gap { first_seq } => ("gap", "first_seq", first_seq),
        Notice::Slow { after_seq } => ("slow", "after_seq", after_seq),
        Notice::Drain { after_seq } => ("drain", "after_seq", after_seq),
        Notice::Revoked { after_seq } => ("revoked", "after_seq", after_seq),
    };
    if let Notice::Gap { first_seq } = notice {
        out.extend_from_slice(b"id: ");
        json::write_u64(first_seq.saturating_sub(1), out);
        out.push(b'\n');
    }
    for part in ["event: ", name, "\ndata: {\"", member, "\":"] {
        out.extend_from_slice(part.as_bytes());
    }
    json::write_u64(seq, out);
    out.extend_from_slice(b"}\n\n");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::string::String;

    use bytes::Bytes;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_stream_has_these_exact_bytes() {
        let message = |seq, json| Message { seq, json: Bytes::from_static(json) };
        let messages = [message(7, br#"{"seq":7}"#), message(9, br#"{"seq":9,"payload":"\n"}"#)];
        assert_eq!(
            written(|out| write_sse_messages(&messages, out)),
            "id: 7\ndata: {\"seq\":7}\n\nid: 9\ndata: {\"seq\":9,\"payload\":\"\\n\"}\n\n"
        );
        for (notice, text) in [
            (Notice::Gap { first_seq: 5 }, "id: 4\nevent: gap\ndata: {\"first_seq\":5}\n\n"),
            (Notice::Slow { after_seq: 0 }, "event: slow\ndata: {\"after_seq\":0}\n\n"),
            (Notice::Revoked { after_seq: 9 }, "event: revoked\ndata: {\"after_seq\":9}\n\n"),
            (Notice::Drain { after_seq: u64::MAX }, "event: drain\ndata: {\"after_seq\":18446744073709551615}\n\n"),
        ] {
            assert_eq!(written(|out| write_sse_notice(notice, out)), text);
        }
    }
}
