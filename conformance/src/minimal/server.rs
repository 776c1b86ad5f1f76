//! Accepting connections, one thread each, until told to stop.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argus_core::api::Api;
use argus_core::engine::{Engine, Seed, Tuning};
use argus_core::storage::MemoryStorage;

use crate::body::Budget;
use crate::commit::Committer;
use crate::connection;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// How long the accept loop rests after the system refused it a connection (out of file descriptors, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    connections: Mutex<usize>,
    fewer_connections: Condvar,
}

/// A connection's place among those that are open; given up when dropped, also by a panic.
struct Place(Arc<Server>);

impl Server {
    /// Opens the repository and the port.
    pub(crate) fn open(settings: Settings) -> Result<Self, String> {
        let random = RandomState::new();
        let seed = Seed(u128::from(draw(&random, u64::MAX)) << 64 | u128::from(draw(&random, u64::MAX - 1)));
        let tuning = Tuning { types_max: settings.limits.types_max, ..Tuning::default() };
        let repository = Engine::open_with(MemoryStorage::default(), seed, tuning)
            .map_err(|error| format!("repository: {error}"))?;
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
            connections: Mutex::new(0),
            fewer_connections: Condvar::new(),
            settings,
        })
    }

    /// Serves until drained. Whether every request was answered.
    pub(crate) fn run(self: &Arc<Self>) -> Result<bool, String> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = listener.ok_or("the server runs already")?;
        println!("argus: listening on http://{}", self.address);
        std::io::stdout().flush().map_err(|error| format!("standard output: {error}"))?;
        while let Some(place) = self.place() {
            match listener.accept() {
                Ok((socket, _)) if !self.is_draining() => {
                    thread::spawn(move || {
                        // An error is the client's: it went away, or it takes nothing.
                        let _ = connection::serve(&place.0, socket);
                    });
                }
                Ok(_) => break,
                Err(_) => thread::sleep(ACCEPT_PAUSE),
            }
        }
        drop(listener);
        let drained = self.wait_for_connections();
        self.committer.close();
        Ok(drained)
    }

    /// Takes no more connections, and lets those that are open finish what they are at.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.fewer_connections.notify_all();
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

    /// Waits for room for another connection; `None` once the server drains.
    fn place(self: &Arc<Self>) -> Option<Place> {
        let full = |open: &mut usize| *open >= self.settings.connections_max && !self.is_draining();
        let mut open =
            self.fewer_connections.wait_while(self.lock_connections(), full).unwrap_or_else(PoisonError::into_inner);
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
            let waited = self.fewer_connections.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner);
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
        self.0.fewer_connections.notify_all();
    }
}

fn draw(random: &RandomState, number: u64) -> u64 {
    let mut hasher = random.build_hasher();
    hasher.write_u64(number);
    hasher.finish()
}
