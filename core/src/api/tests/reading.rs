//! Unit tests of `GET /events` and `GET /events/{id}`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::task::Poll;
use core::time::Duration;

use serde_json::{Value, json};

use super::{LIMITS, act, body, handle, replied};
use crate::api::{
    Action, Api, Draft, Limits, ProblemKind, READ_BUDGET, Read, ReadRun, ReadStep, Refusal, Reply, RequestHead, Route,
    ServiceState,
};
use crate::clock::Moment;
use crate::damage::{Affected, Damage};
use crate::event::{ClientId, Event, EventId, EventType, Payload, Timestamp};
use crate::query::{Position, Scan};
use crate::repository::{Flow, GapRun, ReadError, Reader, ScanHead, ScanRun, Snapshot, Stats, TakeSnapshot};

/// A minimal snapshot: numbered events of one size.
#[derive(Clone)]
struct Numbers {
    events: u64,
    payload: &'static str,
    /// How many polls find nothing before each event.
    idle: u32,
    broken: bool,
    /// How many bytes each poll reads.
    bytes: u64,
}

struct NumbersRun {
    numbers: Arc<Numbers>,
    next: u64,
    limit: Option<NonZeroU32>,
    /// How many events of the page were found, and whether the page is complete.
    found: u64,
    complete: bool,
    idle: u32,
    read_bytes: u64,
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
            stored_at: Timestamp::from_nanos(0),
        })
    }
}

impl Snapshot for Numbers {
    fn stats(&self) -> Result<Stats, ReadError> {
        Ok(Stats::default())
    }

    fn last_seq(&self) -> u64 {
        self.events
    }

    fn gaps(self: Arc<Self>, _after: u64, _up_to: u64) -> Box<dyn GapRun> {
        unreachable!("no test of a query looks for gaps")
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

    fn scan(self: Arc<Self>, scan: &Scan) -> Result<Box<dyn ScanRun>, ReadError> {
        let (limit, idle) = (scan.limit, self.idle);
        Ok(Box::new(NumbersRun {
            numbers: self,
            next: 0,
            limit,
            found: 0,
            complete: limit.is_none(),
            idle,
            read_bytes: 0,
        }))
    }
}

impl TakeSnapshot for Numbers {
    fn take_snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
        if self.broken { Err(ReadError::Unavailable("no answer".into())) } else { Ok(Arc::new(self.clone())) }
    }
}

impl ScanRun for NumbersRun {
    fn poll_head(&mut self, budget: u32) -> Result<Poll<ScanHead>, ReadError> {
        self.read_bytes += self.numbers.bytes;
        let end = self.limit.map_or(0, |limit| self.numbers.events.min(limit.get().into()));
        for _ in 0..budget {
            if self.complete || self.found == end {
                self.complete = true;
                let more = self.limit.is_some() && self.found < self.numbers.events;
                let next = more.then(|| Position { timestamp: Timestamp::from_nanos(0), seq: self.found });
                return Ok(Poll::Ready(ScanHead { next }));
            }
            if self.idle > 0 {
                self.idle -= 1;
                return Ok(Poll::Pending);
            }
            self.idle = self.numbers.idle;
            self.found += 1;
        }
        Ok(Poll::Pending)
    }

    fn end_page(&mut self) -> Option<Position> {
        self.complete = true;
        Some(Position { timestamp: Timestamp::from_nanos(0), seq: self.found })
    }

    fn scanned_bytes(&self) -> u64 {
        self.read_bytes
    }

    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<Poll<()>, ReadError> {
        if self.numbers.broken {
            return Err(unreadable());
        }
        self.read_bytes += self.numbers.bytes;
        let end = if self.limit.is_some() { self.found } else { self.numbers.events };
        for _ in 0..budget {
            if self.next == end {
                return Ok(Poll::Ready(()));
            }
            if self.limit.is_none() && self.idle > 0 {
                self.idle -= 1;
                return Ok(Poll::Pending);
            }
            self.idle = self.numbers.idle;
            self.next += 1;
            if self.numbers.with_event(self.next - 1, sink) == Flow::Stop {
                return Ok(Poll::Pending);
            }
        }
        Ok(Poll::Pending)
    }
}

