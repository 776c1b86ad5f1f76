//! The process: from `main` to the exit code.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use argus_core::auth::Keys;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::admission::Admission;
use crate::answers::{self, Answers};
use crate::backend::{OpenError, Opened};
use crate::budget::Budget;
use crate::clock::Clock;
use crate::command::Command;
use crate::committer::{Committer, QueueLimits};
use crate::descriptors::{Descriptors, TooFewDescriptors};
use crate::ending::Ending;
use crate::environment;
use crate::gate::{Gate, KeyFile, KeyFileProblem, KeyText};
use crate::lifecycle::Lifecycle;
use crate::log_buffer::{LAST_LINES_WAIT_MAX, LogBuffer};
use crate::logging;
use crate::memory::Plan;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::request_log::{RequestLog, RequestLogError};
use crate::settings::Settings;
use crate::signals::{self, OnHangup};
use crate::stream_hub::StreamHub;
use crate::streams;
use crate::tls::{Tls, TlsError};
use crate::trim;
use crate::warnings::Warnings;

/// Completed connections that the kernel queues before they are accepted. The kernel caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Most bytes of an answer that the kernel holds unsent, per connection.
///
/// By default it holds as much as its buffer allows, some megabytes, and reports room again when a third of that is
/// free. A slow reader would appear to take nothing for minutes, and the write timeout would cut it off. With this
/// limit the kernel reports progress after each half of it. A lower one would slow down large downloads.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

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

/// Runs the command of a process up to its exit code: serves requests, takes a snapshot, checks a repository or
/// asks another server whether it is ready. A host's `main` does nothing else.
///
/// `program` is the host's name (`argus-tokio`) for `--version` and the metrics. `executor` starts the given number of
/// worker threads; one that dies calls [`Lifecycle::fail`]. `serve` starts to accept connections on them and returns.
/// The executor is dropped when the node has drained, which cuts the remaining connections.
///
/// | exit code | meaning |
/// |---|---|
/// | 0 | drained: every request was answered, every queued batch committed |
/// | 1 | the server could not start, or the storage had failed when it stopped |
/// | 2 | a setting is wrong, or a file that it names: of keys, of a certificate |
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
        Ok(Command::Health(health)) => return health.run(),
        Ok(Command::Key(key)) => return key.run(),
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

/// What is done on SIGHUP with these settings. `keys_wanted` is set when the file of keys is to be read again.
fn on_hangup(
    settings: &Settings,
    keys_wanted: &Arc<AtomicBool>,
    request_log: Option<&RequestLog>,
    tls: Option<&Tls>,
    warnings: &Arc<Warnings>,
    lifecycle: &Arc<Lifecycle>,
) -> io::Result<Vec<OnHangup>> {
    let mut actions: Vec<OnHangup> = Vec::new();
    if settings.access.keys.is_some() {
        let wanted = Arc::clone(keys_wanted);
        actions.push(Box::new(move || wanted.store(true, Ordering::Release)));
    }
    if let Some(log) = request_log.filter(|log| log.is_file()).cloned() {
        actions.push(Box::new(move || log.reopen()));
    }
    if let Some(tls) = tls {
        actions.push(tls.watch(warnings, lifecycle)?);
    }
    Ok(actions)
}

/// Puts the keys into force, and starts to watch their file.
fn start_gate(
    settings: &Settings,
    keys: Option<(Keys, KeyText)>,
    keys_wanted: Arc<AtomicBool>,
    metrics: &Arc<Metrics>,
    warnings: &Arc<Warnings>,
    lifecycle: &Arc<Lifecycle>,
) -> Result<Option<Arc<Gate>>, StartError> {
    let mut file = None;
    if let (Some((keys, text)), Some(path)) = (keys, &settings.access.keys) {
        let started = KeyFile::new(path, keys, metrics);
        started.watch(text, keys_wanted, warnings, lifecycle).map_err(StartError::Thread)?;
        file = Some(started);
    }
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)?;
    Ok(Gate::new(&settings.access, file, u128::from_ne_bytes(seed)))
}

