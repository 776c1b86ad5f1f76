//! SIGINT, SIGTERM and SIGHUP.

use std::ffi::c_int;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, process};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::lifecycle::Lifecycle;
use crate::log_buffer::{LAST_LINES_WAIT_MAX, LogBuffer};
use crate::watch;

/// What is done on SIGHUP.
pub(crate) type OnHangup = Box<dyn Fn() + Send>;

/// Signals within this time after the first count as the same one: `timeout -s INT` sends one to the process and one to
/// its group.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// Starts the thread that handles signals, so that they work even if the executor hangs. The first signal starts the
/// drain, the second ends the process. If the thread dies, the server [fails](Lifecycle::fail).
///
/// On SIGHUP, everything in `on_hangup` is called, which must not wait. If that is nothing, the signal keeps its
/// default effect: it ends the process when its terminal closes.
///
/// # Errors
///
/// When the system refuses a thread or a signal handler; signals then have their default effect.
pub(crate) fn watch(lifecycle: Arc<Lifecycle>, log: LogBuffer, on_hangup: Vec<OnHangup>) -> io::Result<()> {
    let hangup = if on_hangup.is_empty() { None } else { Some(SIGHUP) };
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hangup))?;
    let mut handler = SignalHandler { lifecycle: Arc::clone(&lifecycle), log, on_hangup, first: None };
    spawn(move || signals.forever().for_each(|signal| handler.handle(signal)), lifecycle)
}

fn spawn(listen: impl FnOnce() + Send + 'static, lifecycle: Arc<Lifecycle>) -> io::Result<()> {
    watch::spawn("argus-signals", listen, || false, move |reason| lifecycle.fail(reason)).map(drop)
}

/// Handles the signals of the process.
struct SignalHandler {
    lifecycle: Arc<Lifecycle>,
    log: LogBuffer,
    on_hangup: Vec<OnHangup>,
    /// When the first signal arrived.
    first: Option<Instant>,
}

impl SignalHandler {
    fn handle(&mut self, signal: c_int) {
        if signal == SIGHUP {
            tracing::info!("SIGHUP; reading files again");
            return self.on_hangup.iter().for_each(|reload| reload());
        }
        let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
        match self.first {
            None => {
                self.first = Some(Instant::now());
                tracing::info!("{name}; draining");
                self.lifecycle.drain();
            }
            Some(first) if first.elapsed() < SAME_SIGNAL => {}
            Some(_) => {
                tracing::warn!("{name} while draining; ending at once");
                self.log.flush(LAST_LINES_WAIT_MAX);
                process::exit(128 + signal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Why the server fails when the thread runs `listen`.
    fn failure(listen: impl FnOnce() + Send + 'static) -> String {
        let lifecycle = Lifecycle::new(1, Duration::from_secs(3600));
        spawn(listen, Arc::clone(&lifecycle)).unwrap();
        lifecycle.drained();
        lifecycle.failure().unwrap().to_owned()
    }

    #[test]
    fn the_server_fails_if_the_signal_thread_ends() {
        assert_eq!(failure(|| panic!("as told")), "the thread argus-signals has panicked: as told");
        assert_eq!(failure(|| ()), "the thread argus-signals has ended unexpectedly");
    }
}
