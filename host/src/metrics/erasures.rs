//! Metrics of erasures.

use argus_core::repository::ErasureStats;
use prometheus::{IntCounter, IntGauge, Registry};

use super::{register, saturate};
use crate::clock;

/// What was erased, and what is still to be done.
#[derive(Debug)]
pub struct ErasureMetrics {
    erased: IntCounter,
    pending: IntGauge,
    bytes: IntGauge,
    oldest_seconds: IntGauge,
}

impl ErasureMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help)?);
        let erased = "Erased events that were removed from stored segments.";
        Ok(Self {
            erased: register(registry, IntCounter::new("argus_events_erased_total", erased)?)?,
            pending: gauge(
                "argus_erasures_pending",
                "Erasures whose events no query shows, and whose bytes are still to be removed.",
            )?,
            bytes: gauge(
                "argus_erasure_pending_bytes",
                "Bytes of stored segments that are still to be searched for erased events or rewritten without them.",
            )?,
            oldest_seconds: gauge(
                "argus_erasure_oldest_seconds",
                "Seconds since the oldest pending erasure was accepted; 0 if there is none.",
            )?,
        })
    }

    /// Counts erased events that were removed.
    pub fn removed(&self, events: u64) {
        self.erased.inc_by(events);
    }

    pub(super) fn set(&self, stats: &ErasureStats) {
        let ErasureStats { accepted: _, pending, oldest, bytes } = *stats;
        self.pending.set(saturate(pending));
        self.bytes.set(saturate(bytes));
        let age = oldest.map_or(0, |oldest| clock::now().as_nanos().saturating_sub(oldest.as_nanos()));
        self.oldest_seconds.set((age / 1_000_000_000).max(0));
    }
}
