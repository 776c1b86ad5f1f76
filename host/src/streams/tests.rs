//! Streams over whole connections, with a manual clock. The tests do the work of the thread.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_core::repository::{ReadError, Snapshot, TakeSnapshot};
use argus_core::subscribe::{Feed, SLOW_AFTER};
use futures_util::FutureExt as _;

use super::*;
use crate::answers::PARKED_MAX;
use crate::testing::{Connected, End, Server, logged};

/// HTTP/1.0, so that the body ends with the connection and has no chunk headers.
fn stream(server: &Server, query: &str) -> Connected {
    let mut client = server.connect();
    client.send(format!("GET /events/stream{query} HTTP/1.0\r\nhost: x\r\n\r\n").as_bytes());
    client
}

/// Stores an event of this type.
fn store(server: &Server, event_type: &str) {
    store_payload(server, event_type, "1");
}

fn store_payload(server: &Server, event_type: &str, payload: &str) {
    let body = format!(r#"{{"event_type":"{event_type}","timestamp":0,"payload":{payload}}}"#);
    let head = "POST /events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let answer = server.connect().ask(&request, "}\n");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// Stores an event of this type with so many bytes of payload.
fn store_bytes(server: &Server, event_type: &str, bytes: usize) {
    store_payload(server, event_type, &format!("\"{}\"", "x".repeat(bytes)));
}

/// Hands the stored events to the readers; returns what was done first.
fn feed(server: &Server, feed: &mut Feed) -> Looked {
    server.node.streams.look(feed, || server.node.committer.reader()).unwrap()
}

/// What a client has received, without the ids of the events.
fn seen(client: &mut Connected) -> String {
    let received = client.received();
    let lines = received.split('\n').map(|line| match line.strip_prefix("data: {\"id\":") {
        Some(data) => format!("data: {}", data.split_once(",\"seq\"").unwrap().1),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a client receives that has room for little at a time.
fn received_in_pieces(client: &mut Connected) -> String {
    let mut received = String::new();
    loop {
        let more = client.received();
        if more.is_empty() {
            return received;
        }
        received += &more;
    }
}

fn metric(server: &Server, line: &str) -> bool {
    server.metrics().lines().any(|found| found == line)
}

#[test]
fn a_stream_begins_at_once_and_goes_on_for_ever() {
    let server = Server::start("");
    let mut pass = Feed::default();
    store(&server, "a");
    let mut client = stream(&server, "?type=a");
    let begun = client.received();
    let (head, body) = begun.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200") && !head.contains("content-length"), "{head}");
    for field in [
        "content-type: text/event-stream",
        "cache-control: no-store",
        "argus-last-seq: 1",
        "x-accel-buffering: no",
        "vary: accept",
    ] {
        assert!(head.lines().any(|line| line == field), "{field} in {head}");
    }
    assert_eq!(body, "retry: 1000\n\n");
    store(&server, "b");
    assert_eq!(feed(&server, &mut pass), Looked::Woke(0), "nobody wants it");
    assert_eq!(seen(&mut client), "");
    store(&server, "a");
    assert_eq!(feed(&server, &mut pass), Looked::Woke(1));
    let event = |seq| {
        format!(
            "id: {seq}\ndata: :{seq},\"event_type\":\"a\",\"timestamp\":\"1970-01-01T00:00:00Z\",\"payload\":1}}\n\n"
        )
    };
    assert_eq!(seen(&mut client), event(3));
    // Neither the time limit for requests nor the one for idle connections applies.
    for _ in 0..20 {
        server.time.advance(Duration::from_secs(15));
        assert_eq!(seen(&mut client), ":\n\n");
    }
    store(&server, "a");
    assert_eq!(feed(&server, &mut pass), Looked::Woke(1));
    assert_eq!(seen(&mut client), event(4));
    assert_eq!(feed(&server, &mut pass), Looked::UpToDate);
    assert!(metric(&server, "argus_streams{transport=\"sse\"} 1"));
    assert!(metric(&server, "argus_stream_events_sent_total 2"));
    client.client.leave();
    server.time.advance(Duration::from_secs(15));
    client.run_until_idle();
    server.time.advance(Duration::from_secs(15));
    client.run_until_idle();
    assert!(client.is_over());
    assert_eq!(feed(&server, &mut pass), Looked::NoReaders);
    assert!(metric(&server, "argus_streams{transport=\"sse\"} 0"));
    assert!(metric(&server, "argus_streams_ended_total{reason=\"client\"} 1"));
}

#[test]
fn history_needs_memory_for_answers_and_live_readers_do_not() {
    let server = Server::start("--max-answer-bytes 256KiB --query-memory 256KiB");
    store(&server, "a");
    store(&server, "a");
    server.runtime.hold();
    let mut client = stream(&server, "?after_seq=1");
    assert!(client.received().ends_with("retry: 1000\n\n"));
    assert_eq!(server.node.answers.held().1, 1);
    server.time.advance(Duration::from_secs(15));
    assert_eq!(seen(&mut client), ":\n\n", "a long scan is no silence");
    server.runtime.release();
    assert!(seen(&mut client).starts_with("id: 2\n"));
    assert_eq!(server.node.answers.held(), (0, 0));
    assert_eq!(server.node.streams.live_readers(), 1);
}

#[test]
fn a_drain_tells_every_reader_where_to_resume() {
    let server = Server::start("");
    store(&server, "a");
    store(&server, "a");
    let mut live = stream(&server, "");
    let mut resumed = stream(&server, "?after_seq=0");
    server.runtime.hold();
    let mut reading = stream(&server, "?after_seq=1");
    for client in [&mut live, &mut resumed, &mut reading] {
        drop(client.received());
    }
    server.node.lifecycle.drain();
    for (client, after) in [(live, 2), (resumed, 2), (reading, 1)] {
        let mut client = client;
        let told = client.expect_end(End::Close);
        assert_eq!(told, format!("event: drain\ndata: {{\"after_seq\":{after}}}\n\n"));
    }
    server.runtime.release();
    assert!(metric(&server, "argus_streams_ended_total{reason=\"drain\"} 3"));
}

#[test]
fn a_client_that_takes_nothing_is_closed_and_holds_little() {
    let server = Server::start("");
    let mut pass = Feed::default();
    let mut client = server.connect_with_room(1024);
    client.send(b"GET /events/stream HTTP/1.0\r\nhost: x\r\n\r\n");
    for _ in 0..50 {
        store_bytes(&server, "a", 100_000);
        feed(&server, &mut pass);
        client.run_until_idle();
    }
    let sent = ["argus_stream_events_sent_total 1", "argus_stream_events_sent_total 2"];
    assert!(sent.iter().any(|line| metric(&server, line)), "one is written, and another one waits to be");
    assert!(server.node.streams.buffer_bytes() > 50 * 100_000, "all of them are there for every reader");
    assert_eq!(server.node.answers.held(), (0, 0));
    server.time.advance(Duration::from_secs(31));
    client.run_until_idle();
    server.time.advance(Duration::from_secs(31));
    client.run_until_idle();
    assert!(client.is_over(), "after the write timeout");
    assert_eq!(client.client.end(), Some(End::Reset));
    assert_eq!(server.node.streams.buffer_bytes(), 0, "the buffer is empty without readers");
}

#[test]
fn a_stream_that_waits_for_memory_goes_on_or_is_drained() {
    let server = Server::start("--max-answer-bytes 256KiB --query-memory 256KiB");
    store(&server, "a");
    store(&server, "a");
    let shares = [(); 2].map(|()| server.node.answers.admit().now_or_never().expect("there is room for two"));
    let mut waiting = [1, 0].map(|after| stream(&server, &format!("?after_seq={after}")));
    for client in &mut waiting {
        assert!(client.received().ends_with("retry: 1000\n\n"));
    }
    assert_eq!(server.node.answers.held().1, 2, "neither has a share");
    let [mut first, mut second] = waiting;
    server.time.advance(Duration::from_secs(15));
    assert_eq!(seen(&mut first), ":\n\n", "to wait is no silence");
    let [one, _other] = shares;
    drop(one);
    assert!(seen(&mut first).starts_with("id: 2\n"));
    // Live readers need no share. The next one has it, until it is dropped.
    drop(server.node.answers.admit().now_or_never());
    let _third = server.node.answers.admit().now_or_never();
    server.node.lifecycle.drain();
    assert_eq!(first.expect_end(End::Close), "event: drain\ndata: {\"after_seq\":2}\n\n");
    let told = second.expect_end(End::Close);
    assert!(told.ends_with("event: drain\ndata: {\"after_seq\":0}\n\n"), "{told}");
}

#[test]
fn a_history_that_is_suspended_goes_on_where_it_was() {
    const EVENTS: u64 = 8;
    let server = Server::start("");
    for _ in 0..EVENTS {
        store_bytes(&server, "a", 100_000);
    }
    let mut client = server.connect_with_room(10_000);
    client.send(b"GET /events/stream?after_seq=0 HTTP/1.0\r\nhost: x\r\n\r\n");
    let held = server.node.answers.held().0;
    assert!(held > 200_000, "it holds a scan and two chunks, {held} bytes");
    server.time.advance(PARKED_MAX);
    assert_eq!(server.node.answers.sweep(server.time.now()), PARKED_MAX);
    let suspended = server.node.answers.held().0;
    assert!(suspended < held, "{suspended} bytes");
    let received = received_in_pieces(&mut client);
    let ids: Vec<u64> = received.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(ids, (1..=EVENTS).collect::<Vec<_>>());
    assert_eq!((server.node.answers.held(), server.node.streams.live_readers()), ((0, 0), 1));
}

#[test]
fn a_slow_client_is_told_when_it_reads_on() {
    let server = Server::start("--stream-queue-events 3");
    let mut pass = Feed::default();
    let mut sse = server.connect_with_room(1024);
    sse.send(b"GET /events/stream HTTP/1.0\r\nhost: x\r\n\r\n");
    let mut socket = server.connect_with_room(1024);
    socket.send(
        b"GET /events/stream HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    for _ in 0..10 {
        store_bytes(&server, "a", 100_000);
        feed(&server, &mut pass);
        [&mut sse, &mut socket].into_iter().for_each(Connected::run_until_idle);
    }
    server.time.advance(SLOW_AFTER);
    let [sse, socket] = [sse, socket].map(|mut client| received_in_pieces(&mut client));
    let last = sse.rsplit_once("\ndata: {\"id\"").unwrap().0.rsplit_once("id: ").unwrap().1;
    assert!(sse.ends_with(&format!("event: slow\ndata: {{\"after_seq\":{last}}}\n\n")), "{last}");
    let sent = socket.matches("\"event_type\"").count();
    assert!((1..5).contains(&sent), "{sent} events");
    assert!(socket.ends_with(&format!("\u{3}\u{fffd}after_seq={sent}")), "closed with 1013");
    assert!(metric(&server, "argus_streams_ended_total{reason=\"slow\"} 2"));
}

#[test]
fn a_gap_is_told_first() {
    let server = Server::start("");
    store(&server, "a");
    let mut client = stream(&server, "?after_seq=9");
    let begun = client.received();
    assert!(begun.ends_with("retry: 1000\n\nid: 1\nevent: gap\ndata: {\"first_seq\":2}\n\n"), "{begun}");
}

#[test]
fn the_head_alone_is_an_answer() {
    let server = Server::start("");
    let mut client = server.connect();
    let head = client.ask("HEAD /events/stream HTTP/1.1\r\nhost: x\r\n\r\n", "\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    let next = client.ask("HEAD /health HTTP/1.1\r\nhost: x\r\n\r\n", "\r\n\r\n");
    assert!(next.starts_with("HTTP/1.1 200"), "{next}");
    assert!(metric(&server, "argus_streams{transport=\"sse\"} 0"));
}

/// A repository across a network that is down.
struct Remote;

impl TakeSnapshot for Remote {
    fn take_snapshot(&self) -> Result<Arc<dyn Snapshot>, ReadError> {
        Err(ReadError::Unavailable("the network is down".into()))
    }
}

#[test]
fn an_outage_of_the_repository_is_logged_once() {
    let server = Server::start("");
    let mut client = stream(&server, "");
    assert!(client.received().ends_with("retry: 1000\n\n"));
    let log = logged(|| {
        let mut watching = Watching::default();
        let mut look = |reader| watching.look(&server.node.streams, &server.node.warnings, || reader);
        let down = || Reader::Shared(Arc::new(Remote));
        for _ in 0..2 {
            assert_eq!([(); 3].map(|()| look(down())), [Until::Commit(LOOK_INTERVAL); 3]);
            assert_eq!(look(server.node.committer.reader()), Until::Commit(LOOK_INTERVAL));
        }
    });
    assert_eq!(log.matches("the network is down").count(), 2, "once for each outage: {log}");
}
