//! Limits of heads and of connections, and slow clients, each with its metric.

use std::thread;
use std::time::{Duration, Instant};

use super::lifecycle::begin_drain;
use crate::case::{Case, cases};
use crate::client::{Connection, Request, patience};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::LOCAL_NETWORKS;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["shell_limits";
    "Order of checks": [
        long_targets_are_refused, targets_without_an_end_are_refused, long_heads_are_refused,
        too_many_fields_are_refused, sizes_come_before_everything_else,
    ],
    "Routes": [
        one_address_has_few_connections, the_connections_of_a_trusted_proxy_are_not_limited,
        idle_connections_are_counted, slow_heads_are_counted, slow_bodies_are_counted,
        readers_that_stop_are_counted, slow_clients_do_not_spoil_a_drain,
    ],
];

const EVENT: &str = r#"{"event_type":"shell","timestamp":0,"payload":1}"#;

/// A target of this many bytes for something that exists.
fn target(bytes: usize) -> String {
    let start = "/events?type=";
    format!("{start}{}", "x".repeat(bytes - start.len()))
}

fn long_targets_are_refused(ctx: &Context<'_>) -> Outcome {
    for (settings, longest) in [(&[][..], 32 * 1024), (&[("--max-uri-bytes", "1000")], 1000)] {
        let server = ctx.start(settings)?;
        server.get(&target(longest))?.expect(200).map_err(|failure| failure.within(&longest))?;
        for method in ["GET", "HEAD", "POST"] {
            let mut connection = server.connect()?;
            let refused = connection.request(&Request::new(method, &target(longest + 1)))?;
            check_eq!(refused.status(), 414, "the status of {method} with a target of {} bytes", longest + 1);
            if method != "HEAD" {
                let problem = refused.problem(414)?;
                check_eq!(problem["type"], "/problems/uri-too-long", "the type of the problem");
                let detail = problem["detail"].as_str().unwrap_or_default();
                check!(detail.contains(&longest.to_string()), "the limit in the detail, not {detail:?}");
            }
            connection.expect_close()?;
        }
        server.expect_alive()?;
    }
    Ok(())
}

/// The target alone fills all the room that a head has.
fn targets_without_an_end_are_refused(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for method in ["GET", "POST"] {
        let mut connection = server.connect()?;
        connection.write(format!("{method} {}", target(100_000)).as_bytes())?;
        connection.response_to(method)?.problem(414).map_err(|failure| failure.within(&method))?;
        connection.expect_close()?;
    }
    server.expect_alive()
}

fn long_heads_are_refused(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-head-bytes", "2000"), ("--max-uri-bytes", "500")])?;
    let with_field = |bytes: usize| Request::get("/health").header("x-filler", &"y".repeat(bytes));
    server.send(&with_field(1800))?.expect(200)?;
    let mut connection = server.connect()?;
    let refused = connection.request(&with_field(2000))?;
    check_eq!(refused.problem(431)?["type"], "/problems/head-too-large", "the type of the problem");
    connection.expect_close()?;
    // The end of this head never comes.
    let mut connection = server.connect()?;
    connection.write(format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(20_000)).as_bytes())?;
    connection.response_to("GET")?.problem(431)?;
    connection.expect_close()?;
    server.expect_alive()
}

