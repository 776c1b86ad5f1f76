#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};

use serde_json::{Value, json};

use super::*;
use crate::event::{ClientId, Event, EventId, EventType, Payload, Timestamp, Uuid};
use crate::query::{Position, Query};
use crate::repository::{CommitError, Duplicate, Find, FindHead, FindStep, Flow, ReadError, Receipt, Snapshot, Stats};

const LIMITS: Limits = Limits { body_bytes_max: 1000, payload_bytes_max: 100 };
const JSON: (&str, &str) = ("content-type", "application/json");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const EVENT: &str = r#"{"event_type":"a","timestamp":1,"payload":{},"id":"x/ü"}"#;

/// Numbered events of one size: just enough of a snapshot to have something to say.
struct Numbers {
    events: u64,
    payload: &'static str,
    /// Polls that find nothing before each event.
    idle: u32,
    broken: bool,
}

struct NumbersFind {
    numbers: Arc<Numbers>,
    next: u64,
    end: u64,
    idle: u32,
}

impl Numbers {
    fn with_event(&self, seq: u64, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Flow {
        let id = format!("e{seq}");
        sink(Event {
            id: EventId::Given(ClientId::parse(&id).unwrap()),
            seq,
            event_type: EventType::parse("n").unwrap(),
            timestamp: Timestamp::from_nanos(0),
            payload: Payload::parse(self.payload).unwrap(),
        })
    }
}

impl Snapshot for Numbers {
    fn stats(&self) -> Stats {
        Stats::default()
    }

