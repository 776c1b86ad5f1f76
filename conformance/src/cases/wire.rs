//! Connections: pipelining, hostile clients, unusual requests.

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::Outcome;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["wire";
    "Order of checks": [
        pipelined_requests_are_answered_in_order, pipelined_submissions_and_queries, many_pipelined_requests,
        request_in_single_bytes, empty_lines_before_a_request, missing_host, two_hosts, http10_without_host,
        huge_request_line, huge_header_field, flood_of_header_fields, endless_header, connect, options_asterisk,
        absolute_form, authority_form, target_without_slash, non_ascii_header_value, non_ascii_target, garbage,
        tls_client_hello, http2_preface, unknown_version, malformed_version, missing_version, upgrade_is_ignored,
        many_idle_connections,
    ],
    "POST /events": [
        expect_continue, expect_continue_is_not_for_refused_requests, unknown_expectation,
        half_closing_client_gets_its_answer,
    ],
];

const EVENT: &str = r#"{"event_type":"wire","timestamp":0,"payload":1}"#;

/// Requires that the server refuses the bytes with one of these statuses, closes the connection, and still serves.
fn expect_refused(server: &Server, bytes: &[u8], statuses: &[u16]) -> Outcome {
    let mut connection = server.connect()?;
    connection.write(bytes)?;
    let response = connection.response_to("GET")?;
    check!(statuses.contains(&response.status()), "one of the statuses {statuses:?}, not {}", response.status());
    connection.expect_close()?;
    server.expect_alive()
}

/// Requires that the server answers the bytes with an error or not at all, closes the connection, and still serves.
fn expect_no_success(server: &Server, bytes: &[u8]) -> Outcome {
    let mut connection = server.connect()?;
    connection.write(bytes)?;
    connection.finish_sending();
    let answer = connection.read_to_end()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let error =
        answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 5") || answer.starts_with("HTTP/1.0 4");
    check!(answer.is_empty() || error, "an error or no answer, not {answer:?}");
    server.expect_alive()
}

fn pipelined_requests_are_answered_in_order(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    let host = server.host();
    let requests = [
        (Request::get("/health"), 200),
        (Request::get("/nowhere"), 404),
        (Request::new("HEAD", "/health"), 200),
        (Request::post("/events", "application/json", EVENT), 201),
        (Request::get("/events?limit=0"), 400),
        (Request::new("PUT", "/events"), 405),
        (Request::get("/events?type=wire"), 200),
        (Request::post("/events", "application/json", "{}"), 422),
        (Request::get("/metrics"), 200),
        (Request::get("/events/none"), 404),
    ];
    let mut bytes = Vec::new();
    for (number, (request, _)) in requests.iter().enumerate() {
        bytes.extend(request.clone().header("x-request-id", &number.to_string()).to_bytes(&host));
    }
    connection.write(&bytes)?;
    for (number, (request, status)) in requests.iter().enumerate() {
        let response = connection.response_to(&request.method)?;
        response.expect_header("x-request-id", &number.to_string())?;
        response.expect(*status).map_err(|failure| failure.within(&request.target))?;
    }
    Ok(())
}

fn pipelined_submissions_and_queries(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut connection = server.connect()?;
    let host = server.host();
    let mut bytes = Vec::new();
    for _ in 0..10 {
        bytes.extend(Request::post("/events", "application/json", EVENT).to_bytes(&host));
        bytes.extend(Request::get("/events").to_bytes(&host));
    }
    connection.write(&bytes)?;
    for count in 1..=10 {
        check_eq!(connection.response_to("POST")?.member("seq")?, json!(count), "the sequence number");
        check_eq!(connection.response_to("GET")?.events()?.len(), count, "events seen after submission {count}");
    }
    Ok(())
}

fn many_pipelined_requests(ctx: &Context<'_>) -> Outcome {
    const REQUESTS: usize = 500;
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    let bytes = Request::get("/health/live").to_bytes(&server.host()).repeat(REQUESTS);
    connection.write(&bytes)?;
    for _ in 0..REQUESTS {
        connection.response_to("GET")?.expect(200)?;
    }
    Ok(())
}

fn request_in_single_bytes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    for byte in Request::post("/events", "application/json", EVENT).to_bytes(&server.host()) {
        check!(!connection.write_is_refused(&[byte])?, "a subject that reads the request byte by byte");
    }
    connection.response_to("POST")?.expect(201)
}

fn empty_lines_before_a_request(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    connection.write(b"\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n")?;
    connection.response_to("GET")?.expect(200)
}