/// Starts the log first, so that everything else can use it.
fn start_log(
    program: &'static str,
    settings: &Settings,
    lifecycle: &Arc<Lifecycle>,
) -> Result<(Arc<Metrics>, LogBuffer), StartError> {
    let metrics = Metrics::new(program.trim_start_matches("argus-"), settings.repository.kind())?;
    let failing = Arc::clone(lifecycle);
    let log = logging::start(settings, metrics.log_lines_lost(), move |reason| failing.fail(reason));
    Ok((Arc::new(metrics), log.map_err(StartError::Thread)?))
}

/// Starts the request log, if one is wanted.
fn start_request_log(
    settings: &Settings,
    metrics: &Metrics,
    lifecycle: &Arc<Lifecycle>,
) -> Result<Option<RequestLog>, StartError> {
    let Some(target) = &settings.shell.request_log else { return Ok(None) };
    let (format, lost, failing) =
        (settings.shell.request_log_format, metrics.request_log_lines_lost(), Arc::clone(lifecycle));
    RequestLog::start(target, format, lost, move |reason| failing.fail(reason)).map(Some).map_err(|error| match error {
        RequestLogError::File(source) => StartError::RequestLog { path: target.to_string(), source },
        RequestLogError::Thread(error) => StartError::Thread(error),
    })
}

/// Lowers the limit on connections to what the limit on open files allows, less what the repository needs. The
/// repository must be open.
fn limit_connections(
    settings: &Settings,
    descriptors: Descriptors,
    lifecycle: &Lifecycle,
) -> Result<(), TooFewDescriptors> {
    let (most, wanted) = (descriptors.connections_at_start()?, settings.max_connections.get());
    if most < wanted {
        tracing::warn!(
            max_connections = wanted,
            connections = most,
            "fewer connections than --max-connections are accepted, because the storage needs some of the open files; \
             `ulimit -n` raises the limit"
        );
        lifecycle.limit_connections(most);
    }
    Ok(())
}

/// Logs which variables of the environment look like settings and are none.
fn warn_of_environment(program: &'static str) {
    let unknown = environment::unknown(&Settings::command_of(program), std::env::vars_os());
    if !unknown.is_empty() {
        tracing::warn!(variables = unknown.join(", "), "unknown environment variables are ignored; see --help");
    }
}

fn start<E>(
    program: &'static str,
    Given { settings, keys }: Given,
    metrics: Arc<Metrics>,
    lifecycle: &Arc<Lifecycle>,
    log: &LogBuffer,
    executor: impl FnOnce(NonZeroUsize, &Arc<Lifecycle>) -> io::Result<E>,
    serve: impl FnOnce(&E, Arc<Node>, TcpListener) -> io::Result<()>,
) -> Result<(Arc<Node>, E), StartError> {
    warn_of_environment(program);
    let plan = Plan::of(&settings);
    metrics.memory_planned(plan.bytes());
    tracing::info!(bytes = plan.bytes(), "memory under these settings: {plan}; docs/operations.md explains it");
    let descriptors = Descriptors::raise_limit();
    let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), settings.repository.clone()));
    let tls = Tls::of(&settings.tls)?;
    let request_log = start_request_log(&settings, &metrics, lifecycle)?;
    // Signals before the endpoint, so that a server can be stopped as soon as it listens.
    let keys_wanted = Arc::<AtomicBool>::default();
    on_hangup(&settings, &keys_wanted, request_log.as_ref(), tls.as_ref(), &warnings, lifecycle)
        .and_then(|actions| signals::watch(Arc::clone(lifecycle), log.clone(), actions))
        .map_err(StartError::Thread)?;
    // The endpoint before the repository: a second server, started by mistake, must not create a folder.
    let listen_error = |source| StartError::Listen { endpoint: settings.endpoint.clone(), source };
    let socket = bind(&settings.endpoint).map_err(listen_error)?;
    let executor = executor(settings.worker_threads(), lifecycle).map_err(StartError::Thread)?;
    let Opened { repository, flush_every } = settings.backend.open(&settings.repository, program)?;
    let limits =
        QueueLimits { batches_max: settings.commit_queue_batches.get(), bytes_max: settings.commit_queue_bytes };
    let committer = Committer::start(
        repository,
        flush_every,
        limits,
        Arc::clone(&metrics),
        Arc::clone(lifecycle),
        Arc::clone(&warnings),
    )
    .map_err(StartError::Thread)?;
    let gate = start_gate(&settings, keys, keys_wanted, &metrics, &warnings, lifecycle)?;
    trim::start(lifecycle).map_err(StartError::Thread)?;
    let clock = Clock::default();
    let answers = Answers::new(settings.max_answer_bytes, clock.clone());
    answers::start(&answers, lifecycle).map_err(StartError::Thread)?;
    limit_connections(&settings, descriptors, lifecycle)?;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)?;
    let listener = listen(socket).map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let node = Arc::new(Node {
        api: settings.api(),
        budget: Budget::new(settings.max_inflight_bytes),
        answers,
        streams: StreamHub::new(settings.stream_limits(), clock.clone()),
        admission: Admission::new(descriptors, settings.shell.max_connections_per_address, settings.access.proxies()),
        tls,
        request_log,
        gate,
        request_ids: u64::from_ne_bytes(seed).into(),
        settings,
        committer,
        clock,
        metrics,
        warnings,
        lifecycle: Arc::clone(lifecycle),
    });
    streams::start(&node).map_err(StartError::Thread)?;
    serve(&executor, Arc::clone(&node), listener).map_err(StartError::Serve)?;
    if node.settings.access.keys.is_none() && !address.ip().is_loopback() {
        tracing::warn!("without --keys, whoever can reach {address} can read and write all events");
    }
    announce(program, scheme, address);
    Ok((node, executor))
}

