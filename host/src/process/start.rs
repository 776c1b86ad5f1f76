//! The start of a server, in the order in which its parts need each other.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argus_core::auth::Keys;

use super::endpoint::{announce, bind, listen};
use super::{Given, StartError};
use crate::admission::Admission;
use crate::answers::{self, Answers};
use crate::backend::Opened;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::committer::{Committer, QueueLimits};
use crate::descriptors::{Descriptors, TooFewDescriptors};
use crate::environment;
use crate::gate::{Gate, KeyFile, KeyText};
use crate::lifecycle::Lifecycle;
use crate::log_buffer::LogBuffer;
use crate::logging;
use crate::memory::Plan;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::request_log::{RequestLog, RequestLogError};
use crate::settings::Settings;
use crate::signals::{self, OnHangup};
use crate::stream_hub::StreamHub;
use crate::streams;
use crate::tls::Tls;
use crate::trim;
use crate::warnings::Warnings;

/// What most parts of a server have in common.
struct Common<'a> {
    metrics: Arc<Metrics>,
    warnings: Arc<Warnings>,
    lifecycle: &'a Arc<Lifecycle>,
}

pub(super) fn start<E>(
    program: &'static str,
    Given { settings, keys }: Given,
    metrics: Arc<Metrics>,
    lifecycle: &Arc<Lifecycle>,
    log: &LogBuffer,
    executor: impl FnOnce(NonZeroUsize, &Arc<Lifecycle>) -> io::Result<E>,
    serve: impl FnOnce(&E, Arc<Node>, TcpListener) -> io::Result<()>,
) -> Result<(Arc<Node>, E), StartError> {
    warn_of_environment(program);
    plan_memory(&settings, &metrics);
    let descriptors = Descriptors::raise_limit();
    let warnings = Arc::new(Warnings::new(Arc::clone(&metrics), settings.repository.clone()));
    let common = Common { metrics, warnings, lifecycle };
    let tls = Tls::of(&settings.tls)?;
    let request_log = start_request_log(&settings, &common)?;
    let keys_wanted = Arc::<AtomicBool>::default();
    // Signals before the endpoint, so that a server can be stopped as soon as it listens.
    let certificate = tls.as_ref().map(|tls| tls.watch(&common.warnings, lifecycle)).transpose();
    let actions = on_hangup(&settings, &keys_wanted, request_log.as_ref(), certificate.map_err(StartError::Thread)?);
    signals::watch(Arc::clone(lifecycle), log.clone(), actions).map_err(StartError::Thread)?;
    // The endpoint before the repository: a second server, started by mistake, must not create a folder.
    let listen_error = |source| StartError::Listen { endpoint: settings.endpoint.clone(), source };
    let socket = bind(&settings.endpoint).map_err(listen_error)?;
    let threads = settings.worker_threads();
    let executor = executor(threads, lifecycle).map_err(StartError::Thread)?;
    let committer = start_committer(program, &settings, &common)?;
    let gate = start_gate(&settings, keys, keys_wanted, &common)?;
    trim::start(lifecycle).map_err(StartError::Thread)?;
    let clock = Clock::default();
    let answers = Answers::new(settings.max_answer_bytes, clock.clone());
    answers::start(&answers, lifecycle).map_err(StartError::Thread)?;
    limit_connections(&settings, descriptors, lifecycle)?;
    let listener = listen(socket).map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let node = Arc::new(Node {
        threads,
        api: settings.api(),
        budget: Budget::new(settings.max_inflight_bytes),
        answers,
        streams: StreamHub::new(settings.stream_limits(), clock.clone()),
        admission: Admission::new(descriptors, settings.shell.max_connections_per_address, settings.access.proxies()),
        tls,
        request_log,
        gate,
        request_ids: u64::from_ne_bytes(random()?).into(),
        settings,
        committer,
        clock,
        metrics: common.metrics,
        warnings: common.warnings,
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

/// What is done on SIGHUP with these settings. `keys_wanted` is set when the file of keys is to be read again.
/// `certificate` has that read again, if there is one.
fn on_hangup(
    settings: &Settings,
    keys_wanted: &Arc<AtomicBool>,
    request_log: Option<&RequestLog>,
    certificate: Option<OnHangup>,
) -> Vec<OnHangup> {
    let mut actions: Vec<OnHangup> = Vec::new();
    if settings.access.keys.is_some() {
        let wanted = Arc::clone(keys_wanted);
        actions.push(Box::new(move || wanted.store(true, Ordering::Release)));
    }
    if let Some(log) = request_log.filter(|log| log.is_file()).cloned() {
        actions.push(Box::new(move || log.reopen()));
    }
    actions.extend(certificate);
    actions
}

/// Puts the keys into force, and starts to watch their file.
fn start_gate(
    settings: &Settings,
    keys: Option<(Keys, KeyText)>,
    keys_wanted: Arc<AtomicBool>,
    Common { metrics, warnings, lifecycle }: &Common<'_>,
) -> Result<Option<Arc<Gate>>, StartError> {
    let mut file = None;
    if let (Some((keys, text)), Some(path)) = (keys, &settings.access.keys) {
        let started = KeyFile::new(path, keys, metrics);
        started.watch(text, keys_wanted, warnings, lifecycle).map_err(StartError::Thread)?;
        file = Some(started);
    }
    Ok(Gate::new(&settings.access, file, u128::from_ne_bytes(random()?)))
}

/// Starts the log first, so that everything else can use it.
pub(super) fn start_log(
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
    Common { metrics, lifecycle, .. }: &Common<'_>,
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

/// Reports how much memory a server with these settings may take.
fn plan_memory(settings: &Settings, metrics: &Metrics) {
    let plan = Plan::of(settings);
    metrics.memory_planned(plan.bytes());
    tracing::info!(bytes = plan.bytes(), "memory under these settings: {plan}; docs/operations.md explains it");
}

/// Opens the repository, and starts the thread that commits to it.
fn start_committer(
    program: &'static str,
    settings: &Settings,
    Common { metrics, warnings, lifecycle }: &Common<'_>,
) -> Result<Committer, StartError> {
    let Opened { repository, flush_every } = settings.backend.open(&settings.repository, program)?;
    let limits =
        QueueLimits { batches_max: settings.commit_queue_batches.get(), bytes_max: settings.commit_queue_bytes };
    let (metrics, lifecycle, warnings) = (Arc::clone(metrics), Arc::clone(lifecycle), Arc::clone(warnings));
    Committer::start(repository, flush_every, limits, metrics, lifecycle, warnings).map_err(StartError::Thread)
}

/// Bytes that nobody can foresee.
fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_hangup_asks_for_the_keys_before_their_file_is_watched() {
        let actions = |flags: &str, wanted: &Arc<AtomicBool>| {
            let settings =
                Settings::read("argus-test", ["argus-test"].into_iter().chain(flags.split_whitespace())).unwrap();
            on_hangup(&settings, wanted, None, None)
        };
        let wanted = Arc::<AtomicBool>::default();
        actions("--keys keys.toml", &wanted).iter().for_each(|act| act());
        assert!(wanted.load(Ordering::SeqCst));
        assert!(actions("", &wanted).is_empty(), "the signal keeps its default effect");
    }
}
