//! Whether the server is about to end, and why.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::places::Places;

/// What ends the server; known to whatever may have it end.
pub(crate) struct Ending {
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    draining: AtomicBool,
    failure: OnceLock<String>,
    /// Where the accept loop may be waiting.
    places: Arc<Places>,
}

impl Ending {
    pub(crate) fn new(address: SocketAddr, places: Arc<Places>) -> Self {
        Self { address, draining: AtomicBool::new(false), failure: OnceLock::new(), places }
    }

    /// Takes no more connections, and lets those that are open finish what they are at.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.places.call_waiting();
        // The accept loop notices when it is given something. If this fails, it was given something else.
        drop(TcpStream::connect(self.address));
    }

    /// Drains, because something has ended without which the server does not do what it promises.
    pub(crate) fn fail(&self, reason: String) {
        self.failure.get_or_init(|| reason);
        self.begin_drain();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Why the server cannot go on, if so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}
