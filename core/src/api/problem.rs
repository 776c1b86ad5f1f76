//! Errors as callers see them: problem details (RFC 9457).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Serialize, Serializer};

use crate::ingest::{EventFault, serialize_truncated};

/// An error as callers see it. Serializes to `application/problem+json`, with each text cut to 1,024 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Determines `type`, `title` and `status`.
    pub kind: ProblemKind,
    /// What is wrong with this request.
    pub detail: String,
    /// Invalid events in the request body.
    pub errors: Vec<EventFault>,
}

crate::listed::listed! {
    /// The kinds of problem. The list is closed, so it can label metrics. `type` is `/problems/` and the name in kebab
    /// case.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum ProblemKind {
        /// 400: the request is malformed as HTTP.
        BadRequest,
        /// 400: the body is not JSON.
        InvalidJson,
        /// 400: a query parameter is unknown, repeated or has a bad value.
        InvalidParameter,
        /// 401: the request has no valid key.
        Unauthorized,
        /// 403: the key does not permit this.
        Forbidden,
        /// 403: pages of this origin may not use the interface.
        OriginNotAllowed,
        /// 404
        NotFound,
        /// 405
        MethodNotAllowed,
        /// 406: no acceptable media type is available.
        NotAcceptable,
        /// 408
        RequestTimeout,
        /// 413
        ContentTooLarge,
        /// 414
        UriTooLong,
        /// 415
        UnsupportedMediaType,
        /// 417
        ExpectationFailed,
        /// 421: the server may not be addressed by this name.
        MisdirectedRequest,
        /// 422: the body has invalid events.
        InvalidEvents,
        /// 426: the request needs another protocol, or another version of it.
        UpgradeRequired,
        /// 422: the query reads more stored events than the server allows, or its answer is too large.
        QueryTooLarge,
        /// 429: more than the rate limit allows.
        TooManyRequests,
        /// 431: the request line and header fields are too long or too many.
        HeadTooLarge,
        /// 500
        Internal,
        /// 500: stored data is damaged.
        Damaged,
        /// 501: an unsupported transfer coding.
        NotImplemented,
        /// 505: an unsupported version of HTTP.
        VersionNotSupported,
        /// 503: too many requests at once.
        Overloaded,
        /// 503: the service is stopping.
        Draining,
        /// 503: the storage has failed; the detail says whether the events may have been stored.
        StorageFailed,
        /// 503: the storage is full; nothing was stored.
        StorageFull,
        /// 503: the storage is unavailable at the moment, for example because a permission is missing.
        StorageUnavailable,
        /// 503: the request took too long.
        Timeout,
    }
}

impl ProblemKind {
    /// The name in kebab case: the last part of `type`, and a label for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.properties().0
    }

    /// The status code.
    #[must_use]
    pub fn status(self) -> u16 {
        self.properties().1
    }

    /// The title, fixed for each kind.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.properties().2
    }

    /// The name, status and title.
    fn properties(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BadRequest => ("bad-request", 400, "Bad request"),
            Self::InvalidJson => ("invalid-json", 400, "The body is not JSON"),
            Self::InvalidParameter => ("invalid-parameter", 400, "Invalid query parameter"),
            Self::Unauthorized => ("unauthorized", 401, "A valid key is needed"),
            Self::Forbidden => ("forbidden", 403, "The key does not permit this"),
            Self::OriginNotAllowed => ("origin-not-allowed", 403, "The origin is not allowed"),
            Self::NotFound => ("not-found", 404, "Not found"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "Method not allowed"),
            Self::NotAcceptable => ("not-acceptable", 406, "Not acceptable"),
            Self::RequestTimeout => ("request-timeout", 408, "The request did not arrive in time"),
            Self::ContentTooLarge => ("content-too-large", 413, "Content too large"),
            Self::UriTooLong => ("uri-too-long", 414, "URI too long"),
            Self::UnsupportedMediaType => ("unsupported-media-type", 415, "Unsupported media type"),
            Self::ExpectationFailed => ("expectation-failed", 417, "Expectation failed"),
            Self::MisdirectedRequest => ("misdirected-request", 421, "Misdirected request"),
            Self::InvalidEvents => ("invalid-events", 422, "Invalid events"),
            Self::UpgradeRequired => ("upgrade-required", 426, "Upgrade required"),
            Self::QueryTooLarge => ("query-too-large", 422, "The query is too large"),
            Self::TooManyRequests => ("too-many-requests", 429, "Too many requests"),
            Self::HeadTooLarge => ("head-too-large", 431, "Request header fields too large"),
            Self::Internal => ("internal", 500, "Internal error"),
            Self::Damaged => ("damaged", 500, "Stored events are damaged"),
            Self::NotImplemented => ("not-implemented", 501, "Not implemented"),
            Self::VersionNotSupported => ("version-not-supported", 505, "HTTP version not supported"),
            Self::Overloaded => ("overloaded", 503, "Overloaded"),
            Self::Draining => ("draining", 503, "Stopping"),
            Self::StorageFailed => ("storage-failed", 503, "Storage has failed"),
            Self::StorageFull => ("storage-full", 503, "Storage is full"),
            Self::StorageUnavailable => ("storage-unavailable", 503, "Storage is not available"),
            Self::Timeout => ("timeout", 503, "The request took too long"),
        }
    }

    /// The value of `Retry-After` in seconds (RFC 9110, section 10.2.3), if it is the same for all requests. Overload
    /// passes within a second, a restart takes a few, and a failed or full disk needs an operator.
    pub(super) fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::Timeout => Some(1),
            Self::Draining => Some(5),
            Self::StorageFull | Self::StorageUnavailable => Some(30),
            Self::StorageFailed => Some(60),
            Self::BadRequest
            | Self::InvalidJson
            | Self::InvalidParameter
            | Self::Unauthorized
            | Self::Forbidden
            | Self::OriginNotAllowed
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::RequestTimeout
            | Self::ContentTooLarge
            | Self::UriTooLong
            | Self::UnsupportedMediaType
            | Self::ExpectationFailed
            | Self::MisdirectedRequest
            | Self::InvalidEvents
            | Self::UpgradeRequired
            | Self::QueryTooLarge
            | Self::TooManyRequests
            | Self::HeadTooLarge
            | Self::Internal
            | Self::Damaged
            | Self::NotImplemented
            | Self::VersionNotSupported => None,
        }
    }
}

