//! Complete answers.

use alloc::borrow::Cow;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{ProblemKind, Route};
use crate::ingest::FaultCode;

/// A complete answer. The host adds `X-Request-Id`, `Content-Length` (or chunks) unless it is among the
/// [`headers`](Self::headers), `Date`, and `Connection: close` where [`close`](Self::close) says so, or where it has
/// not read the request's body to its end.
///
/// To `HEAD` the body is empty. Where the length of the body that `GET` would have had is known, `content-length` is
/// among the headers; where it is not, the host sends none (RFC 9110, section 8.6: a `Content-Length` of 0 would be
/// untrue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Which route answered, for logs and metrics.
    pub route: Route,
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body; empty for HEAD.
    pub body: Bytes,
    /// The connection must not be used again.
    pub close: bool,
    /// The kind of problem, if the answer is one; for metrics.
    pub problem: Option<ProblemKind>,
    /// How many events were rejected, by kind of fault; for metrics. Only listed faults count.
    pub rejected: Vec<(FaultCode, u64)>,
    /// Bytes of the request's body after decompression, 0 if it had none that could be decoded; for metrics.
    pub decoded_bytes: usize,
}

impl Reply {
    /// An answer that is no problem and not to be cached: all that Argus says changes with the next event.
    pub(super) fn new(route: Route, status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        // Room for one or two more, which most answers have.
        let mut headers = Vec::with_capacity(4);
        headers.push(("content-type", content_type.into()));
        headers.push(("cache-control", "no-store".into()));
        Self {
            route,
            status,
            headers,
            body: body.into(),
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

    /// The answer to the same request by `HEAD`, if that is what was asked: everything but the body.
    pub(super) fn for_head(mut self, head_only: bool) -> Self {
        if head_only {
            self.headers.push(("content-length", self.body.len().to_string().into()));
            self.body = Bytes::new();
        }
        self
    }

    /// The value of a header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_ref())
    }
}
