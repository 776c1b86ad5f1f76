//! The process around a server: from `main` to the exit code.

use std::io::{self, Write as _};
use std::net::{TcpListener, ToSocketAddrs as _};
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::thread;

use argus_core::api::Api;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::budget::Budget;
use crate::committer::{Committer, QueueLimits};
use crate::lifecycle::{Drained, Lifecycle};
use crate::logging;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::repository::{self, OpenError};
use crate::settings::Settings;
use crate::task::Task;
use crate::warnings::Warnings;

/// Connections that the kernel completes before they are accepted. It caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Files that are open besides connections, at most but for very large repositories.
const FILES: usize = 256;

/// What the kernel holds of an answer that it has not sent yet, in bytes, for each connection.
///
/// Without this it holds as much as its buffer has room for, some megabytes, and says that there is room again when a third of that is
/// free. A client that reads slowly, but reads, would look for minutes as if it took nothing, and be cut off by the write timeout. It
/// says so each time that half of these bytes are gone. Less would cost large downloads their speed.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Why a server could not start.
#[derive(Debug, Error)]
enum StartError {
    #[error("the repository could not be opened: {0}")]
    Repository(#[from] OpenError),
    #[error("cannot listen on {endpoint}: {source}")]
    Listen { endpoint: String, source: io::Error },
    #[error("the metrics could not be set up: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the system gave no thread: {0}")]
    Thread(#[source] io::Error),
    #[error("the system's random generator failed: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// Runs a server from its settings to its exit code, or does what else the command line asks for; the whole of a host's `main`.
///
/// `program` is the host's name (`argus-tokio`), as `--version` and the metrics show it. `serve` builds the executor, serves the node until
/// it is drained, cuts what is left, and says how it ended; an error is one of building the executor or of accepting.
///
/// | exit code | meaning |
/// |---|---|
/// | 0 | drained: every request was answered, every queued batch committed |
/// | 1 | the server could not start, or the storage had failed while it served |
/// | 2 | a setting is wrong |
/// | 3 | the drain deadline passed and connections were cut, with whatever they were at; what had been queued is committed all the same |
/// | 130, 143 | a second signal, SIGINT or SIGTERM, ended the process at once |
///
/// Once it can be reached, it says so on standard output, in one line: `argus: listening on http://ADDRESS`.
pub fn run(program: &'static str, serve: impl FnOnce(Arc<Node>, TcpListener) -> io::Result<Drained>) -> ExitCode {
    let settings = match Task::read(program, std::env::args_os()) {
        Ok(Task::Serve(settings)) => *settings,
        Ok(Task::Snapshot(snapshot)) => return snapshot.run(),
        Ok(Task::Check(check)) => return check.run(),
        Err(error) => error.exit(),
    };
    logging::start(&settings);
    permit_files(settings.max_connections.get());
    let (node, listener) = match start(program, settings) {
        Ok((node, listener)) => (Arc::new(node), listener),
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = serve(Arc::clone(&node), listener);
    node.committer.shutdown();
    match (outcome, node.committer.latched()) {
        (Err(error), _) => {
            tracing::error!("the server failed: {error}");
            ExitCode::FAILURE
        }
        (Ok(_), Some(reason)) => {
            tracing::error!(reason, "stopped; the storage had failed");
            ExitCode::FAILURE
        }
        (Ok(Drained::Cut(connections)), None) => {
            tracing::warn!(connections, "stopped at the drain deadline; connections were cut");
            ExitCode::from(3)
        }
        (Ok(Drained::Clean), None) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
    }
}

/// Lets the process have as many connections and files open as it may. What it may without asking is often less than there can be
/// connections, and without a descriptor nothing is stored.
fn permit_files(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let permitted = if raised.is_ok() { limit.maximum } else { limit.current };
    if let Some(permitted) = permitted.filter(|&permitted| permitted < (connections + FILES) as u64) {
        tracing::warn!(permitted, connections, "the system permits fewer open files than there may be connections");
    }
}

fn start(program: &'static str, settings: Settings) -> Result<(Node, TcpListener), StartError> {
    let metrics = Arc::new(Metrics::new(program.trim_start_matches("argus-"), settings.repository.kind())?);
    let repository = repository::open(
        &settings.repository,
        settings.tuning(),
        settings.durability,
        settings.retention(),
        settings.clock_trust_after,
    )?;
    let limits =
        QueueLimits { batches_max: settings.commit_queue_batches.get(), bytes_max: settings.commit_queue_bytes };
    let lifecycle = Lifecycle::new(settings.max_connections.get(), settings.drain_timeout);
    // Signals before the endpoint: whoever sees the server listen may stop it.
    watch_signals(Arc::clone(&lifecycle)).map_err(StartError::Thread)?;
    let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), settings.repository.clone()));
    let flush_every = settings.durability.flush_every();
    let committer = Committer::start(repository, flush_every, limits, Arc::clone(&metrics), Arc::clone(&warnings))
        .map_err(StartError::Thread)?;
    let listen_error = |source| StartError::Listen { endpoint: settings.endpoint.clone(), source };
    let listener = listen(&settings.endpoint).map_err(listen_error)?;
    announce(program, &listener).map_err(listen_error)?;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed)?;
    let node = Node {
        api: Api::new(settings.limits()),
        budget: Budget::new(settings.max_inflight_bytes),
        request_ids: u64::from_ne_bytes(seed).into(),
        settings,
        committer,
        metrics,
        warnings,
        lifecycle,
    };
    Ok((node, listener))
}

/// Binds the first address of the endpoint that can be bound, non-blocking.
///
/// # Errors
///
/// The last address's error.
pub fn listen(endpoint: &str) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in endpoint.to_socket_addrs()? {
        let bound = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).and_then(|socket| {
            // Without it, a restart would have to wait until the kernel has forgotten the old connections.
            socket.set_reuse_address(true)?;
            socket.set_nonblocking(true)?;
            // Accepted sockets have it from this one.
            #[cfg(target_os = "linux")]
            socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener::from(socket))
        });
        match bound {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Says on standard output where the server can be reached, for scripts and tests that chose port 0.
///
/// # Errors
///
/// When the address cannot be read. A closed standard output is no error.
pub fn announce(program: &str, listener: &TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(program, version = env!("CARGO_PKG_VERSION"), "listening on http://{address}");
    let mut out = io::stdout().lock();
    drop(writeln!(out, "argus: listening on http://{address}").and_then(|()| out.flush()));
    Ok(())
}

/// The first SIGINT or SIGTERM drains, the second ends the process. On a thread of its own, so that it works whatever the executor does.
fn watch_signals(lifecycle: Arc<Lifecycle>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("argus-signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
            if lifecycle.is_draining() {
                tracing::warn!("{name} while draining; ending at once");
                process::exit(128 + signal);
            }
            tracing::info!("{name}; draining");
            lifecycle.drain();
        }
    })?;
    Ok(())
}
