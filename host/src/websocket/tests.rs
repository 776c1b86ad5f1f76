//! WebSocket over connections in memory, with manual time.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use argus_core::api::SocketClose;
use bytes::Bytes;
use futures_util::FutureExt as _;

use super::*;
use crate::lifecycle::Drained;
use crate::memory::LARGE_CONNECTIONS;
use crate::testing::{Connected, End, Server};

const SECOND: Duration = Duration::from_secs(1);
const ROOM: usize = 64 << 20;
const UPGRADE: &str = "GET /x HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// On the first byte of the last frame of a message.
const FIN: u8 = 0x80;

/// A frame of a client, whose mask changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The close frame of a client.
fn close(code: u16) -> Vec<u8> {
    frame(FIN | CLOSE, &code.to_be_bytes())
}

/// The frames of the server, each with its opcode. None is split or longer than 64 KiB.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(first & 0xf0, FIN, "whole messages without reserved bits");
        let (length, rest) = match second {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            length => (usize::from(*length), rest),
        };
        assert!(length < 0x80 || *second == 126, "no mask");
        let (payload, rest) = rest.split_at(length);
        frames.push((first & 0xf, payload.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a frame is not complete: {bytes:?}");
    frames
}

/// Closes with 1003 when a message arrives, and sends `greetings` messages of `bytes` bytes before.
#[derive(Debug)]
struct Greeter {
    greetings: usize,
    bytes: usize,
}

impl Application for Greeter {
    fn message_bytes_max(&self) -> usize {
        125
    }

    fn handle_message(&mut self, _: Message, _: &mut Outgoing<'_>) -> Option<SocketClose> {
        Some(SocketClose::unsupported())
    }

    fn poll_next(&mut self, _: &mut Context<'_>, is_draining: bool, outgoing: &mut Outgoing<'_>) -> Poll<Step> {
        if is_draining {
            return Poll::Ready(Step::Close(SocketClose::draining(7)));
        }
        if self.greetings == 0 {
            return Poll::Pending;
        }
        self.greetings -= 1;
        outgoing.text(vec![b'g'; self.bytes].into());
        Poll::Ready(Step::Sent)
    }
}

/// A client with a WebSocket, after the answer 101.
struct Client(Connected);

impl Client {
    fn over(connected: Connected) -> Self {
        let mut client = Self(connected);
        client.0.send(UPGRADE.as_bytes());
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    fn echo(server: &Server) -> Self {
        Self::over(server.connect_through(ROOM, |exchange| ready(exchange.upgrade(Box::<Echo>::default()))))
    }

    fn greeted(server: &Server, room: usize, greetings: usize, bytes: usize) -> Self {
        let greeter = move || Box::new(Greeter { greetings, bytes });
        Self::over(server.connect_through(room, move |exchange| ready(exchange.upgrade(greeter()))))
    }

    /// The head of the answer. What follows it is kept by the connection.
    fn head(&mut self) -> String {
        self.0.run_until_idle();
        let bytes = self.0.client.take_bytes();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        self.0.client.put_back(&bytes[end..]);
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.send(bytes);
    }

    fn received(&mut self) -> Vec<(u8, Vec<u8>)> {
        self.0.run_until_idle();
        frames(&self.0.client.take_bytes())
    }

    /// Requires that the server closes the WebSocket with this code after these frames.
    fn expect_close(&mut self, code: u16) {
        let received = self.received();
        let (opcode, payload) = received.last().expect("a close frame");
        assert_eq!((*opcode, &payload[..2]), (CLOSE, code.to_be_bytes().as_slice()));
    }

    /// Answers the close frame, and requires that the connection ends in order.
    fn expect_end(mut self, server: &Server) {
        self.0.client.finish();
        self.0.expect_end(End::Close);
        drop(self);
        assert_eq!(server.node.lifecycle.connections(), 0, "the permit is returned");
    }
}

#[test]
fn the_answer_has_these_fields_and_nothing_follows_it() {
    let server = Server::start("");
    let mut connected = server.connect_through(ROOM, |exchange| ready(exchange.upgrade(Box::<Echo>::default())));
    connected.send(UPGRADE.as_bytes());
    let answer = connected.received();
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(rest, "");
    let mut fields: Vec<_> = head.lines().skip(1).map(|line| line.split_once(": ").unwrap()).collect();
    fields.retain(|(name, _)| !matches!(*name, "date" | "x-request-id"));
    assert_eq!(
        fields,
        [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("x-content-type-options", "nosniff"),
        ]
    );
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
}

#[test]
fn messages_come_back() {
    let server = Server::start("");
    let mut client = Client::echo(&server);
    client.send(&[frame(FIN | TEXT, "é".as_bytes()), frame(FIN | BINARY, &[0xff; 200])].concat());
    assert_eq!(client.received(), [(TEXT, "é".as_bytes().to_vec()), (BINARY, vec![0xff; 200])]);
    // Byte by byte, in two fragments with a ping between them.
    for byte in [frame(TEXT, b"a"), frame(FIN | PING, b"p"), frame(FIN, b"b")].concat() {
        client.send(&[byte]);
    }
    assert_eq!(client.received(), [(PONG, b"p".to_vec()), (TEXT, b"ab".to_vec())]);
    client.send(&close(1000));
    assert_eq!(client.received(), [(CLOSE, 1000_u16.to_be_bytes().to_vec())]);
    client.expect_end(&server);
}

#[test]
fn bytes_after_the_request_are_the_first_frames() {
    let server = Server::start("");
    let mut connected = server.connect_through(ROOM, |exchange| async move {
        if exchange.uri().path() == "/x" { exchange.upgrade(Box::<Echo>::default()) } else { exchange.run().await }
    });
    let live = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let frames = [frame(FIN | TEXT, b"early"), frame(FIN | TEXT, b"half")[..3].to_vec()].concat();
    connected.send(&[live.as_bytes(), UPGRADE.as_bytes(), &frames].concat());
    let answers = connected.received();
    assert!(answers.starts_with("HTTP/1.1 200 ") && answers.contains("HTTP/1.1 101 "), "{answers}");
    assert!(answers.ends_with("early"), "{answers}");
    connected.send(&frame(FIN | TEXT, b"half")[3..]);
    assert!(connected.received().ends_with("half"));
}

#[test]
fn faults_close_with_their_code() {
    let server = Server::start("");
    for (bytes, code) in [
        (vec![FIN | TEXT, 1, b'a'], 1002),
        (frame(FIN | 0x40 | TEXT, b"a"), 1002),
        (frame(FIN | 3, b""), 1002),
        (frame(FIN | 11, b""), 1002),
        (frame(PING, b""), 1002),
        (frame(FIN | PING, &[0; 126]), 1009),
        (frame(FIN, b"a"), 1002),
        (frame(FIN | TEXT, &[0xff]), 1007),
        (frame(FIN | CLOSE, &[3]), 1002),
        (close(999), 1002),
        (frame(FIN | TEXT, &[b'a'; 126]), 1009),
        (vec![FIN | TEXT, 0x80 | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009),
        ([frame(TEXT, &[b'a'; 100]), frame(FIN, &[b'a'; 100])].concat(), 1009),
        (frame(FIN | TEXT, b"hello"), 1003),
        (frame(FIN | BINARY, b""), 1003),
    ] {
        let mut client = Client::greeted(&server, ROOM, 0, 0);
        client.send(&bytes);
        client.expect_close(code);
        client.expect_end(&server);
    }
}

#[test]
fn a_refused_client_that_keeps_sending_sees_the_reason() {
    let server = Server::start("");
    for bytes in [frame(FIN | TEXT, b"hello"), vec![FIN | TEXT, 1, b'a']] {
        let mut client = Client::greeted(&server, ROOM, 0, 0);
        client.send(&[bytes, frame(FIN | TEXT, b"more").repeat(1000)].concat());
        client.send(&frame(FIN | TEXT, b"still more"));
        let received = client.received();
        assert_eq!(received.len(), 1, "only the close frame");
        assert!(!client.0.is_over(), "its input is read for a while, or a reset would overtake the close frame");
        server.time.advance(5 * SECOND);
        client.0.expect_end(End::Close);
    }
}

#[test]
fn a_client_that_answers_pings_stays() {
    let server = Server::start("");
    let mut client = Client::echo(&server);
    for _ in 0..10 {
        server.time.advance(15 * SECOND);
        assert_eq!(client.received(), [(PING, vec![])]);
        client.send(&frame(FIN | PONG, b""));
    }
    server.time.advance(14 * SECOND);
    assert_eq!(client.received(), []);
}

#[test]
fn a_client_that_answers_no_ping_is_reset() {
    let server = Server::start("");
    let mut client = Client::echo(&server);
    server.time.advance(15 * SECOND);
    assert_eq!(client.received(), [(PING, vec![])]);
    server.time.advance(14 * SECOND);
    client.0.run_until_idle();
    assert!(!client.0.is_over());
    server.time.advance(SECOND);
    client.0.expect_end(End::Reset);
    assert_eq!(server.node.lifecycle.connections(), 0);
}

#[test]
fn a_client_that_takes_nothing_is_reset() {
    const GREETING_BYTES: usize = 10_000;
    let server = Server::start("--write-timeout 20s");
    let mut client = Client::greeted(&server, 1000, 100, GREETING_BYTES);
    assert_eq!(client.0.client.take_bytes().len(), 1000 - client_head_bytes(&server));
    client.0.run_until_idle();
    server.time.advance(19 * SECOND);
    client.0.run_until_idle();
    assert!(!client.0.is_over());
    server.time.advance(SECOND);
    client.0.expect_end(End::Reset);
    assert_eq!(server.node.lifecycle.connections(), 0);
}

/// The length of the answer 101.
fn client_head_bytes(server: &Server) -> usize {
    let mut connected = server.connect_through(ROOM, |exchange| ready(exchange.upgrade(Box::<Echo>::default())));
    connected.send(UPGRADE.as_bytes());
    connected.received().len()
}

#[test]
fn a_client_that_ends_before_it_has_read_keeps_no_task_busy() {
    let endings: [(&str, Vec<u8>); 4] = [
        ("no close frame", vec![]),
        ("a broken frame", vec![FIN | TEXT, 1, b'a']),
        ("a message", frame(FIN | TEXT, b"hello")),
        ("a close frame", close(1000)),
    ];
    for (ending, bytes) in endings {
        let server = Server::start("--write-timeout 20s");
        let mut reads = Client::greeted(&server, 1000, 3, 1000);
        let mut hangs = Client::greeted(&server, 1000, 3, 1000);
        for client in [&mut reads, &mut hangs] {
            client.send(&bytes);
            client.0.client.finish();
            client.0.run_until_idle();
            assert!(!client.0.is_over(), "{ending}: the messages are not written");
        }
        let mut received = Vec::new();
        while !reads.0.is_over() {
            received.extend(reads.0.client.take_bytes());
            reads.0.run_until_idle();
        }
        received.extend(reads.0.client.take_bytes());
        assert!(received.len() > 3 * 1000, "{ending}: what was sent before arrives");
        assert_eq!(reads.0.client.end(), Some(End::Close), "{ending}");
        server.time.advance(20 * SECOND);
        hangs.0.expect_end(End::Reset);
        assert_eq!(server.node.lifecycle.connections(), 0, "{ending}");
    }
}

#[test]
fn many_messages_arrive_in_order_and_whole() {
    let server = Server::start("");
    for (greetings, bytes) in [(20_000, 20), (100, 65_000), (1, 0)] {
        let mut client = Client::greeted(&server, 100_000, greetings, bytes);
        let mut received = Vec::new();
        loop {
            client.0.run_until_idle();
            let more = client.0.client.take_bytes();
            if more.is_empty() {
                break;
            }
            received.extend(more);
        }
        assert_eq!(frames(&received), vec![(TEXT, vec![b'g'; bytes]); greetings]);
    }
}

#[test]
fn a_flood_is_held_back_until_the_client_reads() {
    const MESSAGES: usize = 5_000;
    let server = Server::start("");
    let mut client =
        Client::over(server.connect_through(500, |exchange| ready(exchange.upgrade(Box::<Echo>::default()))));
    let flood = frame(FIN | TEXT, &[b'f'; 100]).repeat(MESSAGES);
    client.send(&flood);
    assert!(client.0.client.unread_by_server() > flood.len() / 2, "the server stops reading");
    let mut received = Vec::new();
    while received.len() < MESSAGES * 102 {
        client.0.run_until_idle();
        received.extend(client.0.client.take_bytes());
    }
    assert_eq!(frames(&received), vec![(TEXT, vec![b'f'; 100]); MESSAGES]);
}

#[test]
fn a_drain_closes_with_1001_and_waits_for_the_answer() {
    let server = Server::start("");
    let mut answering = Client::greeted(&server, ROOM, 0, 0);
    let mut silent = Client::greeted(&server, ROOM, 0, 0);
    server.node.lifecycle.drain();
    for client in [&mut answering, &mut silent] {
        assert_eq!(client.received(), [(CLOSE, [&1001_u16.to_be_bytes()[..], b"after_seq=7"].concat())]);
    }
    answering.send(&close(1001));
    assert_eq!(answering.received(), []);
    answering.0.client.finish();
    answering.0.expect_end(End::Close);
    assert_eq!(server.node.lifecycle.connections(), 1);
    server.time.advance(5 * SECOND);
    silent.0.expect_end(End::Close);
    assert_eq!(server.node.lifecycle.drained(), Drained::Clean);
}

#[test]
fn a_client_that_leaves_ends_its_websocket() {
    let server = Server::start("");
    for is_half in [false, true] {
        let mut client = Client::echo(&server);
        if is_half {
            client.send(&frame(FIN | TEXT, b"half")[..4]);
        }
        client.0.client.finish();
        client.0.expect_end(End::Close);
        assert_eq!(server.node.lifecycle.connections(), 0);
    }
    let metrics = server.metrics();
    assert!(metrics.contains("argus_connection_incidents_total{kind=\"broken\"} 0\n"), "{metrics}");
}

#[test]
fn a_websocket_is_not_evicted_until_it_closes() {
    let server = Server::start("--max-connections 1");
    let mut client = Client::greeted(&server, ROOM, 0, 0);
    server.time.advance(10 * SECOND);
    let mut next = Box::pin(server.node.lifecycle.permit());
    assert!(next.as_mut().now_or_never().is_none());
    assert_eq!(client.received(), []);
    client.send(&frame(FIN | TEXT, b"hello"));
    client.expect_close(1003);
    // It does not answer the close frame, and its place is needed.
    assert!(next.as_mut().now_or_never().is_none());
    client.0.expect_end(End::Close);
    assert!(next.now_or_never().is_some());
}

#[test]
fn other_requests_with_an_upgrade_are_closed_like_any() {
    let server = Server::start("");
    let mut connected = server.connect();
    let fields = "upgrade: websocket\r\nconnection: upgrade\r\ncontent-type: text/plain\r\ncontent-length: 1000";
    connected.send(format!("POST /events HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n").as_bytes());
    assert!(connected.received().starts_with("HTTP/1.1 415 "));
    // The rest of the body is read for a while, or a reset would overtake the answer.
    connected.send(&[b' '; 500]);
    assert!(!connected.is_over());
    server.time.advance(5 * SECOND);
    connected.expect_end(End::Close);
}

#[test]
fn an_answer_that_the_framework_replaces_is_no_upgrade() {
    let server = Server::start("");
    let mut connected = server.connect_through(ROOM, |exchange| async move {
        drop(exchange.upgrade(Box::<Echo>::default()));
        exchange.run().await
    });
    connected.send(UPGRADE.as_bytes());
    assert!(connected.received().starts_with("HTTP/1.1 500 "));
}

/// Sends without end, and counts its messages.
#[derive(Debug)]
struct Fountain(Arc<AtomicUsize>);

impl Application for Fountain {
    fn message_bytes_max(&self) -> usize {
        125
    }

    fn handle_message(&mut self, _: Message, _: &mut Outgoing<'_>) -> Option<SocketClose> {
        None
    }

    fn poll_next(&mut self, _: &mut Context<'_>, _: bool, outgoing: &mut Outgoing<'_>) -> Poll<Step> {
        self.0.fetch_add(1, Ordering::Relaxed);
        outgoing.text(vec![b'f'; 1000].into());
        Poll::Ready(Step::Sent)
    }
}

#[test]
fn one_of_many_websockets_holds_little_for_a_client_that_takes_nothing() {
    for (others, expected) in [(0, 64..70), (LARGE_CONNECTIONS, 4..8)] {
        let server = Server::start("");
        let _others: Vec<_> = (0..others).map(|_| server.node.lifecycle.permit().now_or_never().unwrap()).collect();
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&count);
        let fountain = move || Box::new(Fountain(Arc::clone(&counting)));
        let client = Client::over(server.connect_through(1000, move |exchange| ready(exchange.upgrade(fountain()))));
        let sent = count.load(Ordering::Relaxed);
        assert!(expected.contains(&sent), "{sent} messages of 1000 bytes with {others} others");
        drop(client);
    }
}

#[test]
fn an_idle_websocket_holds_little_memory() {
    let mut codec = codec::Codec::new(125);
    codec.send(Message::Text(Bytes::from(vec![b'a'; 1 << 20])));
    codec.advance(codec.output().len());
    codec.rest();
    assert_eq!(codec.held_bytes(), 0);
}

#[test]
fn what_is_written_is_freed_even_if_something_is_always_left() {
    let mut codec = codec::Codec::new(125);
    let message = Bytes::from(vec![b'a'; 64 * 1024]);
    for _ in 0..1_000 {
        if codec.output().len() < message.len() {
            codec.send(Message::Text(message.clone()));
        }
        codec.advance(60_000.min(codec.output().len() - 1));
        assert!(codec.held_bytes() < 1 << 20);
    }
}
