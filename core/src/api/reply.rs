//! Complete replies.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{ProblemKind, Route};
use crate::ingest::FaultCode;

/// A complete reply. The host adds `X-Request-Id` and `Date`, and `Content-Length` (or chunked coding) unless it is
/// among the [`headers`](Self::headers), or the status is 204 or 304. It adds `Connection: close` if
/// [`close`](Self::close) is set, or if it has not read the request body to its end.
///
/// The reply to `HEAD` has an empty body. `content-length` is among the headers if the length of the body for `GET` is
/// known. Otherwise the host sends none, since a `Content-Length` of 0 would be wrong (RFC 9110, section 8.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The route, for logs and metrics.
    pub route: Route,
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body; empty for HEAD.
    pub body: Bytes,
    /// Whether the connection closes after the reply.
    pub close: bool,
    /// The kind of problem, if the reply is a problem; for metrics.
    pub problem: Option<ProblemKind>,
    /// Counts of the listed faults by code, for metrics.
    pub rejected: Vec<(FaultCode, u64)>,
    /// Length of the request body after decompression, for metrics. 0 without a body that could be decoded.
    pub decoded_bytes: usize,
}

impl Reply {
    /// A reply that is not a problem. It must not be cached, since the next event may change it.
    pub(super) fn new(route: Route, status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut reply = Self::empty(route, status);
        reply.headers.push(("content-type", content_type.into()));
        reply.body = body.into();
        reply
    }

    /// A reply without content.
    pub(super) fn empty(route: Route, status: u16) -> Self {
        // Most replies add a few header fields, those to limited clients some more.
        let mut headers = Vec::with_capacity(10);
        headers.push(("cache-control", "no-store".into()));
        Self {
            route,
            status,
            headers,
            body: Bytes::new(),
            close: false,
            problem: None,
            rejected: Vec::new(),
            decoded_bytes: 0,
        }
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Lets caches keep the reply, under this condition.
    pub(super) fn with_cache_control(mut self, condition: &'static str) -> Self {
        self.headers.retain(|(name, _)| *name != "cache-control");
        self.with_header("cache-control", condition)
    }

    /// The value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_ref())
    }
}
