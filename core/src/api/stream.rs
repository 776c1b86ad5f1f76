//! `GET /events/stream`: events as they are stored.

use alloc::format;
use alloc::string::ToString as _;

use bytes::Bytes;

use super::fields::{quality, values};
use super::params::{invalid, read_stream_filter};
use super::problem_reply::ProblemReply;
use super::sse;
use super::target::Target;
use super::text::Excerpt;
use super::websocket::Handshake;
use super::{Cors, Draft, ProblemKind, Reply, RequestHead, Route};
use crate::auth::Access;
use crate::query::Filter;

/// A `GET` or `HEAD` of `/events/stream` with valid parameters.
///
/// The host takes the highest sequence number of the newest snapshot, sends the [`head`](Self::head), and then what a
/// [`Subscription`](crate::subscribe::Subscription) with [this filter](Self::into_filter) yields, until the client
/// leaves. The time limit for requests does not apply.
#[derive(Debug)]
pub struct Stream {
    filter: Filter,
    /// `None` for Server-Sent Events.
    handshake: Option<Handshake>,
    head_only: bool,
}

crate::listed::listed! {
    /// How a stream is sent. The list is closed, so it can label metrics.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Transport {
        /// Server-Sent Events (WHATWG HTML, section 9.2), as the body of an ordinary answer.
        ServerSentEvents,
        /// A WebSocket (RFC 6455).
        WebSocket,
    }
}

impl Transport {
    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerSentEvents => "sse",
            Self::WebSocket => "websocket",
        }
    }
}

impl Stream {
    pub(super) fn read(
        head: &RequestHead<'_>,
        target: &Target<'_>,
        access: &Access,
        cors: &Cors,
        head_only: bool,
    ) -> Result<Self, ProblemReply> {
        let mut filter = read_stream_filter(&target.params)?;
        access.restrict(&mut filter);
        if let Some(handshake) = Handshake::check(head)? {
            cors.check_upgrade(head)?;
            return Ok(Self { filter, handshake: Some(handshake), head_only });
        }
        if quality(head, sse::MEDIA_TYPE) == 0 {
            let detail = format!("a stream of events comes as {}", sse::MEDIA_TYPE);
            return Err(ProblemReply::new(ProblemKind::NotAcceptable, detail).with_header("vary", "accept"));
        }
        // A browser sends it when it reconnects, with the parameters of the first request.
        if let Some(last) = last_event_id(head)? {
            filter.after_seq = Some(last);
        }
        Ok(Self { filter, handshake: None, head_only })
    }

    /// How it is sent.
    #[must_use]
    pub fn transport(&self) -> Transport {
        if self.handshake.is_some() { Transport::WebSocket } else { Transport::ServerSentEvents }
    }

    /// Whether the request asks for nothing but the [`head`](Self::head).
    #[must_use]
    pub fn is_head_only(&self) -> bool {
        self.head_only
    }

    /// The head of the answer. `last_seq` is the highest sequence number at this moment.
    pub fn head(&self, last_seq: u64) -> Draft {
        let reply = match &self.handshake {
            Some(handshake) => handshake.switching(Route::Stream),
            None => {
                let reply = Reply::new(Route::Stream, 200, sse::MEDIA_TYPE, Bytes::new())
                    .with_header("vary", "accept")
                    // nginx would hold events back until a buffer is full.
                    .with_header("x-accel-buffering", "no");
                // The client is disconnected at the end of its stream, whatever the reason.
                Reply { close: !self.head_only, ..reply }
            }
        };
        reply.with_header("argus-last-seq", last_seq.to_string()).into()
    }

    /// Which events, and where to begin.
    #[must_use]
    pub fn into_filter(self) -> Filter {
        self.filter
    }
}

