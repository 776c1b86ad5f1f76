//! Letting connections in: as many as there may be, and what is said when none can be accepted.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::descriptors::Descriptors;
use crate::lifecycle::{ConnectionPermit, Lifecycle};
use crate::repeated::Repeated;
use crate::runtime::Runtime;

/// How often the descriptors that are no connections are counted. Counting lists all that are open, so it is not done
/// for each connection.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What the accept loop goes by.
#[derive(Debug)]
pub struct Admission {
    descriptors: Descriptors,
    /// When it was last looked how many there are.
    looked: Mutex<Instant>,
    failures: Repeated,
}

impl Admission {
    /// Of a server that is about to accept connections.
    #[must_use]
    pub fn new(descriptors: Descriptors) -> Self {
        Self { descriptors, looked: Mutex::new(Instant::now()), failures: Repeated::default() }
    }

    fn is_look_due(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = looked.elapsed() >= LOOK_INTERVAL;
        if is_due {
            *looked = Instant::now();
        }
        is_due
    }

    /// Waits for the place of a connection that was accepted; see [`Lifecycle::permit`]. There are at most so many.
    pub(crate) async fn admit<R: Runtime>(
        &self,
        runtime: &R,
        lifecycle: &Arc<Lifecycle>,
        max_connections: usize,
    ) -> ConnectionPermit {
        // A repository that grows takes descriptors from connections.
        if self.is_look_due() {
            let descriptors = self.descriptors;
            let (limited, connections) = (Arc::clone(lifecycle), lifecycle.connections().saturating_add(1));
            // It reads a long list from the file system, and this connection need not wait for it.
            drop(runtime.unblock(move || {
                if let Some(most) = descriptors.connections_now(connections) {
                    limited.limit_connections(most.min(max_connections));
                }
            }));
        }
        lifecycle.permit().await
    }

    /// The system has refused to accept a connection, for a lack of something that may pass. Logged once a minute.
    pub(crate) fn accept_failed(&self, error: &io::Error) {
        if let Some(suppressed) = self.failures.due() {
            tracing::error!(%error, suppressed, "cannot accept connections; it is tried again and again");
        }
    }
}
