//! API keys: who may do what. `key_types` is about keys that are restricted to event types, `key_file` about the file
//! of keys.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::case::{Case, cases};
use crate::client::{Request, Response};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["keys";
    "Keys, limits, browsers": [
        everything_is_open_without_keys, a_valid_key_is_needed, health_and_the_description_are_open,
        invalid_keys_are_alike, a_key_has_scopes, a_key_in_the_query, only_one_key, answers_to_head,
        a_key_has_its_own_limits, what_a_key_does_is_counted,
    ],
    "Order of checks": [checks_have_an_order],
];

/// A key and its SHA-256.
pub(super) struct Key {
    pub(super) text: &'static str,
    sha256: &'static str,
}

pub(super) const ALL: Key = Key {
    text: "argus_all0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcd",
    sha256: "027ddf245fbbe510c131cb985dd30e0c2a07169fef36c11fa2ba00cc26641293",
};
pub(super) const WEB: Key = Key {
    text: "argus_web0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcd",
    sha256: "dbfab16103691e83138a8789d3dec4968c9dd21e8734c8ff0fe30157cc1f5f18",
};
pub(super) const OLD: Key = Key {
    text: "argus_old0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcd",
    sha256: "24f7fa9f9cbf34e804f542e8b4d1ebd8896eddaff45ad5df9cd34be1b8332012",
};
pub(super) const SLOW: Key = Key {
    text: "argus_slow0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabc",
    sha256: "594fb26769d5f5a3861b7db38fde5f87dd96e34a6b39db307f2970b3914e87bc",
};
pub(super) const NEXT: Key = Key {
    text: "argus_next0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabc",
    sha256: "814c6d66899cb982c32e1d6282fc924dea095a5ced37c11219699ac5a527f13a",
};

impl Key {
    /// The entry of the file.
    pub(super) fn entry(&self, name: &str, more: &str) -> String {
        format!("[[key]]\nname = \"{name}\"\nsha256 = \"{}\"\n{more}\n", self.sha256)
    }

    /// Adds the key to a request.
    pub(super) fn on(&self, request: Request) -> Request {
        request.header("authorization", &format!("Bearer {}", self.text))
    }

    pub(super) fn get(&self, server: &Server, target: &str) -> Result<Response, Failure> {
        server.send(&self.on(Request::get(target)))
    }

    pub(super) fn post(&self, server: &Server, body: &Value) -> Result<Response, Failure> {
        server.send(&self.on(Request::post("/events", "application/json", body.to_string())))
    }

    /// The types of the events of a query.
    pub(super) fn types(&self, server: &Server, query: &str) -> Result<Vec<String>, Failure> {
        let events = self.get(server, &format!("/events{query}"))?.events()?;
        Ok(events.iter().filter_map(|event| Some(event["event_type"].as_str()?.to_owned())).collect())
    }
}

/// A file of keys.
pub(super) struct File {
    folder: TempDir,
}

impl File {
    pub(super) fn new(text: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| Failure::unmet(format!("a folder: {error}")))?;
        let file = Self { folder };
        file.write(text)?;
        Ok(file)
    }

    /// With a key for everything, one that is restricted to some types, one that has expired, and one with limits.
    pub(super) fn usual() -> Result<Self, Failure> {
        let entries = [
            ALL.entry("all", "scopes = [\"write\", \"read\", \"stream\", \"erase\", \"metrics\"]"),
            WEB.entry("web", "scopes = [\"write\", \"read\"]\ntypes = [\"web.*\", \"login\"]"),
            OLD.entry("old", "scopes = [\"read\"]\nexpires = 2020-01-01T00:00:00Z"),
            SLOW.entry("slow", "scopes = [\"read\"]\nrate = \"2/h\""),
        ];
        Self::new(&entries.concat())
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// Replaces the file, as careful editors do.
    pub(super) fn write(&self, text: &str) -> Outcome {
        let next = self.folder.path().join("keys.toml.next");
        fs::write(&next, text)
            .and_then(|()| fs::rename(&next, self.path()))
            .map_err(|error| Failure::unmet(format!("a file that can be written: {error}")))
    }

    pub(super) fn start(&self, ctx: &Context<'_>) -> Result<Server, Failure> {
        self.start_with(ctx, &[])
    }

    pub(super) fn start_with(&self, ctx: &Context<'_>, settings: &[(&str, &str)]) -> Result<Server, Failure> {
        let path = self.path().display().to_string();
        ctx.start(&[&[("--keys", path.as_str())], settings].concat())
    }
}

pub(super) fn event(event_type: &str) -> Value {
    json!({"event_type": event_type, "timestamp": 0, "payload": 1})
}

