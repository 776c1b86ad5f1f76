//! Connections in memory, with manual time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;

use crate::lifecycle::Drained;
use crate::reply_body::ReplyBody;
use crate::testing::{Connected, End, Server};

const SECOND: Duration = Duration::from_secs(1);
const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
const EVENTS: &str = "GET /events HTTP/1.1\r\nhost: x\r\n\r\n";
const EVENT: &str = r#"{"event_type":"a","timestamp":0,"payload":1}"#;
/// Room for everything that the server may send.
const ROOM: usize = 64 << 20;

fn post(content_type: &str, body: &str) -> String {
    let fields = format!("host: x\r\ncontent-type: {content_type}\r\ncontent-length: {}", body.len());
    format!("POST /events HTTP/1.1\r\n{fields}\r\n\r\n{body}")
}

/// Enough events for an answer that is streamed.
fn store(server: &Server, events: usize) {
    let lines = format!("{EVENT}\n").repeat(events);
    let answer = server.connect().ask(&post("application/x-ndjson", &lines), "}\n");
    expect_status(&answer, 201);
}

fn expect_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "expected the status {status}: {answer}");
}

/// Requires that the metrics contain this line.
fn expect_metric(server: &Server, line: &str) {
    let metrics = server.metrics();
    assert!(metrics.contains(&format!("{line}\n")), "{line} is not in {metrics}");
}

#[test]
fn a_connection_serves_several_requests() {
    let server = Server::start("--keep-alive-timeout 60s");
    let mut connected = server.connect();
    expect_status(&connected.ask(&post("application/json", EVENT), "}\n"), 201);
    let answer = connected.ask(EVENTS, "]\n");
    assert!(answer.contains("\"event_type\":\"a\""), "{answer}");
    server.time.advance(59 * SECOND);
    expect_status(&connected.ask(LIVE, "}\n"), 200);
    server.time.advance(59 * SECOND);
    assert_eq!(connected.received(), "");
    assert!(!connected.is_over());
    server.time.advance(SECOND);
    assert_eq!(connected.expect_end(End::Close), "");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start("");
    let mut connected = server.connect();
    let nowhere = "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n";
    connected.send(format!("{LIVE}{nowhere}{LIVE}").as_bytes());
    let answers = connected.received();
    let statuses: Vec<_> =
        answers.match_indices("HTTP/1.1 ").filter_map(|(at, _)| answers.get(at + 9..at + 12)).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
}

#[test]
fn a_head_that_does_not_end_is_refused() {
    let server = Server::start("--header-timeout 10s");
    let mut connected = server.connect();
    connected.send(b"GET /events HTTP/1.1\r\nho");
    server.time.advance(9 * SECOND);
    connected.send(b"st: x\r\n");
    assert_eq!(connected.received(), "");
    server.time.advance(SECOND);
    expect_status(&connected.received(), 408);
    // The client may still be sending, so the server reads until it pauses.
    connected.send(b"x: y\r\n\r\n");
    server.time.advance(4 * SECOND);
    assert_eq!(connected.received(), "");
    assert!(!connected.is_over());
    server.time.advance(SECOND);
    connected.expect_end(End::Close);
    expect_metric(&server, "argus_connection_incidents_total{kind=\"head_timeout\"} 1");
}

#[test]
fn a_malformed_head_is_refused_with_the_reason() {
    let server = Server::start("");
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let fields = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(150));
    let uncountable = format!("POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: {}9\r\n\r\n", u64::MAX);
    for (bytes, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET /events HTTP/1.1\r\nno field\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\n", 505),
        ("GET /events HTTP/1.2\r\nhost: x\r\n\r\n", 505),
        (&long, 431),
        (&fields, 431),
        (&uncountable, 413),
    ] {
        let mut connected = server.connect();
        connected.send(bytes.as_bytes());
        let answer = connected.received();
        expect_status(&answer, status);
        assert!(answer.contains("\r\nconnection: close\r\n") && answer.contains("\r\ndate: "), "{answer}");
        connected.client.finish();
        connected.expect_end(End::Close);
    }
    expect_metric(&server, "argus_connection_incidents_total{kind=\"malformed\"} 7");
}

#[test]
fn targets_without_a_path_do_not_reach_the_framework() {
    let server = Server::start("");
    for request in ["CONNECT host:443 HTTP/1.1\r\nhost: host:443\r\n\r\n", "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut connected =
            server.connect_through::<_, _, ReplyBody>(ROOM, |_| async { panic!("the framework must not see this") });
        connected.send(request.as_bytes());
        let answer = connected.received();
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    }
}

#[test]
fn a_stalled_body_is_refused() {
    let server = Server::start("--body-timeout 30s");
    let mut connected = server.connect();
    let request = post("application/json", EVENT);
    let (most, last) = request.split_at(request.len() - 1);
    connected.send(most.as_bytes());
    server.time.advance(29 * SECOND);
    assert_eq!(connected.received(), "");
    server.time.advance(SECOND);
    let answer = connected.received();
    expect_status(&answer, 408);
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    connected.send(last.as_bytes());
    connected.client.finish();
    connected.expect_end(End::Close);
    assert!(server.connect().ask(EVENTS, "]\n").ends_with("[]\n"));
}