fn missing_host(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    connection.write(b"GET /health HTTP/1.1\r\n\r\n")?;
    connection.response_to("GET")?.expect(400)
}

fn two_hosts(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for second in ["a", "b"] {
        let mut connection = server.connect()?;
        connection.write(format!("GET /health HTTP/1.1\r\nhost: a\r\nhost: {second}\r\n\r\n").as_bytes())?;
        connection.response_to("GET")?.expect(400)?;
    }
    Ok(())
}

fn http10_without_host(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    connection.write(b"GET /health HTTP/1.0\r\n\r\n")?;
    connection.response_to("GET")?.expect(200)
}

fn huge_request_line(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for length in [70_000, 2_000_000] {
        let bytes = format!("GET /events?type={} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(length));
        expect_refused(&server, bytes.as_bytes(), &[400, 414, 431]).map_err(|failure| failure.within(&length))?;
    }
    Ok(())
}

fn huge_header_field(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let bytes = format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(2_000_000));
    expect_refused(&server, bytes.as_bytes(), &[400, 431])
}

fn flood_of_header_fields(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let bytes = format!("GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(20_000));
    expect_refused(&server, bytes.as_bytes(), &[400, 431])
}

fn endless_header(ctx: &Context<'_>) -> Outcome {
    const MEBIBYTES_SENT_MAX: usize = 64;
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    connection.write(b"GET /health HTTP/1.1\r\nhost: x\r\nx: ")?;
    let filler = vec![b'y'; 1 << 20];
    for _ in 0..MEBIBYTES_SENT_MAX {
        if connection.write_is_refused(&filler)? {
            return server.expect_alive();
        }
    }
    // The subject has read all of it, so it must have answered.
    let status = connection.response_to("GET")?.status();
    check!(matches!(status, 400 | 431), "a refusal of a head of {MEBIBYTES_SENT_MAX} MiB, not {status}");
    server.expect_alive()
}

fn connect(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["example.com:443", "example.com", "/events", "x:1"] {
        let bytes = format!("CONNECT {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        expect_no_success(&server, bytes.as_bytes()).map_err(|failure| failure.within(&target))?;
    }
    Ok(())
}

fn options_asterisk(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    connection.write(b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let status = connection.response_to("OPTIONS")?.status();
    check!(matches!(status, 400 | 404 | 405), "an error for OPTIONS *, not {status}");
    expect_no_success(&server, b"GET * HTTP/1.1\r\nhost: x\r\n\r\n")
}

fn absolute_form(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    for target in ["http://example.com/health", "HTTP://example.com:80/health?x=1"] {
        connection.write(format!("GET {target} HTTP/1.1\r\nhost: example.com\r\n\r\n").as_bytes())?;
        connection.response_to("GET")?.expect(200).map_err(|failure| failure.within(&target))?;
    }
    connection.write(b"GET http://example.com HTTP/1.1\r\nhost: example.com\r\n\r\n")?;
    connection.response_to("GET")?.expect(307)
}

fn authority_form(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["example.com", "example.com:80", "user@example.com"] {
        let bytes = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        expect_no_success(&server, bytes.as_bytes()).map_err(|failure| failure.within(&target))?;
    }
    Ok(())
}

fn target_without_slash(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["events", "?type=a", "#", "", "\\events", "http://"] {
        let bytes = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        expect_no_success(&server, bytes.as_bytes()).map_err(|failure| failure.within(&target))?;
    }
    Ok(())
}

fn non_ascii_header_value(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    for value in [&b"caf\xc3\xa9"[..], b"caf\xe9", b"\xff\xfe", b"\t tabs \t"] {
        let bytes = [b"GET /health HTTP/1.1\r\nhost: x\r\nuser-agent: ", value, b"\r\n\r\n"].concat();
        connection.write(&bytes)?;
        connection.response_to("GET")?.expect(200).map_err(|failure| failure.within(&value.escape_ascii()))?;
    }
    // The same in fields that the server interprets.
    for field in ["content-type", "content-encoding", "prefer", "accept"] {
        let head = format!("POST /events HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n{field}: ");
        let mut connection = server.connect()?;
        connection.write(&[head.as_bytes(), b"\xff\xfe", b"\r\n\r\n"].concat())?;
        let status = connection.response_to("POST")?.status();
        check!((400..500).contains(&status), "an error of the caller for {field}, not {status}");
    }
    server.expect_alive()
}

fn non_ascii_target(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in [&b"/\xff"[..], b"/events?type=\xc3\xa9", b"/events/\xe9"] {
        let bytes = [b"GET ", target, b" HTTP/1.1\r\nhost: x\r\n\r\n"].concat();
        expect_no_success(&server, &bytes).map_err(|failure| failure.within(&target.escape_ascii()))?;
    }
    Ok(())
}

fn garbage(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let all: Vec<u8> = (0..=255).collect();
    for bytes in [
        &b"\0"[..],
        b"\r\n\r\n\r\n",
        b" / HTTP/1.1\r\n\r\n",
        b"GET\r\n\r\n",
        b"(((((((\r\n\r\n",
        &all,
        b"{\"event_type\":1}\n\n",
    ] {
        expect_no_success(&server, bytes).map_err(|failure| failure.within(&bytes.escape_ascii()))?;
    }
    Ok(())
}

fn tls_client_hello(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    expect_no_success(&server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
}

fn http2_preface(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // With a frame after it, without, and incomplete.
    for length in [preface.len(), 24, 18] {
        expect_refused(&server, &preface[..length], &[505]).map_err(|failure| failure.within(&length))?;
    }
    Ok(())
}

fn unknown_version(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/3.0", "HTTP/0.9"] {
        let bytes = format!("GET /health {version}\r\nhost: x\r\n\r\n");
        let mut connection = server.connect()?;
        connection.write(bytes.as_bytes())?;
        let response = connection.response_to("GET")?;
        response.problem(505).map_err(|failure| failure.within(&version))?;
        connection.expect_close()?;
    }
    server.expect_alive()
}

fn malformed_version(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for version in ["HTTP/3", "http/1.1", "HTTP/1.1x", "HTPP/1.1", "HTTP/11", "HTTP/1.10", "HTTP/2.0 x"] {
        let bytes = format!("GET /health {version}\r\nhost: x\r\n\r\n");
        expect_refused(&server, bytes.as_bytes(), &[400]).map_err(|failure| failure.within(&version))?;
    }
    Ok(())
}

fn missing_version(ctx: &Context<'_>) -> Outcome {
    expect_no_success(&ctx.server()?, b"GET /health\r\n\r\n")
}

fn upgrade_is_ignored(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for protocol in ["websocket", "h2c"] {
        let request = Request::get("/health").header("connection", "upgrade").header("upgrade", protocol);
        server.send(&request)?.expect(200).map_err(|failure| failure.within(&protocol))?;
    }
    Ok(())
}

fn many_idle_connections(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let idle = (0..200).map(|_| server.connect()).collect::<Result<Vec<_>, _>>()?;
    let mut half = (0..50).map(|_| server.connect()).collect::<Result<Vec<_>, _>>()?;
    for connection in &mut half {
        connection.write(b"GET /health HTTP/1.1\r\nho")?;
    }
    server.expect_alive()?;
    for connection in &mut half {
        connection.write(b"st: x\r\n\r\n")?;
        connection.response_to("GET")?.expect(200)?;
    }
    drop(idle);
    server.expect_alive()
}

fn expect_continue(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut connection = server.begin_submission(EVENT)?;
    connection.write(EVENT.as_bytes())?;
    connection.response_to("POST")?.expect(201)?;
    check_eq!(connection.request(&Request::get("/events"))?.events()?.len(), 1, "events stored");
    Ok(())
}

fn expect_continue_is_not_for_refused_requests(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for (request, status) in [
        (Request::post("/events", "text/plain", EVENT), 415),
        (Request::post("/nowhere", "application/json", EVENT), 404),
        (Request::post("/events", "application/json", EVENT).header("content-encoding", "br"), 415),
    ] {
        let mut connection = server.connect()?;
        connection.write(&request.header("expect", "100-continue").head_bytes(&server.host()))?;
        check_eq!(connection.read_head("POST")?.status, status, "the first answer to the head alone");
    }
    server.expect_empty()
}

fn unknown_expectation(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for expectation in ["200-ok", "100-continue, x", "x=100-continue"] {
        let request = Request::post("/events", "application/json", EVENT).header("expect", expectation);
        server.send(&request)?.problem(417).map_err(|failure| failure.within(&expectation))?;
    }
    server.expect_empty()
}

fn half_closing_client_gets_its_answer(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let host = server.host();
    for count in 1..=5 {
        let mut connection = server.connect()?;
        connection.write(&Request::post("/events", "application/json", EVENT).to_bytes(&host))?;
        connection.finish_sending();
        connection.response_to("POST")?.expect(201)?;
        connection.expect_close()?;
        let mut connection = server.connect()?;
        connection.write(&Request::get("/events").to_bytes(&host))?;
        connection.finish_sending();
        check_eq!(connection.response_to("GET")?.events()?.len(), count, "events in the answer");
        connection.expect_close()?;
    }
    Ok(())
}
