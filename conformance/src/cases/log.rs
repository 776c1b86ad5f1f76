//! The log, and a standard error that cannot be written.

use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use super::lifecycle::{begin_drain, signal_again};
use crate::case::{Case, cases};
use crate::client::{Request, patience};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::launcher::{BrokenLog, Signal};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["log";
    "Routes": [
        requests_are_logged, json_lines_have_numbers_for_times, requests_are_served_despite_a_broken_log,
        lost_lines_are_counted, a_broken_log_does_not_delay_a_second_signal,
    ],
];

/// More log lines than a server buffers, of about a kibibyte each.
const MANY: usize = 2500;

/// The metric that counts lost log lines.
const LOST: &str = "argus_log_lines_lost_total";

fn requests_are_logged(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[("--log", "debug")])?;
    server.store(&json!({"event_type": "log", "timestamp": 0, "payload": 1}))?;
    server.get("/nowhere/to/be/found")?.expect(404)?;
    check_eq!(server.metric(LOST)?, 0.0, "lost lines of a log that is read");
    server.signal(Signal::Terminate)?;
    let exit = server.wait()?;
    check_eq!(exit.code, Some(0), "the exit code");
    for words in ["/events", "201", "/nowhere/to/be/found", "404"] {
        check!(exit.stderr.contains(words), "{words} in the log, not {:?}", exit.stderr);
    }
    Ok(())
}

fn json_lines_have_numbers_for_times(ctx: &Context<'_>) -> Outcome {
    if ctx.empty()?.folder().is_none() {
        // Only a folder takes time to open, and says so.
        return Ok(());
    }
    let mut server = ctx.start(&[("--log-format", "json")])?;
    server.signal(Signal::Terminate)?;
    let log = server.wait()?.stderr;
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let opened = lines.find(|line| line["message"] == "opened the repository");
    let opened = opened.ok_or_else(|| Failure::unmet(format!("a line about the opened folder in JSON, not {log}")))?;
    check!(opened["took_ms"].is_u64(), "the time that it took as a number, not {opened}");
    let folder = server.folder().map(|folder| folder.display().to_string());
    check_eq!(opened["path"].as_str().map(str::to_owned), folder, "the folder that is named");
    Ok(())
}

fn requests_are_served_despite_a_broken_log(ctx: &Context<'_>) -> Outcome {
    for broken in BrokenLog::ALL {
        serves_requests(ctx, broken).map_err(|failure| failure.within(&format!("{broken:?}")))?;
    }
    Ok(())
}

fn serves_requests(ctx: &Context<'_>, broken: BrokenLog) -> Outcome {
    let mut server = ctx.start_with_broken_log(broken, &[("--log", "debug")])?;
    for seq in 1..=20 {
        let stored = server.store(&json!({"event_type": "log", "timestamp": 0, "payload": seq}))?;
        check_eq!(stored["seq"], json!(seq), "the sequence number");
        // A refusal is logged as well.
        server.submit("{")?.expect(400)?;
    }
    check_eq!(server.find("limit=100")?.len(), 20, "events found");
    server.get("/health/ready")?.expect(200)?;
    server.signal(Signal::Terminate)?;
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn lost_lines_are_counted(ctx: &Context<'_>) -> Outcome {
    for (broken, requests) in [(BrokenLog::FullDisk, 1), (BrokenLog::NoReader, 1), (BrokenLog::FullPipe, MANY)] {
        counted(ctx, broken, requests).map_err(|failure| failure.within(&format!("{broken:?}")))?;
    }
    Ok(())
}

fn counted(ctx: &Context<'_>, broken: BrokenLog, requests: usize) -> Outcome {
    let server = ctx.start_with_broken_log(broken, &[("--log", "debug")])?;
    let mut connection = server.connect()?;
    let target = format!("/{}", "x".repeat(1000));
    for _ in 0..requests {
        connection.request(&Request::get(&target))?.expect(404)?;
    }
    let deadline = Instant::now() + patience();
    while server.metric(LOST)? == 0.0 {
        check!(Instant::now() < deadline, "lost lines to be counted");
        thread::yield_now();
    }
    server.expect_alive()
}

fn a_broken_log_does_not_delay_a_second_signal(ctx: &Context<'_>) -> Outcome {
    let settings =
        [("--log", "debug"), ("--drain-timeout", "1h"), ("--body-timeout", "1h"), ("--request-timeout", "1h")];
    let mut server = ctx.start_with_broken_log(BrokenLog::FullPipe, &settings)?;
    let mut running = server.begin_submission("{}")?;
    begin_drain(&server)?;
    signal_again(&server, Signal::Interrupt)?;
    let exit = server.wait()?;
    check!(exit.code != Some(0), "an exit code other than 0, not {:?}", exit.code);
    running.expect_close()
}
