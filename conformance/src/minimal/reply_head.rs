//! The head of an answer.

use std::borrow::Cow;
use std::io;
use std::num::NonZeroU64;
use std::time::SystemTime;

use argus_core::api::{Api, Reply, RequestHead, TraceContext};
use httpdate::HttpDate;

use crate::server::Server;
use crate::stream::Stream;

/// What identifies a request, in its answer and in logs.
pub(crate) struct Ids {
    pub(crate) request_id: String,
    pub(crate) trace: Option<(TraceContext, NonZeroU64)>,
}

impl Ids {
    pub(crate) fn of(server: &Server, head: &RequestHead<'_>) -> Self {
        let span = NonZeroU64::new(server.random()).unwrap_or(NonZeroU64::MIN);
        Self {
            request_id: Api::request_id(head, server.random()),
            trace: TraceContext::of(head).map(|trace| (trace, span)),
        }
    }
}

/// Writes the head of an answer of known length.
pub(crate) fn write_head(
    stream: &mut Stream,
    reply: &Reply,
    ids: &Ids,
    http_10: bool,
    keep: bool,
    is_head: bool,
) -> io::Result<()> {
    let mut bytes = head_bytes(reply, ids, http_10, keep);
    // The core sets the length for HEAD if it knows it; 0 would be wrong, and 204 and 304 have no body at all.
    if !is_head && !matches!(reply.status, 204 | 304) {
        bytes.extend_from_slice(format!("content-length: {}\r\n", reply.body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    stream.write(&bytes)
}

/// Writes the head of an answer of unknown length, whose end [`end_unknown_length`] writes. Returns whether the body is
/// sent in chunks; to HTTP/1.0 it goes up to the end of the connection.
pub(crate) fn begin_unknown_length(
    stream: &mut Stream,
    reply: &Reply,
    ids: &Ids,
    http_10: bool,
    keep: bool,
) -> io::Result<bool> {
    let chunked = !http_10;
    let mut bytes = head_bytes(reply, ids, http_10, keep && chunked);
    bytes.extend_from_slice(if chunked { b"transfer-encoding: chunked\r\n\r\n" } else { b"\r\n" });
    // If the answer ends early, even by the end of the process, it must not look complete.
    stream.set_reset_on_close(true)?;
    stream.write(&bytes)?;
    Ok(chunked)
}

/// A piece of such a body, as it is sent.
pub(crate) fn framed(chunked: bool, piece: &[u8]) -> Cow<'_, [u8]> {
    if chunked {
        Cow::Owned([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())
    } else {
        Cow::Borrowed(piece)
    }
}

/// Writes the end of such a body.
pub(crate) fn end_unknown_length(stream: &mut Stream, chunked: bool) -> io::Result<()> {
    if chunked {
        stream.write(b"0\r\n\r\n")?;
    }
    stream.set_reset_on_close(false)
}

/// The status line and header fields, without the empty line.
pub(crate) fn head_bytes(reply: &Reply, ids: &Ids, http_10: bool, keep: bool) -> Vec<u8> {
    let version = if http_10 { "1.0" } else { "1.1" };
    let mut head = format!(
        "HTTP/{version} {} \r\nx-request-id: {}\r\ndate: {}\r\n",
        reply.status,
        ids.request_id,
        HttpDate::from(SystemTime::now())
    );
    if let Some((trace, span)) = &ids.trace {
        head.push_str(&format!("traceparent: {}\r\n", trace.answer(*span)));
    }
    match (http_10, keep) {
        (true, true) => head.push_str("connection: keep-alive\r\n"),
        (_, false) => head.push_str("connection: close\r\n"),
        (false, true) => {}
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.into_bytes()
}
