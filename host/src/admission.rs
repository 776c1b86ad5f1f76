//! Admission of connections: their limit, and how a failure to accept is reported.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argus_core::api::Proxies;

use crate::address_limit::{AddressFull, AddressLimit};
use crate::descriptors::Descriptors;
use crate::lifecycle::{ConnectionPermit, Lifecycle};
use crate::log_limit::LogLimit;
use crate::runtime::Runtime;

/// How often descriptors that are not connections are counted. Counting lists all open descriptors, which is too slow
/// to do for each connection.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);

/// Decides which connections the accept loop lets in.
#[derive(Debug)]
pub struct Admission {
    descriptors: Descriptors,
    /// When the descriptors were last counted.
    counted_at: Mutex<Instant>,
    addresses: Arc<AddressLimit>,
    failures: LogLimit,
    unserved: LogLimit,
}

impl Admission {
    /// Admission for a server that is about to accept connections, `most_per_address` from each client address, and any
    /// number from `proxies`.
    #[must_use]
    pub fn new(descriptors: Descriptors, most_per_address: Option<NonZeroUsize>, proxies: Proxies) -> Self {
        let addresses = AddressLimit::new(most_per_address, proxies);
        Self {
            descriptors,
            counted_at: Mutex::new(Instant::now()),
            addresses,
            failures: LogLimit::default(),
            unserved: LogLimit::default(),
        }
    }

    fn is_count_due(&self) -> bool {
        let mut counted_at = self.counted_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = counted_at.elapsed() >= COUNT_INTERVAL;
        if is_due {
            *counted_at = Instant::now();
        }
        is_due
    }

    /// Waits for one of at most `max_connections` permits, for a connection accepted from `peer`; see
    /// [`Lifecycle::permit`].
    ///
    /// # Errors
    ///
    /// At once, if its address has as many connections as it may have.
    pub(crate) async fn admit<R: Runtime>(
        &self,
        runtime: &R,
        peer: SocketAddr,
        lifecycle: &Arc<Lifecycle>,
        max_connections: usize,
    ) -> Result<ConnectionPermit, AddressFull> {
        let place = self.addresses.take(peer)?;
        // A growing repository takes descriptors away from connections.
        if self.is_count_due() {
            let descriptors = self.descriptors;
            let (limited, connections) = (Arc::clone(lifecycle), lifecycle.connections().saturating_add(1));
            // Counting reads a long directory listing; this connection need not wait for it.
            drop(runtime.unblock(move || {
                if let Some(most) = descriptors.connections_now(connections) {
                    limited.limit_connections(most.min(max_connections));
                }
            }));
        }
        Ok(lifecycle.permit().await.with_place(place))
    }

    /// Logs, at most once a minute, that the system could not accept a connection. The cause is usually temporary.
    pub(crate) fn accept_failed(&self, error: &io::Error) {
        if let Some(suppressed) = self.failures.due() {
            tracing::error!(%error, suppressed, "cannot accept connections; retrying");
        }
    }

    /// Logs, at most once a minute, that an accepted connection cannot be served.
    pub(crate) fn cannot_serve(&self, peer: SocketAddr, error: &io::Error) {
        if let Some(suppressed) = self.unserved.due() {
            tracing::error!(%peer, %error, suppressed, "a connection cannot be served; it is closed");
        }
    }
}
