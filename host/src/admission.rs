//! Admission of connections: their limit, and how a failure to accept is reported.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    failures: LogLimit,
}

impl Admission {
    /// Admission for a server that is about to accept connections.
    #[must_use]
    pub fn new(descriptors: Descriptors) -> Self {
        Self { descriptors, counted_at: Mutex::new(Instant::now()), failures: LogLimit::default() }
    }

    fn is_count_due(&self) -> bool {
        let mut counted_at = self.counted_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = counted_at.elapsed() >= COUNT_INTERVAL;
        if is_due {
            *counted_at = Instant::now();
        }
        is_due
    }

    /// Waits for one of at most `max_connections` permits, for an accepted connection; see [`Lifecycle::permit`].
    pub(crate) async fn admit<R: Runtime>(
        &self,
        runtime: &R,
        lifecycle: &Arc<Lifecycle>,
        max_connections: usize,
    ) -> ConnectionPermit {
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
        lifecycle.permit().await
    }

    /// Logs, at most once a minute, that the system could not accept a connection. The cause is usually temporary.
    pub(crate) fn accept_failed(&self, error: &io::Error) {
        if let Some(suppressed) = self.failures.due() {
            tracing::error!(%error, suppressed, "cannot accept connections; retrying");
        }
    }
}
