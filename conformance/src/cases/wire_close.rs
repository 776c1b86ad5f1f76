//! How connections end: after incomplete answers, and after refusals to clients that keep sending.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::lifecycle::{begin_drain, signal_again, start_with_one_worker};
use crate::case::{Case, cases};
use crate::client::{Connection, End};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["wire_close";
    "GET /events": [
        answer_for_a_stuck_reader_breaks_off, answer_at_the_drain_deadline_breaks_off,
        answer_at_a_second_signal_breaks_off, answer_of_a_killed_server_breaks_off,
        complete_answers_end_without_a_reset,
    ],
    "POST /events": [
        refusal_reaches_a_client_that_keeps_sending, refusal_of_a_body_above_the_limit_reaches_the_client,
        refusal_of_a_long_head_reaches_the_client, refusal_while_draining_reaches_a_client_that_keeps_sending,
        client_that_never_stops_sending_is_cut_off, refused_client_that_stops_sending_is_closed_for_a_new_one,
        client_that_keeps_sending_does_not_delay_the_shutdown,
    ],
];

const EVENT: &str = r#"{"event_type":"wire","timestamp":0,"payload":1}"#;
/// An answer with this many events is far larger than all socket buffers.
const EVENTS: usize = 100_000;
/// More than all socket buffers hold.
const LARGE_BYTES: usize = 20 << 20;
/// An answer of unknown length ends with the connection under HTTP/1.0, and with the last chunk under HTTP/1.1.
const VERSIONS: [&str; 2] = ["HTTP/1.0", "HTTP/1.1"];

/// A server that holds [`EVENTS`].
fn full(ctx: &Context<'_>, settings: &[(&str, &str)]) -> Result<Server, Failure> {
    let server = ctx.start(settings)?;
    server.submit_lines(format!("{EVENT}\n").repeat(EVENTS))?.expect(201)?;
    Ok(server)
}

/// A client that has requested all events and has read only the head of the answer.
fn stuck_reader(server: &Server, version: &str) -> Result<Connection, Failure> {
    let mut reader = server.connect()?;
    reader.write(format!("GET /events {version}\r\nhost: x\r\n\r\n").as_bytes())?;
    check_eq!(reader.read_head("GET")?.status, 200, "the status");
    Ok(reader)
}

/// Requires that the connection of an incomplete answer ends with a reset.
fn expect_broken_off(mut reader: Connection, version: &str) -> Outcome {
    let (rest, end) = reader.read_until_end()?;
    let events = String::from_utf8_lossy(&rest).matches("\"seq\":").count();
    check!(events < EVENTS, "a part of the answer, and not all of it, with {version}");
    check_eq!(end, End::Reset, "the end of an answer that broke off after {events} events with {version}");
    Ok(())
}

fn answer_for_a_stuck_reader_breaks_off(ctx: &Context<'_>) -> Outcome {
    let server = full(ctx, &[("--write-timeout", "300ms")])?;
    for version in VERSIONS {
        let reader = stuck_reader(&server, version)?;
        reader.wait_for_reset().map_err(|failure| failure.within(&version))?;
        expect_broken_off(reader, version)?;
    }
    server.expect_alive()
}

fn answer_at_the_drain_deadline_breaks_off(ctx: &Context<'_>) -> Outcome {
    let mut server = full(ctx, &[("--drain-timeout", "300ms")])?;
    let [old, new] = VERSIONS.map(|version| stuck_reader(&server, version).map(|reader| (reader, version)));
    let readers = [old?, new?];
    server.signal(Signal::Terminate)?;
    check!(server.wait()?.code.is_some_and(|code| code != 0), "an exit code other than 0");
    readers.into_iter().try_for_each(|(reader, version)| expect_broken_off(reader, version))
}

fn answer_at_a_second_signal_breaks_off(ctx: &Context<'_>) -> Outcome {
    let mut server = full(ctx, &[("--drain-timeout", "1h")])?;
    let [old, new] = VERSIONS.map(|version| stuck_reader(&server, version).map(|reader| (reader, version)));
    let readers = [old?, new?];
    begin_drain(&server)?;
    signal_again(&server, Signal::Terminate)?;
    server.wait()?;
    readers.into_iter().try_for_each(|(reader, version)| expect_broken_off(reader, version))
}

