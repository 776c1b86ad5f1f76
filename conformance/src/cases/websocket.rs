//! Live streams over WebSocket: the opening handshake and the events.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::lifecycle::begin_drain;
use crate::case::{Case, cases};
use crate::client::Request;
use crate::client::websocket::{CLOSE, FIN, KEY, PING, PONG, TEXT, WebSocket, close_payload, frame, handshake};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["websocket";
    "GET /events/stream": [
        handshake_faults_are_refused, handshake_fields_in_any_case, handshake_without_upgrade_is_explained,
        upgrade_of_http10_is_ignored, other_routes_ignore_the_upgrade, head_is_no_websocket,
        frames_after_the_handshake_are_read, parameters_are_checked_first,
        events_arrive_as_they_are_stored, stored_events_come_first, filters_select_events, cut_stream_resumes,
        missing_events_are_a_gap, slow_client_is_told_where_to_resume, drain_tells_where_to_resume,
        drain_does_not_wait_for_silent_clients, open_websocket_counts_as_connection, closed_websocket_makes_room,
        streams_are_counted,
    ],
];

const STREAM: &str = "/events/stream";

fn event(number: usize) -> Value {
    json!({"event_type": "socket", "timestamp": number, "payload": {"number": number}})
}

/// Stores these events, one request each.
fn store(server: &Server, numbers: Range<usize>) -> Outcome {
    numbers.into_iter().try_for_each(|number| server.store(&event(number)).map(drop))
}

fn handshake_faults_are_refused(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let upgrade = [("upgrade", "websocket"), ("connection", "Upgrade")];
    let (version, key) = (("sec-websocket-version", "13"), ("sec-websocket-key", KEY));
    for (fields, status, named) in [
        (vec![upgrade[0], version, key], 400, "Connection: upgrade"),
        (vec![upgrade[0], ("connection", "keep-alive"), version, key], 400, "Connection: upgrade"),
        (vec![upgrade[0], upgrade[1], key], 426, "Sec-WebSocket-Version"),
        (vec![upgrade[0], upgrade[1], ("sec-websocket-version", "8"), key], 426, "13"),
        (vec![upgrade[0], upgrade[1], version, version, key], 426, "13"),
        (vec![upgrade[0], upgrade[1], version], 400, "Sec-WebSocket-Key"),
        (vec![upgrade[0], upgrade[1], version, key, key], 400, "Sec-WebSocket-Key"),
        (vec![upgrade[0], upgrade[1], version, ("sec-websocket-key", "c2hvcnQ=")], 400, "16 bytes"),
        (vec![upgrade[0], upgrade[1], version, ("sec-websocket-key", "")], 400, "16 bytes"),
    ] {
        let request = fields.iter().fold(Request::get(STREAM), |request, (name, value)| request.header(name, value));
        let mut connection = server.connect()?;
        let response = connection.request(&request)?;
        response.problem_naming(status, named)?;
        if status == 426 {
            response.expect_header("sec-websocket-version", "13")?;
            response.expect_header("upgrade", "websocket")?;
        }
        // The connection is still one of HTTP.
        connection.request(&Request::get("/health/live"))?.expect(200)?;
    }
    // What follows the head would belong to both the body and the WebSocket.
    let mut connection = server.connect()?;
    connection.write(format!("{}abc", handshake(STREAM, "content-length: 3\r\n")).as_bytes())?;
    connection.response_to("GET")?.problem_naming(400, "body")?;
    connection.expect_close()
}

fn handshake_fields_in_any_case(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let fields = format!(
        "Upgrade: h2c, WebSocket\r\nConnection: keep-alive, UPGRADE\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate"
    );
    let mut connection = server.connect()?;
    connection.write(format!("GET {STREAM} HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n").as_bytes())?;
    WebSocket::opened(connection)?.close()
}

fn handshake_without_upgrade_is_explained(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    // What nginx makes of a handshake by default, and with `proxy_http_version 1.1`.
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let mut connection = server.connect()?;
        let fields = format!("host: x\r\nconnection: close\r\nsec-websocket-version: 13\r\nsec-websocket-key: {KEY}");
        connection.write(format!("GET {STREAM} {version}\r\n{fields}\r\n\r\n").as_bytes())?;
        let response = connection.response_to("GET")?;
        response.problem_naming(426, "nginx").map_err(|failure| failure.within(&version))?;
        connection.expect_close()?;
    }
    Ok(())
}

fn upgrade_of_http10_is_ignored(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    let fields = "host: x\r\nupgrade: websocket\r\nconnection: upgrade";
    connection.write(format!("GET {STREAM} HTTP/1.0\r\n{fields}\r\n\r\n").as_bytes())?;
    let head = connection.read_head("GET")?;
    check_eq!(head.status, 200, "the status");
    check_eq!(head.header("content-type"), Some("text/event-stream"), "the media type");
    Ok(())
}

