//! API keys: who may do what, and that nothing shows a key.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::case::{Case, cases};
use crate::client::{PATIENCE, Request, Response};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["keys";
    "Keys, limits, browsers": [
        everything_is_open_without_keys, a_valid_key_is_needed, health_and_the_description_are_open,
        invalid_keys_are_alike, a_key_has_scopes, a_key_in_the_query, only_one_key, answers_to_head,
        other_types_cannot_be_written, other_types_are_rejected_leniently, other_types_of_mapped_records,
        other_types_are_not_seen, pages_of_a_restricted_key, an_id_of_another_type_is_a_duplicate,
        a_key_has_its_own_limits, what_a_key_does_is_counted, a_new_key_works, new_keys_are_checked,
    ],
    "Keys, limits, browsers: the file": [
        a_changed_file_is_read, a_signal_reads_the_file, a_wrong_file_keeps_the_keys, a_wrong_file_prevents_a_start,
    ],
    "Keys, limits, browsers: secrets": [keys_are_not_logged],
    "Order of checks": [checks_have_an_order],
];

/// A key and its SHA-256.
struct Key {
    text: &'static str,
    sha256: &'static str,
}

const ALL: Key = Key {
    text: "argus_all0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcd",
    sha256: "027ddf245fbbe510c131cb985dd30e0c2a07169fef36c11fa2ba00cc26641293",
};
const WEB: Key = Key {
    text: "argus_web0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcd",
    sha256: "dbfab16103691e83138a8789d3dec4968c9dd21e8734c8ff0fe30157cc1f5f18",
};
const OLD: Key = Key {
    text: "argus_old0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcd",
    sha256: "24f7fa9f9cbf34e804f542e8b4d1ebd8896eddaff45ad5df9cd34be1b8332012",
};
const SLOW: Key = Key {
    text: "argus_slow0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabc",
    sha256: "594fb26769d5f5a3861b7db38fde5f87dd96e34a6b39db307f2970b3914e87bc",
};
const NEXT: Key = Key {
    text: "argus_next0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabc",
    sha256: "814c6d66899cb982c32e1d6282fc924dea095a5ced37c11219699ac5a527f13a",
};

impl Key {
    /// The entry of the file.
    fn entry(&self, name: &str, more: &str) -> String {
        format!("[[key]]\nname = \"{name}\"\nsha256 = \"{}\"\n{more}\n", self.sha256)
    }

    /// Adds the key to a request.
    fn on(&self, request: Request) -> Request {
        request.header("authorization", &format!("Bearer {}", self.text))
    }

    fn get(&self, server: &Server, target: &str) -> Result<Response, Failure> {
        server.send(&self.on(Request::get(target)))
    }

    fn post(&self, server: &Server, body: &Value) -> Result<Response, Failure> {
        server.send(&self.on(Request::post("/events", "application/json", body.to_string())))
    }

    /// The types of the events of a query.
    fn types(&self, server: &Server, query: &str) -> Result<Vec<String>, Failure> {
        let events = self.get(server, &format!("/events{query}"))?.events()?;
        Ok(events.iter().filter_map(|event| Some(event["event_type"].as_str()?.to_owned())).collect())
    }
}

/// A file of keys.
struct File {
    folder: TempDir,
}

