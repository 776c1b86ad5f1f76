//! Live streams over WebSocket: frames, pings and closing handshakes.

use crate::case::{Case, cases};
use crate::client::End;
use crate::client::websocket::{BINARY, CLOSE, FIN, PING, PONG, TEXT, WebSocket, close_payload, frame};
use crate::context::Context;
use crate::failure::Outcome;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["websocket_frames";
    "GET /events/stream": [
        messages_are_refused, refused_client_that_keeps_sending_is_told, protocol_errors_close_with_their_code,
        frames_may_arrive_in_pieces, pings_are_answered, closing_handshake_is_answered,
        pings_are_sent, client_that_answers_pings_stays, client_that_answers_none_is_disconnected,
        client_that_takes_nothing_is_disconnected, client_that_leaves_is_noticed,
    ],
];

const STREAM: &str = "/events/stream";

/// A bit that no extension uses here.
const RESERVED: u8 = 0x40;

fn messages_are_refused(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for message in [
        frame(FIN | TEXT, b"hello"),
        frame(FIN | TEXT, b""),
        frame(FIN | BINARY, &[0, 0xff]),
        [frame(TEXT, b"hel"), frame(0, b"l"), frame(FIN, b"o")].concat(),
        frame(FIN | TEXT, &[b'x'; 200]),
    ] {
        let mut socket = WebSocket::open(server.connect()?, STREAM)?;
        socket.connection().write(&message)?;
        let reason = socket.expect_close(1003)?;
        check!(!reason.is_empty(), "a reason");
    }
    Ok(())
}

/// Closing a connection with unread input resets it, which may overtake the close frame.
fn refused_client_that_keeps_sending_is_told(ctx: &Context<'_>) -> Outcome {
    const TRIES: usize = 20;
    let server = ctx.server()?;
    for (first, code) in [(frame(FIN | TEXT, b"hello"), 1003), (vec![FIN | TEXT, 0], 1002)] {
        for _ in 0..TRIES {
            let mut socket = WebSocket::open(server.connect()?, STREAM)?;
            let flood = frame(FIN | TEXT, &[b'x'; 1000]).repeat(1000);
            check!(!socket.connection().write_is_refused(&[first.clone(), flood].concat())?, "a subject that reads on");
            socket.expect_close(code)?;
        }
    }
    Ok(())
}

