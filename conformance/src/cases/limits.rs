//! Limits of bodies and payloads, of the memory for all bodies together, and of the commit queue.

use std::time::Instant;

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::{Connection, Request, Response, patience};
use crate::compress;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["limits";
    "POST /events": [
        body_at_the_limit, body_beyond_the_limit, chunked_body_beyond_the_limit,
        declared_length_is_refused_before_the_body, decompressed_body_at_the_limit, decompressed_body_beyond_the_limit,
        gzip_bomb, zstd_bomb, default_limit_is_64_mebibytes, payload_at_the_limit, payload_limit_counts_compact_bytes,
        payload_limit_applies_to_mapped_records, depth_of_payloads, depth_by_setting, digits_of_numbers,
        bodies_in_flight_are_bounded, declared_lengths_take_no_memory,
        memory_is_reserved_for_small_bodies, stalled_bodies_give_their_memory_to_others,
        full_queue_is_answered_with_503,
    ],
];

const EVENT: &str = r#"{"event_type":"limit","timestamp":0,"payload":1}"#;

/// An event followed by spaces, this many bytes in all.
fn padded(bytes: usize) -> String {
    format!("{EVENT}{}", " ".repeat(bytes - EVENT.len()))
}

fn small_bodies(ctx: &Context<'_>) -> Result<Server, Failure> {
    ctx.start(&[("--max-body-bytes", "10000"), ("--max-payload-bytes", "1000")])
}

/// Requires 503 with `Retry-After`.
fn expect_overloaded(response: &Response) -> Outcome {
    let problem = response.problem(503)?;
    check_eq!(problem["type"], json!("/problems/overloaded"), "the type of the problem");
    let seconds = response.header("retry-after").and_then(|value| value.parse::<u32>().ok());
    check!(seconds.is_some_and(|seconds| seconds >= 1), "Retry-After in seconds");
    Ok(())
}

fn body_at_the_limit(ctx: &Context<'_>) -> Outcome {
    let server = small_bodies(ctx)?;
    server.submit(padded(9_999))?.expect(201)?;
    server.submit(padded(10_000))?.expect(201)
}

fn body_beyond_the_limit(ctx: &Context<'_>) -> Outcome {
    let server = small_bodies(ctx)?;
    server.submit(padded(10_001))?.problem_naming(413, "--max-body-bytes")?;
    server.submit(padded(1_000_000))?.problem(413)?;
    server.expect_empty()
}

fn chunked_body_beyond_the_limit(ctx: &Context<'_>) -> Outcome {
    let server = small_bodies(ctx)?;
    let chunked = |body: &str| -> Result<Response, Failure> {
        let mut connection = server.connect()?;
        let mut bytes =
            b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec();
        for chunk in body.as_bytes().chunks(700) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        connection.write(&bytes)?;
        connection.response_to("POST")
    };
    chunked(&padded(10_001))?.problem(413)?;
    chunked(&padded(300_000))?.problem(413)?;
    server.expect_empty()?;
    chunked(&padded(10_000))?.expect(201)
}

fn declared_length_is_refused_before_the_body(ctx: &Context<'_>) -> Outcome {
    let server = small_bodies(ctx)?;
    let mut connection = server.connect()?;
    let request = Request::post("/events", "application/json", padded(10_001)).header("expect", "100-continue");
    connection.write(&request.head_bytes(&server.host()))?;
    connection.response_to("POST")?.problem(413)?;
    connection.expect_close()?;
    server.expect_empty()
}

fn compressed(coding: &str, body: Vec<u8>) -> Request {
    Request::post("/events", "application/json", body).header("content-encoding", coding)
}

fn decompressed_body_at_the_limit(ctx: &Context<'_>) -> Outcome {
    let server = small_bodies(ctx)?;
    server.send(&compressed("gzip", compress::gzip(padded(10_000).as_bytes())))?.expect(201)?;
    server.send(&compressed("zstd", compress::zstd(padded(10_000).as_bytes())))?.expect(201)
}

