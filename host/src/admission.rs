//! Letting connections in: as many as there may be, and what is said when none can be accepted.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::descriptors::Descriptors;
use crate::lifecycle::ConnectionPermit;
use crate::metrics::Incident;
use crate::node::Node;
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
}

impl Node {
    /// Waits for the place of a connection that was accepted; see
    /// [`Lifecycle::permit`](crate::lifecycle::Lifecycle::permit).
    pub async fn admit<R: Runtime>(&self, runtime: &R) -> ConnectionPermit {
        let Self { admission, lifecycle, settings, .. } = self;
        // A repository that grows takes descriptors from connections.
        if admission.is_look_due() {
            let (descriptors, wanted) = (admission.descriptors, settings.max_connections.get());
            let (lifecycle, connections) = (Arc::clone(lifecycle), lifecycle.connections().saturating_add(1));
            // It reads a long list from the file system, and this connection need not wait for it.
            drop(runtime.unblock(move || {
                if let Some(most) = descriptors.connections_now(connections) {
                    lifecycle.limit_connections(most.min(wanted));
                }
            }));
        }
        lifecycle.permit().await
    }

    /// The system has refused to accept a connection, for a lack of something that may pass. Counted, and logged once a
    /// minute.
    pub fn accept_failed(&self, error: &io::Error) {
        self.metrics.connection_incident(Incident::Accept);
        if let Some(suppressed) = self.admission.failures.due() {
            tracing::error!(%error, suppressed, "cannot accept connections; it is tried again and again");
        }
    }
}
