//! Keys, rate limits, and the order of all checks.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use std::sync::Mutex;

use super::*;
use crate::auth::{KeyHash, Keys};
use crate::clock::Moment;
use crate::event::Timestamp;
use crate::ingest::FaultCode;
use crate::limit::{AddressTable, ClientNetwork, Meter, Quota, Quotas, Rate, Verdict};

/// The meters of a host, with a limit of requests by address, and the quotas of its keys.
#[derive(Debug)]
struct Host {
    addresses: Option<Mutex<AddressTable>>,
    keys: Keys,
    meters: Mutex<Vec<Meter>>,
    proxies: Proxies,
}

impl Meters for Host {
    fn admit_client(&self, client: ClientNetwork, has_body: bool, now: Duration) -> Option<Verdict> {
        Some(self.addresses.as_ref()?.lock().unwrap().admit(client, has_body, now))
    }

    fn charge_client(&self, client: ClientNetwork, bytes: u64, now: Duration) {
        self.addresses.as_ref().unwrap().lock().unwrap().charge(client, bytes, now);
    }

    fn admit_key(&self, key: usize, has_body: bool, now: Duration) -> Option<Verdict> {
        let quotas = &self.keys.as_slice()[key].quotas;
        (!quotas.is_empty()).then(|| self.meters.lock().unwrap()[key].admit(quotas, has_body, now))
    }

    fn charge_key(&self, key: usize, bytes: u64, now: Duration) {
        self.meters.lock().unwrap()[key].charge(&self.keys.as_slice()[key].quotas, bytes, now);
    }
}

impl Host {
    /// Keys whose text is their name.
    fn new(by_address: Quotas) -> Self {
        let entry = |(name, more): &(&str, &str)| {
            format!("[[key]]\nname = '{name}'\nsha256 = '{}'\n{more}\n", KeyHash::of(name))
        };
        let file: String = [
            ("all", "scopes = ['write', 'read', 'stream', 'erase', 'metrics']"),
            ("web", "scopes = ['write', 'read']\ntypes = ['web.*']"),
            ("slow", "scopes = ['read', 'write']\nrate = '1/m'\nrate_bytes = '100/m'"),
            ("old", "scopes = ['read']\nexpires = 1971-01-01T00:00:00Z"),
        ]
        .iter()
        .map(entry)
        .collect();
        let addresses = (!by_address.is_empty()).then(|| AddressTable::new(by_address, 64, 1).into());
        let (keys, meters) = (Keys::parse(&file).unwrap(), vec![Meter::default(); 4].into());
        Self { addresses, keys, meters, proxies: Proxies::from(vec!["10.0.0.0/8".parse().unwrap()]) }
    }

    fn at(&self, seconds: u64, method: &str, target: &str, fields: &[(&str, &str)]) -> (Action, Caller) {
        let wall = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let now = Moment { wall, uptime: Duration::from_secs(seconds) };
        let gate = Gate { now, proxies: &self.proxies, meters: self, keys: Some(&self.keys) };
        let state = ServiceState { gate: Some(gate), ..ServiceState::default() };
        let mut headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        headers.push(("host", b"localhost"));
        let peer = Some("192.0.2.1".parse().unwrap());
        let head = RequestHead { method, target, headers: &headers, http_10: false, peer };
        Api::new(LIMITS).handle_request(&head, &state)
    }

