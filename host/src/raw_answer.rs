//! Answers as they are written to the wire, where hyper does not write them.

use argus_core::api::{Api, Caller, Refusal, RequestHead, Route};
use bytes::Bytes;
use http::HeaderMap;
use http::StatusCode;

use crate::clock;

/// A complete answer, from the status line on.
pub(crate) fn answer(status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Bytes {
    let mut wire = begin(status, body);
    for (name, value) in fields {
        push_field(&mut wire, name.as_str(), value.as_bytes());
    }
    end(wire, body)
}

/// The answer to a client whose request is not read, from the status line on. The connection closes after it.
pub(crate) fn refusal(api: &Api, refusal: &Refusal, request_id: u64) -> Bytes {
    let reply = Caller::default().finish(api.refuse(Route::Other, refusal));
    let mut wire = begin(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &reply.body);
    for (name, value) in &reply.headers {
        push_field(&mut wire, name, value.as_bytes());
    }
    push_field(&mut wire, "x-request-id", Api::request_id(&RequestHead::default(), request_id).as_bytes());
    push_field(&mut wire, "connection", b"close");
    end(wire, &reply.body)
}

fn begin(status: StatusCode, body: &[u8]) -> Vec<u8> {
    let date = clock::http_date();
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\ndate: {date}\r\n", body.len()).into_bytes()
}

fn push_field(wire: &mut Vec<u8>, name: &str, value: &[u8]) {
    wire.extend_from_slice(name.as_bytes());
    wire.extend_from_slice(b": ");
    wire.extend_from_slice(value);
    wire.extend_from_slice(b"\r\n");
}

fn end(mut wire: Vec<u8>, body: &[u8]) -> Bytes {
    wire.extend_from_slice(b"\r\n");
    wire.extend_from_slice(body);
    wire.into()
}
