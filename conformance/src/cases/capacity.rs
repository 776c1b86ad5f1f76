//! More connections than the server allows.

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
        the_connection_idle_longest_is_closed_for_a_new_one, a_connection_without_a_request_is_closed_for_a_new_one,
        unfinished_heads_do_not_lock_others_out, late_heads_that_continue_do_not_lock_others_out,
        connections_with_a_running_request_are_not_closed, requests_that_have_arrived_are_answered,
        connections_leave_file_descriptors_for_the_storage, too_low_a_limit_of_open_files_is_refused_at_the_start,
    ],
];

const EVENT: &str = r#"{"event_type":"capacity","timestamp":0,"payload":null}"#;

fn health() -> Request {
    Request::get("/health/live")
}

/// An accepted connection, on which these bytes have been sent after a request.
fn with_bytes(server: &Server, bytes: &[u8]) -> Result<Connection, Failure> {
    let mut connection = server.connect()?;
    // The answer shows that the connection is accepted.
    connection.request(&health())?.expect(200)?;
    connection.write(bytes)?;
    Ok(connection)
}

fn the_connection_idle_longest_is_closed_for_a_new_one(ctx: &Context<'_>) -> Outcome {
    // A single thread, so that connections become idle in the order of their answers, not only soon after them.
    let server = ctx.start(&[("--max-connections", "3"), ("--threads", "1")])?;
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(with_bytes(&server, b"")?);
    }
    // Now the second is idle longest.
    connections[0].request(&health())?.expect(200)?;
    let mut fourth = server.connect()?;
    fourth.request(&health())?.expect(200)?;
    connections[1].expect_close()?;
    for connection in [0, 2] {
        connections[connection].request(&health())?.expect(200)?;
    }
    fourth.request(&health())?.expect(200)?;
    drop(connections);
    let closed = server.metric(r#"argus_connection_incidents_total{kind="idle_closed"}"#)?;
    check!((1.0..=2.0).contains(&closed), "one connection that was closed for another to be counted, not {closed}");
    Ok(())
}

fn a_connection_without_a_request_is_closed_for_a_new_one(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "2")])?;
    let silent: Vec<Connection> = (0..8).map(|_| server.connect()).collect::<Result<_, _>>()?;
    for _ in 0..4 {
        server.send(&health())?.expect(200)?;
    }
    drop(silent);
    Ok(())
}

fn unfinished_heads_do_not_lock_others_out(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "2"), ("--header-timeout", "1h")])?;
    let _slow: Vec<Connection> =
        (0..4).map(|_| with_bytes(&server, b"GET /health HTTP/1.1\r\nHost:")).collect::<Result<_, _>>()?;
    for _ in 0..4 {
        server.send(&health())?.expect(200)?;
    }
    Ok(())
}

/// The server closes clients that keep sending after a 408, to accept others.
fn late_heads_that_continue_do_not_lock_others_out(ctx: &Context<'_>) -> Outcome {
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

/// A request that has arrived is answered before its connection is closed for another one, however many wait.
fn requests_that_have_arrived_are_answered(ctx: &Context<'_>) -> Outcome {
    const CLIENTS: usize = 100;
    let server = ctx.start(&[("--max-connections", "2")])?;
    let mut busy = server.begin_submission(EVENT)?;
    // All requests arrive while the server is stopped.
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

fn connections_with_a_running_request_are_not_closed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--max-connections", "2")])?;
    let mut busy = [server.begin_submission(EVENT)?, server.begin_submission(EVENT)?];
    // The third waits until one of the others is idle.
    let mut third = server.connect()?;
    third.write(&health().to_bytes(&server.host()))?;
    busy[0].write(EVENT.as_bytes())?;
    busy[0].response_to("POST")?.expect(201)?;
    third.response_to("GET")?.expect(200)?;
    busy[1].write(EVENT.as_bytes())?;
    busy[1].response_to("POST")?.expect(201)?;
    drop((busy, third));
    check_eq!(server.find("")?.len(), 2, "how many events were stored");
    Ok(())
}

/// A wrapper that lets the subject open at most this many files.
fn open_files_max(files: u32) -> [String; 3] {
    ["sh".to_owned(), "-c".to_owned(), format!("ulimit -n {files}; exec \"$0\" \"$@\"")]
}

fn connections_leave_file_descriptors_for_the_storage(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start_in(&open_files_max(128), &[])?;
    let mut held: Vec<Connection> = (0..300).map(|_| server.connect()).collect::<Result<_, _>>()?;
    // Enough for several log files and a segment.
    let long = format!(r#"{{"event_type":"long","timestamp":0,"payload":"{}"}}"#, "x".repeat(200_000));
    let long = vec![long; 30].join("\n");
    let short = vec![EVENT; 10_000].join("\n");
    for round in 0..3 {
        for body in [&long, &short] {
            let response = server.submit_lines(body.as_str())?;
            check_eq!(response.status(), 201, "the status in round {round}, with the body {:?}", response.text());
        }
        held.extend((0..20).map(|_| server.connect()).collect::<Result<Vec<_>, _>>()?);
    }
    let warnings = server.log().lines().filter(|line| line.contains("cannot accept")).count();
    check!(warnings <= 1, "at most one log line about connections that cannot be accepted, not {warnings}");
    server.get("/health/ready")?.expect(200)
}

fn too_low_a_limit_of_open_files_is_refused_at_the_start(ctx: &Context<'_>) -> Outcome {
    let exit = ctx.run_in(&open_files_max(20), &["--endpoint", "127.0.0.1:0", "--repository", "memory:"])?;
    check_eq!(exit.code, Some(1), "the exit code if 20 files may be open, with the message {}", exit.stderr);
    check!(
        exit.stderr.contains("the system permits 20 open files, and at least"),
        "a message that says how many files are needed, not {}",
        exit.stderr
    );
    Ok(())
}