fn unreadable() -> ReadError {
    let (place, reason) = ("/srv/segment-7".into(), "its checksum is wrong".into());
    ReadError::Damaged(Damage { place, offset: Some(4096), reason, affected: Affected::all(5, 9) })
}

fn numbers(events: u64) -> Numbers {
    Numbers { events, payload: "null", idle: 0, broken: false, bytes: 0 }
}

fn at(millis: u64) -> Moment {
    Moment { wall: Timestamp::from_nanos(0), uptime: Duration::from_millis(millis) }
}

/// A run of `GET target` under these limits.
fn begin_within(limits: Limits, target: &str, numbers: Numbers) -> Reading {
    let head = RequestHead { method: "GET", target, headers: &[("host", b"x")], ..RequestHead::default() };
    let Action::Read(read) = Api::new(limits).handle_request(&head, &ServiceState::default()).0 else {
        panic!("{target}")
    };
    Reading::begin(read, Reader::Current(Arc::new(numbers)))
}

/// The first step that is not pending. Each poll takes this long to compute.
fn first_step(run: &mut Reading, computed: Duration) -> ReadStep {
    loop {
        match run.poll(at(0), 1).unwrap() {
            Poll::Pending => run.run.spend(computed),
            Poll::Ready(step) => return step,
        }
    }
}

#[test]
fn a_query_that_computes_or_reads_too_much_is_stopped() {
    let time = Duration::from_millis(100);
    let limits = Limits { query_time: Some(time), scan_bytes_max: Some(1000), ..LIMITS };
    let idle = Numbers { idle: u32::MAX, ..numbers(3) };
    for (numbers, computed, expected) in [
        (idle.clone(), time / 10, Refusal::QueryTime),
        (idle.clone(), time * 2, Refusal::QueryTime),
        (Numbers { bytes: 100, ..idle.clone() }, Duration::ZERO, Refusal::QueryBytes),
        (Numbers { bytes: 2000, ..idle.clone() }, Duration::ZERO, Refusal::QueryBytes),
    ] {
        let mut run = begin_within(limits, "/events", numbers);
        let ReadStep::Stopped(refusal) = first_step(&mut run, computed) else { panic!("not stopped") };
        assert_eq!(refusal, expected);
        assert!(matches!(run.poll(at(0), 1), Ok(Poll::Ready(ReadStep::Done))));
    }
}

#[test]
fn a_streamed_answer_is_stopped_in_the_middle() {
    let limits = Limits { scan_bytes_max: Some(1000), ..LIMITS };
    let mut run = begin_within(limits, "/events", Numbers { bytes: 100, idle: 1, ..numbers(1000) });
    assert!(run.poll(at(0), 1).unwrap().is_pending());
    assert!(matches!(run.poll(at(20), 1), Ok(Poll::Ready(ReadStep::Start(_)))));
    let step = loop {
        match run.poll(at(20), 1).unwrap() {
            Poll::Pending => {}
            Poll::Ready(step) => break step,
        }
    };
    assert!(matches!(step, ReadStep::Stopped(Refusal::QueryBytes)), "{step:?}");
}

#[test]
fn a_page_ends_early_after_half_of_what_a_query_may_take() {
    let time = Duration::from_millis(100);
    for (limits, bytes, computed) in [
        (Limits { query_time: Some(time), ..LIMITS }, 0, time / 10),
        (Limits { scan_bytes_max: Some(1000), ..LIMITS }, 100, Duration::ZERO),
        // One poll takes more than everything. Events were examined, so the page ends.
        (Limits { scan_bytes_max: Some(1000), ..LIMITS }, 5000, Duration::ZERO),
    ] {
        let mut run = begin_within(limits, "/events?limit=500", Numbers { bytes, idle: 1, ..numbers(1000) });
        let ReadStep::Whole(Draft(reply)) = first_step(&mut run, computed) else { panic!("not whole") };
        assert_eq!(reply.status, 200);
        assert!(reply.header("link").is_some() && reply.header("argus-scanned-to").is_some());
    }
}

fn read(method: &str, target: &str, accept: Option<&str>) -> Read {
    let fields: Vec<_> = accept.map(|accept| ("accept", accept)).into_iter().collect();
    match act(method, target, &fields) {
        Action::Read(read) => read,
        other => panic!("{other:?}"),
    }
}