fn protocol_errors_close_with_their_code(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    // A head without a mask, and one that announces more than any memory.
    let unmasked = vec![FIN | TEXT, 2, b'h', b'i'];
    let endless = [&[FIN | BINARY, 0x80 | 127][..], &[0x7f; 8], &[0; 4]].concat();
    for (what, bytes, code) in [
        ("no mask", unmasked, 1002),
        ("a ping without a mask", vec![FIN | PING, 0], 1002),
        ("a reserved bit", frame(FIN | RESERVED | TEXT, b"hi"), 1002),
        ("a reserved opcode", frame(FIN | 3, b""), 1002),
        ("a reserved control opcode", frame(FIN | 11, b""), 1002),
        ("a fragmented ping", frame(PING, b"a"), 1002),
        ("a fragmented close frame", frame(CLOSE, b""), 1002),
        ("a long ping", frame(FIN | PING, &[0; 126]), 1002),
        ("nothing to continue", frame(FIN, b"a"), 1002),
        ("a message within another", [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat(), 1002),
        ("a close frame of one byte", frame(FIN | CLOSE, &[3]), 1002),
        ("a code below 1000", frame(FIN | CLOSE, &close_payload(999, "")), 1002),
        ("a code that is never sent", frame(FIN | CLOSE, &close_payload(1005, "")), 1002),
        ("a text that is not UTF-8", frame(FIN | TEXT, &[b'a', 0xff]), 1007),
        ("a reason that is not UTF-8", frame(FIN | CLOSE, &[3, 0xe8, 0xff]), 1007),
        ("a long message", frame(FIN | TEXT, &[b'x'; 100_000]), 1009),
        ("a message without end", endless, 1009),
        ("many fragments", [frame(TEXT, &[b'x'; 1000]), frame(0, &[b'x'; 1000]).repeat(10)].concat(), 1009),
    ] {
        let mut socket = WebSocket::open(server.connect()?, STREAM)?;
        socket.connection().write(&bytes)?;
        socket.expect_close(code).map_err(|failure| failure.within(&what))?;
    }
    server.expect_alive()
}

fn frames_may_arrive_in_pieces(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut socket = WebSocket::open(server.connect()?, STREAM)?;
    for byte in [frame(FIN | PING, b"slowly"), frame(FIN | PONG, b"unasked")].concat() {
        socket.connection().write(&[byte])?;
    }
    check_eq!(socket.read()?, (PONG, b"slowly".to_vec()), "the answer to a ping");
    socket.close()
}

fn pings_are_answered(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut socket = WebSocket::open(server.connect()?, STREAM)?;
    for payload in [&b""[..], b"a", &[0xff; 125]] {
        socket.send(PING, payload)?;
        check_eq!(socket.read()?, (PONG, payload.to_vec()), "the answer to a ping");
    }
    socket.close()
}

fn closing_handshake_is_answered(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for payload in
        [vec![], close_payload(1000, ""), close_payload(1001, "leaving"), close_payload(4999, &"é".repeat(61))]
    {
        let mut socket = WebSocket::open(server.connect()?, STREAM)?;
        socket.send(CLOSE, &payload)?;
        check_eq!(socket.read()?, (CLOSE, payload), "the answer to a close frame");
        socket.connection().expect_close()?;
    }
    Ok(())
}

/// A heartbeat that a client answers in time even on a machine that is busy with other cases.
const ANSWERED: &str = "2s";

fn pings_are_sent(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--stream-heartbeat", ANSWERED)])?;
    let mut socket = WebSocket::open(server.connect()?, STREAM)?;
    for _ in 0..3 {
        let (opcode, payload) = socket.read_any()?;
        check_eq!(opcode, PING, "the opcode");
        socket.send(PONG, &payload)?;
    }
    socket.close()
}

fn client_that_answers_pings_stays(ctx: &Context<'_>) -> Outcome {
    let server =
        ctx.start(&[("--stream-heartbeat", ANSWERED), ("--request-timeout", "1s"), ("--keep-alive-timeout", "1s")])?;
    let mut socket = WebSocket::open(server.connect()?, STREAM)?;
    for _ in 0..2 {
        let (opcode, payload) = socket.read_any()?;
        check_eq!(opcode, PING, "the opcode");
        socket.send(PONG, &payload)?;
    }
    server.store(&serde_json::json!({"event_type": "a", "timestamp": 0, "payload": 1}))?;
    check_eq!(socket.seqs(1)?, [1], "the event");
    socket.close()
}

fn client_that_answers_none_is_disconnected(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--stream-heartbeat", "300ms")])?;
    let mut socket = WebSocket::open(server.connect()?, STREAM)?;
    check_eq!(socket.read_any()?.0, PING, "the opcode");
    let (rest, end) = socket.connection().read_until_end()?;
    check!(rest.is_empty(), "nothing after the ping, not {rest:?}");
    check_eq!(end, End::Reset, "the end of the connection");
    Ok(())
}

fn client_that_takes_nothing_is_disconnected(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--write-timeout", "500ms")])?;
    let mut socket = WebSocket::open(server.connect_with_small_buffer()?, STREAM)?;
    let large = serde_json::json!({"event_type": "a", "timestamp": 0, "payload": "x".repeat(10_000)});
    for _ in 0..10 {
        server.submit_lines(format!("{large}\n").repeat(100))?.expect(201)?;
    }
    socket.connection().wait_for_reset()?;
    server.expect_alive()
}

fn client_that_leaves_is_noticed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "1")])?;
    for payload in [&frame(FIN | PING, b"half")[..4], b""] {
        let mut socket = WebSocket::open(server.connect()?, STREAM)?;
        socket.connection().write(payload)?;
        socket.connection().finish_sending();
        socket.connection().expect_close()?;
    }
    server.get("/health/live")?.expect(200)
}