fn other_routes_ignore_the_upgrade(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    for (target, status) in [("/health/live", 200), ("/events?limit=1", 200), ("/nowhere", 404), ("/health/live", 200)]
    {
        connection.write(handshake(target, "").as_bytes())?;
        check_eq!(connection.response_to("GET")?.status(), status, "the status of {target}");
    }
    Ok(())
}

fn head_is_no_websocket(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    connection.write(handshake(STREAM, "").replacen("GET", "HEAD", 1).as_bytes())?;
    check_eq!(connection.response_to("HEAD")?.status(), 200, "the status");
    connection.request(&Request::get("/health/live"))?.expect(200)
}

fn frames_after_the_handshake_are_read(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    let request = Request::get("/health/live").to_bytes("x");
    let ping = frame(FIN | PING, b"early");
    let (first, last) = ping.split_at(3);
    connection.write(&[&request[..], handshake(STREAM, "").as_bytes(), first].concat())?;
    connection.response_to("GET")?.expect(200)?;
    let mut socket = WebSocket::opened(connection)?;
    socket.connection().write(last)?;
    check_eq!(socket.read()?, (PONG, b"early".to_vec()), "the answer to a ping");
    socket.close()
}

fn parameters_are_checked_first(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for parameter in ["limit=1", "order=seq", "cursor=x", "after_seq=x", "colour=red"] {
        let mut connection = server.connect()?;
        connection.write(handshake(&format!("{STREAM}?{parameter}"), "").as_bytes())?;
        let name = parameter.split('=').next().unwrap_or_default();
        connection.response_to("GET")?.problem_naming(400, name)?;
    }
    Ok(())
}

fn events_arrive_as_they_are_stored(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    store(&server, 0..3)?;
    let mut socket = WebSocket::open(server.connect()?, STREAM)?;
    check_eq!(socket.last_seq(), 3, "the number in Argus-Last-Seq");
    for number in 3..6 {
        let stored = server.store(&event(number))?;
        let message = socket.message()?;
        check_eq!(
            message,
            server.get(&format!("/events/{}", stored["id"].as_str().unwrap_or_default()))?.json()?,
            "the message"
        );
    }
    // One request with many events is one message each.
    let lines: String = (6..1006).map(|number| format!("{}\n", event(number))).collect();
    server.submit_lines(lines)?.expect(201)?;
    check_eq!(socket.seqs(1000)?, (7..1007).collect::<Vec<u64>>(), "the sequence numbers");
    socket.close()
}

fn stored_events_come_first(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let lines: String = (0..5000).map(|number| format!("{}\n", event(number))).collect();
    server.submit_lines(lines)?.expect(201)?;
    let mut socket = WebSocket::open(server.connect()?, &format!("{STREAM}?after_seq=10"))?;
    store(&server, 0..1)?;
    check_eq!(socket.seqs(4991)?, (11..5002).collect::<Vec<u64>>(), "the sequence numbers");
    socket.close()
}

fn filters_select_events(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let target = format!("{STREAM}?after_seq=0&type=socket&payload.number[gte]=2");
    store(&server, 0..4)?;
    let mut socket = WebSocket::open(server.connect()?, &target)?;
    check_eq!(socket.seqs(2)?, [3, 4], "stored events");
    server.store(&json!({"event_type": "other", "timestamp": 0, "payload": {"number": 9}}))?;
    store(&server, 0..3)?;
    check_eq!(socket.seqs(1)?, [8], "new events");
    socket.close()
}

fn cut_stream_resumes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let (mut after, mut seen) = (0, Vec::new());
    for round in 0..20 {
        let mut socket = WebSocket::open(server.connect()?, &format!("{STREAM}?after_seq={after}"))?;
        store(&server, 0..10)?;
        // Every round leaves some events unread, and cuts the connection in a different way.
        let missed = round as u64 % 7;
        let due = (round as u64 + 1) * 10 - after;
        seen.extend(socket.seqs(usize::try_from(due - missed).unwrap_or_default())?);
        after = seen.last().copied().unwrap_or_default();
        if round % 2 == 0 {
            drop(socket);
        } else {
            socket.close()?;
        }
    }
    let mut socket = WebSocket::open(server.connect()?, &format!("{STREAM}?after_seq={after}"))?;
    seen.extend(socket.seqs(usize::try_from(200 - after).unwrap_or_default())?);
    check_eq!(seen, (1..=200).collect::<Vec<u64>>(), "the sequence numbers over all rounds");
    socket.close()
}

