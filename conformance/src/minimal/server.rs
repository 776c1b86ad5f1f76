//! What all connections share.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use argus_core::api::{AllowedHosts, Api, Cors};
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::storage::MemoryStorage;

use crate::answers::Answers;
use crate::budget::Budget;
use crate::commit::Committer;
use crate::ending::Ending;
use crate::gate::Gate;
use crate::hub::Streams;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::request_log::RequestLog;
use crate::settings::Settings;
use crate::slots::Slots;

/// The most open files besides connections.
const FILES: usize = 24;

/// What all connections share.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) gate: Arc<Gate>,
    pub(crate) api: Api,
    pub(crate) budget: Arc<Budget>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) metrics: Metrics,
    pub(crate) committer: Committer,
    pub(crate) log: Log,
    pub(crate) request_log: Option<RequestLog>,
    pub(crate) ending: Arc<Ending>,
    listener: Mutex<Option<TcpListener>>,
    random: RandomState,
    drawn: AtomicU64,
    pub(crate) slots: Arc<Slots>,
}

impl Server {
    /// Opens the repository and the port.
    pub(crate) fn open(settings: Settings, gate: Arc<Gate>) -> Result<Self, String> {
        let connections_max = settings.connections_max.min(descriptors()?);
        let random = RandomState::new();
        let seed = Seed(seed());
        let tuning = Tuning { types_max: settings.limits.types_max, ..Tuning::default() };
        let repository = Engine::open_with(MemoryStorage::default(), seed, tuning)
            .map_err(|error| format!("repository: {error}"))?;
        let listener = TcpListener::bind(&settings.endpoint)
            .map_err(|error| format!("cannot listen on {}: {error}", settings.endpoint))?;
        let address =
            listener.local_addr().map_err(|error| format!("cannot read the address of the socket: {error}"))?;
        let slots = Slots::new(connections_max, settings.connections_per_address_max, settings.proxies.clone().into());
        let ending = Arc::new(Ending::new(address, Arc::clone(&slots)));
        let no_thread = |error| format!("a thread: {error}");
        let log = Log::start(&settings.log, &ending).map_err(no_thread)?;
        let request_log =
            RequestLog::start(&settings.request_log, &ending).map_err(|error| format!("the request log: {error}"))?;
        gate.watch(&ending).map_err(no_thread)?;
        let committer = Committer::start(Box::new(repository), settings.queue_batches_max, &ending);
        Ok(Self {
            api: Api::new(settings.limits)
                .with_cors(Cors::new(settings.cors_origins.iter().cloned()))
                .with_hosts(AllowedHosts::new(settings.hosts.iter().cloned())),
            budget: Budget::new(settings.inflight_bytes_max),
            answers: Answers::new(settings.answer_bytes_max),
            streams: Streams::new(settings.stream_limits),
            metrics: Metrics::default(),
            committer: committer.map_err(no_thread)?,
            log,
            request_log,
            ending,
            gate,
            listener: Mutex::new(Some(listener)),
            random,
            drawn: AtomicU64::new(0),
            slots,
            settings,
        })
    }

    /// The listening socket. It can be taken once.
    pub(crate) fn take_listener(&self) -> Option<TcpListener> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.ending.is_draining()
    }

    /// An unpredictable number, for request ids.
    pub(crate) fn random(&self) -> u64 {
        draw(&self.random, self.drawn.fetch_add(1, Ordering::Relaxed))
    }
}

/// The number of connections that the limit of open files permits.
fn descriptors() -> Result<usize, String> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let permitted = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    permitted
        .checked_sub(FILES)
        .filter(|most| *most > 0)
        .ok_or_else(|| format!("the system permits {permitted} open files, and at least {} are needed", FILES + 1))
}

/// An unpredictable number that is different each time.
pub(crate) fn seed() -> u128 {
    let random = RandomState::new();
    u128::from(draw(&random, 1)) << 64 | u128::from(draw(&random, 2))
}

fn draw(random: &RandomState, number: u64) -> u64 {
    let mut hasher = random.build_hasher();
    hasher.write_u64(number);
    hasher.finish()
}