/// Requires a refusal for want of a key.
fn expect_unauthorized(response: &Response, challenge: &str) -> Outcome {
    let problem = response.problem(401)?;
    check_eq!(problem["type"].as_str(), Some("/problems/unauthorized"), "the type of the problem");
    response.expect_header("www-authenticate", challenge)
}

fn everything_is_open_without_keys(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    WEB.post(&server, &event("app.start"))?.expect(201)?;
    let target = format!("/events?key={}", WEB.text);
    server.send(&Request::post(&target, "application/json", event("a").to_string()))?.expect(201)?;
    check_eq!(OLD.types(&server, "?order=seq")?, ["app.start", "a"], "the types of all events");
    server.get("/metrics")?.expect(200)
}

fn a_valid_key_is_needed(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    for (method, target) in [
        ("GET", "/events"),
        ("GET", "/events/x"),
        ("GET", "/metrics"),
        ("POST", "/events"),
        ("PUT", "/events"),
        ("GET", "/nowhere"),
    ] {
        expect_unauthorized(&server.send(&Request::new(method, target))?, "Bearer")
            .map_err(|failure| failure.within(&target))?;
    }
    ALL.post(&server, &event("a"))?.expect(201)?;
    check_eq!(ALL.types(&server, "")?, ["a"], "the types of the events stored");
    ALL.get(&server, "/metrics")?.expect(200)
}

fn health_and_the_description_are_open(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    for target in ["/health", "/health/live", "/health/ready", "/openapi.json"] {
        server.get(target)?.expect(200)?;
        OLD.get(&server, target)?.expect(200)?;
    }
    server.get("/")?.expect(307)
}

fn invalid_keys_are_alike(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let expired = OLD.get(&server, "/events")?;
    expect_unauthorized(&expired, "Bearer error=\"invalid_token\"")?;
    for credentials in [
        "Bearer argus_0000000000000000000000000000000000000000000",
        "Bearer",
        "Bearer ",
        "Bearer x y",
        "bearer =",
        "Bearer \u{e9}",
        &format!("Bearer {}x", ALL.text),
        &format!("Bearer {},", ALL.text),
    ] {
        let response = server.send(&Request::get("/events").header("authorization", credentials))?;
        expect_unauthorized(&response, "Bearer error=\"invalid_token\"")?;
        check_eq!(response.body, expired.body, "the body for {credentials}");
    }
    for credentials in ["Basic YTpi", ALL.text] {
        let response = server.send(&Request::get("/events").header("authorization", credentials))?;
        expect_unauthorized(&response, "Bearer")?;
    }
    // The name of the scheme is not case-sensitive.
    server.send(&Request::get("/events").header("authorization", &format!("bEARER {}", ALL.text)))?.expect(200)
}

fn a_key_has_scopes(ctx: &Context<'_>) -> Outcome {
    for (scope, submit, find, metrics) in [
        ("write", 201, 403, 403),
        ("read", 403, 200, 403),
        ("metrics", 403, 403, 200),
        ("stream", 403, 403, 403),
        ("erase", 403, 403, 403),
    ] {
        let server = File::new(&ALL.entry("one", &format!("scopes = [\"{scope}\"]")))?.start(ctx)?;
        for (request, needed, status) in [
            (Request::post("/events", "application/json", event("a").to_string()), "write", submit),
            (Request::get("/events"), "read", find),
            (Request::get("/metrics"), "metrics", metrics),
        ] {
            let response = server.send(&ALL.on(request))?;
            if status == 403 {
                response.problem_naming(403, needed)?;
                let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\"");
                response.expect_header("www-authenticate", &challenge)?;
            } else {
                response.expect(status)?;
            }
        }
        // Any key is told that there is nothing.
        ALL.get(&server, "/nowhere")?.problem(404)?;
        server.send(&ALL.on(Request::new("PUT", "/events")))?.problem(405)?;
    }
    Ok(())
}

fn a_key_in_the_query(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let post = |query: &str| {
        server.send(&Request::post(&format!("/events?{query}"), "application/json", event("login").to_string()))
    };
    post(&format!("key={}", WEB.text))?.expect(201)?;
    post(&format!("k%65y={}", WEB.text.replace('_', "%5f")))?.expect(201)?;
    expect_unauthorized(&post("key=argus_unknown")?, "Bearer error=\"invalid_token\"")?;
    expect_unauthorized(&post("key=")?, "Bearer error=\"invalid_token\"")?;
    let record = format!("/events?type=web.x&time=now&key={}", WEB.text);
    server.send(&Request::post(&record, "application/json", "{\"a\":1}"))?.expect(201)?;
    // A browser sends the credentials that a proxy has asked for along.
    let record = Request::post(&record, "application/json", "{\"a\":1}").header("authorization", "Basic YTpi");
    server.send(&record)?.expect(201)?;
    expect_unauthorized(&server.get(&format!("/events?key={}", ALL.text))?, "Bearer")?;
    let refused = ALL.get(&server, &format!("/events?key={}", ALL.text))?;
    refused.problem_naming(400, "key")?;
    check!(!refused.text()?.contains(ALL.text), "an error that does not repeat the key");
    Ok(())
}

