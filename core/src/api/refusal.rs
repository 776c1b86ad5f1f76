//! Why a host refuses a request, and the problem that it sends.

use alloc::format;

use super::problem_reply::ProblemReply;
use super::submission::too_large;
use super::{Limits, ProblemKind};
use crate::repository::ReadError;

/// Why the host refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The head did not arrive in time. 408, and the connection closes.
    HeadTimeout,
    /// The head is longer than the host reads, or has too many fields. 431, and the connection closes.
    HeadTooLarge,
    /// The request target is longer than [`Limits::uri_bytes_max`]. 414, and the connection closes.
    UriTooLong,
    /// The bytes received are not an HTTP/1.1 head. 400, and the connection closes.
    HeadBroken,
    /// The head names an HTTP version other than 1.0 and 1.1. 505, and the connection closes.
    HeadVersion,
    /// The body is longer than [`Submission::wire_bytes_max`](super::Submission::wire_bytes_max). 413, and the
    /// connection closes.
    BodyTooLarge,
    /// The body did not arrive in time. 408, and the connection closes.
    BodyTimeout,
    /// The body ended early, or its chunks were malformed. 400, and the connection closes.
    BodyBroken,
    /// The memory budget for bodies is used up, or the commit queue is full. 503 with Retry-After.
    Overloaded,
    /// The memory budget for answers in flight is used up. 503 with Retry-After.
    AnswersFull,
    /// A commit took longer than the host allows; its outcome is unknown. 503 with Retry-After.
    Timeout,
    /// An erasure took longer than the host allows; its outcome is unknown. 503 with Retry-After.
    ErasureTimeout,
    /// Events are erased, but could not be counted in the time that the host allows. 503 with Retry-After.
    NotCounted,
    /// A read took longer than the host allows. 503 with Retry-After.
    ReadTimeout,
    /// A read has computed for longer than [`Limits::query_time`]. 503 with Retry-After.
    QueryTime,
    /// A read has read more than [`Limits::scan_bytes_max`]. 422.
    QueryBytes,
    /// The client has as many connections as one address may have. 503 with Retry-After, and the connection closes.
    AddressFull,
    /// The client speaks HTTP where the host speaks HTTPS. 400, and the connection closes.
    TlsExpected,
    /// The service is stopping. 503 with Retry-After.
    Draining,
    /// Stored events could not be read: 500, or 503 with Retry-After if a later try may succeed. The host logs the
    /// error; the reply says which events are affected, but not where they are stored.
    Unreadable(ReadError),
    /// A bug in Argus. 500.
    Internal,
}

impl Refusal {
    /// The problem that the caller sees.
    pub(super) fn problem(&self, limits: &Limits) -> ProblemReply {
        let problem = |kind, detail: &str| ProblemReply::new(kind, detail);
        match self {
            Self::HeadTimeout => problem(ProblemKind::RequestTimeout, "the head did not arrive in time").closing(),
            Self::HeadTooLarge => {
                let fields = limits.head_fields_max;
                let detail = format!(
                    "the request line and header fields are too long together, or there are more than {fields} fields"
                );
                problem(ProblemKind::HeadTooLarge, &detail).closing()
            }
            Self::UriTooLong => {
                let bytes = limits.uri_bytes_max;
                let detail = format!("the request target may have {bytes} bytes at most; use fewer or shorter filters");
                problem(ProblemKind::UriTooLong, &detail).closing()
            }
            Self::HeadBroken => {
                problem(ProblemKind::BadRequest, "this is not the head of an HTTP/1.1 request").closing()
            }
            Self::HeadVersion => {
                problem(ProblemKind::VersionNotSupported, "only HTTP/1.1 and HTTP/1.0 are supported").closing()
            }
            Self::BodyTooLarge => too_large(limits.body_bytes_max),
            Self::BodyTimeout => {
                problem(ProblemKind::RequestTimeout, "the body did not arrive in time; nothing was stored").closing()
            }
            Self::BodyBroken => {
                problem(ProblemKind::BadRequest, "the body ended early or was malformed; nothing was stored").closing()
            }
            Self::Overloaded => {
                problem(ProblemKind::Overloaded, "the server is busy; nothing was stored. Send the events again")
            }
            Self::AnswersFull => problem(
                ProblemKind::Overloaded,
                "answers to other requests use all the memory that is allowed for them; ask again",
            ),
            Self::Timeout => problem(
                ProblemKind::Timeout,
                "the request took too long; whether the events were stored is unknown. Events with an id can be sent \
                 again, and are not stored twice",
            ),
            Self::ErasureTimeout => problem(
                ProblemKind::Timeout,
                "the request took too long; whether the events are erased is unknown. Send it again: that does no harm",
            ),
            Self::NotCounted => problem(
                ProblemKind::Timeout,
                "the events are erased for good, but could not be counted in time. Sent again, the request counts only \
                 events that were stored since",
            ),
            Self::ReadTimeout => {
                problem(ProblemKind::Timeout, "the request took too long; use more filters, or a shorter time range")
            }
            Self::QueryTime => {
                let allowed = limits.query_time.map(|time| format!(" {} ms", time.as_millis())).unwrap_or_default();
                let detail = format!(
                    "the query takes more time to compute than the{allowed} that the server allows; use a shorter time \
                     range, more filters, or `limit` and the link to the next page"
                );
                problem(ProblemKind::Timeout, &detail)
            }
            Self::QueryBytes => {
                let allowed = limits.scan_bytes_max.map(|bytes| format!(" {bytes} bytes")).unwrap_or_default();
                let detail = format!(
                    "the query reads more stored events than the{allowed} that the server allows; use a shorter time \
                     range, more filters, or `limit` and the link to the next page"
                );
                problem(ProblemKind::QueryTooLarge, &detail)
            }
            Self::AddressFull => problem(
                ProblemKind::Overloaded,
                "your address has as many connections as one address may have; close some, or reuse them",
            )
            .closing(),
            Self::TlsExpected => {
                problem(ProblemKind::BadRequest, "this port takes HTTPS only; begin the URL with https://").closing()
            }
            Self::Draining => draining(),
            Self::Unreadable(ReadError::Damaged(damage)) => {
                let detail = format!("part of what is stored is damaged; {}", damage.affected);
                problem(ProblemKind::Damaged, &detail)
            }
            Self::Unreadable(ReadError::Unavailable(cause)) => {
                let detail = format!("the storage cannot be read at the moment: {}", cause.public_text());
                problem(ProblemKind::StorageUnavailable, &detail)
            }
            Self::Unreadable(ReadError::Failed(_)) => {
                problem(ProblemKind::Internal, "the storage could not be read; see the log of Argus")
            }
            Self::Internal => problem(ProblemKind::Internal, "a bug in Argus; see its log"),
        }
    }
}

/// 503: the service is stopping. The connection closes, so that the client connects to another server for its next
/// request.
pub(super) fn draining() -> ProblemReply {
    ProblemReply::new(ProblemKind::Draining, "the server is stopping; nothing was stored").closing()
}
