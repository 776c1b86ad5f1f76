//! Long answers to slow clients.

use std::time::Instant;

use crate::case::{Case, cases};
use crate::client::{Connection, Head, Request, patience};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["answers";
    "GET /events": [
        slow_readers_hold_little_memory_and_miss_nothing, a_suspended_page_continues_where_it_stopped,
        answers_beyond_the_memory_limit_are_refused,
    ],
];

const EVENTS: usize = 8_000;
const TYPES: usize = 39;

/// The most memory that an answer whose client does not read may hold, in bytes: two chunks of it, and its state.
const WAITING_BYTES_MAX: f64 = 160.0 * 1024.0;

/// Stores this many events of many types. An answer of [`EVENTS`] of them is larger than all socket buffers.
fn fill(server: &Server, events: usize) -> Outcome {
    let text = "x".repeat(1_200);
    let line = |number: usize| {
        let (kind, time) = (number % TYPES, (number * 7919) % events);
        format!(r#"{{"event_type":"type{kind}","timestamp":{time},"payload":{{"n":{number},"x":"{text}"}}}}"#) + "\n"
    };
    for first in (0..events).step_by(4_000) {
        let lines: String = (first..events.min(first + 4_000)).map(line).collect();
        server.submit_lines(lines)?.expect(201)?;
    }
    Ok(())
}

/// A client that has read only the head of an answer.
struct Slow {
    connection: Connection,
    head: Head,
}

impl Slow {
    fn ask(server: &Server, target: &str) -> Result<Self, Failure> {
        let mut connection = server.connect_with_small_buffer()?;
        connection
            .write(format!("GET {target} HTTP/1.1\r\nhost: x\r\naccept: application/jsonl\r\n\r\n").as_bytes())?;
        let head = connection.read_head("GET")?;
        Ok(Self { connection, head })
    }

    /// The sequence numbers of the events.
    fn read(mut self) -> Result<Vec<u64>, Failure> {
        let body = self.connection.read_body(&self.head)?;
        let seq = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).ok()?["seq"].as_u64();
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| seq(line).ok_or_else(|| Failure::unmet("an event a line"))).collect()
    }
}

/// Waits until the running answers hold at most this much memory.
fn wait_until_held(server: &Server, bytes_max: f64) -> Outcome {
    let deadline = Instant::now() + patience();
    loop {
        let held = server.metric("argus_answer_bytes_held")?;
        if held <= bytes_max {
            return Ok(());
        }
        check!(Instant::now() < deadline, "answers to hold {bytes_max} bytes at most, not {held}");
    }
}

fn slow_readers_hold_little_memory_and_miss_nothing(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--write-timeout", "5m")])?;
    fill(&server, EVENTS)?;
    let targets = ["/events", "/events?order=desc", "/events?order=seq", "/events?payload.n[gte]=100"];
    let readers: Vec<Slow> = targets.iter().map(|target| Slow::ask(&server, target)).collect::<Result<_, _>>()?;
    // The snapshot of these readers becomes outdated, and so do its segments.
    fill(&server, EVENTS / 2)?;
    check_eq!(server.metric("argus_answers_in_flight")?, targets.len() as f64, "running answers");
    wait_until_held(&server, WAITING_BYTES_MAX * targets.len() as f64)?;
    fill(&server, EVENTS / 2)?;
    for (target, reader) in targets.iter().zip(readers) {
        let mut seqs = reader.read().map_err(|failure| failure.within(target))?;
        let expected = if target.contains("payload") { EVENTS - 100 } else { EVENTS };
        check_eq!(seqs.len(), expected, "events of the answer to {target}");
        seqs.sort_unstable();
        seqs.dedup();
        check_eq!(seqs.len(), expected, "different events of the answer to {target}");
        check!(seqs.last() <= Some(&(EVENTS as u64)), "events of one snapshot in the answer to {target}");
    }
    check_eq!(server.metric("argus_answers_in_flight")?, 0.0, "running answers");
    check_eq!(server.metric("argus_answer_bytes_held")?, 0.0, "bytes held by answers");
    Ok(())
}

fn a_suspended_page_continues_where_it_stopped(ctx: &Context<'_>) -> Outcome {
    const LIMIT: usize = 6_000;
    let server = ctx.start(&[("--write-timeout", "5m")])?;
    fill(&server, EVENTS)?;
    for order in ["asc", "desc", "seq"] {
        let target = format!("/events?limit={LIMIT}&order={order}");
        let whole = Slow::ask(&server, &target)?.read()?;
        check_eq!(whole.len(), LIMIT, "events of a page");
        let reader = Slow::ask(&server, &target)?;
        wait_until_held(&server, WAITING_BYTES_MAX)?;
        server.submit_lines(r#"{"event_type":"late","timestamp":3,"payload":null}"#.to_owned() + "\n")?.expect(201)?;
        check!(reader.read()? == whole, "the same page in the order {order}");
    }
    Ok(())
}

fn answers_beyond_the_memory_limit_are_refused(ctx: &Context<'_>) -> Outcome {
    const READERS_MAX: usize = 64;
    let settings = [
        ("--max-answer-bytes", "300000"),
        ("--query-memory", "300000"),
        ("--max-payload-bytes", "100000"),
        ("--request-timeout", "3s"),
    ];
    let server = ctx.start(&settings)?;
    fill(&server, EVENTS)?;
    let mut readers = Vec::new();
    let refused = loop {
        check!(readers.len() < READERS_MAX, "an answer that is refused for lack of memory");
        let reader = Slow::ask(&server, "/events")?;
        if reader.head.status != 200 {
            break reader;
        }
        readers.push(reader);
    };
    check_eq!(refused.head.status, 503, "the status without memory");
    check!(refused.head.header("retry-after").is_some(), "a 503 to have Retry-After");
    check!(!readers.is_empty(), "memory for one answer at least");
    // An answer that cannot be long needs none of this memory. Others can use it once it is free.
    server.send(&Request::get("/events/none"))?.expect(404)?;
    drop(readers);
    drop(refused);
    check_eq!(server.find("limit=1")?.len(), 1, "events of a page");
    Ok(())
}
