//! `argus-minimal`: the smallest host that can carry the core. Threads, blocking sockets and httparse; no executor, no framework,
//! nothing shared with the other hosts. It exists to pass the conformance suite, and is not shipped.
//!
//! Where to begin reading: [`connection`] turns bytes into calls of `argus_core::api` and back, which is all that a host does.

mod body;
mod budget;
mod commit;
mod connection;
mod head;
mod metrics;
mod places;
mod server;
mod settings;
mod stream;

use std::process::ExitCode;
use std::sync::Arc;

use argus_core::event::Timestamp;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::server::Server;
use crate::settings::Settings;

/// A second signal ends the process with this and the signal's number.
const SIGNAL_EXIT_BASE: i32 = 128;

fn main() -> ExitCode {
    let settings = match Settings::read(lexopt::Parser::from_env()) {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            print!("{}", settings::HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("argus-minimal: {message}");
            return ExitCode::from(2);
        }
    };
    match serve(settings) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(message) => {
            eprintln!("argus-minimal: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until drained. Whether every request was answered.
fn serve(settings: Settings) -> Result<bool, String> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| format!("signals: {error}"))?;
    let server = Arc::new(Server::open(settings)?);
    let watched = Arc::clone(&server);
    std::thread::spawn(move || {
        let mut pending = signals.forever();
        if pending.next().is_some() {
            watched.begin_drain();
        }
        if let Some(signal) = pending.next() {
            std::process::exit(SIGNAL_EXIT_BASE + signal);
        }
    });
    server.run()
}

/// The wall clock: the only place where this host reads it.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
