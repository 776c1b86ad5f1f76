//! `argus-minimal`: the smallest host that can carry the core. Threads, blocking sockets and httparse; no executor, no
//! framework, nothing shared with the other hosts. It exists to pass the conformance suite, and is not shipped.
//!
//! Start reading at [`connection`], which turns bytes into calls of `argus_core::api` and back: that is all a host
//! does.

mod accept;
mod answers;
mod body;
mod budget;
mod clock;
mod commit;
mod connection;
mod ending;
mod gate;
mod head;
mod hub;
mod live;
mod log;
mod metrics;
mod new_key;
mod presence;
mod reads;
mod reply_head;
mod request_log;
mod server;
mod settings;
mod slots;
mod stream;
mod watch;
mod websocket;
mod writes;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::gate::Gate;
use crate::request_log::RequestLog;
use crate::server::Server;
use crate::settings::{Asked, Settings};

/// A second signal ends the process with this plus the number of the signal.
const SIGNAL_EXIT_BASE: i32 = 128;
/// Signals this soon after the first count as the same.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let settings = match Settings::read(lexopt::Parser::from_env()) {
        Ok(Asked::Serve(settings)) => *settings,
        Ok(Asked::Print(text)) => {
            // The reader may have closed the pipe.
            let _ = io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Asked::NewKey(new)) => {
            let printed = new_key::print(&new).map_err(|error| complain(&error.to_string()));
            return if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Err(message) => {
            complain(&message);
            return ExitCode::from(2);
        }
    };
    let gate = match Gate::open(&settings, server::seed()) {
        Ok(gate) => Arc::new(gate),
        Err(message) => {
            complain(&message);
            return ExitCode::from(2);
        }
    };
    if let Err(error) = RequestLog::check(&settings.request_log) {
        complain(&format!("the request log: {error}"));
        return ExitCode::from(2);
    }
    match serve(settings, gate) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// Writes an error message to standard error.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "argus-minimal: {message}");
}

/// Serves until drained; returns the exit code.
fn serve(settings: Settings, gate: Arc<Gate>) -> Result<u8, String> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| format!("signals: {error}"))?;
    let server = Arc::new(Server::open(settings, gate)?);
    // The standard hook would block on standard error.
    let logging = Arc::clone(&server);
    std::panic::set_hook(Box::new(move |panic| logging.log.line(&panic.to_string())));
    let hung_up = Arc::clone(&server);
    let [watched, failing] = [(); 2].map(|()| Arc::clone(&server.ending));
    let listen = move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            if signal == SIGHUP {
                hung_up.request_log.iter().for_each(RequestLog::reopen);
                continue;
            }
            match first {
                None => {
                    first = Some(Instant::now());
                    watched.begin_drain();
                }
                Some(first) if first.elapsed() < SAME_SIGNAL => {}
                Some(_) => std::process::exit(SIGNAL_EXIT_BASE + signal),
            }
        }
    };
    watch::spawn("signals", listen, || false, move |reason| failing.fail(reason))
        .map_err(|error| format!("a thread: {error}"))?;
    let [feeding, failing] = [(); 2].map(|()| Arc::clone(&server));
    let feed = move || feeding.streams.feed(&feeding.committer);
    watch::spawn("streams", feed, || false, move |reason| failing.ending.fail(reason))
        .map_err(|error| format!("a thread: {error}"))?;
    let code = accept::run(&server);
    server.request_log.iter().for_each(RequestLog::finish);
    server.log.finish();
    code
}
