//! Replies with a problem.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use super::problem::{Problem, ProblemKind};
use super::reply::Reply;
use super::route::Route;
use super::text::to_json;
use crate::ingest::{EventFault, FaultCode};

/// A problem, and the further properties of its reply. It becomes a [`Reply`] once the route is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProblemReply {
    pub(super) problem: Problem,
    /// Header fields in addition to those of every problem.
    pub(super) headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Whether the connection closes after the reply.
    pub(super) close: bool,
}

impl ProblemReply {
    pub(super) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Problem::new(kind, detail).into()
    }

    /// Closes the connection. For requests whose end is uncertain, and with it the start of the next request.
    pub(super) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn reply(self, route: Route) -> Reply {
        let Self { problem, headers: further, close } = self;
        // By default, caches may store 404, 405, 414 and 501 (RFC 9110, section 15.1), and so return them when their
        // cause is gone.
        let mut headers: Vec<(_, Cow<'static, str>)> =
            vec![("content-type", "application/problem+json".into()), ("cache-control", "no-store".into())];
        if let Some(seconds) = problem.kind.retry_after_seconds() {
            headers.push(("retry-after", seconds.to_string().into()));
        }
        headers.extend(further);
        Reply {
            route,
            status: problem.kind.status(),
            headers,
            body: to_json(&problem).into(),
            close,
            problem: Some(problem.kind),
            rejected: count_by_code(&problem.errors),
            decoded_bytes: 0,
        }
    }
}

impl From<Problem> for ProblemReply {
    fn from(problem: Problem) -> Self {
        Self { problem, headers: Vec::new(), close: false }
    }
}

/// Counts the faults of each code, in the order of the first fault of each.
pub(super) fn count_by_code(faults: &[EventFault]) -> Vec<(FaultCode, u64)> {
    let mut counts: Vec<(FaultCode, u64)> = Vec::new();
    for fault in faults {
        match counts.iter_mut().find(|(code, _)| *code == fault.code) {
            Some((_, count)) => *count += 1,
            None => counts.push((fault.code, 1)),
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_carries_the_status_and_counts_faults_by_code() {
        let fault = |code| EventFault { index: 0, pointer: "#/0".into(), line: None, code, detail: "wrong".into() };
        let errors = [FaultCode::InvalidTimestamp, FaultCode::InvalidId, FaultCode::InvalidTimestamp];
        let problem = Problem {
            kind: ProblemKind::InvalidEvents,
            detail: "3 faults".into(),
            errors: errors.into_iter().map(fault).collect(),
        };
        let reply = ProblemReply::from(problem).reply(Route::Events);
        assert_eq!((reply.status, reply.problem), (422, Some(ProblemKind::InvalidEvents)));
        assert_eq!(reply.rejected, [(FaultCode::InvalidTimestamp, 2), (FaultCode::InvalidId, 1)]);
    }
}