#[test]
fn a_body_that_breaks_off_is_counted_and_not_stored() {
    let server = Server::start("");
    let chunked =
        "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let counted = post("application/json", EVENT);
    let (counted, _) = counted.split_at(counted.len() - 1);
    for request in [format!("{chunked}2c\r\n{EVENT}\r\n"), counted.to_owned()] {
        let mut connected = server.connect();
        connected.send(request.as_bytes());
        assert_eq!(connected.received(), "");
        connected.client.finish();
        expect_status(&connected.expect_end(End::Close), 400);
    }
    expect_metric(&server, "argus_connection_incidents_total{kind=\"broken\"} 2");
    assert!(server.connect().ask(EVENTS, "]\n").ends_with("[]\n"));
}

#[test]
fn a_request_times_out() {
    let server = Server::start("--request-timeout 20s");
    server.runtime.hold();
    for target in ["/events", "/events/none", "/metrics"] {
        let mut connected = server.connect();
        connected.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        server.time.advance(19 * SECOND);
        assert_eq!(connected.received(), "");
        server.time.advance(SECOND);
        expect_status(&connected.received(), 503);
    }
    server.runtime.release();
}

#[test]
fn metrics_are_rendered_on_a_blocking_thread() {
    let server = Server::start("");
    let before = server.runtime.unblocked();
    server.metrics();
    assert_eq!(server.runtime.unblocked(), before + 1);
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let server = Server::start("--write-timeout 30s");
    store(&server, 20_000);
    let mut connected = server.connect_with_room(1000);
    connected.send(EVENTS.as_bytes());
    server.time.advance(29 * SECOND);
    connected.run_until_idle();
    assert_eq!(connected.client.take().len(), 1000);
    connected.run_until_idle();
    // It has taken something, so the write timeout starts again.
    server.time.advance(29 * SECOND);
    connected.run_until_idle();
    assert!(!connected.is_over());
    server.time.advance(SECOND);
    connected.expect_end(End::Reset);
    expect_metric(&server, "argus_connection_incidents_total{kind=\"write_timeout\"} 1");
}

#[test]
fn an_answer_that_breaks_off_ends_in_a_reset() {
    let server = Server::start("");
    // At once, so that not even the head was sent, or after a part of the body.
    for (sent, received) in [(None, ""), (Some("[1,"), "\r\n3\r\n[1,\r\n")] {
        let mut connected = server.connect_through(ROOM, move |_| async move {
            let chunk = stream::iter(sent.map(|chunk| Ok(Frame::data(Bytes::from(chunk)))));
            let broken = stream::once(async move {
                if sent.is_some() {
                    pause().await;
                }
                Err(io::Error::other("as told"))
            });
            Response::new(StreamBody::new(chunk.chain(broken).boxed()))
        });
        connected.send(EVENTS.as_bytes());
        let answer = connected.expect_end(End::Reset);
        assert!(answer.ends_with(received) && answer.is_empty() == received.is_empty(), "{answer:?}");
    }
    expect_metric(&server, "argus_connection_incidents_total{kind=\"broken\"} 2");
}