fn missing_events_are_a_gap(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    store(&server, 0..2)?;
    // A position that this repository has not reached: it is not the one that the client knew.
    let mut socket = WebSocket::open(server.connect()?, &format!("{STREAM}?after_seq=1000"))?;
    check_eq!(socket.message()?, json!({"gap": {"first_seq": 3}}), "the first message");
    store(&server, 0..1)?;
    check_eq!(socket.seqs(1)?, [3], "the event after the gap");
    socket.close()
}

fn slow_client_is_told_where_to_resume(ctx: &Context<'_>) -> Outcome {
    const LARGE_BYTES: usize = 10_000;
    let server = ctx.start(&[("--stream-queue-events", "100")])?;
    let mut socket = WebSocket::open(server.connect_with_small_buffer()?, STREAM)?;
    // More than the system buffers for the client. It reads nothing, and so stays behind.
    let large = json!({"event_type": "socket", "timestamp": 0, "payload": "x".repeat(LARGE_BYTES)});
    for _ in 0..20 {
        server.submit_lines(format!("{large}\n").repeat(100))?.expect(201)?;
    }
    // A client may be behind for a second.
    thread::sleep(Duration::from_millis(1500));
    store(&server, 0..1)?;
    let mut last = 0;
    loop {
        let (opcode, payload) = socket.read()?;
        if opcode == CLOSE {
            let expected = close_payload(1013, &format!("after_seq={last}"));
            check_eq!(String::from_utf8_lossy(&payload), String::from_utf8_lossy(&expected), "the close frame");
            break;
        }
        let message: Value = serde_json::from_slice(&payload)
            .map_err(|error| Failure::unmet(format!("a message of JSON, not {error}")))?;
        check_eq!(message["seq"], Value::from(last + 1), "the next event");
        last += 1;
    }
    check!(last < 2001, "a part of the events");
    let mut resumed = WebSocket::open(server.connect()?, &format!("{STREAM}?after_seq={last}"))?;
    let rest: Vec<u64> = (last + 1..2002).collect();
    check_eq!(resumed.seqs(rest.len())?, rest, "the events after the close frame");
    resumed.close()
}

fn drain_tells_where_to_resume(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[("--drain-timeout", "1h")])?;
    store(&server, 0..3)?;
    let mut sockets = Vec::new();
    for after in 0..3 {
        let mut socket = WebSocket::open(server.connect()?, &format!("{STREAM}?after_seq={after}"))?;
        socket.seqs(3 - after)?;
        sockets.push(socket);
    }
    let live = WebSocket::open(server.connect()?, STREAM)?;
    server.signal(Signal::Terminate)?;
    for socket in sockets.into_iter().chain([live]) {
        check_eq!(socket.expect_close(1001)?, "after_seq=3", "the reason of the close frame");
    }
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn drain_does_not_wait_for_silent_clients(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[("--drain-timeout", "1h")])?;
    let mut socket = WebSocket::open(server.connect()?, STREAM)?;
    begin_drain(&server)?;
    check_eq!(socket.read_close()?, (1001, "after_seq=0".to_owned()), "the close frame");
    // The client neither answers it nor closes the connection.
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn open_websocket_counts_as_connection(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "2")])?;
    let mut socket = WebSocket::open(server.connect()?, STREAM)?;
    // Only one more fits, so each of these has to make room for the next. The WebSocket is never idle.
    let mut others = Vec::new();
    for _ in 0..5 {
        let mut other = server.connect()?;
        other.request(&Request::get("/health/live"))?.expect(200)?;
        others.push(other);
    }
    for other in others.iter_mut().take(4) {
        other.expect_close()?;
    }
    socket.send(PING, b"still here")?;
    check_eq!(socket.read()?, (PONG, b"still here".to_vec()), "the answer to a ping");
    socket.close()
}

fn closed_websocket_makes_room(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "1")])?;
    for number in 0..20 {
        let mut socket = WebSocket::open(server.connect()?, STREAM)?;
        match number % 4 {
            0 => socket.close()?,
            1 => drop(socket),
            2 => socket.connection().write(&frame(FIN | 3, b""))?,
            _ => socket.send(TEXT, b"hello")?,
        }
    }
    server.get("/health/live")?.expect(200)
}

fn streams_are_counted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut socket = WebSocket::open(server.connect()?, STREAM)?;
    check_eq!(server.metric("argus_streams{transport=\"websocket\"}")?, 1.0, "open streams");
    store(&server, 0..3)?;
    socket.seqs(3)?;
    check_eq!(server.metric("argus_stream_events_sent_total")?, 3.0, "events sent");
    socket.close()?;
    check_eq!(server.metric("argus_streams{transport=\"websocket\"}")?, 0.0, "open streams");
    Ok(())
}
