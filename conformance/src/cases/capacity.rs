//! More connections than there are places.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::case::{Case, cases};
use crate::client::{Connection, Request};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["capacity";
    "Routes": [
        the_connection_idle_longest_is_closed_for_a_new_one,
        one_that_never_sent_anything_is_idle,
        half_sent_heads_lock_nobody_out,
        late_heads_that_go_on_lock_nobody_out,
        requests_under_way_are_not_closed,
        requests_that_have_arrived_are_answered,
        connections_leave_the_storage_its_files,
        too_few_files_are_refused_at_the_start,
    ],
];

const EVENT: &str = r#"{"event_type":"capacity","timestamp":0,"payload":null}"#;

fn health() -> Request {
    Request::get("/health/live")
}

/// A connection with some bytes sent on it that the server has taken.
fn with_bytes(server: &Server, bytes: &[u8]) -> Result<Connection, Failure> {
    let mut connection = server.connect()?;
    // What has been answered on it, it certainly has been accepted.
    connection.request(&health())?.expect(200)?;
    connection.write(bytes)?;
    Ok(connection)
}

fn closed_for_others(server: &Server) -> Result<f64, Failure> {
    let text = server.get("/metrics")?.text()?.to_owned();
    let line =
        text.lines().find_map(|line| line.strip_prefix("argus_connection_incidents_total{kind=\"idle_closed\"} "));
    line.and_then(|value| value.parse().ok())
        .ok_or_else(|| Failure::unmet("a counter of connections closed while idle"))
}

fn the_connection_idle_longest_is_closed_for_a_new_one(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "3")])?;
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(with_bytes(&server, b"")?);
    }
    // The first of them is not the one idle longest any more.
    connections[0].request(&health())?.expect(200)?;
    let mut fourth = server.connect()?;
    fourth.request(&health())?.expect(200)?;
    connections[1].expect_close()?;
    for connection in [0, 2] {
        connections[connection].request(&health())?.expect(200)?;
    }
    fourth.request(&health())?.expect(200)?;
    drop(connections);
    let closed = closed_for_others(&server)?;
    check!((1.0..=2.0).contains(&closed), "one connection that was closed for another to be counted, not {closed}");
    Ok(())
}

fn one_that_never_sent_anything_is_idle(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "2")])?;
    let silent: Vec<Connection> = (0..8).map(|_| server.connect()).collect::<Result<_, _>>()?;
    for _ in 0..4 {
        server.send(&health())?.expect(200)?;
    }
    drop(silent);
    Ok(())
}

fn half_sent_heads_lock_nobody_out(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "2"), ("--header-timeout", "1h")])?;
    let _slow: Vec<Connection> =
        (0..4).map(|_| with_bytes(&server, b"GET /health HTTP/1.1\r\nHost:")).collect::<Result<_, _>>()?;
    for _ in 0..4 {
        server.send(&health())?.expect(200)?;
    }
    Ok(())
}

/// Clients that were told that they are late, and go on sending what nobody reads, give their places to others.
fn late_heads_that_go_on_lock_nobody_out(ctx: &Context<'_>) -> Outcome {
    const PACE: Duration = Duration::from_millis(100);
    let server = ctx.start(&[("--max-connections", "2"), ("--header-timeout", "300ms")])?;
    let mut late = [server.connect()?, server.connect()?];
    for connection in &mut late {
        connection.write(b"GET")?;
    }
    for connection in &mut late {
        connection.response_to("GET")?.expect(408)?;
    }
    let stops = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stops.load(Ordering::Relaxed) && late.iter_mut().all(|connection| connection.write(b"x").is_ok()) {
                thread::sleep(PACE);
            }
        });
        let probed = (0..4).try_for_each(|_| server.send(&health())?.expect(200));
        stops.store(true, Ordering::Relaxed);
        probed
    })
}

