//! One line of the request log.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU64;
use core::time::Duration;

use serde::Serialize;

use super::problem::ProblemKind;
use super::redaction::redacted;
use super::trace::TraceContext;
use crate::event::Timestamp;
use crate::hex;

/// A request and its answer, once the answer is complete or broke off. A line of it has no character that could end the
/// line, begin another field, or control a terminal, whatever the caller sent.
#[derive(Clone, Debug)]
pub struct RequestEntry<'a> {
    /// When the head of the request had arrived.
    pub time: Timestamp,
    /// The other end of the connection: the client, or a proxy.
    pub peer: SocketAddr,
    /// The address of the client, which a trusted proxy may have named; `None` if the head was not understood.
    pub client: Option<IpAddr>,
    /// The name of the key, if the request had a valid one.
    pub key: Option<&'a str>,
    /// The method, as sent; empty if the request has no valid head.
    pub method: &'a str,
    /// The target, as sent. Keys in it are not logged.
    pub target: &'a str,
    /// Whether the request uses HTTP/1.0.
    pub http_10: bool,
    /// The status code of the answer.
    pub status: u16,
    /// Bytes of the answer's body that were handed to the connection.
    pub bytes: u64,
    /// Whether that was all of the body.
    pub complete: bool,
    /// From the end of the request's head to the end of the answer.
    pub duration: Duration,
    /// The value of `X-Request-Id`.
    pub request_id: &'a str,
    /// The trace of the request, and the span of the server.
    pub trace: Option<(TraceContext, NonZeroU64)>,
    /// The kind of problem, if the answer is one.
    pub problem: Option<ProblemKind>,
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl RequestEntry<'_> {
    /// A line in the Common Log Format, with its end: address of the client, a dash, name of the key or a dash, time in
    /// UTC, request line, status, bytes of the body. In the request line, `"` and `\` are escaped, and other bytes than
    /// visible ASCII are written `\xhh`.
    pub fn write_clf(&self, line: &mut Vec<u8>) {
        let (client, key) = (self.client.unwrap_or(self.peer.ip()), self.key.unwrap_or("-"));
        line.extend_from_slice(format!("{client} - {key} [{}] \"", clf_time(self.time)).as_bytes());
        if self.method.is_empty() {
            line.push(b'-');
        } else {
            let version = if self.http_10 { "HTTP/1.0" } else { "HTTP/1.1" };
            for text in [self.method, " ", &redacted(self.target), " ", version] {
                text.bytes().for_each(|byte| push_escaped(line, byte));
            }
        }
        line.extend_from_slice(format!("\" {} ", self.status).as_bytes());
        match self.bytes {
            0 => line.push(b'-'),
            bytes => line.extend_from_slice(bytes.to_string().as_bytes()),
        }
        line.push(b'\n');
    }

    /// A line with a JSON object, in ASCII, with its end.
    pub fn write_json(&self, line: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Line<'a> {
            time: Timestamp,
            peer: SocketAddrText,
            #[serde(skip_serializing_if = "Option::is_none")]
            client: Option<IpAddr>,
            #[serde(skip_serializing_if = "Option::is_none")]
            key: Option<&'a str>,
            #[serde(skip_serializing_if = "str::is_empty")]
            method: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            target: &'a str,
            version: &'static str,
            status: u16,
            bytes: u64,
            complete: bool,
            duration_us: u64,
            request_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            problem: Option<ProblemKind>,
            #[serde(skip_serializing_if = "Option::is_none")]
            trace_id: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            parent_id: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            span_id: Option<String>,
        }

        let trace = self.trace.as_ref();
        let text = serde_json::to_string(&Line {
            time: self.time,
            peer: SocketAddrText(self.peer),
            client: self.client,
            key: self.key,
            method: self.method,
            target: &redacted(self.target),
            version: if self.http_10 { "1.0" } else { "1.1" },
            status: self.status,
            bytes: self.bytes,
            complete: self.complete,
            duration_us: u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
            request_id: self.request_id,
            problem: self.problem,
            trace_id: trace.map(|(trace, _)| trace.trace_id()),
            parent_id: trace.map(|(trace, _)| trace.parent_id()),
            span_id: trace.map(|(_, span)| hex::digits(span.get())),
        })
        .expect("a struct of numbers and texts is JSON");
        // Control characters beyond ASCII, line separators and the like become escapes, too.
        let mut ascii = String::with_capacity(text.len());
        for character in text.chars() {
            if matches!(character, ' '..='~') {
                ascii.push(character);
            } else {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    write!(ascii, "\\u{unit:04x}").expect("writing to a string does not fail");
                }
            }
        }
        line.extend_from_slice(ascii.as_bytes());
        line.push(b'\n');
    }
}

/// An address with a port, as text.
struct SocketAddrText(SocketAddr);