/// The sequence number in `Last-Event-ID`, if there is one.
fn last_event_id(head: &RequestHead<'_>) -> Result<Option<u64>, ProblemReply> {
    let mut fields = values(head, "last-event-id");
    let Some(value) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(invalid("Last-Event-ID: given more than once"));
    }
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = core::str::from_utf8(value).ok().filter(|_| is_number).and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| {
        let text = alloc::string::String::from_utf8_lossy(value);
        invalid(format!("Last-Event-ID: must be a sequence number, not {}", Excerpt(&text)))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use alloc::string::String;
    use alloc::vec::Vec;

    use super::*;

    fn read(query: &str, fields: &[(&str, &[u8])]) -> Result<Stream, (ProblemKind, String)> {
        let target = format!("/events/stream{query}");
        let head = RequestHead { method: "GET", target: &target, headers: fields, ..RequestHead::default() };
        Stream::read(&head, &Target::parse(&target).unwrap(), &Access::default(), &Cors::default(), false)
            .map_err(|error| (error.problem.kind, error.problem.detail))
    }

    #[test]
    fn the_last_event_id_wins_over_the_parameter() {
        let after = |query, fields| read(query, fields).unwrap().into_filter().after_seq;
        assert_eq!(after("", &[]), None);
        assert_eq!(after("?after_seq=7", &[]), Some(7));
        assert_eq!(after("?after_seq=7&type=a", &[("last-event-id", b"0")]), Some(0));
        assert_eq!(after("", &[("last-event-id", b"18446744073709551615")]), Some(u64::MAX));
        for value in [&b""[..], b"-1", b"+1", b" 1", b"x", b"\xff", b"18446744073709551616"] {
            let (kind, detail) = read("", &[("last-event-id", value)]).unwrap_err();
            assert_eq!(kind, ProblemKind::InvalidParameter);
            assert!(detail.starts_with("Last-Event-ID: must be a sequence number, not "), "{detail}");
        }
        let twice = read("", &[("last-event-id", b"1"), ("last-event-id", b"1")]).unwrap_err();
        assert_eq!(twice.1, "Last-Event-ID: given more than once");
    }

    #[test]
    fn parameters_of_other_routes_are_unknown() {
        for name in ["limit", "order", "cursor", "x"] {
            let (kind, detail) = read(&format!("?{name}=1"), &[]).unwrap_err();
            assert_eq!(kind, ProblemKind::InvalidParameter);
            assert!(detail.starts_with(&format!("'{name}': unknown parameter; the parameters are type ")), "{detail}");
            assert!(detail.ends_with("payload.<path>, after_seq"), "{detail}");
        }
        assert!(read("?start=2&end=1", &[]).unwrap_err().1.starts_with("start: "));
    }

    #[test]
    fn the_client_must_accept_a_stream() {
        let accepts = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| ("accept", value.as_bytes())).collect();
            read("", &fields).is_ok()
        };
        assert!(accepts(&[]) && accepts(&["*/*"]) && accepts(&["text/*"]) && accepts(&["text/event-stream"]));
        assert!(accepts(&["application/json, text/event-stream;q=0.1"]));
        assert!(!accepts(&["application/json"]) && !accepts(&["*/*, text/event-stream;q=0"]));
    }

    #[test]
    fn a_handshake_makes_it_a_websocket() {
        let handshake = [
            ("upgrade", b"websocket".as_slice()),
            ("connection", b"upgrade"),
            ("sec-websocket-version", b"13"),
            ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
            // Those belong to the other transport.
            ("last-event-id", b"x"),
            ("accept", b"text/html"),
        ];
        let stream = read("?after_seq=7", &handshake).unwrap();
        assert_eq!(stream.transport(), Transport::WebSocket);
        let Draft(head) = stream.head(9);
        assert_eq!((head.status, head.header("argus-last-seq")), (101, Some("9")));
        assert_eq!(stream.into_filter().after_seq, Some(7));
        assert_eq!(read("", &handshake[..3]).unwrap_err().0, ProblemKind::BadRequest);
        assert_eq!(read("?limit=1", &handshake).unwrap_err().0, ProblemKind::InvalidParameter);
        assert_eq!(read("", &[]).unwrap().transport(), Transport::ServerSentEvents);
    }
}