/// Lets the connection send what it has.
async fn pause() {
    let mut is_over = false;
    poll_fn(|cx| {
        if is_over {
            return Poll::Ready(());
        }
        is_over = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_drain_closes_idle_connections_at_once_and_others_after_their_answers() {
    let server = Server::start("");
    let [mut idle, mut in_body, mut in_head] = [(); 3].map(|()| server.connect());
    let request = post("application/json", EVENT);
    let (most, last) = request.split_at(request.len() - 1);
    in_body.send(most.as_bytes());
    in_head.send(b"GET /health/live HT");
    idle.run_until_idle();
    server.node.lifecycle.drain();
    idle.expect_end(End::Close);
    in_body.send(last.as_bytes());
    let answer = in_body.wait_for(|received| received.ends_with("}\n"));
    expect_status(&answer, 201);
    in_body.expect_end(End::Close);
    in_head.run_until_idle();
    in_head.send(b"TP/1.1\r\nhost: x\r\n\r\n");
    let answer = in_head.expect_end(End::Close);
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer:?}");
    assert_eq!(server.node.lifecycle.drained(), Drained::Clean);
}

#[test]
fn a_panic_in_the_framework_only_fails_its_request() {
    let server = Server::start("");
    let mut connected = server.connect_through(ROOM, |exchange| {
        assert_eq!(exchange.method(), "GET");
        async move {
            if exchange.uri().path() == "/health/live" {
                return exchange.run().await;
            }
            panic!("as told")
        }
    });
    expect_status(&connected.ask("GET /x HTTP/1.1\r\nhost: x\r\n\r\n", "}\n"), 500);
    expect_status(&connected.ask(LIVE, "}\n"), 200);
}

#[test]
fn an_exchange_is_run_once() {
    let server = Server::start("");
    let mut connected = server.connect_through(ROOM, |exchange| async move {
        let first: Response<ReplyBody> = exchange.clone().run().await;
        assert_eq!(first.status(), 200);
        exchange.run().await
    });
    expect_status(&connected.ask(LIVE, "}\n"), 500);
}

/// A connection whose request waits for a blocking thread.
fn held_back(server: &Server, request: &str) -> Connected {
    server.runtime.hold();
    let mut connected = server.connect();
    connected.send(request.as_bytes());
    connected
}

#[test]
fn a_query_stops_when_its_client_is_gone() {
    let server = Server::start("");
    for request in [EVENTS, "GET /events?limit=1 HTTP/1.0\r\n\r\n", "GET /events/a HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut connected = held_back(&server, request);
        server.time.advance(SECOND);
        connected.run_until_idle();
        connected.client.leave();
        for _ in 0..2 {
            assert!(!connected.is_over());
            server.time.advance(SECOND / 2);
            connected.run_until_idle();
        }
        assert!(connected.is_over());
    }
    server.runtime.release();
    expect_metric(&server, "argus_connection_incidents_total{kind=\"broken\"} 3");
    // The request for the metrics itself.
    expect_metric(&server, "argus_http_requests_in_flight 1");
}

#[test]
fn a_submission_is_stored_even_if_its_client_is_gone() {
    let server = Server::start("");
    // Long enough to be parsed on another thread.
    let mut connected = held_back(&server, &post("application/json", &format!("{EVENT}{}", " ".repeat(100_000))));
    connected.client.leave();
    server.time.advance(10 * SECOND);
    connected.run_until_idle();
    assert!(!connected.is_over());
    server.runtime.release();
    connected.wait_for_end();
    assert!(server.connect().ask(EVENTS, "]\n").contains("\"seq\":1"));
}

#[test]
fn a_half_closed_client_gets_the_same_answer() {
    let server = Server::start("");
    store(&server, 1);
    for request in [EVENTS, "GET /events?limit=1 HTTP/1.0\r\n\r\n"] {
        let mut connected = held_back(&server, request);
        connected.client.finish();
        let mut received = String::new();
        for (seconds, sent) in [(1, "H"), (1, "T"), (2, "T"), (4, "P"), (8, "/")] {
            server.time.advance(seconds * SECOND);
            let probe = connected.received();
            assert_eq!(probe, sent);
            received += &probe;
        }
        server.runtime.release();
        received += &connected.expect_end(End::Close);
        let version = if request.contains("HTTP/1.1") { "HTTP/1.1" } else { "HTTP/1.0" };
        assert!(received.starts_with(&format!("{version} 200 OK\r\n")) && received.ends_with("]\n"), "{received}");
    }
    expect_metric(&server, "argus_connection_incidents_total{kind=\"broken\"} 0");
}

#[test]
fn a_half_closed_client_gets_the_rest_of_an_answer() {
    let server = Server::start("");
    store(&server, 5_000);
    let runtime = server.runtime.clone();
    let mut connected = server.connect_through(ROOM, move |exchange| {
        let runtime = runtime.clone();
        async move {
            let response = exchange.run().await;
            runtime.hold();
            response
        }
    });
    connected.send(EVENTS.as_bytes());
    connected.client.finish();
    let mut received = connected.received();
    expect_status(&received, 200);
    for seconds in [1, 1, 2] {
        server.time.advance(seconds * SECOND);
        let probe = connected.received();
        assert_eq!(probe, "0");
        received += &probe;
    }
    server.runtime.release();
    received += &connected.expect_end(End::Close);
    let (_, body) = received.split_once("\r\n\r\n").unwrap_or_default();
    assert!(body.starts_with("000"), "the probes are part of the chunk's size");
    assert_eq!(dechunked(body).matches("\"seq\":").count(), 5_000);
}

/// The contents of all chunks.
fn dechunked(mut body: &str) -> String {
    let mut content = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap_or_default();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("{size:?} is not the size of a chunk"));
        let (chunk, rest) = rest.split_at(size);
        content += chunk;
        body = rest.strip_prefix("\r\n").unwrap_or_else(|| panic!("a chunk of {size} does not end"));
        if size == 0 {
            return content;
        }
    }
}

#[test]
fn requests_are_logged_with_or_without_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.log");
    let server = Server::start(&format!("--request-log {} --request-log-format json", path.display()));
    let mut connected = server.connect();
    assert!(connected.ask(LIVE, "}\n").starts_with("HTTP/1.1 200 OK\r\n"));
    connected.send(b"POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{");
    // As when a drain that takes too long ends the executor.
    drop(connected);
    server.node.request_log.as_ref().unwrap().flush(60 * SECOND);
    let log = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> = lines.iter().map(|line| (&line["target"], &line["status"], &line["complete"])).collect();
    let expected = [("/health/live", 200, true), ("/events", 499, false)];
    assert_eq!(found.len(), expected.len(), "{log}");
    for (found, (target, status, complete)) in found.into_iter().zip(expected) {
        assert_eq!(found, (&target.into(), &status.into(), &complete.into()), "{log}");
    }
}
