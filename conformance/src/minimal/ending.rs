//! Whether the server is about to end, and why.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, OnceLock};

/// What ends the server; known to whatever may have it end.
pub(crate) struct Ending {
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    draining: AtomicBool,
    failure: OnceLock<String>,
    /// The drain begins, or a connection has ended.
    pub(crate) nearer: Condvar,
}

impl Ending {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, draining: AtomicBool::new(false), failure: OnceLock::new(), nearer: Condvar::new() }
    }

    /// Takes no more connections, and lets those that are open finish what they are at.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.nearer.notify_all();
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