/// A read in progress, and the reader that it polls.
struct Reading {
    run: ReadRun,
    reader: Reader,
}

impl Reading {
    fn begin(read: Read, reader: Reader) -> Self {
        Self { run: read.begin(at(0)), reader }
    }

    fn poll(&mut self, now: Moment, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        self.run.poll(&self.reader, now, budget)
    }
}

fn begin(target: &str, numbers: Numbers) -> Reading {
    Reading::begin(read("GET", target, None), Reader::Current(Arc::new(numbers)))
}

/// Runs a read with a clock that stands still. Returns the head, the body and the lengths of the chunks.
fn run(read: Read, numbers: Numbers) -> (Reply, Vec<u8>, Vec<usize>) {
    let mut run = Reading::begin(read, Reader::Current(Arc::new(numbers)));
    let mut head = None;
    let (mut body, mut chunks) = (Vec::new(), Vec::new());
    loop {
        match run.poll(at(0), READ_BUDGET).unwrap() {
            Poll::Pending => {}
            Poll::Ready(ReadStep::Whole(Draft(reply))) => {
                assert!(head.is_none());
                assert!(matches!(run.poll(at(0), READ_BUDGET), Ok(Poll::Ready(ReadStep::Done))));
                let body = reply.body.to_vec();
                return (reply, body, chunks);
            }
            Poll::Ready(ReadStep::Start(Draft(reply))) => {
                assert!(reply.body.is_empty() && head.replace(reply).is_none());
            }
            Poll::Ready(ReadStep::Chunk(chunk)) => {
                assert!(head.is_some());
                chunks.push(chunk.len());
                body.extend_from_slice(&chunk);
            }
            Poll::Ready(ReadStep::Done) => return (head.unwrap(), body, chunks),
            Poll::Ready(ReadStep::Stopped(refusal)) => panic!("{refusal:?}"),
        }
    }
}

#[test]
fn small_replies_come_in_one_piece() {
    let (reply, text, _) = run(read("GET", "/events", None), numbers(0));
    assert_eq!((reply.status, text.as_slice()), (200, &b"[]\n"[..]));
    assert_eq!((reply.header("content-type"), reply.header("vary")), (Some("application/json"), Some("accept")));
    assert_eq!(reply.header("link"), None);
    let (reply, text, _) = run(read("GET", "/events", Some("application/x-ndjson")), numbers(0));
    assert_eq!((reply.header("content-type"), text.len()), (Some("application/x-ndjson"), 0));
    let (_, text, _) = run(read("GET", "/events", None), Numbers { idle: 3, ..numbers(2) });
    let events: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((events[0]["id"].as_str(), events[1]["seq"].as_u64()), (Some("e0"), Some(1)));
}