/// Binds the first address of the endpoint that is free. Clients cannot connect yet.
///
/// # Errors
///
/// The error of the last address.
pub fn bind(endpoint: &str) -> io::Result<Socket> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in endpoint.to_socket_addrs()? {
        let bound = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).and_then(|socket| {
            // Otherwise a restart would have to wait until the kernel has forgotten old connections.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            // Accepted sockets inherit this.
            #[cfg(target_os = "linux")]
            socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
            socket.bind(&address.into())?;
            Ok(socket)
        });
        match bound {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Lets clients connect. The listener is non-blocking.
///
/// # Errors
///
/// If another process has bound the address at the same time.
pub fn listen(socket: Socket) -> io::Result<TcpListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Prints the server's URL, for scripts and tests that chose port 0. A closed standard output is not an error.
pub fn announce(program: &str, scheme: &'static str, address: SocketAddr) {
    tracing::info!(program, version = env!("CARGO_PKG_VERSION"), "listening on {scheme}://{address}");
    let line = move || {
        let mut out = io::stdout().lock();
        drop(writeln!(out, "argus: listening on {scheme}://{address}").and_then(|()| out.flush()));
    };
    // On a thread of its own, since a stalled reader would block it.
    if thread::Builder::new().name("argus-announce".to_owned()).spawn(line).is_err() {
        line();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures_util::FutureExt as _;

    use super::*;
    use crate::backend::Location;
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
    fn a_hangup_asks_for_the_keys_before_their_file_is_watched() {
        let lifecycle = Lifecycle::new(1, Duration::from_secs(3600));
        let metrics = Arc::new(Metrics::new("test", "memory").unwrap());
        let warnings = Arc::new(Warnings::new(metrics, Location::Memory));
        let actions = |flags: &str, wanted: &Arc<AtomicBool>| {
            let settings =
                Settings::read("argus-test", ["argus-test"].into_iter().chain(flags.split_whitespace())).unwrap();
            on_hangup(&settings, wanted, None, None, &warnings, &lifecycle).unwrap()
        };
        let wanted = Arc::<AtomicBool>::default();
        actions("--keys keys.toml", &wanted).iter().for_each(|act| act());
        assert!(wanted.load(Ordering::SeqCst));
        assert!(actions("", &wanted).is_empty(), "the signal keeps its default effect");
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

    #[test]
    fn an_endpoint_is_bound_and_listened_to_in_two_steps() {
        let socket = bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        assert!(std::net::TcpStream::connect(address).is_err(), "the socket does not listen yet");
        let listener = listen(socket).unwrap();
        std::net::TcpStream::connect(address).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        assert!(bind("no port").is_err());
        assert!(bind(&address.to_string()).is_err(), "the port is taken");
    }
}
