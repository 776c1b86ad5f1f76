//! `GET /events/stream`: what a reader gets.

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::client::{Connection, Request};
use crate::context::{Context, Server};
use crate::failure::Outcome;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["stream";
    "GET /events/stream": [
        a_stream_has_exact_bytes, without_a_position_only_new_events, after_a_position_first_what_is_stored,
        the_last_event_id_wins, filters_select, position_beyond_the_end_is_a_gap, heartbeats_fill_silence,
        head_has_no_stream, other_methods, media_types, invalid_parameters, http_10_streams_to_the_end,
        time_limits_do_not_apply,
    ],
];

/// Stores an event of this type; the payload is `n`.
fn store(server: &Server, event_type: &str, n: u64) -> Outcome {
    server.store(&json!({"event_type": event_type, "timestamp": n, "payload": {"n": n}})).map(drop)
}

/// The events as one line each, in the order of sequence numbers.
fn lines(server: &Server) -> Result<Vec<String>, crate::failure::Failure> {
    let request = Request::get("/events?order=seq").header("accept", "application/x-ndjson");
    Ok(server.send(&request)?.text()?.lines().map(str::to_owned).collect())
}

fn a_stream_has_exact_bytes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server
        .store(&json!({"id": "a\nb\u{2028}".replace('\n', " "), "event_type": "a", "timestamp": 1, "payload": null}))?;
    server
        .submit(r#"{"event_type":"b","timestamp":2,"payload":{"x":1.0,"y":"line\nend","x":[1e400]}}"#)?
        .expect(201)?;
    let mut stream = server.stream("after_seq=0")?;
    let head = stream.head();
    for (name, value) in [("cache-control", "no-store"), ("x-accel-buffering", "no"), ("argus-last-seq", "2")] {
        check_eq!(head.header(name), Some(value), "the header field {name}");
    }
    store(&server, "c", 3)?;
    let blocks = [stream.next_block()?, stream.next_block()?, stream.next_block()?];
    for (index, (block, line)) in blocks.iter().zip(lines(&server)?).enumerate() {
        check_eq!(block.as_deref(), Some(&*format!("id: {}\ndata: {line}", index + 1)), "an event of a stream");
    }
    Ok(())
}

fn without_a_position_only_new_events(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    store(&server, "a", 1)?;
    let mut early = server.stream("")?;
    store(&server, "a", 2)?;
    let mut late = server.stream("")?;
    check_eq!(late.head().header("argus-last-seq"), Some("2"), "the position of a stream");
    store(&server, "a", 3)?;
    check_eq!(early.seqs(2)?, [2, 3], "the events of the first stream");
    check_eq!(late.seqs(1)?, [3], "the events of the second stream");
    Ok(())
}

fn after_a_position_first_what_is_stored(ctx: &Context<'_>) -> Outcome {
    const EVENTS: u64 = 3_000;
    let server = ctx.empty()?;
    let line =
        |n: u64| format!("{{\"event_type\":\"t{}\",\"timestamp\":{},\"payload\":{n}}}\n", n % 50, n * 7919 % EVENTS);
    server.submit_lines((0..EVENTS).map(line).collect::<String>())?.expect(201)?;
    for after in [0, 1, 1_234, EVENTS - 1, EVENTS] {
        let mut stream = server.stream(&format!("after_seq={after}"))?;
        let stored: Vec<u64> = (after + 1..=EVENTS).collect();
        check_eq!(stream.seqs(stored.len())?, stored, "the events after {after}");
    }
    let mut stream = server.stream(&format!("after_seq={}", EVENTS - 2))?;
    store(&server, "new", 1)?;
    check_eq!(stream.seqs(3)?, [EVENTS - 1, EVENTS, EVENTS + 1], "stored events, and then new ones");
    Ok(())
}

fn the_last_event_id_wins(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    (1..=5).try_for_each(|n| store(&server, "a", n))?;
    check_eq!(server.resume_stream("after_seq=1", Some(3))?.seqs(2)?, [4, 5], "the events after Last-Event-ID");
    let mut resumed = server.resume_stream("", Some(5))?;
    store(&server, "a", 6)?;
    check_eq!(resumed.seqs(1)?, [6], "the events after the last one");
    for value in ["x", "-1", "18446744073709551616", "1.0"] {
        let problem = server.send(&Request::get("/events/stream").header("last-event-id", value))?.problem(400)?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        check!(detail.starts_with("Last-Event-ID: "), "an error that names the field, not {detail:?}");
    }
    Ok(())
}

fn filters_select(ctx: &Context<'_>) -> Outcome {
    const EVENTS: u64 = 60;
    let server = ctx.empty()?;
    let event = |n: u64| {
        let event_type = ["order.paid", "order.sent", "visit"][n as usize % 3];
        json!({
            "id": format!("e{n}"),
            "event_type": event_type,
            "timestamp": n * 37 % EVENTS,
            "payload": {"n": n, "user": {"name": format!("u{}", n % 4)}, "tags": [n % 2, "x"]},
        })
    };
    let queries = [
        "type=visit",
        "type=visit&type=order.paid",
        "type[prefix]=order.",
        "type[prefix]=order.&type=visit",
        "type=",
        "id=e7&id=e33&id=none",
        "start=10&end=20",
        "payload.user.name=u1",
        "payload.n[gte]=10&payload.n[lt]=40",
        "payload.tags=1",
        "payload.user.name[ne]=u1&type=visit",
        "payload.none[exists]=false&payload.user.name[prefix]=u&payload.user.name[contains]=2",
    ];
    let half = |range: std::ops::Range<u64>| -> Value { range.map(event).collect() };
    server.store(&half(0..EVENTS / 2))?;
    // Each twice: from the stored events, and live.
    let open = |position: &str| -> Result<Vec<_>, _> {
        queries.iter().map(|query| server.stream(&format!("{query}{position}"))).collect()
    };
    let (whole, live) = (open("&after_seq=0")?, open("")?);
    server.store(&half(EVENTS / 2..EVENTS))?;
    // Every stream gets this one last, so that the absence of others shows.
    for (index, query) in queries.iter().enumerate() {
        let expected: Vec<Value> = server.find(&format!("{query}&order=seq"))?;
        check!(index == 4 || index == 5 || expected.len() > 3, "some events of {query}");
    }
    for (query, streams) in queries.iter().zip(whole.into_iter().zip(live)) {
        let expected = server.find(&format!("{query}&order=seq"))?;
        let new: Vec<Value> =
            expected.iter().filter(|event| event["seq"].as_u64() > Some(EVENTS / 2)).cloned().collect();
        let (mut whole, mut live) = streams;
        for (stream, expected) in [(&mut whole, &expected), (&mut live, &new)] {
            for event in expected {
                check_eq!(stream.next_event()?, *event, "an event of {query}");
            }
        }
    }
    Ok(())
}