fn only_one_key(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let post = |query: &str| Request::post(&format!("/events{query}"), "application/json", event("a").to_string());
    let query = format!("?key={}", ALL.text);
    for request in [ALL.on(post(&query)), post(&format!("{query}&key={}", ALL.text)), ALL.on(WEB.on(post("")))] {
        let response = server.send(&request)?;
        response.problem_naming(400, "more than one key")?;
        response.expect_header("www-authenticate", "Bearer error=\"invalid_request\"")?;
    }
    check_eq!(ALL.types(&server, "")?, Vec::<String>::new(), "the types of the events stored");
    Ok(())
}

fn answers_to_head(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    for target in ["/events", "/events/x", "/metrics"] {
        let (get, head) = (server.get(target)?, server.send(&Request::new("HEAD", target))?);
        head.expect(401)?;
        head.expect_header("content-length", &get.body.len().to_string())?;
        head.expect_header("www-authenticate", "Bearer")?;
    }
    Ok(())
}

fn a_key_has_its_own_limits(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    for (left, status) in [(1, 200), (0, 200), (0, 429)] {
        let response = SLOW.get(&server, "/events")?;
        response.expect(status)?;
        response.expect_header("ratelimit-policy", "\"key\";q=2;w=3600")?;
        let field = response.header("ratelimit").unwrap_or_default();
        check!(field.starts_with(&format!("\"key\";r={left};t=")), "{left} left, not {field}");
    }
    let other = ALL.get(&server, "/events")?;
    other.expect(200)?;
    check_eq!(other.header("ratelimit"), None, "RateLimit of a key without limits");
    Ok(())
}

fn what_a_key_does_is_counted(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let body = event("login");
    WEB.post(&server, &body)?.expect(201)?;
    WEB.post(&server, &json!([event("web.a"), event("web.b")]))?.expect(201)?;
    WEB.get(&server, "/metrics")?.expect(403)?;
    server.get("/events")?.expect(401)?;
    let page = ALL.get(&server, "/metrics")?;
    let page = page.text()?;
    let bytes = body.to_string().len() + json!([event("web.a"), event("web.b")]).to_string().len();
    for line in [
        "argus_key_events_written_total{key=\"web\"} 3".to_owned(),
        format!("argus_key_body_bytes_total{{key=\"web\"}} {bytes}"),
        "argus_key_requests_total{key=\"web\"} 3".to_owned(),
        "argus_key_requests_refused_total{key=\"web\",reason=\"forbidden\"} 1".to_owned(),
        "argus_key_requests_total{key=\"slow\"} 0".to_owned(),
    ] {
        check!(page.lines().any(|found| found == line), "the line {line} in {page}");
    }
    Ok(())
}

/// Each request fails all checks from one on; the first of them decides.
fn checks_have_an_order(ctx: &Context<'_>) -> Outcome {
    let file = File::usual()?;
    let server = file.start_with(ctx, &[("--rate-limit", "4/h")])?;
    let put = || Request::new("PUT", "/events?x=1");
    server.send(&Request::new("put", "/events"))?.problem(400)?;
    expect_unauthorized(&server.send(&put())?, "Bearer")?;
    expect_unauthorized(&server.send(&OLD.on(put()))?, "Bearer error=\"invalid_token\"")?;
    server.send(&SLOW.on(put()))?.problem(405)?;
    WEB.get(&server, "/metrics")?.problem(403)?;
    // Wrong keys have counted, and the limit by address comes before the key.
    for request in [put(), OLD.on(put()), ALL.on(Request::get("/events"))] {
        server.send(&request)?.problem(429)?;
    }
    let server = file.start(ctx)?;
    SLOW.get(&server, "/nowhere")?.problem(404)?;
    SLOW.get(&server, "/metrics")?.problem(403)?;
    server.send(&SLOW.on(put()))?.problem(405)?;
    // The limit by key comes before the route.
    SLOW.get(&server, "/nowhere")?.problem(429)?;
    server.send(&SLOW.on(put()))?.problem(429)?;
    SLOW.get(&server, "/metrics")?.problem(403).map(drop)
}