#[test]
fn long_replies_come_in_bounded_chunks() {
    for (accept, idle) in [("*/*", 0), ("application/jsonl", 0), ("*/*", 2)] {
        let (reply, text, chunks) = run(read("GET", "/events", Some(accept)), Numbers { idle, ..numbers(5000) });
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
fn every_reply_has_the_last_sequence_number_of_its_snapshot() {
    for target in ["/events", "/events?limit=1", "/events?limit=9"] {
        for method in ["GET", "HEAD"] {
            for events in [0, 3] {
                let (reply, ..) = run(read(method, target, None), numbers(events));
                assert_eq!(reply.header("argus-last-seq"), Some(events.to_string().as_str()), "{method} {target}");
            }
        }
    }
    assert_eq!(run(read("GET", "/events", None), numbers(5000)).0.header("argus-last-seq"), Some("5000"));
}

#[test]
fn a_slow_reply_without_a_limit_sends_its_head_early() {
    let mut run = begin("/events", Numbers { idle: 6, ..numbers(2) });
    assert!(run.poll(at(0), 1).unwrap().is_pending());
    assert!(run.poll(at(19), 1).unwrap().is_pending());
    let Poll::Ready(ReadStep::Start(Draft(head))) = run.poll(at(20), 1).unwrap() else { panic!("the head is due") };
    assert_eq!((head.status, head.header("argus-last-seq")), (200, Some("2")));
    assert!(run.poll(at(39), 1).unwrap().is_pending());
    let Poll::Ready(ReadStep::Chunk(chunk)) = run.poll(at(40), 1).unwrap() else { panic!("a chunk is due") };
    assert_eq!(chunk, "[");
    // No event has been found since.
    assert!(run.poll(at(1_000), 1).unwrap().is_pending());
    let mut rest = String::new();
    loop {
        match run.poll(at(2_000), READ_BUDGET).unwrap() {
            Poll::Pending => {}
            Poll::Ready(ReadStep::Chunk(chunk)) => rest.push_str(core::str::from_utf8(&chunk).unwrap()),
            Poll::Ready(ReadStep::Done) => break,
            Poll::Ready(other) => panic!("{other:?}"),
        }
    }
    let events: Value = serde_json::from_str(&format!("[{rest}")).unwrap();
    assert_eq!(events.as_array().unwrap().len(), 2);
}

#[test]
fn a_page_ends_early_after_half_of_the_time() {
    for (target, idle, events, scanned_to) in [
        ("/events?limit=5", u32::MAX, 0, "1970-01-01T00:00:00Z"),
        ("/events?limit=5&order=seq", u32::MAX, 0, "0"),
        ("/events?limit=5&order=seq", 1, 2, "2"),
    ] {
        let mut run = begin(target, Numbers { idle, ..numbers(3) });
        for _ in 0..3 {
            assert!(run.poll(at(4_999), 1).unwrap().is_pending());
        }
        assert!(run.poll(at(5_000), 1).unwrap().is_pending());
        let reply = loop {
            match run.poll(at(5_000), READ_BUDGET).unwrap() {
                Poll::Pending => {}
                Poll::Ready(ReadStep::Whole(Draft(reply))) => break reply,
                Poll::Ready(other) => panic!("{other:?}"),
            }
        };
        assert_eq!((reply.status, body(&reply).as_array().unwrap().len()), (200, events), "{target}");
        assert_eq!(reply.header("argus-scanned-to"), Some(scanned_to), "{target}");
        let link = reply.header("link").unwrap();
        assert!(link.starts_with(&format!("<{target}&cursor=")) && link.ends_with(">; rel=\"next\""), "{link}");
    }
    let (full, ..) = run(read("GET", "/events?limit=1", None), numbers(3));
    assert_eq!(full.header("argus-scanned-to"), None);
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
        let (reply, ..) = run(read("GET", "/events", Some(accept)), numbers(1));
        assert_eq!(reply.header("content-type"), Some(expected), "{accept}");
    }
    for accept in ["text/html", "text/event-stream", "*/*;q=0"] {
        let reply = replied(act("GET", "/events", &[("accept", accept)]));
        assert_eq!((reply.status, reply.header("vary")), (406, Some("accept")), "{accept}");
    }
}

#[test]
fn pages_are_linked() {
    let (reply, ..) = run(read("GET", "/events?type=a%20b&limit=2&payload.%22%3Cx%3E[ne]=|", None), numbers(3));
    let link = reply.header("link").unwrap();
    assert!(link.starts_with("</events?type=a%20b&limit=2&payload.%22%3Cx%3E%5Bne%5D=%7C&cursor="), "{link}");
    let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_string();
    let (reply, ..) = run(read("HEAD", &next, None), numbers(3));
    assert_eq!((reply.header("link"), reply.body.len()), (Some(link), 0));
    assert_eq!(reply.header("content-length"), None);
    assert_eq!(run(read("GET", "/events?limit=3", None), numbers(3)).0.header("link"), None);
    let (reply, ..) = run(read("GET", "/events?limit=1", None), numbers(3));
    assert!(reply.header("link").unwrap().starts_with("</events?limit=1&cursor="));
}

/// The reply of the host to a read that fails before its head.
fn refused(route: Route, mut run: Reading) -> Reply {
    let error = loop {
        match run.poll(at(0), READ_BUDGET) {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(step)) => panic!("{step:?}"),
            Err(error) => break error,
        }
    };
    Api::new(LIMITS).refuse(route, &Refusal::Unreadable(error)).0
}

