//! Requests and answers through nginx, with its defaults and with common settings. By default nginx speaks HTTP/1.0 to
//! the server.

use crate::case::{Case, cases};
use crate::client::Request;
use crate::client::websocket::{WebSocket, handshake};
use crate::context::{Context, Server};
use crate::failure::Outcome;
use crate::launcher::Signal;
use crate::nginx::Nginx;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["nginx";
    "POST /events": [
        refusal_arrives, refusal_arrives_over_http11, refusal_arrives_while_the_body_is_sent,
        refusal_of_a_body_above_the_limit_arrives, events_arrive,
    ],
    "GET /events": [
        answer_of_a_killed_server_breaks_off, answer_at_the_drain_deadline_breaks_off, complete_answers_arrive,
    ],
    "GET /events/stream": [websocket_passes, websocket_without_upgrade_is_explained],
];

const EVENT: &str = r#"{"event_type":"proxy","timestamp":0,"payload":1}"#;
const EVENTS: usize = 100_000;
const LARGE_BYTES: usize = 20 << 20;
/// Whether nginx would see the answer or a broken connection first depends on scheduling, so one attempt proves little.
const TRIES: usize = 20;

const DEFAULTS: &str = "";
const HTTP_11: &str = "proxy_http_version 1.1;";
/// As `docs/streaming.md` says.
const WEBSOCKET: &str = "proxy_http_version 1.1; proxy_set_header Host $http_host; \
                         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
/// nginx passes the body on while it arrives.
const UNBUFFERED: &str = "proxy_http_version 1.1; proxy_request_buffering off;";

/// Requires that a large request is refused every time.
fn expect_refusals(server: &Server, nginx: &Nginx, content_type: &str, status: u16) -> Outcome {
    let request = Request::post("/events", content_type, vec![b' '; LARGE_BYTES]);
    for number in 1..=TRIES {
        let response = server.connect_through(nginx)?.request(&request)?;
        check_eq!(response.status(), status, "the status of try {number}");
        // The answer must come from the server, not from nginx.
        response.problem(status)?;
    }
    server.expect_empty()
}

fn refusal_arrives(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    expect_refusals(&server, &server.behind_nginx(DEFAULTS)?, "text/plain", 415)
}

fn refusal_arrives_over_http11(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    expect_refusals(&server, &server.behind_nginx(HTTP_11)?, "text/plain", 415)
}

fn refusal_arrives_while_the_body_is_sent(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    expect_refusals(&server, &server.behind_nginx(UNBUFFERED)?, "text/plain", 415)
}

fn refusal_of_a_body_above_the_limit_arrives(ctx: &Context<'_>) -> Outcome {
    // The body exceeds the limit only a little, so most of it is sent before the refusal.
    let limit = (LARGE_BYTES - (LARGE_BYTES >> 6)).to_string();
    let server = ctx.start(&[("--max-body-bytes", &limit)])?;
    expect_refusals(&server, &server.behind_nginx(DEFAULTS)?, "application/json", 413)
}

fn events_arrive(ctx: &Context<'_>) -> Outcome {
    for directives in [DEFAULTS, HTTP_11, UNBUFFERED] {
        let server = ctx.empty()?;
        let nginx = server.behind_nginx(directives)?;
        let request = Request::post("/events", "application/x-ndjson", format!("{EVENT}\n").repeat(1000));
        server.connect_through(&nginx)?.request(&request)?.expect(201)?;
        check_eq!(server.find("")?.len(), 1000, "events stored with {directives:?}");
    }
    Ok(())
}

/// Requires that an answer which breaks off does not look complete behind nginx.
fn expect_broken_off(
    ctx: &Context<'_>,
    settings: &[(&str, &str)],
    version: &str,
    break_off: impl FnOnce(&mut Server) -> Outcome,
) -> Outcome {
    let mut server = ctx.start(settings)?;
    server.submit_lines(format!("{EVENT}\n").repeat(EVENTS))?.expect(201)?;
    // nginx reads slowly, so that the server has not finished the answer.
    let nginx = server.behind_nginx(&format!("{version} proxy_limit_rate 100k;"))?;
    let mut reader = server.connect_through(&nginx)?;
    reader.write(&Request::get("/events").to_bytes(&server.host()))?;
    check_eq!(reader.read_head("GET")?.status, 200, "the status with {version:?}");
    break_off(&mut server)?;
    let rest = reader.read_to_end()?;
    let events = String::from_utf8_lossy(&rest).matches("\"seq\":").count();
    check!(events < EVENTS, "a part of the answer with {version:?}");
    check!(!rest.ends_with(b"\r\n0\r\n\r\n"), "no last chunk after {events} events with {version:?}");
    Ok(())
}

fn answer_of_a_killed_server_breaks_off(ctx: &Context<'_>) -> Outcome {
    for version in [DEFAULTS, HTTP_11] {
        expect_broken_off(ctx, &[], version, |server| {
            server.signal(Signal::Kill)?;
            server.wait().map(drop)
        })?;
    }
    Ok(())
}

fn answer_at_the_drain_deadline_breaks_off(ctx: &Context<'_>) -> Outcome {
    for version in [DEFAULTS, HTTP_11] {
        expect_broken_off(ctx, &[("--drain-timeout", "300ms")], version, |server| {
            server.signal(Signal::Terminate)?;
            server.wait().map(drop)
        })?;
    }
    Ok(())
}

fn complete_answers_arrive(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit_lines(format!("{EVENT}\n").repeat(EVENTS))?.expect(201)?;
    for directives in [DEFAULTS, HTTP_11] {
        let nginx = server.behind_nginx(directives)?;
        for _ in 0..3 {
            let response = server.connect_through(&nginx)?.request(&Request::get("/events"))?;
            let events = response.text()?.matches("\"seq\":").count();
            check_eq!(events, EVENTS, "events in the answer with {directives:?}");
        }
    }
    Ok(())
}

fn websocket_passes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let nginx = server.behind_nginx(WEBSOCKET)?;
    let mut socket = WebSocket::open(server.connect_through(&nginx)?, "/events/stream?after_seq=0")?;
    server.submit_lines(format!("{EVENT}\n").repeat(1000))?.expect(201)?;
    check_eq!(socket.seqs(1000)?, (1..=1000).collect::<Vec<u64>>(), "the sequence numbers");
    socket.close()?;
    // A page of the server's own site, if nginx passes `Host` on.
    let mut page = server.connect_through(&nginx)?;
    page.write(handshake("/events/stream", "origin: http://x\r\n").as_bytes())?;
    WebSocket::opened(page)?.close()?;
    // The same setting serves Server-Sent Events and other requests.
    let mut reader = server.connect_through(&nginx)?;
    reader.write(&Request::get("/events/stream").to_bytes(&server.host()))?;
    check_eq!(reader.read_head("GET")?.header("content-type"), Some("text/event-stream"), "the media type");
    server.connect_through(&nginx)?.request(&Request::get("/events?limit=1"))?.expect(200)
}

fn websocket_without_upgrade_is_explained(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for directives in [DEFAULTS, HTTP_11] {
        let nginx = server.behind_nginx(directives)?;
        let mut client = server.connect_through(&nginx)?;
        client.write(handshake("/events/stream", "").as_bytes())?;
        client.response_to("GET")?.problem_naming(426, "nginx").map_err(|failure| failure.within(&directives))?;
    }
    Ok(())
}
