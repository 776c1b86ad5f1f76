//! `GET /events` and `GET /events/{id}`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::{LIMITS, act, body, replied};
use crate::api::{Action, Api, ProblemKind, Refusal, Reply, Route, Search, SearchStep};
use crate::damage::{Concerned, Damage};
use crate::event::{ClientId, Event, EventId, EventType, Payload, Timestamp};
use crate::query::{Position, Query};
use crate::repository::{Find, FindHead, FindStep, Flow, ReadError, Snapshot, Stats};

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
            return Err(unreadable());
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
            return Err(unreadable());
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

fn unreadable() -> ReadError {
    let (place, reason) = ("/srv/segment-7".into(), "its checksum is wrong".into());
    ReadError::Damaged(Damage { place, offset: Some(4096), reason, concerned: Concerned::all(5, 9) })
}

fn numbers(events: u64) -> Numbers {
    Numbers { events, payload: "null", idle: 0, broken: false }
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
    let (reply, ..) = run(search("GET", "/events?type=a%20b&limit=2&payload.%22%3Cx%3E[ne]=|", None), numbers(3));
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
    assert_eq!(run.poll().unwrap_err(), unreadable());
}

#[test]
fn damage_is_told_in_one_way_and_without_a_place() {
    let broken = || Numbers { broken: true, ..numbers(1) };
    let searched = search("GET", "/events", None).begin(Arc::new(broken())).poll().unwrap_err();
    let Action::Lookup(lookup) = act("GET", "/events/e1", &[]) else { panic!("it is no look-up") };
    let looked_up = lookup.reply(&broken()).unwrap_err();
    for error in [searched, looked_up] {
        let reply = Api::new(LIMITS).refuse(Route::Events, &Refusal::Unreadable(error));
        assert_eq!((reply.status, reply.problem), (500, Some(ProblemKind::Damaged)));
        assert_eq!(body(&reply)["detail"], "part of what is stored is damaged; events 5 to 9 are concerned");
        assert!(!String::from_utf8_lossy(&reply.body).contains("segment"));
    }
    let reply = Api::new(LIMITS).refuse(Route::Events, &Refusal::Unreadable(ReadError::Failed("/srv: EIO".into())));
    assert_eq!((reply.status, reply.problem), (500, Some(ProblemKind::Internal)));
    assert!(!String::from_utf8_lossy(&reply.body).contains("srv"));
}

#[test]
fn lookups() {
    let look_up = |method: &str, target: &str, numbers: &Numbers| match act(method, target, &[]) {
        Action::Lookup(lookup) => lookup.reply(numbers).unwrap(),
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
    assert_eq!(replied(act("GET", "/events/e1?type=a", &[])).problem, Some(ProblemKind::InvalidParameter));
    assert_eq!(found.route, Route::Event);
}
