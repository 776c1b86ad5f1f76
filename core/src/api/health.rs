//! Replies about the service itself: health, metrics and the `OpenAPI` document.

use alloc::format;
use alloc::string::String;

use serde::Serialize;

use super::text::to_json;
use super::{Reply, Route, ServiceState};
use crate::repository::Failure;

/// The `OpenAPI` 3.1 document of this interface.
const OPENAPI: &str = include_str!("openapi.json");

/// The version of Argus, which all its crates share.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A `GET` or `HEAD` of `/metrics`.
#[derive(Debug)]
pub struct Metrics {
    pub(super) head_only: bool,
}

impl Metrics {
    /// The reply with `rendered`, the metrics in text format 0.0.4.
    #[must_use]
    pub fn reply(self, rendered: String) -> Reply {
        Reply::new(Route::Metrics, 200, "text/plain; version=0.0.4; charset=utf-8", rendered).for_head(self.head_only)
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

/// The reply with the `OpenAPI` document.
pub(super) fn openapi() -> Reply {
    Reply::new(Route::OpenApi, 200, "application/json", OPENAPI)
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
    use crate::api::ProblemKind;
    use crate::ingest::FaultCode;

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

    #[test]
    fn the_openapi_document_has_our_version_and_routes() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        assert_eq!(description["info"]["version"], VERSION);
        let paths = description["paths"].as_object().unwrap();
        let mut named: alloc::vec::Vec<_> = paths.keys().map(String::as_str).collect();
        let routes = Route::ALL.into_iter().filter(|route| *route != Route::Other);
        let mut expected: alloc::vec::Vec<_> = routes.clone().map(Route::as_str).collect();
        named.sort_unstable();
        expected.sort_unstable();
        assert_eq!(named, expected);
        for route in routes {
            let allowed: alloc::vec::Vec<_> = route.allow().split(", ").map(str::to_ascii_lowercase).collect();
            let mut described: alloc::vec::Vec<_> = paths[route.as_str()]
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| ["get", "head", "post", "put", "delete", "patch", "options"].contains(&key.as_str()))
                .cloned()
                .collect();
            described.sort_unstable();
            assert_eq!(described, allowed, "{}", route.as_str());
        }
    }

    /// The strings of an `enum` in the description.
    fn names(list: &serde_json::Value) -> alloc::vec::Vec<&str> {
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
    }

    #[test]
    fn the_openapi_document_has_every_kind_of_problem_and_fault() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let schemas = &description["components"]["schemas"];
        let problems = ProblemKind::ALL.map(|kind| alloc::format!("/problems/{}", kind.as_str()));
        assert_eq!(names(&schemas["Problem"]["properties"]["type"]["enum"]), problems);
        assert_eq!(names(&schemas["Fault"]["properties"]["code"]["enum"]), FaultCode::ALL.map(FaultCode::as_str));
    }

    #[test]
    fn the_openapi_document_has_the_status_of_every_problem() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let operations: alloc::vec::Vec<_> = description["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|path| path.as_object().unwrap().values().filter_map(|operation| operation.get("responses")))
            .collect();
        for kind in ProblemKind::ALL.into_iter().filter(|kind| *kind != ProblemKind::MethodNotAllowed) {
            let status = alloc::format!("{}", kind.status());
            let described = operations.iter().filter(|responses| responses.get(&status).is_some()).count();
            // These can happen on any route.
            let everywhere = matches!(
                kind,
                ProblemKind::BadRequest
                    | ProblemKind::ExpectationFailed
                    | ProblemKind::HeadTooLarge
                    | ProblemKind::Internal
                    | ProblemKind::NotImplemented
                    | ProblemKind::VersionNotSupported
            );
            assert!(if everywhere { described == operations.len() } else { described > 0 }, "{status}: {described}");
        }
    }
}
