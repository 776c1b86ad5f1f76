use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::ProblemKind;
use crate::ingest::FaultCode;

/// A complete answer. The host adds `X-Request-Id`, `Content-Length` (or chunks), `Date`, and `Connection: close` where
/// [`close`](Self::close) says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Which route answered, for logs and metrics.
    pub route: Route,
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty for HEAD.
    pub body: Bytes,
    /// The connection must not be used again.
    pub close: bool,
    /// The kind of problem, if the answer is one; for metrics.
    pub problem: Option<ProblemKind>,
    /// How many events were rejected, by kind of fault; for metrics.
    pub rejected: Vec<(FaultCode, u64)>,
}

/// The routes: a closed list, so that it may label metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// `/events`
    Events,
    /// `/events/{id}`
    Event,
    /// `/health`
    Health,
    /// `/health/live`
    Live,
    /// `/health/ready`
    Ready,
    /// `/metrics`
    Metrics,
    /// `/openapi.json`
    OpenApi,
    /// Anything else, and what is refused before there is a route.
    Other,
}
