//! Unit tests of what every reply has: fields for browsers, content codings, validators.

use alloc::collections::BTreeSet;
use alloc::string::String;

use super::*;
use crate::event::Timestamp;

const PAGE: (&str, &str) = ("origin", "https://app.example");

fn api(origins: &[&str]) -> Api {
    Api::new(LIMITS).with_cors(Cors::new(origins.iter().map(|origin| origin.parse().unwrap())))
}

fn reply(api: &Api, method: &str, target: &str, fields: &[(&str, &str)]) -> Reply {
    finished(handle(api, &ServiceState::default(), method, target, fields))
}

#[test]
fn without_origins_nothing_depends_on_the_origin() {
    let off = api(&[]);
    let preflight = [PAGE, ("access-control-request-method", "POST")];
    for (method, target) in [("GET", "/health"), ("OPTIONS", "/events"), ("GET", "/nothing")] {
        let plain = reply(&off, method, target, &[]);
        assert_eq!(reply(&off, method, target, &preflight), plain);
        assert!(!plain.headers.iter().any(|(name, _)| name.starts_with("access-control-")));
        assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(reply(&off, "OPTIONS", "/events", &preflight).status, 405);
}

#[test]
fn every_answer_can_be_read_by_an_allowed_page() {
    let listed = api(&["https://app.example"]);
    for (method, target) in [("GET", "/health"), ("GET", "/nothing"), ("PUT", "/events"), ("GET", "/events?x=1")] {
        let shared = reply(&listed, method, target, &[PAGE]);
        assert_eq!(shared.header("access-control-allow-origin"), Some("https://app.example"), "{target}");
        assert!(shared.header("access-control-expose-headers").unwrap().contains("x-request-id"));
        assert!(shared.header("vary").unwrap().ends_with("origin"));
        let other = reply(&listed, method, target, &[("origin", "https://evil.example")]);
        assert_eq!((other.status, other.header("access-control-allow-origin")), (shared.status, None));
        assert!(other.header("vary").unwrap().ends_with("origin"));
    }
    let refused = listed.refuse(Route::Events, &Refusal::Overloaded);
    let (_, caller) = handle(&listed, &ServiceState::default(), "POST", "/events", &[PAGE]);
    assert_eq!(caller.finish(refused).header("access-control-allow-origin"), Some("https://app.example"));
    let any = reply(&api(&["*"]), "GET", "/health", &[PAGE]);
    assert_eq!(any.header("access-control-allow-origin"), Some("*"));
    assert_eq!(any.header("vary"), Some("accept-encoding"));
}

#[test]
fn a_preflight_comes_after_the_drain_and_before_the_route() {
    let listed = api(&["https://app.example"]);
    let preflight = [PAGE, ("access-control-request-method", "POST")];
    for target in ["/events", "/events/x", "/nothing"] {
        let allowed = reply(&listed, "OPTIONS", target, &preflight);
        assert_eq!((allowed.status, allowed.body.len(), allowed.header("content-type")), (204, 0, None), "{target}");
        assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    }
    let draining = ServiceState { draining: true, ..ServiceState::default() };
    assert_eq!(finished(handle(&listed, &draining, "OPTIONS", "/events", &preflight)).status, 503);
    let evil = [("origin", "https://evil.example"), preflight[1]];
    let refused = reply(&listed, "OPTIONS", "/events", &evil);
    assert_eq!((refused.status, refused.problem), (403, Some(ProblemKind::OriginNotAllowed)));
    assert_eq!(reply(&listed, "OPTIONS", "/events", &[PAGE]).status, 405, "no preflight");
}

#[test]
fn a_preflight_with_many_names_gets_the_first_ones() {
    let names: Vec<String> = (0..1_000).map(|number| alloc::format!("x-{number}")).collect();
    let names = names.join(",");
    let fields = [PAGE, ("access-control-request-method", "POST"), ("access-control-request-headers", &names)];
    let answer = reply(&api(&["*"]), "OPTIONS", "/events", &fields);
    assert!(answer.header("access-control-allow-headers").unwrap().ends_with(", x-62, x-63"));
}

#[test]
fn a_short_answer_that_has_to_be_coded_varies() {
    let unknown = |accepted: &str| reply(&Api::new(LIMITS), "POST", "/nothing", &[("accept-encoding", accepted)]);
    let coded = unknown("gzip, identity;q=0");
    assert_eq!((coded.header("content-encoding"), coded.header("vary")), (Some("gzip"), Some("accept-encoding")));
    let plain = unknown("gzip");
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, None));
}

#[test]
fn operations_that_need_a_key_say_how_it_is_sent() {
    let document: Value = serde_json::from_slice(&reply(&Api::new(LIMITS), "GET", "/openapi.json", &[]).body).unwrap();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, value)| value.is_object()) {
            let (needs_key, security) = (operation["responses"].get("401").is_some(), operation.get("security"));
            assert_eq!(security.is_some(), needs_key, "{method} {path}");
            assert_eq!(operation["responses"].get("403").is_some(), needs_key, "{method} {path}");
            let takes_query = matches!((&**method, &**path), ("post", "/events") | (_, "/events/stream"));
            let schemes = security.map_or(0, |security| security.as_array().unwrap().len());
            assert_eq!(
                schemes,
                if takes_query {
                    3
                } else if needs_key {
                    2
                } else {
                    0
                },
                "{method} {path}"
            );
        }
    }
}

