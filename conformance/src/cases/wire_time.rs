//! Timeouts: slow and idle clients.

use std::thread;
use std::time::{Duration, Instant};

use crate::case::{Case, cases};
use crate::client::{Connection, Request};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["wire_time";
    "POST /events": [
        slow_head, slow_body, slow_but_steady_body_is_accepted, trickling_body, trickle_after_a_burst,
        slow_reader_is_not_cut_off, slow_reader_with_a_small_buffer_is_not_cut_off, slow_reader_is_not_idle,
        idle_connection_is_closed, idle_connection_after_a_request_is_closed,
    ],
];

const EVENT: &str = r#"{"event_type":"wire","timestamp":0,"payload":1}"#;

fn slow_head(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--header-timeout", "300ms")])?;
    for bytes in [&b"GET"[..], b"GET /health HTTP/1.1\r\nhost: x\r\n"] {
        let mut connection = server.connect()?;
        connection.write(bytes)?;
        // Others are served while this head is incomplete.
        server.get("/health")?.expect(200)?;
        let answer = connection.read_to_end()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        check!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
            "408 or nothing for half a head, not {answer:?}"
        );
    }
    server.expect_alive()
}

fn slow_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--body-timeout", "300ms")])?;
    for fields in ["content-length: 1000", "transfer-encoding: chunked"] {
        let mut connection = server.connect()?;
        let head = format!("POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{fields}\r\n\r\n");
        connection.write(format!("{head}2f\r\n{EVENT}\r\n").as_bytes())?;
        server.get("/health")?.expect(200)?;
        connection.response_to("POST")?.problem(408).map_err(|failure| failure.within(&fields))?;
        connection.expect_close()?;
    }
    server.expect_empty()?;
    server.expect_alive()
}

/// The body timeout limits the time between bytes, not the time of the whole body. The request timeout starts when the
/// body is complete.
fn slow_but_steady_body_is_accepted(ctx: &Context<'_>) -> Outcome {
    const PACE: Duration = Duration::from_millis(50);
    const LASTS: Duration = Duration::from_millis(3000);
    let server = ctx.start(&[("--body-timeout", "2s"), ("--request-timeout", "2s")])?;
    for fields in ["content-length: 300000", "transfer-encoding: chunked"] {
        let chunked = fields.contains("chunked");
        let mut connection = server.connect()?;
        let head = format!("POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{fields}\r\n\r\n");
        connection.write(head.as_bytes())?;
        let body = format!("{EVENT}{}", " ".repeat(300_000 - EVENT.len()));
        let (first, rest) = body.split_at(body.len() / 2);
        let pieces = u32::try_from(LASTS.as_millis() / PACE.as_millis()).map_or(1, |pieces| pieces as usize);
        let size = first.len() / pieces;
        let framed = |piece: &str| if chunked { format!("{:x}\r\n{piece}\r\n", piece.len()) } else { piece.to_owned() };
        for at in 0..pieces {
            connection.write(framed(&first[at * size..(at + 1) * size]).as_bytes())?;
            thread::sleep(PACE);
        }
        connection.write(framed(&format!("{}{rest}", &first[pieces * size..])).as_bytes())?;
        connection.write(if chunked { b"0\r\n\r\n" } else { b"" })?;
        connection.response_to("POST")?.expect(201).map_err(|failure| failure.within(&fields))?;
    }
    server.expect_alive()
}

fn trickling_body(ctx: &Context<'_>) -> Outcome {
    expect_trickle_to_be_cut(ctx, 0)
}

/// The minimum rate applies to the whole body, even after a fast start.
fn trickle_after_a_burst(ctx: &Context<'_>) -> Outcome {
    expect_trickle_to_be_cut(ctx, 99_000)
}

