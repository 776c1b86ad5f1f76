//! Starting and stopping.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::{Connection, Request, patience};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["lifecycle";
    "Routes": [
        terminate_when_idle, interrupt_when_idle, idle_connections_do_not_delay_the_shutdown,
        running_submission_finishes, running_answer_finishes, no_new_connections_while_draining,
        readiness_fails_while_draining, new_requests_are_refused_while_draining, terminate_under_load,
        second_signal_ends_at_once, signals_that_come_together_are_one, drain_deadline_cuts_requests_off, bad_settings,
        unknown_flag, help, version, occupied_address, occupied_address_leaves_no_folder,
    ],
];

const EVENT: &str = r#"{"event_type":"life","timestamp":0,"payload":1}"#;

/// Signals this soon after the first count as the same.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// Sends SIGTERM and waits until the subject drains: it then closes idle connections.
pub(super) fn begin_drain(server: &Server) -> Outcome {
    let mut idle = server.connect()?;
    idle.request(&Request::get("/health/live"))?.expect(200)?;
    server.signal(Signal::Terminate)?;
    idle.expect_close()
}

/// Sends a second signal to a subject that drains.
pub(super) fn signal_again(server: &Server, signal: Signal) -> Outcome {
    thread::sleep(SAME_SIGNAL);
    server.signal(signal)
}

/// A server with one worker. Once it serves a connection, it has accepted all earlier ones.
pub(super) fn start_with_one_worker(ctx: &Context<'_>) -> Result<Server, Failure> {
    ctx.start(&[("--threads", "1")])
}

/// An accepted connection with an incomplete request, on a server [with one worker](start_with_one_worker). Returns the
/// rest of the request as well.
fn begin_request(server: &Server, request: &Request) -> Result<(Connection, Vec<u8>), Failure> {
    let mut bytes = request.to_bytes(&server.host());
    let rest = bytes.split_off(bytes.len() - 2);
    let mut connection = server.connect()?;
    connection.write(&bytes)?;
    // This later connection is served, so the first is accepted.
    server.get("/health/live")?.expect(200)?;
    Ok((connection, rest))
}

fn expect_clean_exit(server: &mut Server) -> Outcome {
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn terminate_when_idle(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    server.submit(EVENT)?.expect(201)?;
    server.signal(Signal::Terminate)?;
    expect_clean_exit(&mut server)
}

fn interrupt_when_idle(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    server.signal(Signal::Interrupt)?;
    expect_clean_exit(&mut server)
}

fn idle_connections_do_not_delay_the_shutdown(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[("--drain-timeout", "1h")])?;
    let mut untouched = server.connect()?;
    let mut used = server.connect()?;
    used.request(&Request::get("/health"))?.expect(200)?;
    server.signal(Signal::Terminate)?;
    expect_clean_exit(&mut server)?;
    untouched.expect_close()?;
    used.expect_close()
}

fn running_submission_finishes(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    let mut running = server.begin_submission(EVENT)?;
    begin_drain(&server)?;
    running.write(EVENT.as_bytes())?;
    let response = running.response_to("POST")?;
    response.expect(201)?;
    check_eq!(response.member("seq")?, json!(1), "the sequence number");
    running.expect_close()?;
    expect_clean_exit(&mut server)
}

fn running_answer_finishes(ctx: &Context<'_>) -> Outcome {
    const EVENTS: usize = 100_000;
    // Longer than any repository takes for the answer.
    let mut server = ctx.start(&[("--drain-timeout", "5m")])?;
    server.submit_lines(format!("{EVENT}\n").repeat(EVENTS))?.expect(201)?;
    let mut reader = server.connect()?;
    reader.write(&Request::get("/events").to_bytes(&server.host()))?;
    let head = reader.read_head("GET")?;
    begin_drain(&server)?;
    let body = reader.read_body(&head)?;
    check_eq!(String::from_utf8_lossy(&body).matches("\"seq\":").count(), EVENTS, "events in the answer");
    reader.expect_close()?;
    expect_clean_exit(&mut server)
}

fn no_new_connections_while_draining(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    let mut running = server.begin_submission(EVENT)?;
    begin_drain(&server)?;
    // A connection in the backlog of a listening socket is not refused: its client would wait.
    let deadline = Instant::now() + patience() / 3;
    while server.connect().is_ok() {
        check!(Instant::now() < deadline, "connections to be refused while the server drains");
        thread::yield_now();
    }
    running.write(EVENT.as_bytes())?;
    running.response_to("POST")?.expect(201)?;
    expect_clean_exit(&mut server)
}

