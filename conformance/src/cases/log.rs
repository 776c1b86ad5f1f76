//! A log that cannot be written keeps nobody from anything.

use std::thread;
use std::time::Instant;

use serde_json::json;

use super::lifecycle::{begin_drain, begin_submission, signal_again};
use crate::case::{Case, cases};
use crate::client::{PATIENCE, Request};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::{BrokenLog, Signal};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["log";
    "Routes": [
        requests_are_logged, a_broken_log_keeps_nobody_from_anything, lines_that_are_not_written_are_counted, a_broken_log_does_not_hold_up_a_second_signal,
    ],
];

/// Requests enough to fill whatever a log may hold back: a line each, of a kibibyte.
const MANY: usize = 2500;

/// Log lines that were lost, as the metrics have them.
fn lost(server: &Server) -> Result<f64, Failure> {
    let page = server.get("/metrics")?;
    let found = page.text()?.lines().find_map(|line| line.strip_prefix("argus_log_lines_lost_total "));
    let value = found.and_then(|value| value.parse().ok());
    value.ok_or_else(|| Failure::unmet("the metric argus_log_lines_lost_total"))
}

fn requests_are_logged(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.start(&[("--log", "debug")])?;
    server.store(&json!({"event_type": "log", "timestamp": 0, "payload": 1}))?;
    server.get("/nowhere/to/be/found")?.expect(404)?;
    check_eq!(lost(&server)?, 0.0, "lines lost of a log that is read");
    server.signal(Signal::Terminate)?;
    let exit = server.wait()?;
    check_eq!(exit.code, Some(0), "the exit code");
    for words in ["/events", "201", "/nowhere/to/be/found", "404"] {
        check!(exit.stderr.contains(words), "{words} in the log, which was {:?}", exit.stderr);
    }
    Ok(())
}

fn a_broken_log_keeps_nobody_from_anything(ctx: &Context<'_>) -> Outcome {
    for broken in BrokenLog::ALL {
        keeps_nobody(ctx, broken).map_err(|failure| failure.within(&format!("{broken:?}")))?;
    }
    Ok(())
}

fn keeps_nobody(ctx: &Context<'_>, broken: BrokenLog) -> Outcome {
    let mut server = ctx.start_with_broken_log(broken, &[("--log", "debug")])?;
    for seq in 1..=20 {
        let stored = server.store(&json!({"event_type": "log", "timestamp": 0, "payload": seq}))?;
        check_eq!(stored["seq"], json!(seq), "the sequence number");
        // One that is refused has more to log.
        server.submit("{")?.expect(400)?;
    }
    check_eq!(server.find("limit=100")?.len(), 20, "events found");
    server.get("/health/ready")?.expect(200)?;
    server.signal(Signal::Terminate)?;
    check_eq!(server.wait()?.code, Some(0), "the exit code");
    Ok(())
}

fn lines_that_are_not_written_are_counted(ctx: &Context<'_>) -> Outcome {
    for (broken, requests) in [(BrokenLog::Full, 1), (BrokenLog::Unheard, 1), (BrokenLog::Unread, MANY)] {
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
    let deadline = Instant::now() + PATIENCE;
    while lost(&server)? == 0.0 {
        check!(Instant::now() < deadline, "lines to be counted that were lost");
        thread::yield_now();
    }
    server.expect_alive()
}

fn a_broken_log_does_not_hold_up_a_second_signal(ctx: &Context<'_>) -> Outcome {
    let settings =
        [("--log", "debug"), ("--drain-timeout", "1h"), ("--body-timeout", "1h"), ("--request-timeout", "1h")];
    let mut server = ctx.start_with_broken_log(BrokenLog::Unread, &settings)?;
    let mut running = begin_submission(&server)?;
    begin_drain(&server)?;
    signal_again(&server, Signal::Interrupt)?;
    let exit = server.wait()?;
    check!(exit.code != Some(0), "another exit code than after a clean end, not {:?}", exit.code);
    running.expect_close()
}
