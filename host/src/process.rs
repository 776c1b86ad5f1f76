//! The process: from `main` to the exit code.

mod endpoint;
mod start;

pub use endpoint::{announce, bind, listen};

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use argus_core::auth::Keys;
use thiserror::Error;

use crate::backend::OpenError;
use crate::command::Command;
use crate::descriptors::TooFewDescriptors;
use crate::ending::Ending;
use crate::gate::{KeyFileProblem, KeyText};
use crate::lifecycle::Lifecycle;
use crate::log_buffer::LAST_LINES_WAIT_MAX;
use crate::node::Node;
use crate::settings::Settings;
use crate::tls::TlsError;
use start::{start, start_log};

/// How long a server that has failed waits at least for its last commits, however short the drain timeout is.
const LAST_COMMIT_WAIT_MIN: Duration = Duration::from_secs(1);

/// The exit code for a wrong setting, as clap has it.
const WRONG_SETTING: u8 = 2;

/// What the operator has given the server.
struct Given {
    settings: Settings,
    /// The keys, and the text that they were read from.
    keys: Option<(Keys, KeyText)>,
}

/// Why a server could not start.
#[derive(Debug, Error)]
enum StartError {
    #[error("the repository could not be opened: {0}")]
    Repository(#[from] OpenError),
    #[error("cannot listen on {endpoint}: {source}")]
    Listen { endpoint: String, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    #[error("the metrics could not be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the system refused to start a thread ({0}): its limit is too low, or --threads is too large")]
    Thread(#[source] io::Error),
    #[error("the request log {path} cannot be written: {source}")]
    RequestLog { path: String, source: io::Error },
    #[error("the endpoint cannot be served: {0}")]
    Serve(#[source] io::Error),
    #[error("the system's random generator failed: {0}")]
    Randomness(#[from] getrandom::Error),
}

impl StartError {
    /// 2 if a setting is wrong, 1 otherwise.
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Tls(_) | Self::RequestLog { .. } => ExitCode::from(WRONG_SETTING),
            Self::Repository(_)
            | Self::Listen { .. }
            | Self::Descriptors(_)
            | Self::Metrics(_)
            | Self::Thread(_)
            | Self::Serve(_)
            | Self::Randomness(_) => ExitCode::FAILURE,
        }
    }
}

/// Runs the command of a process up to its exit code: serves requests, takes a snapshot, checks, copies or exports
/// a repository, or asks another server whether it is ready. A host's `main` does nothing else.
///
/// `program` is the host's name (`argus-tokio`) for `--version` and the metrics. `executor` starts the given number of
/// worker threads; one that dies calls [`Lifecycle::fail`]. `serve` starts to accept connections on them and returns.
/// The executor is dropped when the node has drained, which cuts the remaining connections.
///
/// | exit code | meaning |
/// |---|---|
/// | 0 | drained: every request was answered, every queued batch committed |
/// | 1 | the server could not start, or the storage had failed when it stopped |
/// | 2 | a setting is wrong, or a file that it names: of keys, of a certificate; or the request log cannot be opened |
/// | 3 | the drain timed out and cut connections with their requests under way; queued batches were still committed |
/// | 4 | a thread of the server died, or a commit or a maintenance task panicked; the server drained by itself |
/// | 130, 143 | a second signal, SIGINT or SIGTERM, ended the process at once |
///
/// Signals within 100 ms of the first count as one with it.
///
/// When the server can be reached, it prints one line on standard output: `argus: listening on http://ADDRESS`, or with
/// `https` if it has a certificate.
pub fn run<E: Send + 'static>(
    program: &'static str,
    executor: impl FnOnce(NonZeroUsize, &Arc<Lifecycle>) -> io::Result<E>,
    serve: impl FnOnce(&E, Arc<Node>, TcpListener) -> io::Result<()>,
) -> ExitCode {
    let settings = match Command::read(program, std::env::args_os()) {
        Ok(Command::Serve(settings)) => *settings,
        Ok(Command::Snapshot(snapshot)) => return snapshot.run(),
        Ok(Command::Check(check)) => return check.run(),
        Ok(Command::Copy(copy)) => return copy.run(),
        Ok(Command::Export(export)) => return export.run(),
        Ok(Command::Health(health)) => return health.run(),
        Ok(Command::Key(key)) => return key.run(),
        Ok(Command::Schema(schema)) => return schema.run(program),
        Err(error) => error.exit(),
    };
    let keys = match read_keys(&settings) {
        Ok(keys) => keys,
        Err(problem) => {
            let path = settings.access.keys.expect("only a setting names a file of keys that can be wrong");
            drop(writeln!(io::stderr(), "error: the file of keys {} is wrong: {problem}", path.display()));
            return ExitCode::from(WRONG_SETTING);
        }
    };
    let lifecycle = Lifecycle::new(settings.max_connections.get(), settings.drain_timeout);
    let (metrics, log) = match start_log(program, &settings, &lifecycle) {
        Ok(started) => started,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = match start(program, Given { settings, keys }, metrics, &lifecycle, &log, executor, serve) {
        Ok((node, executor)) => {
            let ending = drain(&node, executor);
            ending.log();
            node.request_log.iter().for_each(|log| log.flush(LAST_LINES_WAIT_MAX));
            ending.exit_code().into()
        }
        Err(error) => {
            tracing::error!("{error}");
            error.exit_code()
        }
    };
    log.flush(LAST_LINES_WAIT_MAX);
    code
}

/// Waits until the server has ended, and returns how.
fn drain<E: Send + 'static>(node: &Arc<Node>, executor: E) -> Ending {
    let drained = node.lifecycle.drained();
    let ending = Arc::clone(node);
    let end = move || {
        drop(executor);
        ending.committer.shutdown();
    };
    if node.lifecycle.failure().is_none() {
        end();
    } else if !within(node.settings.drain_timeout.max(LAST_COMMIT_WAIT_MIN), end) {
        // No operator asked for this shutdown, so none would send the second signal that ends a process with a stalled
        // disk.
        tracing::error!(
            "a worker or a commit has stalled; the process ends without it, and the next start recovers the repository"
        );
    }
    // Read last, since the last commits may have panicked.
    let storage_failure = node.committer.failure().map(|failure| failure.to_string());
    Ending::new(drained, node.lifecycle.failure(), storage_failure)
}

/// Runs `act` on a thread of its own. Returns whether it finished in time; if not, it may still be running.
fn within(time: Duration, act: impl FnOnce() + Send + 'static) -> bool {
    let (done, ended) = mpsc::channel();
    let acting = thread::Builder::new().name("argus-end".to_owned()).spawn(move || {
        act();
        // The receiver may have timed out.
        let _ = done.send(());
    });
    acting.is_ok() && ended.recv_timeout(time).is_ok()
}

/// Reads the file of keys, if there is one. A server must not start without the keys that it was told to ask for.
fn read_keys(settings: &Settings) -> Result<Option<(Keys, KeyText)>, KeyFileProblem> {
    let Some(path) = &settings.access.keys else { return Ok(None) };
    let text = KeyText::read(path);
    Ok(Some((text.parse()?, text)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::FutureExt as _;

    use super::*;
    use crate::testing::Server;

    /// An executor that records when it is dropped.
    struct Executor(Arc<AtomicBool>);

    impl Drop for Executor {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn ending(server: &Server) -> Ending {
        let is_ended = Arc::<AtomicBool>::default();
        let ending = drain(&server.node, Executor(Arc::clone(&is_ended)));
        assert!(is_ended.load(Ordering::SeqCst), "the executor is dropped");
        ending
    }

    #[test]
    fn a_stopped_server_ends_cleanly() {
        let server = Server::start("");
        server.node.lifecycle.drain();
        assert_eq!(ending(&server), Ending::Clean);
    }

    #[test]
    fn a_connection_that_does_not_end_is_cut_at_the_deadline() {
        let server = Server::start("--drain-timeout 1ms");
        let _permit = server.node.lifecycle.permit().now_or_never().unwrap();
        server.node.lifecycle.drain();
        assert_eq!(ending(&server), Ending::Cut(1));
    }

    #[test]
    fn a_failed_server_reports_why_and_does_not_wait_for_a_stalled_worker() {
        let server = Server::start("--drain-timeout 1ms");
        server.node.lifecycle.fail("as told".to_owned());
        assert_eq!(ending(&server), Ending::ServerFailed("as told".to_owned()));
        assert!(!within(Duration::from_millis(1), thread::park), "a stalled thread is not waited for");
    }
}