impl Serialize for SocketAddrText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// `10/Oct/2000:13:55:36 +0000`.
fn clf_time(time: Timestamp) -> String {
    // RFC 3339 has every part at a fixed place: the years have four digits.
    let text = time.to_string();
    let part = |from: usize, to: usize| text.get(from..to).expect("a timestamp has at least 20 ASCII characters");
    let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let month = month.expect("the month of a timestamp is from 01 to 12");
    format!("{}/{month}/{}:{} +0000", part(8, 10), part(0, 4), part(11, 19))
}

fn push_escaped(line: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
        b' '..=b'~' => line.push(byte),
        _ => line.extend_from_slice(&[b'\\', b'x', hex::digit(byte >> 4), hex::digit(byte)]),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use serde_json::{Value, json};

    use super::*;
    use crate::api::RequestHead;

    const HOSTILE: &str = "/a\r\n\u{1b}[31m\"b\\\u{85}\u{2028}😀?key=secret";

    fn entry() -> RequestEntry<'static> {
        RequestEntry {
            time: Timestamp::from_nanos(971_186_136_000_000_000),
            peer: "[2001:db8::1]:5000".parse().unwrap(),
            client: None,
            key: None,
            method: "GET",
            target: "/events?limit=1",
            http_10: false,
            status: 200,
            bytes: 2326,
            complete: true,
            duration: Duration::from_micros(1500),
            request_id: "id",
            trace: None,
            problem: None,
        }
    }

    fn clf(entry: &RequestEntry<'_>) -> String {
        let mut line = Vec::new();
        entry.write_clf(&mut line);
        String::from_utf8(line).unwrap()
    }

    fn as_json(entry: &RequestEntry<'_>) -> String {
        let mut line = Vec::new();
        entry.write_json(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn clf_is_as_every_tool_knows_it() {
        let line = "2001:db8::1 - - [10/Oct/2000:13:55:36 +0000] \"GET /events?limit=1 HTTP/1.1\" 200 2326\n";
        assert_eq!(clf(&entry()), line);
        let proxied = RequestEntry { client: Some([192, 0, 2, 1].into()), key: Some("web"), ..entry() };
        let line = "192.0.2.1 - web [10/Oct/2000:13:55:36 +0000] \"GET /events?limit=1 HTTP/1.1\" 200 2326\n";
        assert_eq!(clf(&proxied), line);
        let unread = RequestEntry { method: "", target: "", status: 400, bytes: 0, ..entry() };
        assert_eq!(clf(&unread), "2001:db8::1 - - [10/Oct/2000:13:55:36 +0000] \"-\" 400 -\n");
    }

    #[test]
    fn json_has_what_is_known() {
        let field = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".as_slice();
        let headers = [("traceparent", field)];
        let trace = TraceContext::of(&RequestHead { headers: &headers, ..RequestHead::default() }).unwrap();
        let (trace, problem) = (Some((trace, NonZeroU64::MIN)), Some(ProblemKind::Overloaded));
        let (client, key) = (Some([192, 0, 2, 1].into()), Some("web"));
        let line = as_json(&RequestEntry { client, key, trace, problem, complete: false, ..entry() });
        let expected = json!({
            "time": "2000-10-10T13:55:36Z", "peer": "[2001:db8::1]:5000", "method": "GET", "target": "/events?limit=1",
            "version": "1.1", "status": 200, "bytes": 2326, "complete": false, "duration_us": 1500, "request_id": "id",
            "client": "192.0.2.1", "key": "web", "problem": "overloaded",
            "trace_id": "0af7651916cd43dd8448eb211c80319c", "parent_id": "b7ad6b7169203331",
            "span_id": "0000000000000001",
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        let members: Value = serde_json::from_str(&as_json(&entry())).unwrap();
        assert_eq!(members.as_object().unwrap().len(), 10, "{members}");
    }

    #[test]
    fn a_caller_cannot_break_a_line_or_show_a_key() {
        let hostile = RequestEntry { method: "G\"ET", target: HOSTILE, request_id: HOSTILE, ..entry() };
        let line = clf(&hostile);
        assert!(line.contains(
            r#""G\"ET /a\x0d\x0a\x1b[31m\"b\\\xc2\x85\xe2\x80\xa8\xf0\x9f\x98\x80?key=[redacted] HTTP/1.1""#
        ));
        let hostile = RequestEntry { request_id: "id", ..hostile };
        let object = as_json(&hostile);
        for line in [&line, &object] {
            assert!(line.ends_with('\n') && line.trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
            assert!(!line.contains("secret"), "{line}");
        }
        let members: Value = serde_json::from_str(&object).unwrap();
        assert_eq!(members["target"], HOSTILE.replace("secret", "[redacted]"));
    }
}
