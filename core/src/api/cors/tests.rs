//! Tests of CORS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use alloc::string::ToString as _;

use super::*;

fn with<T>(fields: &[(&str, &str)], test: impl FnOnce(&RequestHead<'_>) -> T) -> T {
    let headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    test(&RequestHead { method: "OPTIONS", target: "/events", headers: &headers, ..RequestHead::default() })
}

fn cors(origins: &[&str]) -> Cors {
    Cors::new(origins.iter().map(|origin| origin.parse().unwrap()))
}

#[test]
fn origins_are_read_as_browsers_write_them() {
    for (text, origin) in [
        ("https://app.example", "https://app.example"),
        ("HTTPS://App.Example:443", "https://app.example"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("https://a.example:80", "https://a.example:80"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://192.168.0.1", "http://192.168.0.1"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", "null"),
    ] {
        assert_eq!(text.parse(), Ok(CorsOrigin::Exact(origin.into())), "{text}");
    }
    assert_eq!("*".parse(), Ok(CorsOrigin::Any));
    for (text, reason) in [
        ("app.example", "no scheme"),
        ("https://app.example/", "not even a slash"),
        ("https://app.example/a", "no path"),
        ("https://*.example", "no wildcard"),
        ("https://", "host"),
        ("https://a b", "host"),
        ("https://user@a", "host"),
        ("https://a:b", "port"),
        ("https://a:+1", "port"),
        ("https://a:70000", "port"),
        ("https://[::1", "port"),
        ("https://bücher.example", "xn--"),
        ("1://a", "scheme"),
        ("", "no scheme"),
        ("Null", "no scheme"),
    ] {
        let error = text.parse::<CorsOrigin>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn only_listed_origins_share_answers() {
    let listed = cors(&["https://a.example", "null"]);
    let sharing = |cors: &Cors, fields: &[(&str, &str)]| with(fields, |head| cors.sharing(head));
    assert_eq!(sharing(&listed, &[("origin", "https://a.example")]), Sharing::With("https://a.example".into()));
    assert_eq!(sharing(&listed, &[("origin", "null")]), Sharing::With("null".into()));
    for other in ["https://b.example", "http://a.example", "https://a.example:8443", "https://A.example", ""] {
        assert_eq!(sharing(&listed, &[("origin", other)]), Sharing::Withheld, "{other}");
    }
    let twice = [("origin", "https://a.example"), ("origin", "https://a.example")];
    assert_eq!(sharing(&listed, &twice), Sharing::Withheld);
    assert_eq!(sharing(&listed, &[]), Sharing::Withheld, "a cache must not give this answer to a page");
    assert_eq!(sharing(&cors(&["*"]), &[("origin", "https://b.example")]), Sharing::WithAll);
    assert_eq!(sharing(&cors(&["https://a.example", "*"]), &[]), Sharing::WithAll);
    assert_eq!(sharing(&Cors::default(), &[("origin", "https://a.example")]), Sharing::Off);
    assert_eq!(sharing(&cors(&["https://a.example"]), &[("origin", "null")]), Sharing::Withheld);
}

#[test]
fn a_preflight_is_an_options_request_with_both_fields() {
    let listed = cors(&["https://a.example"]);
    let asks = ("access-control-request-method", "POST");
    let from = |origin| [("origin", origin), asks];
    let status = |cors: &Cors, fields: &[(&str, &str)]| {
        with(fields, |head| cors.preflight(head, Route::Events)).map(|answer| match answer {
            Ok(reply) => reply.status,
            Err(problem) => problem.problem.kind.status(),
        })
    };
    assert_eq!(status(&listed, &from("https://a.example")), Some(204));
    assert_eq!(status(&listed, &from("https://b.example")), Some(403));
    assert_eq!(status(&cors(&["*"]), &from("https://b.example")), Some(204));
    assert_eq!(status(&Cors::default(), &from("https://a.example")), None);
    assert_eq!(status(&listed, &[asks]), None);
    assert_eq!(status(&listed, &[("origin", "https://a.example")]), None);
}

#[test]
fn a_preflight_allows_known_and_requested_fields() {
    let reply = |cors: &Cors, fields: &[(&'static str, &'static str)]| {
        let head = [("origin", "https://a.example"), ("access-control-request-method", "GET")];
        let fields: Vec<_> = head.into_iter().chain(fields.iter().copied()).collect();
        with(&fields, |head| cors.preflight(head, Route::Event)).unwrap().unwrap()
    };
    let listed = cors(&["https://a.example"]);
    let plain = reply(&listed, &[]);
    assert_eq!(plain.header("access-control-allow-methods"), Some("GET, HEAD"));
    assert!(plain.header("access-control-allow-headers").unwrap().starts_with("authorization, "));
    assert_eq!(plain.header("access-control-allow-private-network"), None);
    let requested = ("access-control-request-headers", "Authorization, X-Trace, a b, x-trace");
    let fields = reply(&listed, &[requested]);
    assert!(fields.header("access-control-allow-headers").unwrap().ends_with("x-request-id, x-trace"));
    let private = ("access-control-request-private-network", "true");
    assert_eq!(reply(&listed, &[private]).header("access-control-allow-private-network"), Some("true"));
    assert_eq!(reply(&cors(&["*"]), &[private]).header("access-control-allow-private-network"), None);
}

#[test]
fn upgrades_come_from_this_origin_or_an_allowed_one() {
    let check = |cors: &Cors, host: &str, origin: &str| {
        with(&[("host", host), ("origin", origin)], |head| cors.check_upgrade(head).is_ok())
    };
    let off = Cors::default();
    for (host, origin) in [
        ("localhost:3000", "http://localhost:3000"),
        ("LocalHost:3000", "http://localhost:3000"),
        ("events.example", "https://events.example"),
        ("events.example:443", "https://events.example"),
        ("events.example", "http://events.example:80"),
        ("[::1]:3000", "http://[::1]:3000"),
    ] {
        assert!(check(&off, host, origin), "{host} {origin}");
    }
    for (host, origin) in [
        ("localhost:3000", "http://localhost:3001"),
        ("localhost", "http://localhost:3000"),
        ("events.example", "https://evil.example"),
        ("events.example", "null"),
        ("", "http://"),
        ("events.example", ""),
        ("events.example", "events.example"),
    ] {
        assert!(!check(&off, host, origin), "{host} {origin}");
    }
    assert!(check(&cors(&["https://a.example"]), "events.example", "https://a.example"));
    assert!(check(&cors(&["*"]), "events.example", "null"));
    assert!(with(&[("host", "events.example")], |head| off.check_upgrade(head).is_ok()), "no browser");
    let problem = with(&[("host", "x"), ("origin", "https://a.example")], |head| off.check_upgrade(head)).unwrap_err();
    assert_eq!(problem.problem.kind, ProblemKind::OriginNotAllowed);
    assert!(problem.problem.detail.contains("https://a.example") && problem.problem.detail.contains("--cors-origin"));
}
