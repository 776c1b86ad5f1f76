//! Accepting connections, one thread each, until told to stop.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argus_core::api::Api;
use argus_core::engine::{Engine, Seed};
use argus_core::storage::MemoryStorage;

use crate::body::Budget;
use crate::commit::Committer;
use crate::connection;
use crate::ending::Ending;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// How long the accept loop rests after the system refused it a connection (out of file descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The exit codes of a drain that cut requests off, and of a server that could not go on.
const EXIT_CUT: u8 = 3;
const EXIT_FAILED: u8 = 4;

/// What all connections share.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) api: Api,
    pub(crate) budget: Arc<Budget>,
    pub(crate) metrics: Metrics,
    pub(crate) committer: Committer,
    pub(crate) log: Log,
    pub(crate) ending: Arc<Ending>,
    listener: Mutex<Option<TcpListener>>,
    random: RandomState,
    drawn: AtomicU64,
    connections: Mutex<usize>,
}

/// A connection's place among those that are open; given up when dropped, also by a panic.
struct Place(Arc<Server>);

impl Server {
    /// Opens the repository and the port.
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let random = RandomState::new();
        let seed = Seed(u128::from(draw(&random, u64::MAX)) << 64 | u128::from(draw(&random, u64::MAX - 1)));
        let repository =
            Engine::open(MemoryStorage::default(), seed).map_err(|error| format!("repository: {error}"))?;
        let listener = TcpListener::bind(&settings.endpoint)
            .map_err(|error| format!("cannot listen on {}: {error}", settings.endpoint))?;
        let address = listener.local_addr().map_err(|error| format!("the address of the socket: {error}"))?;
        let ending = Arc::new(Ending::new(address));
        let no_thread = |error| format!("a thread: {error}");
        let log = Log::start(&settings.log, &ending).map_err(no_thread)?;
        let committer = Committer::start(Box::new(repository), settings.queue_batches_max, &ending);
        Ok(Self {
            api: Api::new(settings.limits),
            budget: Budget::new(settings.inflight_bytes_max),
            metrics: Metrics::default(),
            committer: committer.map_err(no_thread)?,
            log,
            ending,
            listener: Mutex::new(Some(listener)),
            random,
            drawn: AtomicU64::new(0),
            connections: Mutex::new(0),
            settings,
        })
    }

    /// Serves until drained; the exit code.
    pub(crate) fn run(self: &Arc<Self>) -> Result<u8, String> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = listener.ok_or("the server runs already")?;
        // That nobody listens does not keep it from serving.
        let mut out = std::io::stdout();
        let _ = writeln!(out, "argus: listening on http://{}", self.ending.address).and_then(|()| out.flush());
        while let Some(place) = self.place() {
            match listener.accept() {
                Ok((socket, _)) if !self.is_draining() => {
                    let serve = move || {
                        // An error is the client's: it went away, or it takes nothing.
                        let _ = connection::serve(&place.0, socket);
                    };
                    if thread::Builder::new().spawn(serve).is_err() {
                        // The connection is closed, and there may be a thread for the next one.
                        thread::sleep(ACCEPT_PAUSE);
                    }
                }
                Ok(_) => break,
                Err(_) => thread::sleep(ACCEPT_PAUSE),
            }
        }
        drop(listener);
        let drained = self.wait_for_connections();
        self.committer.close();
        Ok(match (self.ending.failure(), drained) {
            (Some(_), _) => EXIT_FAILED,
            (None, true) => 0,
            (None, false) => EXIT_CUT,
        })
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.ending.is_draining()
    }

    /// A number that nobody can foresee, for request ids.
    pub(crate) fn random(&self) -> u64 {
        draw(&self.random, self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for room for another connection; `None` once the server drains.
    fn place(self: &Arc<Self>) -> Option<Place> {
        let full = |open: &mut usize| *open >= self.settings.connections_max && !self.is_draining();
        let mut open =
            self.ending.nearer.wait_while(self.lock_connections(), full).unwrap_or_else(PoisonError::into_inner);
        *open += 1;
        drop(open);
        let place = Place(Arc::clone(self));
        if self.is_draining() { None } else { Some(place) }
    }

    fn wait_for_connections(&self) -> bool {
        let deadline = Instant::now().checked_add(self.settings.drain_timeout);
        let mut open = self.lock_connections();
        while *open > 0 {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let waited = self.ending.nearer.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner);
            open = waited.0;
        }
        true
    }

    fn lock_connections(&self) -> MutexGuard<'_, usize> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.lock_connections() -= 1;
        self.0.ending.nearer.notify_all();
    }
}

fn draw(random: &RandomState, number: u64) -> u64 {
    let mut hasher = random.build_hasher();
    hasher.write_u64(number);
    hasher.finish()
}