impl File {
    fn new(text: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| Failure::unmet(format!("a folder: {error}")))?;
        let file = Self { folder };
        file.write(text)?;
        Ok(file)
    }

    /// With a key for everything, one that is restricted to some types, one that has expired, and one with limits.
    fn usual() -> Result<Self, Failure> {
        let entries = [
            ALL.entry("all", "scopes = [\"write\", \"read\", \"stream\", \"erase\", \"metrics\"]"),
            WEB.entry("web", "scopes = [\"write\", \"read\"]\ntypes = [\"web.*\", \"login\"]"),
            OLD.entry("old", "scopes = [\"read\"]\nexpires = 2020-01-01T00:00:00Z"),
            SLOW.entry("slow", "scopes = [\"read\"]\nrate = \"2/h\""),
        ];
        Self::new(&entries.concat())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// Replaces the file, as careful editors do.
    fn write(&self, text: &str) -> Outcome {
        let next = self.folder.path().join("keys.toml.next");
        fs::write(&next, text)
            .and_then(|()| fs::rename(&next, self.path()))
            .map_err(|error| Failure::unmet(format!("a file that can be written: {error}")))
    }

    fn start(&self, ctx: &Context<'_>) -> Result<Server, Failure> {
        self.start_with(ctx, &[])
    }

    fn start_with(&self, ctx: &Context<'_>, settings: &[(&str, &str)]) -> Result<Server, Failure> {
        let path = self.path().display().to_string();
        ctx.start(&[&[("--keys", path.as_str())], settings].concat())
    }
}

fn event(event_type: &str) -> Value {
    json!({"event_type": event_type, "timestamp": 0, "payload": 1})
}

/// Requires a refusal for want of a key.
fn expect_unauthorized(response: &Response, challenge: &str) -> Outcome {
    let problem = response.problem(401)?;
    check_eq!(problem["type"].as_str(), Some("/problems/unauthorized"), "the type of the problem");
    response.expect_header("www-authenticate", challenge)
}

/// Asks until the status is this one.
fn wait_for_status(server: &Server, request: &Request, status: u16) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = server.send(request)?.status();
        if found == status {
            return Ok(());
        }
        check!(Instant::now() < deadline, "the status {status} in the end, not {found}");
        thread::sleep(Duration::from_millis(20));
    }
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

fn other_types_cannot_be_written(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    WEB.post(&server, &event("web.click"))?.expect(201)?;
    WEB.post(&server, &event("login"))?.expect(201)?;
    for name in ["web", "website", "logins", "Web.click", "app.start"] {
        WEB.post(&server, &event(name))?.fault("#/event_type", "type_not_permitted")?;
    }
    let mixed = json!([event("web.a"), event("app.b"), event("login"), event("c")]);
    WEB.post(&server, &mixed)?.faults_at(&["#/1/event_type", "#/3/event_type"])?;
    check_eq!(ALL.types(&server, "?order=seq")?, ["web.click", "login"], "the types of the events stored");
    Ok(())
}

fn other_types_are_rejected_leniently(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let lines = [event("web.a"), event("app.b"), event("login")].map(|event| format!("{event}\n")).concat();
    let request = Request::post("/events", "application/x-ndjson", lines).header("prefer", "handling=lenient");
    let response = server.send(&WEB.on(request))?;
    response.expect(200)?;
    let answer = response.json()?;
    check_eq!(answer["accepted"], json!(2), "the events accepted");
    check_eq!(answer["rejected"].as_array().map(Vec::len), Some(1), "the events rejected");
    check_eq!(answer["rejected"][0]["code"], json!("type_not_permitted"), "the code of the fault");
    check_eq!(answer["rejected"][0]["line"], json!(2), "the line of the fault");
    check_eq!(ALL.types(&server, "?order=seq")?, ["web.a", "login"], "the types of the events stored");
    Ok(())
}