#[test]
fn beacons_are_json_when_pages_are_allowed() {
    let beacon = ("content-type", "text/plain;charset=UTF-8");
    let submitted =
        |api: &Api, fields: &[(&str, &str)]| match handle(api, &ServiceState::default(), "POST", "/events", fields) {
            (Action::Submit(submission), _) => {
                let body = b"{\"event_type\":\"a\",\"timestamp\":1,\"payload\":1}";
                match submission.handle_body(body, Timestamp::from_nanos(0)) {
                    Submitted::Commit(batch, _) => Ok(batch.len()),
                    Submitted::Reply(draft) => Err(draft.0),
                }
            }
            action => Err(finished(action)),
        };
    let listed = api(&["https://app.example"]);
    assert_eq!(submitted(&listed, &[beacon, PAGE]), Ok(1));
    assert_eq!(submitted(&listed, &[beacon]), Ok(1), "not from a browser");
    assert_eq!(submitted(&listed, &[beacon, ("origin", "http://localhost")]), Ok(1), "the server's own origin");
    let foreign = submitted(&listed, &[beacon, ("origin", "https://evil.example")]).unwrap_err();
    assert_eq!(foreign.problem, Some(ProblemKind::OriginNotAllowed));
    let off = submitted(&api(&[]), &[beacon, PAGE]).unwrap_err();
    assert_eq!(off.status, 415);
    assert!(body(&off)["detail"].as_str().unwrap().contains("--cors-origin"));
    let latin = [("content-type", "text/plain; charset=latin1"), PAGE];
    assert_eq!(submitted(&listed, &latin).unwrap_err().status, 415);
}

#[test]
fn other_names_of_the_server_are_misdirected() {
    let named = Api::new(LIMITS).with_hosts(AllowedHosts::new(["events.example".parse().unwrap()]));
    let status = |host| reply(&named, "GET", "/health", &[("host", host)]).status;
    assert_eq!((status("events.example:3000"), status("localhost"), status("evil.example")), (200, 200, 421));
    assert_eq!(reply(&named, "GET", "/health", &[("host", "a b")]).status, 400);
}

#[test]
fn the_openapi_document_is_validated_by_its_tag() {
    let get = |method: &str, fields: &[(&str, &str)]| reply(&Api::new(LIMITS), method, "/openapi.json", fields);
    let plain = get("GET", &[]);
    let tag = String::from(plain.header("etag").unwrap());
    assert_eq!((plain.status, plain.header("cache-control")), (200, Some("no-cache")));
    for method in ["GET", "HEAD"] {
        for value in [&*tag, "*", &alloc::format!("\"x\", W/{tag}")] {
            let known = get(method, &[("if-none-match", value)]);
            assert_eq!((known.status, known.body.len(), known.header("content-length")), (304, 0, None), "{value}");
            assert_eq!((known.header("etag"), known.header("vary")), (Some(&*tag), Some("accept-encoding")));
            assert_eq!(known.header("content-type"), None);
        }
    }
    let gzip = ("accept-encoding", "gzip");
    let coded = get("GET", &[gzip]);
    assert_eq!(coded.header("content-encoding"), Some("gzip"));
    assert!(coded.body.len() * 3 < plain.body.len());
    let coded_tag = String::from(coded.header("etag").unwrap());
    assert_ne!(coded_tag, tag);
    assert_eq!(get("GET", &[gzip, ("if-none-match", &tag)]).status, 200, "another representation");
    assert_eq!(get("GET", &[gzip, ("if-none-match", &coded_tag)]).status, 304);
}

#[test]
fn pages_may_read_every_field_of_an_answer() {
    let document: Value = serde_json::from_slice(&reply(&Api::new(LIMITS), "GET", "/openapi.json", &[]).body).unwrap();
    let exposed: BTreeSet<&str> = cors::EXPOSED_FIELDS.split(", ").collect();
    // Those that every page may read (Fetch Standard, "CORS-safelisted response-header name").
    let safe = ["cache-control", "content-language", "content-length", "content-type", "expires", "last-modified"];
    let mut seen = 0;
    // Not those of `components/headers`, whose keys are names of descriptions.
    let mut waiting = alloc::vec![&document["paths"], &document["components"]["responses"]];
    while let Some(value) = waiting.pop() {
        if let Some(Value::Object(headers)) = value.get("headers") {
            for name in headers.keys().map(|name| name.to_ascii_lowercase()) {
                // For the browser alone, or for whatever is between it and the server.
                let is_for_others = name.starts_with("access-control-")
                    || name.starts_with("sec-websocket-")
                    || ["x-content-type-options", "x-accel-buffering", "connection", "upgrade"].contains(&&*name);
                assert!(is_for_others || safe.contains(&&*name) || exposed.contains(&*name), "{name}");
                seen += 1;
            }
        }
        match value {
            Value::Object(members) => waiting.extend(members.values()),
            Value::Array(elements) => waiting.extend(elements),
            _ => {}
        }
    }
    assert!(seen > 10);
}