fn answer_of_a_killed_server_breaks_off(ctx: &Context<'_>) -> Outcome {
    let mut server = full(ctx, &[])?;
    let [old, new] = VERSIONS.map(|version| stuck_reader(&server, version).map(|reader| (reader, version)));
    let readers = [old?, new?];
    server.signal(Signal::Kill)?;
    server.wait()?;
    readers.into_iter().try_for_each(|(reader, version)| expect_broken_off(reader, version))
}

fn complete_answers_end_without_a_reset(ctx: &Context<'_>) -> Outcome {
    // The answer is streamed, but fits into the socket buffers.
    const FEW: usize = 2_000;
    let server = ctx.empty()?;
    server.submit_lines(format!("{EVENT}\n").repeat(FEW))?.expect(201)?;
    for round in 0..20 {
        let mut reader = if round % 2 == 0 { server.connect()? } else { server.connect_with_small_buffer()? };
        reader.write(b"GET /events HTTP/1.0\r\n\r\n")?;
        let head = reader.read_head("GET")?;
        check!(head.header("content-length").is_none(), "an answer that ends with the connection");
        // The subject may finish the answer before the client reads it.
        server.get("/health/live")?.expect(200)?;
        let (body, end) = reader.read_until_end()?;
        check_eq!(String::from_utf8_lossy(&body).matches("\"seq\":").count(), FEW, "events in the answer");
        check_eq!(end, End::Close, "the end of a complete answer");
    }
    Ok(())
}

/// Sends all of a request before it reads the answer, as many clients do, and requires this status.
fn expect_answer(server: &Server, head: &str, body: &[u8], status: u16) -> Outcome {
    let check = || -> Outcome {
        let mut connection = server.connect()?;
        let refused = connection.write_is_refused(&[head.as_bytes(), body].concat())?;
        check!(!refused, "a subject that reads the rest of a refused request");
        let response = connection.response_to("POST")?;
        check_eq!(response.status(), status, "the status");
        connection.expect_close()
    };
    check().map_err(|failure| failure.within(&head.lines().collect::<Vec<_>>().join(" | ")))
}

fn refusal_reaches_a_client_that_keeps_sending(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = vec![b' '; LARGE_BYTES];
    let length = format!("host: x\r\ncontent-length: {LARGE_BYTES}");
    let json = "content-type: application/json";
    for (head, status) in [
        (format!("POST /events HTTP/1.1\r\n{length}\r\ncontent-type: text/plain\r\n\r\n"), 415),
        (format!("POST /events HTTP/1.0\r\n{length}\r\ncontent-type: text/plain\r\n\r\n"), 415),
        (format!("POST /events HTTP/1.1\r\n{length}\r\n{json}\r\ncontent-encoding: br\r\n\r\n"), 415),
        (format!("POST /nowhere HTTP/1.1\r\n{length}\r\n{json}\r\n\r\n"), 404),
        (format!("PUT /events HTTP/1.1\r\n{length}\r\n{json}\r\n\r\n"), 405),
        (format!("POST /events?colour=red HTTP/1.1\r\n{length}\r\n{json}\r\n\r\n"), 400),
        (format!("POST /events HTTP/1.1\r\n{length}\r\n{json}\r\nhost: y\r\n\r\n"), 400),
        (format!("POST /events HTTP/1.1\r\n{length}\r\n{json}\r\nexpect: x\r\n\r\n"), 417),
        (format!("POST /events HTTP/1.1\r\nhost: x\r\n{json}\r\ntransfer-encoding: gzip\r\n\r\n"), 501),
        (format!("POST /events HTTP/1.1\r\nhost: x\r\n{json}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"), 400),
        (format!("POST /events HTTP/1.1\r\nhost: x\r\nno field\r\n{json}\r\n\r\n"), 400),
        (format!("POST /events HTTP/1.2\r\n{length}\r\n{json}\r\n\r\n"), 505),
    ] {
        expect_answer(&server, &head, &body, status)?;
    }
    server.expect_empty()
}