    fn get(&self, id: &str, sink: &mut dyn FnMut(Event<'_>)) -> Result<bool, ReadError> {
        if self.broken {
            return Err(ReadError::Damaged("block 7".into()));
        }
        let seq = id.strip_prefix('e').and_then(|digits| digits.parse().ok());
        let Some(seq) = seq.filter(|seq| *seq < self.events) else { return Ok(false) };
        self.with_event(seq, &mut |event| {
            sink(event);
            Flow::More
        });
        Ok(true)
    }

    fn find(self: Arc<Self>, query: &Query) -> Box<dyn Find> {
        let end = query.limit.map_or(self.events, |limit| self.events.min(u64::from(limit.get())));
        let idle = self.idle;
        Box::new(NumbersFind { numbers: self, next: 0, end, idle })
    }
}

impl Find for NumbersFind {
    fn poll_head(&mut self, _: u32) -> Result<Option<FindHead>, ReadError> {
        if self.idle > 0 {
            self.idle -= 1;
            return Ok(None);
        }
        self.idle = self.numbers.idle;
        let more = self.end < self.numbers.events;
        let next = more.then(|| Position { timestamp: Timestamp::from_nanos(0), seq: self.end });
        Ok(Some(FindHead { next }))
    }

    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<FindStep, ReadError> {
        if self.numbers.broken {
            return Err(ReadError::Damaged("block 7".into()));
        }
        for _ in 0..budget {
            if self.next == self.end {
                return Ok(FindStep::Done);
            }
            if self.idle > 0 {
                self.idle -= 1;
                return Ok(FindStep::Pending);
            }
            self.idle = self.numbers.idle;
            self.next += 1;
            if self.numbers.with_event(self.next - 1, sink) == Flow::Stop {
                return Ok(FindStep::Pending);
            }
        }
        Ok(FindStep::Pending)
    }
}

fn numbers(events: u64) -> Numbers {
    Numbers { events, payload: "null", idle: 0, broken: false }
}

fn act_when(condition: &Condition<'_>, method: &str, target: &str, fields: &[(&str, &str)]) -> Action {
    let mut headers: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    headers.push(("host", b"localhost"));
    let head = Head { method, target, headers: &headers, http_10: false };
    Api::new(LIMITS).handle_request(&head, condition)
}

fn act(method: &str, target: &str, fields: &[(&str, &str)]) -> Action {
    act_when(&Condition::default(), method, target, fields)
}

fn replied(action: Action) -> Reply {
    match action {
        Action::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn body(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

fn submission(target: &str, fields: &[(&str, &str)]) -> Submission {
    match act("POST", target, fields) {
        Action::Submit(submission) => submission,
        other => panic!("{other:?}"),
    }
}

fn committed(submission: Submission, body: &str) -> (crate::batch::Batch, Acknowledgement) {
    match submission.handle_body(body.as_bytes()) {
        Submitted::Commit(batch, acknowledgement) => (batch, acknowledgement),
        Submitted::Reply(reply) => panic!("{reply:?}"),
    }
}

fn answered(submission: Submission, body: &[u8]) -> Reply {
    match submission.handle_body(body) {
        Submitted::Reply(reply) => reply,
        Submitted::Commit(batch, _) => panic!("{batch:?}"),
    }
}

fn search(method: &str, target: &str, accept: Option<&str>) -> Search {
    let fields: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
    match act(method, target, &fields) {
        Action::Search(search) => search,
        other => panic!("{other:?}"),
    }
}

/// The head, the body and the chunks' lengths.
fn run(search: Search, numbers: Numbers) -> (Reply, Vec<u8>, Vec<usize>) {
    let mut run = search.begin(Arc::new(numbers));
    let mut head = None;
    let (mut body, mut chunks) = (Vec::new(), Vec::new());
    loop {
        match run.poll().unwrap() {
            SearchStep::Pending => {}
            SearchStep::Whole(reply) => {
                assert!(head.is_none() && matches!(run.poll().unwrap(), SearchStep::Done));
                let body = reply.body.to_vec();
                return (reply, body, chunks);
            }
            SearchStep::Start(reply) => assert!(reply.body.is_empty() && head.replace(reply).is_none()),
            SearchStep::Chunk(chunk) => {
                assert!(head.is_some());
                chunks.push(chunk.len());
                body.extend_from_slice(&chunk);
            }
            SearchStep::Done => return (head.unwrap(), body, chunks),
        }
    }
}

#[test]
fn routes_and_methods() {
    for (method, target, status, allow) in [
        ("GET", "/", 404, None),
        ("BREW", "/nothing", 404, None),
        ("GET", "/events/aggregate", 404, None),
        ("GET", "/events/stream", 404, None),
        ("DELETE", "/events", 405, Some("GET, HEAD, POST")),
        ("OPTIONS", "/events", 405, Some("GET, HEAD, POST")),
        ("BREW", "/events", 405, Some("GET, HEAD, POST")),
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
    for target in ["/health", "/health/live", "/health/ready", "/openapi.json", "/nothing", "/events?x=1"] {
        let (get, head) = (replied(act("GET", target, &[])), replied(act("HEAD", target, &[])));
        assert!(head.body.is_empty() && !get.body.is_empty());
        assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{target}");
        assert_eq!((get.status, &get.headers[..]), (head.status, &head.headers[..head.headers.len() - 1]));
    }
}

#[test]
fn draining_leaves_health_and_metrics() {
    let draining = Condition { draining: true, latched: Some("disk") };
    for (method, target) in [("POST", "/events"), ("GET", "/events"), ("GET", "/openapi.json"), ("GET", "/nothing")] {
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
fn a_latched_repository_still_reads() {
    let latched = Condition { draining: false, latched: Some("fdatasync: EIO") };
    let reply = replied(act_when(&latched, "POST", "/events", &[]));
    assert_eq!((reply.status, reply.problem), (503, Some(ProblemKind::StorageFailed)));
    assert!(body(&reply)["detail"].as_str().unwrap().contains("fdatasync: EIO"));
    assert!(matches!(act_when(&latched, "GET", "/events", &[]), Action::Search(_)));
    assert!(matches!(act_when(&latched, "GET", "/events/x", &[]), Action::Lookup(_)));
    assert_eq!(replied(act_when(&latched, "PUT", "/events", &[])).status, 405);
}

#[test]
fn health_and_metrics_are_not_cached() {
    let reply = replied(act("GET", "/health?t=1", &[]));
    assert_eq!(
        (reply.header("content-type"), reply.header("cache-control")),
        (Some("application/health+json"), Some("no-store"))
    );
    let Action::Metrics(metrics) = act("HEAD", "/metrics", &[]) else { panic!("no metrics") };
    let reply = metrics.reply("# HELP".into());
    assert_eq!((reply.header("content-length"), reply.body.len()), (Some("6"), 0));
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}

#[test]
fn request_ids() {
    let id_of = |ids: &[&str]| {
        let headers: Vec<_> = ids.iter().map(|id| ("x-request-id", id.as_bytes())).collect();
        Api::request_id(&Head { headers: &headers, ..Head::default() }, 0xabc)
    };
    assert_eq!(id_of(&["!~"]), "!~");
    let longest = "x".repeat(128);
    assert_eq!(id_of(&[&longest]), longest);
    for ids in [&[][..], &[""], &["a b"], &["é"], &["a\u{7f}"], &["a", "a"], &[&"x".repeat(129)]] {
        assert_eq!(id_of(ids), "0000000000000abc", "{ids:?}");
    }
}

#[test]
fn refusals() {
    let api = Api::new(LIMITS);
    for (refusal, status, close) in [
        (Refusal::BodyTooLarge, 413, true),
        (Refusal::BodyTimeout, 408, true),
        (Refusal::BodyBroken, 400, true),
        (Refusal::Overloaded, 503, false),
        (Refusal::Timeout, 503, false),
        (Refusal::Draining, 503, true),
        (Refusal::Internal, 500, false),
    ] {
        let reply = api.refuse(Route::Events, &refusal);
        assert_eq!((reply.status, reply.close, reply.route), (status, close, Route::Events), "{refusal:?}");
        assert_eq!(reply.header("retry-after").is_some(), status == 503);
    }
}

#[test]
fn heads_of_submissions() {
    for (fields, status) in [
        (&[][..], 415),
        (&[("content-type", "text/plain")], 415),
        (&[("content-type", "application/json; charset=latin1")], 415),
        (&[("content-type", "json")], 415),
        (&[JSON, JSON], 415),
        (&[JSON, ("content-encoding", "br")], 415),
        (&[JSON, ("content-encoding", "gzip, gzip")], 415),
        (&[JSON, ("content-length", "1001")], 413),
    ] {
        let reply = replied(act("POST", "/events", fields));
        assert_eq!(reply.status, status, "{fields:?}");
        assert_eq!(reply.close, status == 413);
    }
    let reply = replied(act("POST", "/events", &[]));
    assert!(reply.header("accept-post").unwrap().contains("application/jsonl"));
    let reply = replied(act("POST", "/events", &[JSON, ("content-encoding", "br")]));
    assert_eq!((reply.header("accept-encoding"), reply.header("accept-post")), (Some("gzip, zstd"), None));
    let fields = [("content-type", "Application/JSONL ; charset=\"UTF-8\""), ("content-length", "1000")];
    let submission = submission("/events", &fields);
    assert_eq!((submission.expected_bytes(), submission.wire_bytes_max()), (Some(1000), 1000));
    assert_eq!(submission.decoded_bytes_max(), 0);
}

#[test]
fn parameters_of_submissions() {
    for (query, name) in [
        ("typ=a", "'typ'"),
        ("type=a", "time_from"),
        ("type_from=/a", "time_from"),
        ("time_from=/a", "type_from"),
        ("id_from=/a", "id_from"),
        ("type=a&type_from=/a&time_from=/a", "type_from"),
        ("type=&time_from=/a", "type"),
        ("type=%0A&time_from=/a", "type"),
        ("type_from=a&time_from=/a", "type_from"),
        ("type_from=/a&time_from=/~2", "time_from"),
        ("type=a&time_from=/a&time_from=/a", "time_from"),
        ("type=a&type=a&time_from=/a", "type"),
    ] {
        let reply = replied(act("POST", &format!("/events?{query}"), &[JSON]));
        assert_eq!(reply.problem, Some(ProblemKind::InvalidParameter), "{query}");
        let detail = body(&reply)["detail"].as_str().unwrap().to_string();
        assert!(detail.starts_with(&format!("{name}: ")), "{query}: {detail}");
    }
    let target = "/events?type=a&time_from=/t&id_from=/i";
    let (batch, _) = committed(submission(target, &[JSON]), r#"{"t":1,"i":"x"}"#);
    let event = batch.events().next().unwrap();
    assert_eq!((event.event_type.as_str(), event.payload.as_str()), ("a", r#"{"t":1,"i":"x"}"#));
}

#[test]
fn one_event() {
    let receipt = |stored, duplicates: &[Duplicate], generated_id| {
        Ok(Receipt { first_seq: 7, stored, duplicates: duplicates.into(), generated_id })
    };
    let (_, acknowledgement) = committed(submission("/events", &[JSON]), EVENT);
    let reply = acknowledgement.reply(&receipt(1, &[], None));
    assert_eq!((reply.status, &reply.body[..]), (201, r#"{"id":"x/ü","seq":7,"duplicate":false}"#.as_bytes()));
    assert_eq!(reply.header("location"), Some("/events/x%2F%C3%BC"));

    let (_, acknowledgement) = committed(submission("/events", &[JSON]), EVENT);
    let reply = acknowledgement.reply(&receipt(0, &[Duplicate { index: 0, seq: 3 }], None));
    assert_eq!((reply.status, &reply.body[..]), (201, r#"{"id":"x/ü","seq":3,"duplicate":true}"#.as_bytes()));

    let nameless = r#"{"event_type":"a","timestamp":1,"payload":{}}"#;
    let lenient = [JSON, ("prefer", "handling=lenient")];
    let (_, acknowledgement) = committed(submission("/events", &lenient), nameless);
    let reply = acknowledgement.reply(&receipt(1, &[], Some(Uuid([0x11; 16]))));
    let id = "11111111-1111-1111-1111-111111111111";
    assert_eq!((reply.status, body(&reply)), (201, json!({"id": id, "seq": 7, "duplicate": false})));
    assert_eq!(reply.header("location"), Some(format!("/events/{id}").as_str()));
    assert_eq!(reply.header("preference-applied"), None);
}

#[test]
fn many_events() {
    let outcome = |stored, duplicates: &[Duplicate]| {
        Ok(Receipt { first_seq: 7, stored, duplicates: duplicates.into(), generated_id: None })
    };
    let array = format!("[{EVENT},{EVENT},{EVENT}]");
    let (batch, acknowledgement) = committed(submission("/events", &[JSON]), &array);
    assert_eq!(batch.len(), 3);
    let reply = acknowledgement.reply(&outcome(2, &[Duplicate { index: 0, seq: 3 }]));
    assert_eq!(&reply.body[..], br#"{"accepted":2,"duplicates":1,"first_seq":7,"last_seq":8}"#);
    assert_eq!((reply.status, reply.header("location")), (201, None));

    let (_, acknowledgement) = committed(submission("/events", &[NDJSON]), &format!("\n{EVENT}\n\n"));
    let reply = acknowledgement.reply(&outcome(0, &[Duplicate { index: 0, seq: 3 }]));
    assert_eq!(&reply.body[..], br#"{"accepted":0,"duplicates":1,"first_seq":null,"last_seq":null}"#);

    for (fields, text) in [(JSON, "[]"), (NDJSON, ""), (NDJSON, "\n\n")] {
        let reply = answered(submission("/events", &[fields]), text.as_bytes());
        assert_eq!(
            (reply.status, &reply.body[..]),
            (201, &br#"{"accepted":0,"duplicates":0,"first_seq":null,"last_seq":null}"#[..])
        );
    }
}

#[test]
fn lenient_handling_keeps_the_good_ones() {
    let lenient = [NDJSON, ("prefer", "wait=1"), ("prefer", "Handling=\"Lenient\"")];
    let (batch, acknowledgement) = committed(submission("/events", &lenient), &format!("{EVENT}\n{{}}\n"));
    assert_eq!(batch.len(), 1);
    let outcome = Ok(Receipt { first_seq: 1, stored: 1, duplicates: [].into(), generated_id: None });
    let reply = acknowledgement.reply(&outcome);
    assert_eq!((reply.status, reply.header("preference-applied")), (200, Some("handling=lenient")));
    let body_of = body(&reply);
    assert_eq!(body_of["accepted"], 1);
    assert_eq!(body_of["rejected"][0]["code"], "missing_field");
    assert!(!reply.rejected.is_empty());

    let reply = answered(submission("/events", &lenient), b"{}\n");
    assert_eq!((reply.status, &body(&reply)["first_seq"]), (200, &Value::Null));

    let strict = [NDJSON, ("prefer", "handling=strict, handling=lenient")];
    let reply = answered(submission("/events", &strict), format!("{EVENT}\n{{}}\n").as_bytes());
    assert_eq!((reply.status, reply.header("preference-applied")), (422, None));
}

#[test]
fn bodies_at_fault() {
    let reply = answered(submission("/events", &[JSON]), b"{\"event_type\":");
    assert_eq!((reply.status, reply.problem), (400, Some(ProblemKind::InvalidJson)));
    assert!(body(&reply)["detail"].as_str().unwrap().contains("at byte 14"), "{}", body(&reply)["detail"]);
    let reply = answered(submission("/events", &[JSON]), format!("[{EVENT},{{}}]").as_bytes());
    assert_eq!((reply.status, reply.problem), (422, Some(ProblemKind::InvalidEvents)));
    assert!(body(&reply)["errors"][0]["pointer"].as_str().unwrap().starts_with("#/1"));
    let reply = answered(submission("/events", &[JSON]), " ".repeat(1001).as_bytes());
    assert_eq!((reply.status, reply.close), (413, true));
    let gzip = [JSON, ("content-encoding", "gzip")];
    assert_eq!(submission("/events", &gzip).decoded_bytes_max(), 1000);
    let reply = answered(submission("/events", &gzip), EVENT.as_bytes());
    assert_eq!((reply.status, reply.problem), (400, Some(ProblemKind::BadRequest)));
    assert_eq!(body(&reply)["detail"], "damaged gzip body: no gzip header at byte 0");
}

#[test]
fn failed_commits() {
    for (error, kind) in [
        (CommitError::Full("no space".into()), ProblemKind::StorageFull),
        (CommitError::Latched("EIO".into()), ProblemKind::StorageFailed),
    ] {
        let (_, acknowledgement) = committed(submission("/events", &[JSON]), EVENT);
        let reply = acknowledgement.reply(&Err(error));
        assert_eq!((reply.status, reply.problem), (503, Some(kind)));
        assert!(reply.header("retry-after").is_some());
    }
}

#[test]
fn small_answers_are_whole() {
    let (reply, text, _) = run(search("GET", "/events", None), numbers(0));
    assert_eq!((reply.status, text.as_slice()), (200, &b"[]"[..]));
    assert_eq!((reply.header("content-type"), reply.header("vary")), (Some("application/json"), Some("accept")));
    assert_eq!(reply.header("link"), None);
    let (reply, text, _) = run(search("GET", "/events", Some("application/x-ndjson")), numbers(0));
    assert_eq!((reply.header("content-type"), text.len()), (Some("application/x-ndjson"), 0));
    let (_, text, _) = run(search("GET", "/events", None), Numbers { idle: 3, ..numbers(2) });
    let events: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((events[0]["id"].as_str(), events[1]["seq"].as_u64()), (Some("e0"), Some(1)));
}

#[test]
fn long_answers_come_in_bounded_chunks() {
    for (accept, idle) in [("*/*", 0), ("application/jsonl", 0), ("*/*", 2)] {
        let (reply, text, chunks) = run(search("GET", "/events", Some(accept)), Numbers { idle, ..numbers(5000) });
        assert!(chunks.len() > 3 && chunks.iter().all(|len| *len <= 64 * 1024 + 100), "{chunks:?}");
        let events: Vec<Value> = match reply.header("content-type") {
            Some("application/json") => serde_json::from_slice(&text).unwrap(),
            Some("application/jsonl") => {
                text.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
            }
            other => panic!("{other:?}"),
        };
        assert!(events.iter().map(|event| event["seq"].as_u64().unwrap()).eq(0..5000));
    }
}

#[test]
fn formats_are_negotiated() {
    for (accept, expected) in [
        ("text/html, */*", "application/json"),
        ("application/json, application/x-ndjson", "application/json"),
        ("application/json;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("application/x-ndjson;q=0.1, application/jsonl;q=0.2", "application/jsonl"),
        ("application/json;q=0, application/*", "application/x-ndjson"),
    ] {
        let (reply, ..) = run(search("GET", "/events", Some(accept)), numbers(1));
        assert_eq!(reply.header("content-type"), Some(expected), "{accept}");
    }
    for accept in ["text/html", "text/event-stream", "*/*;q=0"] {
        let reply = replied(act("GET", "/events", &[("accept", accept)]));
        assert_eq!((reply.status, reply.header("vary")), (406, Some("accept")), "{accept}");
    }
}

#[test]
fn pages_are_linked() {
    let (reply, ..) = run(search("GET", "/events?type=a%20b&limit=2&payload.%22<x>[ne]=|", None), numbers(3));
    let link = reply.header("link").unwrap();
    assert!(link.starts_with("</events?type=a%20b&limit=2&payload.%22%3Cx%3E%5Bne%5D=%7C&cursor="), "{link}");
    let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_string();
    let (reply, ..) = run(search("HEAD", &next, None), numbers(3));
    assert_eq!((reply.header("link"), reply.body.len()), (Some(link), 0));
    assert_eq!(reply.header("content-length"), None);
    assert_eq!(run(search("GET", "/events?limit=3", None), numbers(3)).0.header("link"), None);
    let (reply, ..) = run(search("GET", "/events?limit=1", None), numbers(3));
    assert!(reply.header("link").unwrap().starts_with("</events?limit=1&cursor="));
}

#[test]
fn a_search_that_fails_says_so() {
    let mut run = search("GET", "/events", None).begin(Arc::new(Numbers { broken: true, ..numbers(1) }));
    assert_eq!(run.poll().unwrap_err(), ReadError::Damaged("block 7".into()));
}

#[test]
fn lookups() {
    let look_up = |method: &str, target: &str, numbers: &Numbers| match act(method, target, &[]) {
        Action::Lookup(lookup) => lookup.reply(numbers),
        other => panic!("{other:?}"),
    };
    let found = look_up("GET", "/events/%651", &numbers(2));
    assert_eq!((found.status, &body(&found)["id"]), (200, &json!("e1")));
    let head = look_up("HEAD", "/events/e1", &numbers(2));
    assert_eq!(head.header("content-length"), Some(found.body.len().to_string().as_str()));
    assert!(head.body.is_empty());
    for id in ["e2", "x%00y", "a%2Fb", &"x".repeat(5000)] {
        let reply = look_up("GET", &format!("/events/{id}"), &numbers(2));
        assert_eq!((reply.status, reply.problem), (404, Some(ProblemKind::NotFound)));
        assert!(reply.body.len() < 500);
    }
    assert_eq!(look_up("GET", "/events/e1", &Numbers { broken: true, ..numbers(2) }).status, 500);
    assert_eq!(replied(act("GET", "/events/e1?type=a", &[])).problem, Some(ProblemKind::InvalidParameter));
    assert_eq!(vec![Route::Event], vec![look_up("GET", "/events/e9", &numbers(2)).route]);
}
