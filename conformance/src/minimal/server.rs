//! Accepting connections, one thread each, until told to stop.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argus_core::api::Api;
use argus_core::engine::{Engine, Seed};
use argus_core::storage::MemoryStorage;

use crate::budget::Budget;
use crate::commit::Committer;
use crate::connection;
use crate::metrics::Metrics;
use crate::places::Places;
use crate::settings::Settings;

/// How long the accept loop rests after the system refused it a connection (out of file descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Files that are open besides connections, at most.
const FILES: usize = 24;

/// What all connections share.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) api: Api,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: Metrics,
    pub(crate) committer: Committer,
    listener: Mutex<Option<TcpListener>>,
    address: SocketAddr,
    draining: AtomicBool,
    random: RandomState,
    drawn: AtomicU64,
    pub(crate) places: Arc<Places>,
}

impl Server {
    /// Opens the repository and the port.
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let connections_max = settings.connections_max.min(descriptors()?);
        let random = RandomState::new();
        let seed = Seed(u128::from(draw(&random, u64::MAX)) << 64 | u128::from(draw(&random, u64::MAX - 1)));
        let repository =
            Engine::open(MemoryStorage::default(), seed).map_err(|error| format!("repository: {error}"))?;
        let listener = TcpListener::bind(&settings.endpoint)
            .map_err(|error| format!("cannot listen on {}: {error}", settings.endpoint))?;
        let address = listener.local_addr().map_err(|error| format!("the address of the socket: {error}"))?;
        Ok(Self {
            api: Api::new(settings.limits),
            budget: Budget::new(settings.inflight_bytes_max),
            metrics: Metrics::default(),
            committer: Committer::start(Box::new(repository), settings.queue_batches_max),
            listener: Mutex::new(Some(listener)),
            address,
            draining: AtomicBool::new(false),
            random,
            drawn: AtomicU64::new(0),
            places: Places::new(connections_max),
            settings,
        })
    }

    /// Serves until drained. Whether every request was answered.
    pub(crate) fn run(self: &Arc<Self>) -> Result<bool, String> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = listener.ok_or("the server runs already")?;
        println!("argus: listening on http://{}", self.address);
        std::io::stdout().flush().map_err(|error| format!("standard output: {error}"))?;
        while !self.is_draining() {
            let Ok((socket, _)) = listener.accept() else {
                thread::sleep(ACCEPT_PAUSE);
                continue;
            };
            let socket = Arc::new(socket);
            let Some(place) = self.places.take(&socket, || !self.is_draining()) else { break };
            let server = Arc::clone(self);
            thread::spawn(move || {
                // An error is the client's: it went away, or it takes nothing.
                let _ = connection::serve(&server, socket, &place);
            });
        }
        drop(listener);
        let drained = self.places.wait_until_free(Instant::now().checked_add(self.settings.drain_timeout));
        self.committer.close();
        Ok(drained)
    }

    /// Takes no more connections, and lets those that are open finish what they are at.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.places.call_waiting();
        // The accept loop notices when it is given something. If this fails, it was given something else.
        drop(TcpStream::connect(self.address));
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// A number that nobody can foresee, for request ids.
    pub(crate) fn random(&self) -> u64 {
        draw(&self.random, self.drawn.fetch_add(1, Ordering::Relaxed))
    }
}

/// How many connections the system permits.
fn descriptors() -> Result<usize, String> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let permitted = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    permitted
        .checked_sub(FILES)
        .filter(|most| *most > 0)
        .ok_or_else(|| format!("the system permits {permitted} open files, and at least {} are needed", FILES + 1))
}

fn draw(random: &RandomState, number: u64) -> u64 {
    let mut hasher = random.build_hasher();
    hasher.write_u64(number);
    hasher.finish()
}