fn readiness_fails_while_draining(ctx: &Context<'_>) -> Outcome {
    let mut server = start_with_one_worker(ctx)?;
    let mut running = server.begin_submission(EVENT)?;
    let (mut ready, ready_rest) = begin_request(&server, &Request::get("/health/ready"))?;
    let (mut live, live_rest) = begin_request(&server, &Request::get("/health/live"))?;
    begin_drain(&server)?;
    ready.write(&ready_rest)?;
    let response = ready.response_to("GET")?;
    response.expect(503)?;
    check_eq!(response.member("status")?, json!("fail"), "the status");
    live.write(&live_rest)?;
    live.response_to("GET")?.expect(200)?;
    running.write(EVENT.as_bytes())?;
    running.response_to("POST")?.expect(201)?;
    expect_clean_exit(&mut server)
}

fn new_requests_are_refused_while_draining(ctx: &Context<'_>) -> Outcome {
    let mut server = start_with_one_worker(ctx)?;
    let mut running = server.begin_submission(EVENT)?;
    let requests = [Request::get("/events"), Request::get("/events/x"), Request::get("/nowhere")];
    let half = requests.iter().map(|request| begin_request(&server, request)).collect::<Result<Vec<_>, _>>()?;
    begin_drain(&server)?;
    for (mut connection, rest) in half {
        connection.write(&rest)?;
        let response = connection.response_to("GET")?;
        let problem = response.problem(503)?;
        check_eq!(problem["type"], json!("/problems/draining"), "the type of the problem");
        check!(response.header("retry-after").is_some(), "Retry-After");
        connection.expect_close()?;
    }
    running.write(EVENT.as_bytes())?;
    running.response_to("POST")?.expect(201)?;
    expect_clean_exit(&mut server)
}

fn terminate_under_load(ctx: &Context<'_>) -> Outcome {
    const WRITERS: usize = 8;
    let mut server = ctx.empty()?;
    let host = server.host();
    let request = Request::post("/events", "application/json", EVENT).to_bytes(&host);
    let connections = (0..WRITERS).map(|_| server.connect()).collect::<Result<Vec<_>, _>>()?;
    let stops = AtomicBool::new(false);
    let answered: Vec<Result<Vec<u64>, Failure>> = thread::scope(|scope| {
        let (request, stops) = (&request, &stops);
        let threads: Vec<_> = connections
            .into_iter()
            .map(|connection| scope.spawn(move || submit_until_closed(connection, request, stops)))
            .collect();
        let signalled = wait_for_events(&server, 200).and_then(|()| server.signal(Signal::Terminate));
        // A server without the signal goes on answering.
        stops.store(signalled.is_err(), Ordering::Relaxed);
        let answered =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::unmet("no panic"))));
        signalled.map_or_else(|failure| vec![Err(failure)], |()| answered.collect())
    });
    let mut seqs = BTreeSet::new();
    for result in answered {
        for seq in result? {
            check!(seqs.insert(seq), "the sequence number {seq} once");
        }
    }
    // Each writer may have one request that was committed and not answered.
    let last = seqs.last().copied().unwrap_or_default();
    check!(last as usize <= seqs.len() + WRITERS, "{} answers to account for the sequence number {last}", seqs.len());
    expect_clean_exit(&mut server)
}

/// Waits until this many events are stored.
fn wait_for_events(server: &Server, count: usize) -> Outcome {
    let deadline = Instant::now() + patience();
    while server.find(&format!("after_seq={}&limit=1", count - 1))?.is_empty() {
        check!(Instant::now() < deadline, "{count} events stored");
    }
    Ok(())
}

/// Sends the same request again and again, one at a time; returns the sequence numbers in the answers. The connection
/// may end between two answers or after a refusal, but not within an answer. Ends as well when `stops` is set.
fn submit_until_closed(mut connection: Connection, request: &[u8], stops: &AtomicBool) -> Result<Vec<u64>, Failure> {
    let mut seqs = Vec::new();
    while !stops.load(Ordering::Relaxed) && !connection.write_is_refused(request)? {
        let start = connection.read_some()?;
        if start.is_empty() {
            break;
        }
        connection.unread(start);
        let response = connection.response_to("POST")?;
        if response.status() == 503 {
            break;
        }
        response.expect(201)?;
        seqs.extend(response.member("seq")?.as_u64());
    }
    Ok(seqs)
}

fn second_signal_ends_at_once(ctx: &Context<'_>) -> Outcome {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let mut server =
            ctx.start(&[("--drain-timeout", "1h"), ("--body-timeout", "1h"), ("--request-timeout", "1h")])?;
        let mut running = server.begin_submission(EVENT)?;
        begin_drain(&server)?;
        signal_again(&server, signal)?;
        let exit = server.wait()?;
        check!(exit.code != Some(0), "an exit code other than 0, not {:?}", exit.code);
        running.expect_close()?;
    }
    Ok(())
}