    fn act(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Action {
        self.at(0, method, target, fields).0
    }

    fn refusal(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Reply {
        replied(self.act(method, target, fields))
    }
}

fn open() -> Host {
    Host::new(Quotas::default())
}

fn limited(requests: &str) -> Host {
    Host::new(Quotas { requests: Some(Quota::new(Rate::parse_requests(requests).unwrap(), None)), bytes: None })
}

/// Credentials with this key.
fn bearer(key: &'static str) -> (&'static str, &'static str) {
    let field = match key {
        "all" => "Bearer all",
        "web" => "bearer   web",
        "slow" => "BEARER slow",
        "old" => "Bearer old",
        other => panic!("{other}"),
    };
    ("authorization", field)
}

#[test]
fn a_key_opens_what_it_has_the_scope_for() {
    let host = open();
    assert!(matches!(host.act("GET", "/events", &[bearer("all")]), Action::Read(_)));
    assert!(matches!(host.act("HEAD", "/events/x", &[bearer("web")]), Action::Read(_)));
    assert!(matches!(host.act("POST", "/events", &[bearer("web"), JSON]), Action::Submit(_)));
    assert!(matches!(host.act("POST", "/events?key=web", &[JSON]), Action::Submit(_)));
    assert!(matches!(host.act("GET", "/metrics", &[bearer("all")]), Action::Metrics(_)));
    let forbidden = host.refusal("GET", "/metrics", &[bearer("web")]);
    assert_eq!((forbidden.status, forbidden.problem), (403, Some(ProblemKind::Forbidden)));
    assert!(body(&forbidden)["detail"].as_str().unwrap().contains("'metrics'"));
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"metrics\"";
    assert_eq!(forbidden.header("www-authenticate"), Some(challenge));
}

#[test]
fn without_a_valid_key_only_health_and_the_description_are_open() {
    let host = open();
    for target in ["/health", "/health/live", "/health/ready", "/openapi.json", "/"] {
        for fields in [&[][..], &[bearer("old")]] {
            assert!(host.refusal("GET", target, fields).status < 400, "{target}");
        }
    }
    let routes = [
        ("GET", "/events"),
        ("HEAD", "/events/x"),
        ("POST", "/events"),
        ("PUT", "/events"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("GET", "/events?key=all"),
    ];
    for (method, target) in routes {
        let reply = host.refusal(method, target, &[]);
        assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")), "{method} {target}");
        let basic = host.refusal(method, target, &[("authorization", "Basic YTpi")]);
        assert_eq!((basic.status, basic.header("www-authenticate")), (401, Some("Bearer")));
        // Nothing tells an unknown key from an expired or a malformed one.
        let invalid = ["Bearer nobody", "Bearer old", "Bearer", "Bearer a b", "Bearer \u{fc}", "Bearer all,"];
        let replies: Vec<_> =
            invalid.iter().map(|field| host.refusal(method, target, &[("authorization", field)])).collect();
        assert_eq!(replies[0].header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:?}");
    }
    assert_eq!(host.refusal("GET", "/nothing", &[bearer("web")]).status, 404);
    assert_eq!(host.refusal("PUT", "/events", &[bearer("web")]).status, 405);
}

#[test]
fn credentials_for_a_proxy_are_no_key() {
    let host = open();
    let basic = ("authorization", "Basic YTpi");
    assert!(matches!(host.act("POST", "/events?key=web", &[basic, JSON]), Action::Submit(_)));
    assert!(matches!(host.act("GET", "/events/stream?key=all", &[basic]), Action::Stream(_)));
    assert_eq!(host.refusal("GET", "/events?key=all", &[basic]).status, 401, "not taken from this query");
    assert_eq!(host.refusal("POST", "/events?key=nobody", &[basic, JSON]).status, 401);
    assert_eq!(host.refusal("POST", "/events", &[basic, bearer("all"), JSON]).status, 400, "two fields");
}

#[test]
fn one_request_has_one_key() {
    let host = open();
    for (target, fields) in [
        ("/events?key=all", &[bearer("all")][..]),
        ("/events?key=all&key=all", &[]),
        ("/events", &[bearer("all"), bearer("web")]),
    ] {
        let reply = host.refusal("POST", target, fields);
        assert_eq!((reply.status, reply.problem), (400, Some(ProblemKind::BadRequest)), "{target}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("all"));
    }
    assert!(matches!(act("POST", "/events?key=whatever", &[JSON]), Action::Submit(_)), "no keys, so it is ignored");
}

#[test]
fn other_types_are_refused_and_invisible() {
    let host = open();
    let submit = |body: &str, fields: &[(&str, &str)]| match host.act("POST", "/events", fields) {
        Action::Submit(submission) => submission.handle_body(body.as_bytes(), Timestamp::from_nanos(0)),
        other => panic!("{other:?}"),
    };
    let event = |name: &str| format!(r#"{{"event_type":"{name}","timestamp":0,"payload":1}}"#);
    let both = format!("[{},{}]", event("web.a"), event("app.b"));
    let Submitted::Reply(Draft(reply)) = submit(&both, &[bearer("web"), JSON]) else { panic!("refused") };
    assert_eq!((reply.status, &reply.rejected[..]), (422, &[(FaultCode::TypeNotPermitted, 1)][..]));
    assert_eq!(body(&reply)["errors"][0]["pointer"], "#/1/event_type");
    let Submitted::Commit(batch, _) = submit(&both, &[bearer("web"), JSON, ("prefer", "handling=lenient")]) else {
        panic!("stored")
    };
    assert_eq!(batch.len(), 1);
    assert!(matches!(submit(&both, &[bearer("all"), JSON]), Submitted::Commit(..)));
}

#[test]
fn limits_are_told_and_kept() {
    let host = limited("2/m");
    for left in [1, 0] {
        let (action, caller) = host.at(0, "GET", "/openapi.json", &[]);
        let reply = finished((action, caller));
        assert_eq!((reply.status, reply.header("ratelimit-policy")), (200, Some("\"default\";q=2;w=60")));
        let standing = format!("\"default\";r={left};t={}", 30 * (2 - left));
        assert_eq!(reply.header("ratelimit"), Some(standing.as_str()));
    }
    let (action, caller) = host.at(1, "GET", "/openapi.json", &[]);
    let reply = finished((action, caller));
    assert_eq!((reply.status, reply.problem, reply.close), (429, Some(ProblemKind::TooManyRequests), false));
    assert_eq!((reply.header("retry-after"), reply.header("ratelimit")), (Some("29"), Some("\"default\";r=0;t=59")));
    assert_eq!(host.refusal("GET", "/health", &[]).status, 200);
    assert_eq!(replied(host.at(30, "GET", "/openapi.json", &[]).0).status, 200);
}

#[test]
fn a_key_has_its_own_limits() {
    let host = open();
    let post = |seconds| host.at(seconds, "POST", "/events", &[bearer("slow"), JSON, ("content-length", "10")]);
    let (action, mut caller) = post(0);
    assert!(matches!(action, Action::Submit(_)));
    caller.charge(&host, Duration::ZERO, 300);
    let reply = caller.finish(host.refusal("GET", "/", &[]).into());
    assert_eq!(
        (reply.header("ratelimit-policy"), reply.header("ratelimit")),
        (
            Some("\"key\";q=1;w=60, \"key-bytes\";q=100;w=60;qu=\"content-bytes\""),
            Some("\"key\";r=0;t=60, \"key-bytes\";r=0;t=180")
        )
    );
    // 200 bytes of debt, and one to go on with.
    assert_eq!(replied(post(60).0).header("retry-after"), Some("61"));
    assert!(matches!(host.at(60, "GET", "/events", &[bearer("slow")]).0, Action::Read(_)), "it has no body");
    assert!(matches!(post(121).0, Action::Submit(_)));
    assert!(matches!(host.act("GET", "/events", &[bearer("all")]), Action::Read(_)));
}

/// Each request fails all checks from one on; the first of them decides.
#[test]
fn checks_have_an_order() {
    let status = |host: &Host, method, target, fields: &[(&str, &str)]| host.refusal(method, target, fields).status;
    let host = limited("1/h");
    assert_eq!(status(&host, "get", "/nothing", &[]), 400, "the request line");
    assert_eq!(status(&host, "PUT", "/events", &[]), 401, "the key, which this request is counted for");
    assert_eq!(status(&host, "PUT", "/events", &[]), 429, "the limit by address before the key");
    assert_eq!(status(&host, "GET", "/nothing", &[bearer("all")]), 429);
    let host = open();
    let slow = [bearer("slow")];
    assert_eq!(status(&host, "GET", "/metrics", &slow), 403, "the scope, which is not counted");
    assert_eq!(status(&host, "GET", "/nothing", &slow), 404);
    assert_eq!(status(&host, "PUT", "/events", &slow), 429, "the limit by key before the method");
    assert_eq!(status(&host, "PUT", "/events", &[]), 401, "the key before the method");
    let host = open();
    assert_eq!(status(&host, "PUT", "/events?x=1", &slow), 405, "the method before parameters");
    let host = open();
    assert_eq!(status(&host, "POST", "/events?x=1", &slow), 400, "parameters before the fields of the body");
    let host = open();
    assert_eq!(status(&host, "POST", "/events", &slow), 415);
}

#[test]
fn nothing_shows_a_key() {
    let headers = [("authorization", &b"Bearer SECRET"[..])];
    let target = "/events?k%65y=SECRET";
    let head = RequestHead { method: "POST", target, headers: &headers, http_10: false, peer: None };
    let shown = format!("{head:?}");
    assert!(shown.contains("key=[redacted]") && !shown.contains("SECRET"), "{shown}");
    for target in [
        "/events?key%3DSECRET",
        "/events?key=SECRET%",
        "/events?key=SECRET",
        "/events?key=SECRET&x=1",
        "/events/x?key%3DSECRET",
        "/events/x?key=SECRET",
        "/events%3Fkey=SECRET%",
        "/events%3Fkey=SE/SECRET%",
        "/events/stream?type=a%26key=SECRET%zz",
        "/events?type=a%26key=SECRET%ff",
        "/events?a%26key=SECRET%zz",
        "/events?a%26key%3DSECRET",
        "/events/x?a%26key%3DSECRET",
    ] {
        let reply = replied(act("GET", target, &[]));
        assert!(reply.status == 400 && !String::from_utf8_lossy(&reply.body).contains("SECRET"), "{target}");
    }
}
