//! Unit tests of the HTTP interface: helpers, and cases that concern all routes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod browsers;
mod erasing;
mod gate;
mod reading;
mod writing;

use alloc::string::ToString as _;
use alloc::vec::Vec;

use serde_json::Value;

use super::*;

const LIMITS: Limits = Limits {
    body_bytes_max: 1000,
    payload_bytes_max: 100,
    depth_max: 10,
    types_max: 3,
    read_time: Duration::from_secs(10),
    uri_bytes_max: 1 << 15,
    head_fields_max: 100,
    query_time: None,
    scan_bytes_max: None,
    analysis: AnalysisLimits::DEFAULT,
};
const JSON: (&str, &str) = ("content-type", "application/json");

fn handle(
    api: &Api,
    state: &ServiceState<'_>,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
) -> (Action, Caller) {
    let mut headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    if !fields.iter().any(|(name, _)| *name == "host") {
        headers.push(("host", b"localhost"));
    }
    api.handle_request(&RequestHead { method, target, headers: &headers, ..RequestHead::default() }, state)
}

fn act_when(state: &ServiceState<'_>, method: &str, target: &str, fields: &[(&str, &str)]) -> Action {
    handle(&Api::new(LIMITS), state, method, target, fields).0
}

fn act(method: &str, target: &str, fields: &[(&str, &str)]) -> Action {
    act_when(&ServiceState::default(), method, target, fields)
}

fn replied(action: Action) -> Reply {
    finished((action, Caller::default()))
}

fn finished((action, caller): (Action, Caller)) -> Reply {
    match action {
        Action::Reply(draft) => caller.finish(draft),
        other => panic!("{other:?}"),
    }
}