impl Problem {
    /// A problem without a list of invalid events.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new() }
    }
}

impl Serialize for ProblemKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename = "Problem")]
        struct Document<'a> {
            r#type: fmt::Arguments<'a>,
            title: &'static str,
            status: u16,
            #[serde(serialize_with = "serialize_truncated")]
            detail: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [EventFault],
        }

        let Self { kind, detail, errors } = self;
        Document {
            r#type: format_args!("/problems/{}", kind.as_str()),
            title: kind.title(),
            status: kind.status(),
            detail,
            errors,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use alloc::vec;

    use super::*;
    use crate::api::text::to_json;
    use crate::ingest::FaultCode;

    #[test]
    fn names_are_distinct_and_statuses_are_errors() {
        let names: alloc::collections::BTreeSet<_> = ProblemKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            assert!((400..600).contains(&kind.status()));
            assert!(kind.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
            assert_eq!(kind.retry_after_seconds().is_some(), kind.status() == 503, "{kind:?}");
        }
    }

    #[test]
    fn the_document_has_these_exact_bytes() {
        let fault = EventFault {
            index: 7,
            pointer: "#/7/id".into(),
            line: Some(9),
            code: FaultCode::InvalidId,
            detail: "a \"b\"\n\u{1}\u{7f}\u{85}é".into(),
        };
        let kind = ProblemKind::InvalidEvents;
        let problem = Problem { kind, detail: "1 fault".into(), errors: vec![fault.clone(), fault] };
        let fault = r##"{"pointer":"#/7/id","line":9,"code":"invalid_id","detail":"a \"b\"\n\u0001\u007f\u0085é"}"##;
        let start = r#"{"type":"/problems/invalid-events","title":"Invalid events","status":422,"detail":"1 fault""#;
        assert_eq!(to_json(&problem), alloc::format!("{start},\"errors\":[{fault},{fault}]}}\n"));
        assert_eq!(
            to_json(&Problem::new(ProblemKind::NotFound, "nothing")),
            "{\"type\":\"/problems/not-found\",\"title\":\"Not found\",\"status\":404,\"detail\":\"nothing\"}\n"
        );
    }

    #[test]
    fn a_document_with_arbitrary_text_is_valid_json() {
        let fault = EventFault {
            index: 3,
            pointer: "#/3/time\"stamp".into(),
            line: None,
            code: FaultCode::InvalidTimestamp,
            detail: "\u{0}\u{1b}[31m".into(),
        };
        let problem = Problem {
            kind: ProblemKind::InvalidEvents,
            detail: "\"\\\n".repeat(5000),
            errors: vec![fault.clone(), fault.clone()],
        };
        let json: serde_json::Value = serde_json::from_str(&to_json(&problem)).unwrap();
        assert_eq!(json["type"], "/problems/invalid-events");
        assert_eq!(json["status"], 422);
        assert_eq!(json["errors"][1]["pointer"], "#/3/time\"stamp");
        assert_eq!(json["errors"][1]["code"], fault.code.as_str());
        assert_eq!(json["errors"][1]["detail"], "\u{0}\u{1b}[31m");
        assert_eq!(json["detail"].as_str().unwrap().len(), 1024);
    }
}
