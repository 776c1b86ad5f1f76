//! Metrics by key. The names come from the operator's file, so the set is closed.

use argus_core::api::ProblemKind;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// The reasons for which a request with a valid key is refused.
const REASONS: [(&str, ProblemKind); 2] =
    [("forbidden", ProblemKind::Forbidden), ("too-many-requests", ProblemKind::TooManyRequests)];

/// The counters of all keys.
#[derive(Debug)]
pub(crate) struct KeyMetrics {
    requests: IntCounterVec,
    refused: IntCounterVec,
    events: IntCounterVec,
    bytes: IntCounterVec,
    loads: [IntCounter; 2],
}

/// The counters of one key.
#[derive(Clone, Debug)]
pub(crate) struct KeyCounters {
    requests: IntCounter,
    refused: [IntCounter; REASONS.len()],
    events: IntCounter,
    bytes: IntCounter,
}

impl KeyMetrics {
    /// Registers the families. Without keys they have no series and are not shown.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let family = |name: &str, help: &str, labels: &[&str]| {
            super::register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let loads = family("argus_key_file_loads_total", "Times that the file of keys was read.", &["outcome"])?;
        let outcome = |name: &str| loads.get_metric_with_label_values(&[name]);
        Ok(Self {
            requests: family("argus_key_requests_total", "Requests with this key.", &["key"])?,
            refused: family(
                "argus_key_requests_refused_total",
                "Requests with this key that it does not permit, or that exceed its limits.",
                &["key", "reason"],
            )?,
            events: family("argus_key_events_written_total", "Events stored with this key.", &["key"])?,
            bytes: family(
                "argus_key_body_bytes_total",
                "Bytes of request bodies with this key, as they came over the wire.",
                &["key"],
            )?,
            loads: [outcome("loaded")?, outcome("refused")?],
        })
    }

    /// The counters of the key with this name. They start at zero, so that all of its series are shown.
    pub(crate) fn of(&self, key: &str) -> KeyCounters {
        KeyCounters {
            requests: self.requests.with_label_values(&[key]),
            refused: REASONS.map(|(reason, _)| self.refused.with_label_values(&[key, reason])),
            events: self.events.with_label_values(&[key]),
            bytes: self.bytes.with_label_values(&[key]),
        }
    }

    /// Removes the series of a key that the file no longer has.
    pub(crate) fn forget(&self, key: &str) {
        // They are absent if it was removed twice, which does no harm.
        for family in [&self.requests, &self.events, &self.bytes] {
            let _ = family.remove_label_values(&[key]);
        }
        for (reason, _) in REASONS {
            let _ = self.refused.remove_label_values(&[key, reason]);
        }
    }

    /// Counts that the file was read.
    pub(crate) fn file_read(&self, is_valid: bool) {
        let [loaded, refused] = &self.loads;
        if is_valid { loaded.inc() } else { refused.inc() }
    }
}

impl KeyCounters {
    /// Counts a request and its answer.
    pub(crate) fn answered(&self, problem: Option<ProblemKind>) {
        self.requests.inc();
        for ((_, kind), counter) in REASONS.iter().zip(&self.refused) {
            if problem == Some(*kind) {
                counter.inc();
            }
        }
    }

    /// Counts events that were stored.
    pub(crate) fn events_written(&self, events: u32) {
        self.events.inc_by(events.into());
    }

    /// Counts bytes of a body.
    pub(crate) fn body_arrived(&self, bytes: usize) {
        self.bytes.inc_by(bytes as u64);
    }
}