/// However many wait for a place: a request that has arrived is looked at before its connection is closed for another.
fn requests_that_have_arrived_are_answered(ctx: &Context<'_>) -> Outcome {
    const CLIENTS: usize = 100;
    let server = ctx.start(&[("--max-connections", "2")])?;
    let mut busy = asked_for_its_body(&server)?;
    // All of them are there when the server comes to look.
    server.signal(Signal::Stop)?;
    let mut clients: Vec<Connection> = (0..CLIENTS).map(|_| server.connect()).collect::<Result<_, _>>()?;
    let request = health().to_bytes(&server.host());
    clients.iter_mut().try_for_each(|client| client.write(&request))?;
    server.signal(Signal::Continue)?;
    for client in &mut clients {
        client.response_to("GET")?.expect(200)?;
    }
    busy.write(EVENT.as_bytes())?;
    busy.response_to("POST")?.expect(201)
}

fn requests_under_way_are_not_closed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "2")])?;
    let mut busy = [asked_for_its_body(&server)?, asked_for_its_body(&server)?];
    // It waits: there is nobody who could make room.
    let mut third = server.connect()?;
    third.write(&health().to_bytes(&server.host()))?;
    busy[0].write(EVENT.as_bytes())?;
    busy[0].response_to("POST")?.expect(201)?;
    // Now there is.
    third.response_to("GET")?.expect(200)?;
    busy[1].write(EVENT.as_bytes())?;
    busy[1].response_to("POST")?.expect(201)?;
    drop((busy, third));
    check_eq!(server.find("")?.len(), 2, "how many events were stored");
    Ok(())
}

/// A connection with a request under way, as its server has said.
fn asked_for_its_body(server: &Server) -> Result<Connection, Failure> {
    let mut connection = server.connect()?;
    let request = Request::post("/events", "application/json", EVENT).header("expect", "100-continue");
    connection.write(&request.head_bytes(&server.host()))?;
    let mut interim = Vec::new();
    while !interim.ends_with(b"\r\n\r\n") {
        interim.extend(connection.read_some()?);
    }
    check!(interim.starts_with(b"HTTP/1.1 100"), "100 Continue, not {:?}", String::from_utf8_lossy(&interim));
    Ok(connection)
}

/// A program that permits the subject so many open files.
fn permitting(files: u32) -> [String; 3] {
    ["sh".to_owned(), "-c".to_owned(), format!("ulimit -n {files}; exec \"$0\" \"$@\"")]
}

fn connections_leave_the_storage_its_files(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start_in(&permitting(128), &[])?;
    let mut held: Vec<Connection> = (0..300).map(|_| server.connect()).collect::<Result<_, _>>()?;
    // Some files of the log, and a segment beside it.
    let long = format!(r#"{{"event_type":"long","timestamp":0,"payload":"{}"}}"#, "x".repeat(200_000));
    let long = vec![long; 30].join("\n");
    let short = vec![EVENT; 10_000].join("\n");
    for round in 0..3 {
        for body in [&long, &short] {
            let response = server.submit_lines(body.as_str())?;
            check_eq!(
                response.status(),
                201,
                "the answer in round {round}, of which the body is {:?}",
                response.text()
            );
        }
        held.extend((0..20).map(|_| server.connect()).collect::<Result<Vec<_>, _>>()?);
    }
    let complaints = server.log().lines().filter(|line| line.contains("cannot accept")).count();
    check!(complaints <= 1, "one line about connections that cannot be accepted, not {complaints}");
    server.get("/health/ready")?.expect(200)
}

fn too_few_files_are_refused_at_the_start(ctx: &Context<'_>) -> Outcome {
    let exit = ctx.run_in(&permitting(20), &["--endpoint", "127.0.0.1:0", "--repository", "memory:"])?;
    check_eq!(exit.code, Some(1), "the exit code where 20 files may be open; it said {}", exit.stderr);
    check!(
        exit.stderr.contains("the system permits 20 open files, and at least"),
        "a message that says how many files are needed, not {}",
        exit.stderr
    );
    Ok(())
}