fn expect_trickle_to_be_cut(ctx: &Context<'_>, burst: usize) -> Outcome {
    const PACE: Duration = Duration::from_millis(20);
    let server = ctx.start(&[("--body-timeout", "300ms")])?;
    let mut connection = server.connect()?;
    connection.write(
        b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 101000\r\n\r\n",
    )?;
    connection.write(" ".repeat(burst).as_bytes())?;
    // About 50 bytes a second, while the minimum rate is 1 KiB a second. The body would take half a minute or more.
    for _ in 0..1900 {
        if connection.has_answer()? {
            break;
        }
        thread::sleep(PACE);
        connection.write(b" ")?;
    }
    check!(connection.has_answer()?, "a body that trickles in to be refused while it does");
    connection.response_to("POST")?.problem(408)?;
    connection.expect_close()?;
    server.expect_empty()?;
    server.expect_alive()
}

/// The write timeout cuts off clients that read nothing, not slow ones.
fn slow_reader_is_not_cut_off(ctx: &Context<'_>) -> Outcome {
    // Each pause is much shorter than the timeout. In one timeout the client reads some hundreds of kilobytes. That is
    // less than what must be read before the subject's socket becomes writable again.
    const PAUSE: Duration = Duration::from_millis(300);
    expect_slow_reader_is_served(ctx, Server::connect, Connection::read_some, PAUSE)
}

/// The same for a client that reads only some kilobytes in one timeout, far less than the subject's socket buffer.
fn slow_reader_with_a_small_buffer_is_not_cut_off(ctx: &Context<'_>) -> Outcome {
    const PAUSE: Duration = Duration::from_millis(100);
    expect_slow_reader_is_served(ctx, Server::connect_with_small_buffer, Connection::read_little, PAUSE)
}

fn expect_slow_reader_is_served(
    ctx: &Context<'_>,
    connect: impl FnOnce(&Server) -> Result<Connection, Failure>,
    read: impl Fn(&mut Connection) -> Result<Vec<u8>, Failure>,
    pause: Duration,
) -> Outcome {
    const EVENTS: usize = 100_000;
    const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
    let server = ctx.start(&[("--write-timeout", "2s")])?;
    server.submit_lines(format!("{EVENT}\n").repeat(EVENTS))?.expect(201)?;
    let mut reader = connect(&server)?;
    reader.write(&Request::get("/events").to_bytes(&server.host()))?;
    let head = reader.read_head("GET")?;
    let begun = Instant::now();
    let mut taken = Vec::new();
    while begun.elapsed() < WRITE_TIMEOUT * 5 / 2 {
        taken.extend(read(&mut reader)?);
        thread::sleep(pause);
    }
    reader.unread(taken);
    let body = reader.read_body(&head)?;
    check_eq!(String::from_utf8_lossy(&body).matches("\"seq\":").count(), EVENTS, "events in the answer");
    Ok(())
}

/// The keep-alive timeout starts when the client has received the answer, not when the subject has written it.
fn slow_reader_is_not_idle(ctx: &Context<'_>) -> Outcome {
    const PAYLOAD_BYTES: usize = 6 << 20;
    const LASTS: Duration = Duration::from_secs(2);
    let server = ctx.start(&[("--keep-alive-timeout", "300ms"), ("--max-payload-bytes", "8388608")])?;
    let payload = "x".repeat(PAYLOAD_BYTES);
    server
        .submit(format!(r#"{{"id":"long","event_type":"wire","timestamp":0,"payload":"{payload}"}}"#))?
        .expect(201)?;
    let mut reader = server.connect_with_small_buffer()?;
    reader.write(&Request::get("/events/long").to_bytes(&server.host()))?;
    let head = reader.read_head("GET")?;
    let (begun, mut taken) = (Instant::now(), Vec::new());
    while begun.elapsed() < LASTS {
        taken.extend(reader.read_little()?);
        thread::sleep(Duration::from_millis(50));
    }
    reader.unread(taken);
    let body = reader.read_body(&head)?;
    check!(body.len() > PAYLOAD_BYTES, "all of the answer, not {} bytes", body.len());
    Ok(())
}

fn idle_connection_is_closed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--keep-alive-timeout", "300ms")])?;
    server.connect()?.expect_close()?;
    server.expect_alive()
}

fn idle_connection_after_a_request_is_closed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--keep-alive-timeout", "300ms")])?;
    let mut connection = server.connect()?;
    connection.request(&Request::get("/health"))?.expect(200)?;
    connection.expect_close()?;
    server.expect_alive()
}
