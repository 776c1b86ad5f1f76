//! Whether the server is draining, and why.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::slots::Slots;

/// Ends the server. Shared by everything that can end it.
pub(crate) struct Ending {
    /// The address that the server listens on.
    pub(crate) address: SocketAddr,
    draining: AtomicBool,
    failure: OnceLock<String>,
    /// The accept loop may be waiting for a slot.
    slots: Arc<Slots>,
}

impl Ending {
    pub(crate) fn new(address: SocketAddr, slots: Arc<Slots>) -> Self {
        Self { address, draining: AtomicBool::new(false), failure: OnceLock::new(), slots }
    }

    /// Accepts no more connections; open ones finish their current request.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.slots.call_waiting();
        // A connection wakes the accept loop. If this fails, another one has woken it.
        drop(TcpStream::connect(self.address));
    }

    /// Drains because a thread has ended that the server needs.
    pub(crate) fn fail(&self, reason: String) {
        self.failure.get_or_init(|| reason);
        self.begin_drain();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Why the server has failed, if so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }
}
