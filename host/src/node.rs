//! The parts of a running server, which all of its tasks share.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argus_core::api::Api;

use crate::admission::Admission;
use crate::answers::Answers;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::committer::Committer;
use crate::lifecycle::{ConnectionPermit, Lifecycle};
use crate::metrics::{Incident, Metrics};
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::stream_hub::StreamHub;
use crate::warnings::Warnings;

/// One running server, without its executor and its framework.
#[derive(Debug)]
pub struct Node {
    /// The operator's settings.
    pub settings: Settings,
    /// Decides what requests mean.
    pub api: Api,
    /// Access to the commit thread and to the last published snapshot.
    pub committer: Committer,
    /// The budget for request bodies.
    pub budget: Arc<Budget>,
    /// The answers in flight, and the memory that they may hold.
    pub answers: Arc<Answers>,
    /// What live streams share.
    pub streams: StreamHub,
    /// The clock of all timeouts.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Warnings to the operator that do not stop the server.
    pub warnings: Arc<Warnings>,
    /// Serving or draining, and the number of connections.
    pub lifecycle: Arc<Lifecycle>,
    /// Which connections are accepted.
    pub admission: Admission,
    /// The source of request ids.
    pub request_ids: RequestIds,
}

impl Node {
    /// Waits for a permit for an accepted connection; see [`Lifecycle::permit`].
    pub async fn admit<R: Runtime>(&self, runtime: &R) -> ConnectionPermit {
        self.admission.admit(runtime, &self.lifecycle, self.settings.max_connections.get()).await
    }

    /// Counts, and logs at most once a minute, that the system could not accept a connection. The cause is usually
    /// temporary.
    pub fn accept_failed(&self, error: &io::Error) {
        self.metrics.connection_incident(Incident::Accept);
        self.admission.accept_failed(error);
    }
}

/// Numbers that look random and do not repeat within a process.
#[derive(Debug)]
pub struct RequestIds(AtomicU64);

impl From<u64> for RequestIds {
    fn from(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl RequestIds {
    /// The next number.
    pub fn next(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): a counter, and a bijection that hides it.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
