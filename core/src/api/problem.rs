//! Problem details (RFC 9457).

use alloc::string::String;
use alloc::vec::Vec;

use crate::ingest::Fault;

/// An error as callers see it: `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind; fixes `type`, `title` and `status`.
    pub kind: ProblemKind,
    /// What is wrong in this very case.
    pub detail: String,
    /// Faults of the request body.
    pub errors: Vec<Fault>,
}

/// The kinds of problem: a closed list, so that it may label metrics. `type` is `/problems/` and the name in kebab case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// 400: the request is malformed as HTTP.
    BadRequest,
    /// 400: the body is not JSON.
    InvalidJson,
    /// 400: a query parameter is unknown, repeated or has a bad value.
    InvalidParameter,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    RequestTimeout,
    /// 413
    ContentTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 417
    ExpectationFailed,
    /// 422: events are at fault.
    InvalidEvents,
    /// 500
    Internal,
    /// 501: a transfer coding that we do not speak.
    NotImplemented,
    /// 503: no room for this request now.
    Overloaded,
    /// 503: stopping.
    Draining,
    /// 503: the storage has failed; what became of the request is unknown.
    StorageFailed,
    /// 503: the storage is full; nothing was stored.
    StorageFull,
    /// 503: the request took too long.
    Timeout,
}