#[test]
fn damage_is_reported_without_its_location() {
    for target in ["/events", "/events/e1"] {
        let reply = refused(Route::Events, begin(target, Numbers { broken: true, ..numbers(1) }));
        assert_eq!((reply.status, reply.problem), (500, Some(ProblemKind::Damaged)));
        assert_eq!(body(&reply)["detail"], "part of what is stored is damaged; events 5 to 9 are affected");
        assert!(!String::from_utf8_lossy(&reply.body).contains("segment"));
    }
    let reply = Api::new(LIMITS).refuse(Route::Events, &Refusal::Unreadable(ReadError::Failed("/srv: EIO".into()))).0;
    assert_eq!((reply.status, reply.problem), (500, Some(ProblemKind::Internal)));
    assert!(!String::from_utf8_lossy(&reply.body).contains("srv"));
}

#[test]
fn taking_the_snapshot_may_wait_and_may_fail() {
    let shared = |broken| Reader::Shared(Arc::new(Numbers { broken, ..numbers(1) }));
    for target in ["/events", "/events/e0"] {
        let reply = refused(Route::Events, Reading::begin(read("GET", target, None), shared(true)));
        assert_eq!((reply.status, reply.problem), (503, Some(ProblemKind::StorageUnavailable)));
        assert!(reply.header("retry-after").is_some());
        let mut run = Reading::begin(read("GET", target, None), shared(false));
        let Poll::Ready(ReadStep::Whole(Draft(reply))) = run.poll(at(0), READ_BUDGET).unwrap() else {
            panic!("{target}")
        };
        assert_eq!(reply.status, 200);
    }
}

#[test]
fn the_timeout_of_a_read_says_nothing_about_stored_events() {
    let reply = Api::new(LIMITS).refuse(Route::Events, &Refusal::ReadTimeout).0;
    assert_eq!(
        (reply.status, reply.problem, reply.header("retry-after")),
        (503, Some(ProblemKind::Timeout), Some("1"))
    );
    assert!(!body(&reply)["detail"].as_str().unwrap().contains("unknown"));
}

#[test]
fn an_event_is_found_by_its_id() {
    let look_up = |target: &str| run(read("GET", target, None), numbers(2)).0;
    let found = look_up("/events/%651");
    assert_eq!((found.status, &body(&found)["id"]), (200, &json!("e1")));
    for id in ["e2", "x%00y", "a%2Fb", &"x".repeat(5000)] {
        let reply = look_up(&format!("/events/{id}"));
        assert_eq!((reply.status, reply.problem), (404, Some(ProblemKind::NotFound)));
        assert!(reply.body.len() < 500);
    }
    assert_eq!(replied(act("GET", "/events/e1?type=a", &[])).problem, Some(ProblemKind::InvalidParameter));
    assert_eq!(found.route, Route::Event);
    assert_eq!(read("GET", "/events/e1", None).route(), Route::Event);
    assert_eq!(read("GET", "/events", None).route(), Route::Events);
}

/// The coding of a read's answer, and the lengths of its chunks.
fn run_coded(target: &str, numbers: Numbers) -> (Reply, Vec<u8>, Vec<usize>) {
    let fields = [("accept-encoding", "gzip")];
    let (Action::Read(read), _) = handle(&Api::new(LIMITS), &ServiceState::default(), "GET", target, &fields) else {
        panic!("{target}")
    };
    run(read, numbers)
}

#[test]
fn an_answer_is_coded_where_it_is_made() {
    let plain = |target: &str, count| run(read("GET", target, None), numbers(count)).1;
    let inflated = |body: &[u8]| {
        let trailer = body.len() - 8;
        miniz_oxide::inflate::decompress_to_vec(&body[10..trailer]).unwrap()
    };
    for (target, count, is_coded) in
        [("/events", 2, false), ("/events", 100, true), ("/events?limit=100", 200, true), ("/events", 5000, true)]
    {
        let (head, body, chunks) = run_coded(target, numbers(count));
        assert_eq!(head.header("content-encoding"), is_coded.then_some("gzip"), "{target} {count}");
        assert!(if is_coded { inflated(&body) } else { body } == plain(target, count), "{target} {count}");
        assert_eq!(chunks.is_empty(), count < 5000);
        assert!(chunks.iter().all(|&bytes| bytes > 0));
    }
}