fn position_beyond_the_end_is_a_gap(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    store(&server, "a", 1)?;
    let mut stream = server.stream("after_seq=7")?;
    check_eq!(stream.next_block()?.as_deref(), Some("id: 1\nevent: gap\ndata: {\"first_seq\":2}"), "a gap");
    store(&server, "a", 2)?;
    check_eq!(stream.seqs(1)?, [2], "the events after the gap");
    let mut resumed = server.resume_stream("", Some(18_446_744_073_709_551_615))?;
    resumed.expect_notice("gap", "first_seq", 3)
}

fn heartbeats_fill_silence(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--stream-heartbeat", "200ms")])?;
    let mut stream = server.stream("type=a")?;
    store(&server, "b", 1)?;
    check_eq!(stream.next_block()?.as_deref(), Some(":"), "a sign of life");
    check_eq!(stream.next_block()?.as_deref(), Some(":"), "another one");
    store(&server, "a", 2)?;
    check_eq!(stream.seqs(1)?, [2], "the event between signs of life");
    Ok(())
}

fn head_has_no_stream(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    let head = connection.request(&Request::new("HEAD", "/events/stream?type=a"))?;
    head.expect(200)?;
    head.expect_header("content-type", "text/event-stream")?;
    check!(head.header("argus-last-seq").is_some(), "a position");
    connection.request(&Request::new("HEAD", "/events/stream?limit=1"))?.expect(400)?;
    connection.request(&Request::get("/health"))?.expect(200)
}

fn other_methods(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for method in ["POST", "PUT", "DELETE"] {
        let response = server.send(&Request::new(method, "/events/stream"))?;
        response.problem(405)?;
        response.expect_header("allow", "GET, HEAD")?;
    }
    Ok(())
}

fn media_types(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for accept in ["text/event-stream", "*/*", "text/*;q=0.1", "application/json, text/event-stream"] {
        let head = server.connect()?.begin(&Request::get("/events/stream").header("accept", accept))?;
        check_eq!(head.status, 200, "the status with accept: {accept}");
    }
    for accept in ["application/json", "text/event-stream;q=0", "text/html"] {
        let response = server.send(&Request::get("/events/stream").header("accept", accept))?;
        response.problem(406)?;
        response.expect_header("vary", "accept, accept-encoding")?;
    }
    Ok(())
}

fn invalid_parameters(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (query, name) in [
        ("limit=1", "'limit'"),
        ("order=seq", "'order'"),
        ("cursor=x", "'cursor'"),
        ("event_type=a", "'event_type'"),
        ("after_seq=-1", "after_seq"),
        ("after_seq=1&after_seq=1", "after_seq"),
        ("start=2&end=1", "start"),
        ("payload.a[like]=1", "'payload.a[like]'"),
    ] {
        let problem = server.get(&format!("/events/stream?{query}"))?.problem(400)?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        check!(detail.starts_with(&format!("{name}: ")), "an error that names {name}, not {detail:?}");
    }
    Ok(())
}

fn http_10_streams_to_the_end(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    store(&server, "a", 1)?;
    let mut connection: Connection = server.connect()?;
    connection.write(b"GET /events/stream?after_seq=0 HTTP/1.0\r\n\r\n")?;
    check_eq!(connection.read_head("GET")?.status, 200, "the status");
    let mut body = Vec::new();
    while !String::from_utf8_lossy(&body).contains("\"seq\":1") {
        let piece = connection.read_some()?;
        check!(!piece.is_empty(), "the stored event, but the connection was closed after {body:?}");
        body.extend(piece);
    }
    super::lifecycle::begin_drain(&server)?;
    body.extend(connection.read_to_end()?);
    let text = String::from_utf8_lossy(&body);
    check!(text.starts_with("retry: 1000\n\nid: 1\n"), "the start of a stream, not {text:?}");
    check!(text.ends_with("\n\nevent: drain\ndata: {\"after_seq\":1}\n\n"), "the end of a stream, not {text:?}");
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn time_limits_do_not_apply(ctx: &Context<'_>) -> Outcome {
    let limits = [("--request-timeout", "1s"), ("--keep-alive-timeout", "1s"), ("--stream-heartbeat", "250ms")];
    let server = ctx.start(&limits)?;
    let mut stream = server.stream("")?;
    for _ in 0..10 {
        check_eq!(stream.next_block()?.as_deref(), Some(":"), "a sign of life");
    }
    store(&server, "a", 1)?;
    check_eq!(stream.seqs(1)?, [1], "an event after the time limits");
    Ok(())
}