fn too_many_fields_are_refused(ctx: &Context<'_>) -> Outcome {
    for (settings, most) in
        [(&[][..], 100), (&[("--max-head-fields", "20")], 20), (&[("--max-head-fields", "200")], 200)]
    {
        let server = ctx.start(settings)?;
        let ask = |fields: usize| {
            let head = format!("GET /health HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(fields - 1));
            let mut connection = server.connect()?;
            connection.write(head.as_bytes())?;
            connection.response_to("GET")
        };
        ask(most)?.expect(200).map_err(|failure| failure.within(&most))?;
        ask(most + 1)?.problem(431).map_err(|failure| failure.within(&most))?;
    }
    Ok(())
}

fn sizes_come_before_everything_else(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[("--max-uri-bytes", "300"), ("--threads", "1")])?;
    let long = target(301);
    // Each of these is wrong in another way, too.
    for (line, fields) in [
        (format!("get {long} HTTP/1.1"), "host: x\r\n"),
        (format!("GET {long} HTTP/1.1"), ""),
        (format!("GET {long}% HTTP/1.1"), "host: x\r\nexpect: magic\r\n"),
    ] {
        let mut connection = server.connect()?;
        connection.write(format!("{line}\r\n{fields}\r\n").as_bytes())?;
        connection.response_to("GET")?.problem(414).map_err(|failure| failure.within(&line))?;
    }
    // A running submission keeps the server from ending. It begins after part of this head has arrived.
    let mut waiting = server.connect()?;
    waiting.write(b"G")?;
    let mut running = server.begin_submission(EVENT)?;
    begin_drain(&server)?;
    waiting.write(format!("ET {long} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())?;
    waiting.response_to("GET")?.problem(414)?;
    running.write(EVENT.as_bytes())?;
    running.response_to("POST")?.expect(201)?;
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn incidents(kind: &str) -> String {
    format!("argus_connection_incidents_total{{kind=\"{kind}\"}}")
}

/// Waits until the server has counted such an incident.
fn expect_incident(server: &Server, kind: &str) -> Outcome {
    let begun = Instant::now();
    while begun.elapsed() < patience() {
        if server.metric(&incidents(kind))? > 0.0 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(Failure::unmet(format!("an incident {kind} to be counted")))
}

fn one_address_has_few_connections(ctx: &Context<'_>) -> Outcome {
    const MOST: usize = 3;
    let health = Request::get("/health/live");
    let server = ctx.start(&[("--max-connections-per-address", "3")])?;
    // The connection that asked whether the server is up may not be gone yet.
    let open = || -> Result<Connection, Failure> {
        let begun = Instant::now();
        loop {
            let mut connection = server.connect()?;
            match connection.request(&health) {
                Ok(answer) if answer.status() == 200 => return Ok(connection),
                Ok(_) | Err(_) if begun.elapsed() < patience() => thread::sleep(Duration::from_millis(5)),
                other => return Err(Failure::unmet(format!("200 on one of {MOST} connections, not {other:?}"))),
            }
        }
    };
    let mut held: Vec<Connection> = (0..MOST).map(|_| open()).collect::<Result<_, _>>()?;
    let mut refused = server.connect()?;
    // Nothing is sent: the server answers at once.
    let answer = refused.response_to("GET")?;
    let detail = answer.problem(503)?["detail"].to_string();
    check!(detail.contains("connections"), "a reason, not {detail}");
    check!(answer.header("retry-after").is_some(), "a Retry-After");
    refused.expect_close()?;
    for connection in &mut held {
        connection.request(&health)?.expect(200)?;
    }
    drop(held.pop());
    held.push(open()?);
    drop(held.pop());
    drop(open()?);
    drop(held);
    drop(open()?);
    expect_incident(&server, "address_limit")
}

fn the_connections_of_a_trusted_proxy_are_not_limited(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections-per-address", "1"), ("--trust-proxy", LOCAL_NETWORKS)])?;
    let mut held = [server.connect()?, server.connect()?, server.connect()?];
    for connection in &mut held {
        connection.request(&Request::get("/health/live"))?.expect(200)?;
    }
    Ok(())
}

fn idle_connections_are_counted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--keep-alive-timeout", "200ms")])?;
    server.connect()?.expect_close()?;
    expect_incident(&server, "idle_timeout")
}

fn slow_heads_are_counted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--header-timeout", "200ms")])?;
    let mut connection = server.connect()?;
    connection.write(b"GET /health HTTP/1.1\r\nhost")?;
    connection.response_to("GET")?.problem(408)?;
    expect_incident(&server, "head_timeout")
}

fn slow_bodies_are_counted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--body-timeout", "200ms")])?;
    server.begin_submission(EVENT)?.response_to("POST")?.problem(408)?;
    expect_incident(&server, "body_timeout")
}

/// Starts an answer on a connection that reads nothing of it.
fn begin_to_read(server: &Server) -> Result<Connection, Failure> {
    const EVENTS: usize = 60_000;
    server.submit_lines(format!("{EVENT}\n").repeat(EVENTS))?.expect(201)?;
    let mut reader = server.connect_with_small_buffer()?;
    reader.write(&Request::get("/events").to_bytes(&server.host()))?;
    Ok(reader)
}

fn readers_that_stop_are_counted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--write-timeout", "300ms")])?;
    let reader = begin_to_read(&server)?;
    reader.wait_for_reset()?;
    expect_incident(&server, "write_timeout")
}

/// Each of these clients is cut off at a timeout of its own, and none of them is a request that the drain cuts off.
fn slow_clients_do_not_spoil_a_drain(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[
        ("--header-timeout", "600ms"),
        ("--body-timeout", "600ms"),
        ("--write-timeout", "600ms"),
        ("--max-connections-per-address", "64"),
        ("--drain-timeout", "25s"),
    ])?;
    let _reader = begin_to_read(&server)?;
    let _body = server.begin_submission(EVENT)?;
    let mut head = server.connect()?;
    head.write(b"GET /health HTTP/1.1\r\nhost")?;
    let _silent = server.connect()?;
    // An answer shows that this connection, and those before it, are accepted.
    begin_drain(&server)?;
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}