fn other_types_of_mapped_records(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let post = |query: &str, body: &str| {
        server.send(&WEB.on(Request::post(&format!("/events?time=now&{query}"), "application/json", body)))
    };
    post("type_from=/kind", r#"{"kind":"web.a"}"#)?.expect(201)?;
    post("type_from=/kind", r#"{"kind":"app.a"}"#)?.fault("#/kind", "type_not_permitted")?;
    post("type=app.a", "{}")?.problem(422)?;
    post("type=login", "{}")?.expect(201)
}

fn other_types_are_not_seen(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let events: Vec<Value> = ["web.a", "app.b", "login", "web.c", "logins"]
        .iter()
        .map(|name| json!({"id": format!("id-{name}"), "event_type": name, "timestamp": 1, "payload": {"n": 1}}))
        .collect();
    ALL.post(&server, &json!(events))?.expect(201)?;
    for (query, expected) in [
        ("?order=seq", &["web.a", "login", "web.c"][..]),
        ("", &["web.a", "login", "web.c"]),
        ("?order=desc", &["web.c", "login", "web.a"]),
        ("?type=app.b&type=web.c", &["web.c"]),
        ("?type=app.b", &[]),
        ("?type=", &[]),
        ("?type[prefix]=", &["web.a", "login", "web.c"]),
        ("?type[prefix]=log", &["login"]),
        ("?type[prefix]=web.c", &["web.c"]),
        ("?type[prefix]=app", &[]),
        ("?id=id-app.b&id=id-login", &["login"]),
        ("?payload.n=1&after_seq=1", &["login", "web.c"]),
    ] {
        check_eq!(WEB.types(&server, query)?, expected, "the types that {query} finds");
    }
    WEB.get(&server, "/events/id-web.a")?.expect(200)?;
    let hidden = WEB.get(&server, "/events/id-app.b")?;
    let absent = WEB.get(&server, "/events/id-app.x")?;
    hidden.problem(404)?;
    check_eq!(hidden.text()?.replace("app.b", "app.x"), absent.text()?, "the answer, as if there was no such event");
    ALL.get(&server, "/events/id-app.b")?.expect(200)
}

fn pages_of_a_restricted_key(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let events: Vec<Value> =
        (0..30).map(|number| event(if number % 3 == 0 { "web.page" } else { "app.page" })).collect();
    ALL.post(&server, &json!(events))?.expect(201)?;
    let mut target = "/events?limit=4".to_owned();
    let mut found = 0;
    loop {
        let page = WEB.get(&server, &target)?;
        let events = page.events()?;
        check!(events.iter().all(|event| event["event_type"] == "web.page"), "only events of the key's types");
        found += events.len();
        let Some(link) = page.header("link") else { break };
        target = link.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
    }
    check_eq!(found, 10, "the events on all pages");
    // A cursor belongs to what its caller sees.
    ALL.get(&server, &target)?.problem_naming(400, "cursor")
}

/// Ids are unique among all events, so an id that is taken by an event of another type is acknowledged as any duplicate.
fn an_id_of_another_type_is_a_duplicate(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let with_id = |name: &str| json!({"id": "same", "event_type": name, "timestamp": 0, "payload": 1});
    ALL.post(&server, &with_id("app.a"))?.expect(201)?;
    let response = WEB.post(&server, &with_id("web.a"))?;
    response.expect(201)?;
    check_eq!(response.json()?["duplicate"], json!(true), "whether it is a duplicate");
    WEB.get(&server, "/events/same")?.problem(404).map(drop)
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

fn a_new_key_works(ctx: &Context<'_>) -> Outcome {
    let new = |name: &str, more: &[&str]| {
        let exit = ctx.run_to_exit(&[&["key", "new", "--name", name], more].concat())?;
        check_eq!(exit.code, Some(0), "the exit code of `key new`");
        let key = exit.stderr.split_whitespace().find(|word| word.starts_with("argus_")).map(str::to_owned);
        let key = key.ok_or_else(|| Failure::unmet(format!("a key on standard error, not {:?}", exit.stderr)))?;
        check_eq!(key.len(), 49, "the characters of the key {key}");
        check!(!exit.stdout.contains("argus_"), "no key among the entries, not {}", exit.stdout);
        Ok::<_, Failure>((key, exit.stdout))
    };
    let (web, first) = new("web", &["--scope", "write", "--type", "web.*", "--expires", "2100-01-01T00:00:00Z"])?;
    let (reader, second) = new("reader", &["--scope", "read", "--scope", "metrics"])?;
    check!(web != reader, "keys that differ");
    let server = File::new(&[first, second].concat())?.start(ctx)?;
    let with = |key: &str, request: Request| {
        server.send(&request.header("authorization", &format!("Bearer {key}"))).map(|response| response.status())
    };
    let post = |name: &str| Request::post("/events", "application/json", event(name).to_string());
    check_eq!(with(&web, post("web.a"))?, 201, "the status of an event of the key's types");
    check_eq!(with(&web, post("app.a"))?, 422, "the status of another event");
    check_eq!(with(&web, Request::get("/events"))?, 403, "the status of a search with a key to write");
    check_eq!(with(&reader, Request::get("/events"))?, 200, "the status of a search");
    check_eq!(with(&reader, post("web.a"))?, 403, "the status of an event with a key to read");
    Ok(())
}

fn new_keys_are_checked(ctx: &Context<'_>) -> Outcome {
    for arguments in [
        &["key"][..],
        &["key", "new"],
        &["key", "new", "--name", "a"],
        &["key", "new", "--scope", "read"],
        &["key", "new", "--name", "a b", "--scope", "read"],
        &["key", "new", "--name", "a", "--scope", "admin"],
        &["key", "new", "--name", "a", "--scope", "read", "--type", "a*"],
        &["key", "new", "--name", "a", "--scope", "read", "--expires", "soon"],
    ] {
        let exit = ctx.run_to_exit(arguments)?;
        check_eq!(exit.code, Some(2), "the exit code of {arguments:?}");
        check!(exit.stdout.is_empty() && !exit.stderr.contains("argus_"), "no key of {arguments:?}");
    }
    Ok(())
}

fn a_changed_file_is_read(ctx: &Context<'_>) -> Outcome {
    let file = File::new(&ALL.entry("all", "scopes = [\"read\"]"))?;
    let server = file.start(ctx)?;
    ALL.get(&server, "/events")?.expect(200)?;
    NEXT.get(&server, "/events")?.expect(401)?;
    file.write(&NEXT.entry("next", "scopes = [\"read\"]"))?;
    wait_for_status(&server, &NEXT.on(Request::get("/events")), 200)?;
    ALL.get(&server, "/events")?.expect(401)
}

fn a_signal_reads_the_file(ctx: &Context<'_>) -> Outcome {
    let file = File::new(&ALL.entry("all", "scopes = [\"read\"]"))?;
    let server = file.start(ctx)?;
    file.write(&NEXT.entry("next", "scopes = [\"read\"]"))?;
    server.signal(Signal::HangUp)?;
    wait_for_status(&server, &NEXT.on(Request::get("/events")), 200)?;
    // The signal does not stop the server, not even without a change.
    server.signal(Signal::HangUp)?;
    NEXT.get(&server, "/events")?.expect(200)
}

fn a_wrong_file_keeps_the_keys(ctx: &Context<'_>) -> Outcome {
    let file = File::new(&ALL.entry("all", "scopes = [\"read\"]"))?;
    let server = file.start(ctx)?;
    for wrong in ["[[key]]\nname = ", "", "[[key]]\nname = \"a\"\n"] {
        file.write(wrong)?;
        wait_for_readiness(&server, "warn")?;
        ALL.get(&server, "/events")?.expect(200)?;
        file.write(&ALL.entry("all", "scopes = [\"read\"]"))?;
        wait_for_readiness(&server, "pass")?;
        ALL.get(&server, "/events")?.expect(200)?;
    }
    Ok(())
}

fn wait_for_readiness(server: &Server, status: &str) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let health = server.get("/health/ready")?;
        health.expect(200)?;
        if health.json()?["status"] == status {
            return Ok(());
        }
        check!(Instant::now() < deadline, "readiness {status} in the end, not {}", health.text()?);
        thread::sleep(Duration::from_millis(20));
    }
}

fn a_wrong_file_prevents_a_start(ctx: &Context<'_>) -> Outcome {
    let named = ALL.entry("a", "scopes = [\"read\"]");
    let secret = format!("[[key]]\nname = \"a\"\nsha256 = \"{}\"\nscopes = [\"read\"]\n", ALL.text);
    let twice = [named.as_str(), &WEB.entry("a", "scopes = [\"read\"]")].concat();
    for (text, expected) in [
        ("", "[[key]]"),
        ("nonsense", "line 1"),
        ("[[key]]\nname = \"a\"\nscopes = [\"read\"]\n", "sha256"),
        (&ALL.entry("a", "scopes = [\"admin\"]"), "line 4, key 'a', scopes"),
        (&ALL.entry("a", "scopes = [\"read\"]\ncolour = 1"), "line 5"),
        (&twice, "the same name"),
        (&secret, "SHA-256"),
    ] {
        let file = File::new(text)?;
        let path = file.path().display().to_string();
        let exit = ctx.run_to_exit(&["--repository", "memory:", "--endpoint", "127.0.0.1:0", "--keys", &path])?;
        check_eq!(exit.code, Some(2), "the exit code with {text:?}");
        check!(exit.stderr.contains(expected), "a message that names {expected:?}, not {:?}", exit.stderr);
        check!(exit.stderr.contains(&path), "a message that names the file, not {:?}", exit.stderr);
        check!(!exit.stderr.contains(ALL.text), "a message without the key, not {:?}", exit.stderr);
    }
    let exit = ctx.run_to_exit(&["--repository", "memory:", "--keys", "/no/such/file"])?;
    check_eq!(exit.code, Some(2), "the exit code without the file");
    check!(exit.stderr.contains("/no/such/file"), "a message that names the file, not {:?}", exit.stderr);
    Ok(())
}

fn keys_are_not_logged(ctx: &Context<'_>) -> Outcome {
    let file = File::usual()?;
    let mut server = file.start_with(ctx, &[("--log", "trace")])?;
    let post = |query: &str| Request::post(&format!("/events{query}"), "application/json", event("a").to_string());
    let encoded: String = ALL.text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut answers = String::new();
    for request in [
        ALL.on(post("")),
        ALL.on(Request::get("/events")),
        OLD.on(Request::get("/events")),
        WEB.on(Request::get("/metrics")),
        post(&format!("?key={}", ALL.text)),
        post(&format!("?k%65y={}", ALL.text)),
        post(&format!("?key={encoded}")),
        post(&format!("?KEY={}", ALL.text)),
        post(&format!("?key%3D{}", ALL.text)),
        post(&format!("?key={}%zz", ALL.text)),
        post(&format!("?key={}&key={}", ALL.text, WEB.text)),
        Request::get(&format!("/events?key={}", ALL.text)),
        ALL.on(Request::get(&format!("/events?key={}", ALL.text))),
        ALL.on(Request::get(&format!("/events?key%3D{}", ALL.text))),
        ALL.on(Request::get(&format!("http://host/events?key={}", ALL.text))),
        ALL.on(Request::new("BREW", &format!("/nowhere?key={}", ALL.text))),
        // Not a request at all.
        ALL.on(Request::new("GET", &format!("/events?key={}\"", ALL.text))),
        ALL.on(Request::new("GET", &format!("/events?key={}", ALL.text)).header("host", "two")),
    ] {
        answers.push_str(&String::from_utf8_lossy(&server.send(&request)?.body));
    }
    answers.push_str(ALL.get(&server, "/metrics")?.text()?);
    let path = file.path();
    file.write(&format!("{}\n{}", ALL.text, ALL.entry("all", "scopes = [\"read\"]")))?;
    wait_for_readiness(&server, "warn")?;
    answers.push_str(server.get("/health/ready")?.text()?);
    check!(!answers.contains(&path.display().to_string()), "answers that do not name the file");
    server.signal(Signal::Terminate)?;
    let exit = server.wait()?;
    check!(exit.stderr.contains("/events"), "requests in the log, not {}", exit.stderr);
    for (what, text) in [("the log", &exit.stderr), ("standard output", &exit.stdout), ("the answers", &answers)] {
        for key in [&ALL, &WEB, &OLD] {
            // Its middle, so that a part of it is found as well.
            check!(!text.contains(&key.text[6..30]), "no key in {what}, not {text}");
        }
        check!(!text.contains(&encoded[18..90]), "no encoded key in {what}, not {text}");
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