fn decompressed_body_beyond_the_limit(ctx: &Context<'_>) -> Outcome {
    let server = small_bodies(ctx)?;
    server.send(&compressed("gzip", compress::gzip(padded(10_001).as_bytes())))?.problem(413)?;
    server.send(&compressed("zstd", compress::zstd(padded(10_001).as_bytes())))?.problem(413)?;
    server.expect_empty()
}

fn gzip_bomb(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&compressed("gzip", compress::gzip_bomb(256 << 20)))?.problem(413)?;
    server.expect_empty()
}

fn zstd_bomb(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    // 8 GiB from 256 KiB.
    server.send(&compressed("zstd", compress::zstd_bomb(8 << 30)))?.problem(413)?;
    server.expect_empty()
}

fn default_limit_is_64_mebibytes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit(padded(64 << 20))?.expect(201)?;
    server.submit(padded((64 << 20) + 1))?.problem(413)?;
    check_eq!(server.find("")?.len(), 1, "events stored");
    Ok(())
}

/// A string that takes this many bytes as JSON.
fn payload(bytes: usize) -> String {
    format!("\"{}\"", "p".repeat(bytes - 2))
}

fn payload_at_the_limit(ctx: &Context<'_>) -> Outcome {
    for (server, limit) in [(ctx.empty()?, 256 << 10), (small_bodies(ctx)?, 1000)] {
        let event = |bytes| format!(r#"{{"event_type":"p","timestamp":0,"payload":{}}}"#, payload(bytes));
        let refused = server.submit(event(limit + 1))?;
        refused.fault("#/payload", "payload_too_large")?;
        refused.problem_naming(422, "--max-payload-bytes")?;
        server.expect_empty()?;
        server.submit(event(limit))?.expect(201)?;
        check_eq!(server.find("")?.len(), 1, "events stored");
    }
    Ok(())
}

fn payload_limit_counts_compact_bytes(ctx: &Context<'_>) -> Outcome {
    let server = small_bodies(ctx)?;
    let spaces = " ".repeat(2000);
    let inner = payload(998);
    server.submit(format!(r#"{{"event_type":"p","timestamp":0,"payload":[{spaces}{inner}{spaces}]}}"#))?.expect(201)?;
    let inner = payload(999);
    let event = format!(r#"{{"event_type":"p","timestamp":0,"payload":[{spaces}{inner}{spaces}]}}"#);
    server.submit(event)?.fault("#/payload", "payload_too_large")
}

fn payload_limit_applies_to_mapped_records(ctx: &Context<'_>) -> Outcome {
    let server = small_bodies(ctx)?;
    let record = |bytes: usize| format!(r#"{{"t":0,"p":{}}}"#, payload(bytes - r#"{"t":0,"p":}"#.len()));
    let post = |body: String| server.send(&Request::post("/events?type=r&time_from=/t", "application/x-ndjson", body));
    post(record(1001))?.problem(422)?;
    server.expect_empty()?;
    post(record(1000))?.expect(201)
}

/// A payload of this depth. Arrays and objects alternate.
fn nested(depth: usize) -> String {
    let (open, close): (String, String) =
        (0..depth).map(|level| if level % 2 == 0 { ("[", "]") } else { ("{\"a\":", "}") }).unzip();
    let innermost = if depth.is_multiple_of(2) { "1" } else { "" };
    format!("{open}{innermost}{}", close.chars().rev().collect::<String>())
}

fn depth_of_payloads(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = |payload: &str| format!(r#"{{"id":"deep","event_type":"d","timestamp":0,"payload":{payload}}}"#);
    for depth in [129, 1001, 100_001] {
        let response = server.submit(event(&nested(depth)))?;
        response.fault("#/payload", "payload_too_deep")?;
        let problem = response.json()?;
        let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
        check!(
            detail.contains(&depth.to_string()) && detail.contains("128") && detail.contains("--max-depth"),
            "depth, limit and setting in {detail:?}"
        );
    }
    server.expect_empty()?;
    server.submit(event(&nested(128)))?.expect(201)?;
    let stored = server.get("/events/deep")?;
    check!(stored.text()?.contains(&nested(128)), "the payload as it was sent");
    // Brackets in strings do not count, nor do those beside each other.
    server.submit(event(&format!("\"{}\"", "[".repeat(200))).replace("deep", "flat"))?.expect(201)?;
    server.submit(event(&format!("[{}[]]", "[],{},".repeat(200))).replace("deep", "wide"))?.expect(201)
}

fn depth_by_setting(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-depth", "3")])?;
    let event = |depth: usize| format!(r#"{{"event_type":"d","timestamp":0,"payload":{}}}"#, nested(depth));
    server.submit(event(3))?.expect(201)?;
    server.submit(event(4))?.fault("#/payload", "payload_too_deep")?;
    let lines = [4, 3, 5, 0].map(event).join("\n");
    let request = Request::post("/events", "application/x-ndjson", lines).header("prefer", "handling=lenient");
    let response = server.send(&request)?;
    check_eq!(response.member("accepted")?, json!(2), "events accepted");
    let rejected = response.member("rejected")?;
    check_eq!(
        (&rejected[0]["pointer"], &rejected[1]["pointer"]),
        (&json!("#/0/payload"), &json!("#/2/payload")),
        "the events rejected"
    );
    // The whole record is the payload.
    let record = |depth: usize| format!(r#"{{"t":0,"p":{}}}"#, nested(depth));
    let post = |body: String| server.send(&Request::post("/events?type=r&time_from=/t", "application/json", body));
    post(record(2))?.expect(201)?;
    post(record(3))?.fault("#", "payload_too_deep")
}

fn digits_of_numbers(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = |payload: &str| format!(r#"{{"id":"long","event_type":"n","timestamp":0,"payload":{payload}}}"#);
    let digits = |count: usize| "7".repeat(count);
    for payload in [
        digits(1001),
        format!("-0.{}", digits(1000)),
        format!("1e-{}", digits(1000)),
        format!(r#"{{"a":[1,{},2]}}"#, digits(5000)),
    ] {
        let response = server.submit(event(&payload))?;
        response.fault("#/payload", "number_too_long")?;
        let problem = response.json()?;
        let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
        check!(detail.contains("1000"), "the limit in {detail:?}");
        let record =
            Request::post("/events?type=r&time_from=/t", "application/json", format!(r#"{{"t":0,"n":{payload}}}"#));
        server.send(&record)?.fault("#", "number_too_long")?;
    }
    server.expect_empty()?;
    let longest = format!(r#"[{},-{}.{}e+1,"{}"]"#, digits(1000), digits(500), digits(499), digits(5000));
    server.submit(event(&longest))?.expect(201)?;
    check!(server.get("/events/long")?.text()?.contains(&longest), "the payload as it was sent");
    Ok(())
}

fn bodies_in_flight_are_bounded(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[
        ("--max-body-bytes", "10000"),
        ("--max-payload-bytes", "1000"),
        ("--max-inflight-bytes", "15000"),
    ])?;
    let request = Request::post("/events", "application/json", padded(10_000));
    let deadline = Instant::now() + patience();
    loop {
        let mut held = held_body(&server, 10_000, 9_999)?;
        // Once the subject has read these bytes, there is no memory for a second body of this size.
        let second = server.send(&request)?;
        let refused = second.status() == 503;
        if refused {
            expect_overloaded(&second)?;
            // Small bodies are accepted, and the first body can be completed.
            server.submit(EVENT)?.expect(201)?;
        } else {
            second.expect(201)?;
        }
        held.write(b" ")?;
        let first = held.response_to("POST")?;
        if refused {
            first.expect(201)?;
            return server.send(&request)?.expect(201);
        }
        // The subject may have read the second body first, and then had no memory for the held one.
        check!(matches!(first.status(), 201 | 503), "an answer to the held body, not {}", first.status());
        check!(Instant::now() < deadline, "503 while a body takes most of the memory");
    }
}

/// An accepted submission with a body of this length. Only the first `sent` bytes are sent.
fn held_body(server: &Server, length: usize, sent: usize) -> Result<Connection, Failure> {
    let mut held = server.begin_submission(padded(length))?;
    held.write(&padded(length).as_bytes()[..sent])?;
    Ok(held)
}

fn declared_lengths_take_no_memory(ctx: &Context<'_>) -> Outcome {
    // Their declared lengths add up to the default limit of memory.
    let server = ctx.empty()?;
    let mut held = (0..4).map(|_| held_body(&server, 64 << 20, 1)).collect::<Result<Vec<_>, _>>()?;
    server.submit(EVENT)?.expect(201)?;
    server.submit(padded(16 << 20))?.expect(201)?;
    let Some(first) = held.first_mut() else { return Ok(()) };
    first.write(&padded(64 << 20).as_bytes()[1..])?;
    first.response_to("POST")?.expect(201)
}

fn memory_is_reserved_for_small_bodies(ctx: &Context<'_>) -> Outcome {
    const LENGTH: usize = 1 << 20;
    let server = ctx.start(&[("--max-body-bytes", "1048576"), ("--max-inflight-bytes", "2097152")])?;
    let deadline = Instant::now() + patience();
    loop {
        check!(Instant::now() < deadline, "503 for a large body while others are held");
        // Stalled bodies lose their memory after some time. If this took longer, it is repeated.
        let held = (0..2).map(|_| held_body(&server, LENGTH, LENGTH - 1)).collect::<Result<Vec<_>, _>>()?;
        let large = server.submit(padded(LENGTH))?;
        let small = server.submit(padded(64 << 10))?;
        small.expect(201)?;
        drop(held);
        if large.status() == 503 {
            return expect_overloaded(&large);
        }
        large.expect(201)?;
    }
}

fn stalled_bodies_give_their_memory_to_others(ctx: &Context<'_>) -> Outcome {
    const LENGTH: usize = 1 << 20;
    // Memory for one body of that size, but not for two.
    let settings = [
        ("--max-body-bytes", "1048576"),
        ("--max-inflight-bytes", "1835008"),
        ("--body-timeout", "1h"),
        ("--request-timeout", "1h"),
    ];
    let server = ctx.start(&settings)?;
    let mut held = held_body(&server, LENGTH, LENGTH - 1)?;
    let deadline = Instant::now() + patience();
    loop {
        check!(Instant::now() < deadline, "memory for a body while another one is stalled");
        let next = server.submit(padded(LENGTH))?;
        if next.status() == 503 {
            expect_overloaded(&next)?;
            continue;
        }
        next.expect(201)?;
        // Until the subject has read the held body, there is memory for others anyway.
        if held.has_answer()? {
            break;
        }
    }
    expect_overloaded(&held.response_to("POST")?)?;
    held.expect_close()
}

fn full_queue_is_answered_with_503(ctx: &Context<'_>) -> Outcome {
    const CLIENTS: usize = 50;
    let server = ctx.start(&[("--commit-queue-batches", "1"), ("--threads", "1")])?;
    let mut clients: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect::<Result<_, _>>()?;
    for client in &mut clients {
        client.request(&Request::get("/health/live"))?.expect(200)?;
    }
    // All submissions arrive while the subject is stopped. When it continues, its only worker submits the next ones
    // before the first is committed.
    server.signal(Signal::Stop)?;
    let request = Request::post("/events", "application/json", EVENT).to_bytes(&server.host());
    clients.iter_mut().try_for_each(|client| client.write(&request))?;
    server.signal(Signal::Continue)?;
    let mut accepted = 0;
    for client in &mut clients {
        let response = client.response_to("POST")?;
        if response.status() == 503 {
            expect_overloaded(&response)?;
        } else {
            response.expect(201)?;
            accepted += 1;
        }
    }
    check!(accepted < CLIENTS, "503 from a queue of one batch for {CLIENTS} submissions at once");
    check_eq!(server.find("")?.len(), accepted, "events stored: exactly those acknowledged");
    check_eq!(server.submit(EVENT)?.member("seq")?, json!(accepted + 1), "the next sequence number");
    Ok(())
}
