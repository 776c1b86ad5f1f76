//! Replies about the service itself: health and metrics.

use alloc::format;
use alloc::string::String;

use serde::Serialize;

use super::compress::Negotiated;
use super::text::to_json;
use super::{Draft, Reply, Route, ServiceState};
use crate::repository::Failure;

/// The version of Argus, which all its crates share.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A `GET` or `HEAD` of `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    pub(super) negotiated: Negotiated,
}

impl Metrics {
    /// The reply with `rendered`, the metrics in text format 0.0.4. Compresses it, so call it where they were rendered.
    pub fn reply(self, rendered: String) -> Draft {
        let reply = Reply::new(Route::Metrics, 200, "text/plain; version=0.0.4; charset=utf-8", rendered);
        self.negotiated.code(reply).into()
    }
}

/// A health document (draft-inadarei-api-health-check-06).
#[derive(Serialize)]
struct Health<'a> {
    status: Status,
    version: &'static str,
    /// Why the status is not `pass`.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pass,
    Warn,
    Fail,
}

/// The reply of the liveness check. A process that replies is alive, so the check always passes.
pub(super) fn live(route: Route) -> Reply {
    Health::new(Status::Pass, None).reply(route)
}

/// The reply of the readiness check: whether the service accepts requests.
pub(super) fn ready(state: &ServiceState<'_>) -> Reply {
    let failing;
    let health = match *state {
        ServiceState { failure: Some(cause), .. } => {
            failing = format!("stopping after an internal failure: {cause}");
            Health::new(Status::Fail, Some(&failing))
        }
        ServiceState { draining: true, .. } => Health::new(Status::Fail, Some("stopping")),
        ServiceState { repository: Some(Failure::Failed(cause)), .. } => {
            failing = format!("the storage has failed, only reads are served: {}", cause.public_text());
            Health::new(Status::Fail, Some(&failing))
        }
        ServiceState { repository: Some(Failure::Unavailable(cause)), .. } => {
            failing = format!("the storage is unavailable, only reads are served: {}", cause.public_text());
            Health::new(Status::Fail, Some(&failing))
        }
        ServiceState { draining: false, repository: None, failure: None, warning: Some(warning), gate: _ } => {
            Health::new(Status::Warn, Some(warning))
        }
        ServiceState { draining: false, repository: None, failure: None, warning: None, gate: _ } => {
            Health::new(Status::Pass, None)
        }
    };
    health.reply(Route::Ready)
}

/// The reply that leads to the `OpenAPI` document, also by the link relation of RFC 8631.
///
/// A redirect, since common probes take it for a sign of life, and a 404 for a failure.
pub(super) fn root() -> Reply {
    let body = "This is Argus Events. GET /openapi.json describes its interface.\n";
    Reply::new(Route::Root, 307, "text/plain; charset=utf-8", body)
        .with_header("location", Route::OpenApi.as_str())
        .with_header("link", "</openapi.json>; rel=\"service-desc\"")
}

impl<'a> Health<'a> {
    fn new(status: Status, output: Option<&'a str>) -> Self {
        Self { status, version: VERSION, output }
    }

    fn reply(&self, route: Route) -> Reply {
        let code = match self.status {
            Status::Pass | Status::Warn => 200,
            Status::Fail => 503,
        };
        Reply::new(route, code, "application/health+json", to_json(self))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn readiness_gives_the_reason() {
        let with = |state: ServiceState<'_>| {
            let reply = ready(&state);
            (reply.status, serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap())
        };
        let at = |draining, repository: Option<Failure>, failure| {
            let (repository, warning) = (repository.as_ref(), Some("the clock"));
            with(ServiceState { draining, repository, failure, warning, gate: None })
        };
        let pass = serde_json::json!({"status": "pass", "version": VERSION});
        assert_eq!(with(ServiceState::default()), (200, pass));
        let warn = serde_json::json!({"status": "warn", "version": VERSION, "output": "the clock"});
        assert_eq!(at(false, None, None), (200, warn));
        let failed = || Some(Failure::Failed("disk \"sda\"".into()));
        for failure in [failed(), Some(Failure::Unavailable("disk \"sda\"".into()))] {
            let (status, body) = at(false, failure, None);
            assert_eq!((status, &body["status"]), (503, &"fail".into()));
            assert!(body["output"].as_str().unwrap().ends_with("disk \"sda\""));
        }
        assert_eq!(at(true, failed(), None).1["output"], "stopping");
        for (draining, repository) in [(false, None), (true, failed())] {
            let (status, body) = at(draining, repository, Some("a thread has died"));
            assert_eq!((status, &body["status"]), (503, &"fail".into()));
            assert!(body["output"].as_str().unwrap().ends_with("a thread has died"));
        }
    }

    #[test]
    fn documents_have_these_exact_bytes() {
        let pass = alloc::format!(r#"{{"status":"pass","version":"{VERSION}"}}"#);
        assert_eq!(live(Route::Health).body, pass + "\n");
        let warn = alloc::format!(r#"{{"status":"warn","version":"{VERSION}","output":"a \"clock\""}}"#);
        let state = ServiceState { warning: Some("a \"clock\""), ..ServiceState::default() };
        assert_eq!(ready(&state).body, warn + "\n");
    }
}
