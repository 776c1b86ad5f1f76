//! The closed sets of label values, in the order of their indexes.

use argus_core::api::{ProblemKind, Route};
use argus_core::ingest::FaultCode;
use http::Method;

/// What can befall a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A request's head did not arrive in time.
    HeadTimeout,
    /// The client took nothing of its answer for too long.
    WriteTimeout,
    /// What the client sent is not HTTP/1.1.
    Malformed,
    /// The connection broke.
    Broken,
    /// The next connection could not be accepted.
    Accept,
}

impl Incident {
    pub(super) const ALL: [Self; 5] =
        [Self::HeadTimeout, Self::WriteTimeout, Self::Malformed, Self::Broken, Self::Accept];

    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeadTimeout => "head_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Malformed => "malformed",
            Self::Broken => "broken",
            Self::Accept => "accept",
        }
    }
}

/// The methods that are told apart; the last one stands for all others.
pub(super) const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other"];

pub(super) fn method_index(method: &Method) -> usize {
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1)
}

/// The statuses that are told apart; the last one stands for all others.
pub(super) const STATUSES: [&str; 16] =
    ["200", "201", "204", "400", "401", "404", "405", "408", "413", "415", "417", "422", "500", "501", "503", "other"];

pub(super) fn status_index(status: u16) -> usize {
    match status {
        200 => 0,
        201 => 1,
        204 => 2,
        400 => 3,
        401 => 4,
        404 => 5,
        405 => 6,
        408 => 7,
        413 => 8,
        415 => 9,
        417 => 10,
        422 => 11,
        500 => 12,
        501 => 13,
        503 => 14,
        _ => 15,
    }
}

/// The routes, each at the index of its discriminant.
pub(super) const ROUTES: [Route; 8] = [
    Route::Events,
    Route::Event,
    Route::Health,
    Route::Live,
    Route::Ready,
    Route::Metrics,
    Route::OpenApi,
    Route::Other,
];

pub(super) fn route_label(route: Route) -> &'static str {
    match route {
        Route::Events => "/events",
        Route::Event => "/events/{id}",
        Route::Health => "/health",
        Route::Live => "/health/live",
        Route::Ready => "/health/ready",
        Route::Metrics => "/metrics",
        Route::OpenApi => "/openapi.json",
        Route::Other => "other",
    }
}

/// The kinds of problem, each at the index of its discriminant.
pub(super) const PROBLEM_KINDS: [ProblemKind; 17] = [
    ProblemKind::BadRequest,
    ProblemKind::InvalidJson,
    ProblemKind::InvalidParameter,
    ProblemKind::NotFound,
    ProblemKind::MethodNotAllowed,
    ProblemKind::RequestTimeout,
    ProblemKind::ContentTooLarge,
    ProblemKind::UnsupportedMediaType,
    ProblemKind::ExpectationFailed,
    ProblemKind::InvalidEvents,
    ProblemKind::Internal,
    ProblemKind::NotImplemented,
    ProblemKind::Overloaded,
    ProblemKind::Draining,
    ProblemKind::StorageFailed,
    ProblemKind::StorageFull,
    ProblemKind::Timeout,
];

pub(super) fn problem_label(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::BadRequest => "bad_request",
        ProblemKind::InvalidJson => "invalid_json",
        ProblemKind::InvalidParameter => "invalid_parameter",
        ProblemKind::NotFound => "not_found",
        ProblemKind::MethodNotAllowed => "method_not_allowed",
        ProblemKind::RequestTimeout => "request_timeout",
        ProblemKind::ContentTooLarge => "content_too_large",
        ProblemKind::UnsupportedMediaType => "unsupported_media_type",
        ProblemKind::ExpectationFailed => "expectation_failed",
        ProblemKind::InvalidEvents => "invalid_events",
        ProblemKind::Internal => "internal",
        ProblemKind::NotImplemented => "not_implemented",
        ProblemKind::Overloaded => "overloaded",
        ProblemKind::Draining => "draining",
        ProblemKind::StorageFailed => "storage_failed",
        ProblemKind::StorageFull => "storage_full",
        ProblemKind::Timeout => "timeout",
    }
}

/// The kinds of fault, each at the index of its discriminant.
pub(super) const FAULT_CODES: [FaultCode; 10] = [
    FaultCode::InvalidJson,
    FaultCode::NotAnObject,
    FaultCode::MissingField,
    FaultCode::UnknownField,
    FaultCode::DuplicateField,
    FaultCode::WrongType,
    FaultCode::InvalidEventType,
    FaultCode::InvalidTimestamp,
    FaultCode::InvalidId,
    FaultCode::PayloadTooLarge,
];

pub(super) fn fault_label(code: FaultCode) -> &'static str {
    match code {
        FaultCode::InvalidJson => "invalid_json",
        FaultCode::NotAnObject => "not_an_object",
        FaultCode::MissingField => "missing_field",
        FaultCode::UnknownField => "unknown_field",
        FaultCode::DuplicateField => "duplicate_field",
        FaultCode::WrongType => "wrong_type",
        FaultCode::InvalidEventType => "invalid_event_type",
        FaultCode::InvalidTimestamp => "invalid_timestamp",
        FaultCode::InvalidId => "invalid_id",
        FaultCode::PayloadTooLarge => "payload_too_large",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_at_its_index() {
        assert!(ROUTES.iter().enumerate().all(|(index, route)| *route as usize == index));
        assert!(PROBLEM_KINDS.iter().enumerate().all(|(index, kind)| *kind as usize == index));
        assert!(FAULT_CODES.iter().enumerate().all(|(index, code)| *code as usize == index));
        assert!(Incident::ALL.iter().enumerate().all(|(index, incident)| *incident as usize == index));
        for (index, status) in STATUSES.iter().enumerate() {
            assert_eq!(status_index(status.parse().unwrap_or(999)), index);
        }
        for (index, method) in METHODS.iter().enumerate() {
            assert_eq!(Method::from_bytes(method.as_bytes()).map(|method| method_index(&method)).ok(), Some(index));
        }
    }
}
