//! The parts of one running server, put together once and shared by everything in it.

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
use crate::warnings::Warnings;

/// One running server, without its executor and its framework.
#[derive(Debug)]
pub struct Node {
    /// What the operator asked for.
    pub settings: Settings,
    /// What requests mean.
    pub api: Api,
    /// The way to the commit thread, and to what it published.
    pub committer: Committer,
    /// Bytes of request bodies that may be held at once.
    pub budget: Arc<Budget>,
    /// The answers under way, and what they may hold.
    pub answers: Arc<Answers>,
    /// What timeouts are measured by.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What an operator should know though everything goes on.
    pub warnings: Arc<Warnings>,
    /// Serving or draining, and how many connections there are.
    pub lifecycle: Arc<Lifecycle>,
    /// Which connections are let in.
    pub admission: Admission,
    /// Where request ids come from.
    pub request_ids: RequestIds,
}

impl Node {
    /// Waits for the place of a connection that was accepted; see [`Lifecycle::permit`].
    pub async fn admit<R: Runtime>(&self, runtime: &R) -> ConnectionPermit {
        self.admission.admit(runtime, &self.lifecycle, self.settings.max_connections.get()).await
    }

    /// The system has refused to accept a connection, for a lack of something that may pass. Counted, and logged once a
    /// minute.
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