fn refusal_of_a_body_above_the_limit_reaches_the_client(ctx: &Context<'_>) -> Outcome {
    let limit = LARGE_BYTES.to_string();
    let server = ctx.start(&[("--max-body-bytes", &limit)])?;
    // Only a little over the limit, so that most of the body is sent before the subject can refuse a chunked one.
    let body = vec![b' '; LARGE_BYTES + (LARGE_BYTES >> 6)];
    let fields = "host: x\r\ncontent-type: application/json\r\n";
    let counted = format!("POST /events HTTP/1.1\r\n{fields}content-length: {}\r\n\r\n", body.len());
    expect_answer(&server, &counted, &body, 413)?;
    let size = format!("{:x}\r\n", body.len());
    let chunked = format!("POST /events HTTP/1.1\r\n{fields}transfer-encoding: chunked\r\n\r\n{size}");
    expect_answer(&server, &chunked, &body, 413)?;
    server.expect_empty()
}

fn refusal_of_a_long_head_reaches_the_client(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let filler = vec![b'y'; LARGE_BYTES];
    expect_answer(&server, "GET /health HTTP/1.1\r\nhost: x\r\nx: ", &filler, 431)?;
    let fields = "a: b\r\n".repeat(LARGE_BYTES / 6);
    expect_answer(&server, "GET /health HTTP/1.1\r\nhost: x\r\n", fields.as_bytes(), 431)
}

fn refusal_while_draining_reaches_a_client_that_keeps_sending(ctx: &Context<'_>) -> Outcome {
    let mut server = start_with_one_worker(ctx)?;
    let mut connection = server.connect()?;
    let fields = format!("host: x\r\ncontent-type: application/json\r\ncontent-length: {LARGE_BYTES}\r\n");
    connection.write(format!("POST /events HTTP/1.1\r\n{fields}").as_bytes())?;
    // This later connection is served, so the first is accepted.
    server.get("/health/live")?.expect(200)?;
    begin_drain(&server)?;
    let refused = connection.write_is_refused(&[b"\r\n".as_slice(), &vec![b' '; LARGE_BYTES]].concat())?;
    check!(!refused, "a subject that reads the rest of a refused request");
    connection.response_to("POST")?.problem(503)?;
    connection.expect_close()?;
    drop(connection);
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn client_that_never_stops_sending_is_cut_off(ctx: &Context<'_>) -> Outcome {
    const MEBIBYTES_SENT_MAX: usize = 64;
    let server = ctx.start(&[("--max-body-bytes", "1048576")])?;
    let mut connection = server.connect()?;
    let fields = "host: x\r\ncontent-type: text/plain\r\ncontent-length: 1000000000000";
    connection.write(format!("POST /events HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes())?;
    let filler = vec![b' '; 1 << 20];
    for _ in 0..MEBIBYTES_SENT_MAX {
        if connection.write_is_refused(&filler)? {
            return server.expect_alive();
        }
    }
    Err(Failure::unmet(format!("the connection to be closed before {MEBIBYTES_SENT_MAX} MiB are sent")))
}

fn refused_client_that_stops_sending_is_closed_for_a_new_one(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "1")])?;
    let mut silent = server.connect()?;
    let fields = "host: x\r\ncontent-type: text/plain\r\ncontent-length: 1000";
    silent.write(format!("POST /events HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes())?;
    silent.response_to("POST")?.expect(415)?;
    // The server allows one connection, and that is still open.
    server.get("/health/live")?.expect(200)
}

/// A subject that stops does not wait until its deadline for clients that have their answers.
fn client_that_keeps_sending_does_not_delay_the_shutdown(ctx: &Context<'_>) -> Outcome {
    const PACE: Duration = Duration::from_millis(100);
    let mut server = ctx.start(&[("--drain-timeout", "1h")])?;
    let mut connection = server.connect()?;
    let fields = "host: x\r\ncontent-type: text/plain\r\ncontent-length: 1000000";
    connection.write(format!("POST /events HTTP/1.1\r\n{fields}\r\n\r\n").as_bytes())?;
    connection.response_to("POST")?.expect(415)?;
    let stops = AtomicBool::new(false);
    let exit = thread::scope(|scope| {
        scope.spawn(|| {
            while !stops.load(Ordering::Relaxed) && connection.write(b"x").is_ok() {
                thread::sleep(PACE);
            }
        });
        let exit = server.signal(Signal::Terminate).and_then(|()| server.wait());
        stops.store(true, Ordering::Relaxed);
        exit
    })?;
    check_eq!(exit.code, Some(0), "the exit code");
    Ok(())
}