fn signals_that_come_together_are_one(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    let mut running = server.begin_submission(EVENT)?;
    // A stopped process receives both when it continues, however busy the machine is.
    for signal in [Signal::Stop, Signal::Interrupt, Signal::Terminate, Signal::Continue] {
        server.signal(signal)?;
    }
    running.write(EVENT.as_bytes())?;
    running.response_to("POST")?.expect(201)?;
    expect_clean_exit(&mut server)
}

fn drain_deadline_cuts_requests_off(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[("--drain-timeout", "300ms")])?;
    let mut running = server.begin_submission(EVENT)?;
    server.signal(Signal::Terminate)?;
    let exit = server.wait()?;
    check!(exit.code.is_some_and(|code| code != 0), "an exit code other than 0, not {:?}", exit.code);
    running.read_to_end().map(drop)
}

fn bad_settings(ctx: &Context<'_>) -> Outcome {
    for arguments in [
        ["--endpoint", "nowhere"],
        ["--endpoint", "127.0.0.1:99999"],
        ["--endpoint", ""],
        ["--port", "http"],
        ["--port", "65536"],
        ["--port", ""],
        ["--repository", "memoryless:"],
        ["--repository", "s3://bucket/events"],
        ["--repository", "s3:bucket"],
        ["--repository", ""],
        ["--max-body-bytes", "much"],
        ["--max-body-bytes", "10 bananas"],
        ["--max-connections", "0"],
        ["--body-timeout", "soon"],
        ["--drain-timeout", "10 fortnights"],
        ["--log", "verbose"],
        ["--log", "argus"],
        ["--log", ""],
    ] {
        let place = arguments.join(" ");
        let exit = ctx.run_to_exit(&arguments).map_err(|failure| failure.within(&place))?;
        check_eq!(exit.code, Some(2), "the exit code with {place}");
        check!(exit.stderr.contains(arguments[0]), "a message that names {}, not {:?}", arguments[0], exit.stderr);
        check_eq!(exit.stdout, "", "standard output with {place}");
    }
    Ok(())
}

fn unknown_flag(ctx: &Context<'_>) -> Outcome {
    let exit = ctx.run_to_exit(&["--no-such-flag", "1"])?;
    check_eq!(exit.code, Some(2), "the exit code");
    check!(exit.stderr.contains("--no-such-flag"), "a message that names the flag, not {:?}", exit.stderr);
    Ok(())
}

fn help(ctx: &Context<'_>) -> Outcome {
    for asked in ["--help", "help"] {
        let exit = ctx.run_to_exit(&[asked])?;
        check_eq!(exit.code, Some(0), "the exit code of {asked}");
        for flag in [
            "--endpoint",
            "--port",
            "--repository",
            "--max-body-bytes",
            "--max-inflight-bytes",
            "--body-timeout",
            "--drain-timeout",
        ] {
            check!(exit.stdout.contains(flag), "help about {flag} from {asked}");
        }
    }
    Ok(())
}

fn version(ctx: &Context<'_>) -> Outcome {
    for asked in ["--version", "version"] {
        let exit = ctx.run_to_exit(&[asked])?;
        check_eq!(exit.code, Some(0), "the exit code of {asked}");
        let is_named = exit.stdout.starts_with("argus-") && exit.stdout.lines().count() == 1;
        check!(is_named, "one line with the program and its version from {asked}, not {:?}", exit.stdout);
    }
    Ok(())
}

fn occupied_address(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for repository in ["memory:", "memory"] {
        let exit = ctx.run_to_exit(&["--repository", repository, "--endpoint", &server.host()])?;
        check_eq!(exit.code, Some(1), "the exit code of a second server on the same port");
        check!(exit.stderr.contains(&server.host()), "a message that names the address, not {:?}", exit.stderr);
    }
    server.expect_alive()
}

fn occupied_address_leaves_no_folder(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let folder = tempfile::tempdir().map_err(|error| Failure::unmet(format!("a temporary folder: {error}")))?;
    let repository = folder.path().join("events");
    let url = format!("disk:{}", repository.display());
    let exit = ctx.run_to_exit(&["--repository", &url, "--endpoint", &server.host()])?;
    // A subject without a repository on disk refuses the setting.
    check!(matches!(exit.code, Some(1 | 2)), "an exit code of 1 or 2, not {:?}", exit.code);
    check!(!repository.exists(), "no folder from a server that could not listen");
    server.expect_alive()
}