/// The JSON of a body, without the line end after it.
fn line(reply: &Reply) -> &str {
    core::str::from_utf8(&reply.body).unwrap().strip_suffix('\n').unwrap()
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

#[test]
fn unknown_paths_give_404_and_unsupported_methods_405() {
    for (method, target, status, allow) in [
        ("POST", "/", 405, Some("GET, HEAD")),
        ("GET", "/event", 404, None),
        ("BREW", "/nothing", 404, None),
        ("POST", "/events/aggregate", 405, Some("GET, HEAD")),
        ("DELETE", "/events/types", 405, Some("GET, HEAD")),
        ("GET", "/events/types/", 404, None),
        ("POST", "/events/stream", 405, Some("GET, HEAD")),
        ("PUT", "/events", 405, Some("GET, HEAD, POST, DELETE")),
        ("OPTIONS", "/events", 405, Some("GET, HEAD, POST, DELETE")),
        ("BREW", "/events", 405, Some("GET, HEAD, POST, DELETE")),
        ("POST", "/events/x", 405, Some("GET, HEAD")),
        ("POST", "/health", 405, Some("GET, HEAD")),
        ("POST", "/metrics", 405, Some("GET, HEAD")),
        ("PUT", "/openapi.json", 405, Some("GET, HEAD")),
        ("get", "/events", 400, None),
        ("GET", "/events?x=%", 400, None),
    ] {
        let reply = replied(act(method, target, &[]));
        assert_eq!((reply.status, reply.header("allow")), (status, allow), "{method} {target}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert_eq!(body(&reply)["status"], status);
        assert_eq!(reply.problem.unwrap().status(), status);
    }
}

#[test]
fn head_is_get_without_a_body() {
    for target in ["/health", "/health/live", "/health/ready", "/openapi.json", "/", "/nothing", "/events?x=1"] {
        for fields in [&[][..], &[("accept-encoding", "gzip")]] {
            let reply = |method| finished(handle(&Api::new(LIMITS), &ServiceState::default(), method, target, fields));
            let (get, mut head) = (reply("GET"), reply("HEAD"));
            assert!(head.body.is_empty() && !get.body.is_empty());
            assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{target}");
            head.headers.retain(|(name, _)| *name != "content-length");
            assert_eq!((get.status, get.headers), (head.status, head.headers), "{target}");
        }
    }
}

#[test]
fn only_health_and_metrics_are_served_while_draining() {
    let failure = Failure::Failed("disk".into());
    let draining = ServiceState { draining: true, repository: Some(&failure), ..ServiceState::default() };
    for (method, target) in
        [("POST", "/events"), ("GET", "/events"), ("GET", "/openapi.json"), ("GET", "/"), ("GET", "/nothing")]
    {
        let reply = replied(act_when(&draining, method, target, &[JSON]));
        assert_eq!((reply.status, reply.close, reply.problem), (503, true, Some(ProblemKind::Draining)));
        assert!(reply.header("retry-after").is_some());
    }
    assert_eq!(replied(act_when(&draining, "get", "/events", &[])).status, 400, "the request line comes first");
    assert_eq!(replied(act_when(&draining, "GET", "/health", &[])).status, 200);
    assert_eq!(replied(act_when(&draining, "GET", "/health/live", &[])).status, 200);
    assert_eq!(replied(act_when(&draining, "GET", "/health/ready", &[])).status, 503);
    assert!(matches!(act_when(&draining, "GET", "/metrics", &[]), Action::Metrics(_)));
}

#[test]
fn reads_are_served_while_the_repository_accepts_no_commits() {
    let failure = Failure::Unavailable("connect: timeout".into());
    let unavailable = ServiceState { repository: Some(&failure), ..ServiceState::default() };
    let reply = replied(act_when(&unavailable, "POST", "/events", &[]));
    assert_eq!((reply.status, reply.problem), (503, Some(ProblemKind::StorageUnavailable)));
    assert!(reply.header("retry-after").is_some());
    let failure = Failure::Failed("fdatasync: EIO".into());
    let failed = ServiceState { repository: Some(&failure), ..ServiceState::default() };
    let reply = replied(act_when(&failed, "POST", "/events", &[]));
    assert_eq!((reply.status, reply.problem), (503, Some(ProblemKind::StorageFailed)));
    assert!(body(&reply)["detail"].as_str().unwrap().contains("fdatasync: EIO"));
    assert!(matches!(act_when(&failed, "GET", "/events", &[]), Action::Read(_)));
    assert!(matches!(act_when(&failed, "GET", "/events/x", &[]), Action::Read(_)));
    assert_eq!(replied(act_when(&failed, "PUT", "/events", &[])).status, 405);
}

#[test]
fn health_and_metrics_are_not_cached() {
    let reply = replied(act("GET", "/health?t=1", &[]));
    assert_eq!(
        (reply.header("content-type"), reply.header("cache-control")),
        (Some("application/health+json"), Some("no-store"))
    );
    let (Action::Metrics(metrics), caller) =
        handle(&Api::new(LIMITS), &ServiceState::default(), "HEAD", "/metrics", &[])
    else {
        panic!("no metrics")
    };
    let reply = caller.finish(metrics.reply("# HELP".into()));
    assert_eq!((reply.header("content-length"), reply.body.len()), (Some("6"), 0));
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}

#[test]
fn invalid_request_ids_are_replaced() {
    let id_of = |ids: &[&str]| {
        let headers: Vec<_> = ids.iter().map(|id| ("x-request-id", id.as_bytes())).collect();
        Api::request_id(&RequestHead { headers: &headers, ..RequestHead::default() }, 0xabc)
    };
    assert_eq!(id_of(&["!~"]), "!~");
    let longest = "x".repeat(128);
    assert_eq!(id_of(&[&longest]), longest);
    for ids in [&[][..], &[""], &["a b"], &["é"], &["a\u{7f}"], &["a", "a"], &[&"x".repeat(129)]] {
        assert_eq!(id_of(ids), "0000000000000abc", "{ids:?}");
    }
}

#[test]
fn heads_beyond_the_limits_are_refused_before_anything_else() {
    let fields: Vec<(&str, &[u8])> = (0..101).map(|_| ("x", b"".as_slice())).collect();
    let long = format!("/{}", "x".repeat(LIMITS.uri_bytes_max));
    for (target, fields, status) in
        [("no form", fields.as_slice(), 431), (long.as_str(), &[], 414), (long.as_str(), fields.as_slice(), 414)]
    {
        let head = RequestHead { method: "get", target, headers: fields, ..RequestHead::default() };
        let draining = ServiceState { draining: true, ..ServiceState::default() };
        let reply = replied(Api::new(LIMITS).handle_request(&head, &draining).0);
        assert_eq!((reply.status, reply.close, reply.route), (status, true, Route::Other), "{target:.20}");
    }
    let longest = format!("/{}", "x".repeat(LIMITS.uri_bytes_max - 1));
    assert_eq!(replied(act("GET", &longest, &[])).status, 404);
}

#[test]
fn refusals_have_a_status_and_close_the_connection_where_needed() {
    let api = Api::new(LIMITS);
    for (refusal, status, close) in [
        (Refusal::BodyTooLarge, 413, true),
        (Refusal::BodyTimeout, 408, true),
        (Refusal::BodyBroken, 400, true),
        (Refusal::Overloaded, 503, false),
        (Refusal::UriTooLong, 414, true),
        (Refusal::HeadTooLarge, 431, true),
        (Refusal::QueryTime, 503, false),
        (Refusal::QueryBytes, 422, false),
        (Refusal::AddressFull, 503, true),
        (Refusal::Timeout, 503, false),
        (Refusal::Draining, 503, true),
        (Refusal::Internal, 500, false),
    ] {
        let reply = Caller::default().finish(api.refuse(Route::Events, &refusal));
        assert_eq!((reply.status, reply.close, reply.route), (status, close, Route::Events), "{refusal:?}");
        assert_eq!(reply.header("retry-after").is_some(), status == 503);
    }
}
