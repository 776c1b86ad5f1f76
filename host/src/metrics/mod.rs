//! Metrics, and their Prometheus text.
//!
//! Handles are resolved when the registry is built, or once at first use, so that a request only updates atomics. Every
//! label has a fixed set of values, so that no caller can make the registry grow.

mod erasures;
mod keys;
mod labels;
mod streams;

use std::sync::OnceLock;
use std::time::Duration;

use argus_core::api::{ProblemKind, Refusal, Reply, Route};
use argus_core::ingest::FaultCode;
use argus_core::repository::{Receipt, Stats};
use http::Method;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use labels::{METHODS, STATUSES, method_index, status_index, status_label};

pub use erasures::ErasureMetrics;
pub(crate) use keys::{KeyCounters, KeyMetrics};
pub use labels::{Handshake, Incident};
pub use streams::{OpenStream, StreamEnd, StreamMetrics};

/// The registry and the handles to everything in it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    requests_resolved: Box<[OnceLock<IntCounter>]>,
    durations: Box<[Histogram]>,
    in_flight: IntGauge,
    accepted: IntCounter,
    duplicates: IntCounter,
    expired: IntCounter,
    erasures: ErasureMetrics,
    clock_ahead: IntGauge,
    damage: IntCounter,
    rejected: Box<[IntCounter]>,
    wire_bytes: IntCounter,
    decoded_bytes: IntCounter,
    group_events: Histogram,
    group_batches: Histogram,
    commit_duration: Histogram,
    queue_batches: IntGauge,
    queue_bytes: IntGauge,
    body_bytes_reserved: IntGauge,
    answer_bytes_held: IntGauge,
    answers_in_flight: IntGauge,
    memory_planned: IntGauge,
    stored_events: IntGauge,
    stored_bytes: IntGauge,
    segments: IntGauge,
    last_seq: IntGauge,
    event_types: IntGauge,
    event_types_max: IntGauge,
    errors: Box<[IntCounter]>,
    connections: IntGauge,
    connections_total: IntCounter,
    incidents: Box<[IntCounter]>,
    handshakes: Box<[IntCounter]>,
    /// By the limit: time, bytes.
    queries_stopped: Box<[IntCounter]>,
    request_log_lines_lost: IntCounter,
    log_lines_lost: IntCounter,
    keys: KeyMetrics,
    streams: StreamMetrics,
}

/// Values that are read when the text is rendered, instead of being counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// The size of the repository; `None` if it is unknown now, which leaves the previous values.
    pub stored: Option<Stats>,
    /// Batches waiting for the commit thread.
    pub queue_batches: usize,
    /// Bytes of those batches.
    pub queue_bytes: usize,
    /// Bytes of request bodies in memory.
    pub body_bytes_reserved: usize,
    /// Bytes that answers in flight hold.
    pub answer_bytes_held: usize,
    /// Answers in flight.
    pub answers_in_flight: usize,
    /// Bytes that live streams share.
    pub stream_buffer_bytes: usize,
    /// Events that live streams were not given yet; `None` if that is unknown now, which leaves the previous value.
    pub stream_lag_events: Option<u64>,
}

/// Counts a request as in flight until dropped.
#[derive(Debug)]
pub struct InFlight(IntGauge);

/// Counts a connection as open until dropped.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Metrics {
    /// A registry with all values zero. `runtime` and `repository` label `argus_build_info`.
    ///
    /// # Errors
    ///
    /// None with the names in this file; a test renders them all.
    pub fn new(runtime: &str, repository: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new("argus_build_info", "Always 1; the labels say what is running."),
            &["version", "runtime", "repository"],
        )?;
        registry.register(Box::new(build.clone()))?;
        build.get_metric_with_label_values(&[env!("CARGO_PKG_VERSION"), runtime, repository])?.set(1);
        registry.register(Box::new(ProcessCollector::for_self()))?;

        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help)?);
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help)?);
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            register(&registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
        };
        let labelled = |name: &str, help: &str, label: &str, values: &mut dyn Iterator<Item = &str>| {
            let vec = register(&registry, IntCounterVec::new(Opts::new(name, help), &[label])?)?;
            values.map(|value| vec.get_metric_with_label_values(&[value])).collect::<Result<Box<[_]>, _>>()
        };
        let requests = register(
            &registry,
            IntCounterVec::new(
                Opts::new("argus_http_requests_total", "Requests answered."),
                &["method", "route", "status"],
            )?,
        )?;
        let durations = register(
            &registry,
            HistogramVec::new(
                HistogramOpts::new(
                    "argus_http_request_duration_seconds",
                    "From the end of a request's head to the head of its answer.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &["route"],
            )?,
        )?;
        let durations = Route::ALL
            .iter()
            .map(|route| durations.get_metric_with_label_values(&[route.as_str()]))
            .collect::<Result<Box<[_]>, _>>()?;

        Ok(Self {
            requests,
            requests_resolved: (0..Route::ALL.len() * METHODS.len() * (STATUSES.len() + 1))
                .map(|_| OnceLock::new())
                .collect(),
            durations,
            in_flight: gauge("argus_http_requests_in_flight", "Requests whose answer is not yet complete.")?,
            accepted: counter("argus_events_accepted_total", "Events stored.")?,
            duplicates: counter("argus_events_duplicate_total", "Events acknowledged without storing them twice.")?,
            expired: counter("argus_events_expired_total", "Events removed by retention.")?,
            erasures: ErasureMetrics::new(&registry)?,
            clock_ahead: gauge(
                "argus_clock_ahead_seconds",
                "How far the wall clock is ahead of the trusted time (behind, if negative); 0 while it is trusted.",
            )?,
            damage: counter("argus_damage_found_total", "Times that damage to stored data was found.")?,
            rejected: labelled(
                "argus_events_rejected_total",
                "Faults found in events, by kind.",
                "reason",
                &mut FaultCode::ALL.iter().map(|code| code.as_str()),
            )?,
            wire_bytes: counter("argus_body_wire_bytes_total", "Bytes of request bodies as they came over the wire.")?,
            decoded_bytes: counter("argus_body_decoded_bytes_total", "Bytes of request bodies after decompression.")?,
            group_events: histogram("argus_commit_group_events", "Events committed together.", &SIZE_BUCKETS)?,
            group_batches: histogram(
                "argus_commit_group_batches",
                "Batches (requests) committed together.",
                &SIZE_BUCKETS,
            )?,
            commit_duration: histogram("argus_commit_duration_seconds", "Time a commit took.", &DURATION_BUCKETS)?,
            queue_batches: gauge("argus_commit_queue_batches", "Batches waiting for the commit thread.")?,
            queue_bytes: gauge("argus_commit_queue_bytes", "Bytes of batches waiting for the commit thread.")?,
            body_bytes_reserved: gauge("argus_body_in_flight_bytes", "Bytes of request bodies held in memory.")?,
            answer_bytes_held: gauge("argus_answer_bytes_held", "Bytes in memory of the answers in flight.")?,
            answers_in_flight: gauge("argus_answers_in_flight", "Answers in flight to requests for lists of events.")?,
            memory_planned: gauge(
                "argus_memory_planned_bytes",
                "Memory that the server needs under its settings, without the index of stored events.",
            )?,
            stored_events: gauge("argus_stored_events", "Events in the repository.")?,
            stored_bytes: gauge("argus_stored_bytes", "Bytes of the events in the repository, with their indexes.")?,
            segments: gauge("argus_stored_segments", "Segments that a query may have to read.")?,
            last_seq: gauge("argus_stored_last_seq", "Highest sequence number given.")?,
            event_types: gauge("argus_stored_event_types", "Different event types of the events in the repository.")?,
            event_types_max: gauge("argus_event_types_limit", "Limit on the different event types in the repository.")?,
            errors: labelled(
                "argus_errors_total",
                "Answers that are problems, by kind.",
                "kind",
                &mut ProblemKind::ALL.iter().map(|kind| kind.as_str()),
            )?,
            connections: gauge("argus_connections", "Connections open.")?,
            connections_total: counter("argus_connections_total", "Connections accepted.")?,
            incidents: labelled(
                "argus_connection_incidents_total",
                "Connections that ended abnormally, by kind.",
                "kind",
                &mut Incident::ALL.iter().map(|incident| incident.as_str()),
            )?,
            handshakes: labelled(
                "argus_tls_handshakes_total",
                "Handshakes of TLS, by how they ended.",
                "outcome",
                &mut Handshake::ALL.iter().map(|handshake| handshake.as_str()),
            )?,
            queries_stopped: labelled(
                "argus_queries_stopped_total",
                "Queries that were stopped, by the limit that they exceeded.",
                "limit",
                &mut ["time", "bytes"].into_iter(),
            )?,
            request_log_lines_lost: counter(
                "argus_request_log_lines_lost_total",
                "Lines of the request log that could not be written in time.",
            )?,
            log_lines_lost: counter(
                "argus_log_lines_lost_total",
                "Log lines that standard error did not accept in time.",
            )?,
            keys: KeyMetrics::new(&registry)?,
            streams: StreamMetrics::new(&registry)?,
            registry,
        })
    }

    /// Counts a request from here until the guard is dropped.
    #[must_use]
    pub fn request_begins(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts an answered request.
    pub fn request_answered(&self, method: &Method, reply: &Reply, latency: Duration) {
        let (route, method, status) = (reply.route as usize, method_index(method), status_index(reply.status));
        let cell = self.requests_resolved.get((route * METHODS.len() + method) * (STATUSES.len() + 1) + status);
        if let Some(cell) = cell {
            cell.get_or_init(|| {
                let method = METHODS.get(method).copied().unwrap_or("other");
                let labels = [method, reply.route.as_str(), &status_label(status)];
                self.requests.with_label_values(&labels)
            })
            .inc();
        }
        if let Some(histogram) = self.durations.get(route) {
            histogram.observe(latency.as_secs_f64());
        }
        if let Some(counter) = reply.problem.and_then(|kind| self.errors.get(kind as usize)) {
            counter.inc();
        }
        self.decoded_bytes.inc_by(reply.decoded_bytes as u64);
        for &(code, count) in &reply.rejected {
            if let Some(counter) = self.rejected.get(code as usize) {
                counter.inc_by(count);
            }
        }
    }

    /// Counts a request body that has arrived.
    pub fn body_arrived(&self, wire_bytes: usize) {
        self.wire_bytes.inc_by(wire_bytes as u64);
    }

    /// Counts a group of batches that were committed together.
    pub fn group_committed(&self, receipts: &[Receipt], events: usize, duration: Duration) {
        self.accepted.inc_by(receipts.iter().map(|receipt| u64::from(receipt.stored)).sum());
        self.duplicates.inc_by(receipts.iter().map(|receipt| receipt.duplicates.len() as u64).sum());
        self.group_batches.observe(receipts.len() as f64);
        self.group_events.observe(events as f64);
        self.commit_duration.observe(duration.as_secs_f64());
    }

    /// Sets the planned memory.
    pub fn memory_planned(&self, bytes: usize) {
        self.memory_planned.set(saturate(bytes as u64));
    }

    /// Counts events that retention has removed.
    pub fn events_expired(&self, events: u64) {
        self.expired.inc_by(events);
    }

    /// The metrics of erasures.
    #[must_use]
    pub fn erasures(&self) -> &ErasureMetrics {
        &self.erasures
    }

    /// Counts damage found in stored data.
    pub fn damage_found(&self) {
        self.damage.inc();
    }

    /// Sets by how many nanoseconds the wall clock is ahead of the trusted time.
    pub fn clock_ahead(&self, nanos: i64) {
        self.clock_ahead.set(nanos / 1_000_000_000);
    }

    /// Counts a connection as open until the guard is dropped.
    #[must_use]
    pub fn connection_opens(&self) -> OpenConnection {
        self.connections_total.inc();
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// Counts an incident on a connection.
    pub fn connection_incident(&self, incident: Incident) {
        if let Some(counter) = self.incidents.get(incident as usize) {
            counter.inc();
        }
    }

    /// Counts a handshake of TLS that has ended.
    pub fn handshake_ended(&self, handshake: Handshake) {
        if let Some(counter) = self.handshakes.get(handshake as usize) {
            counter.inc();
        }
    }

    /// Counts a query that was stopped for this reason.
    pub fn query_stopped(&self, refusal: &Refusal) {
        let limit = usize::from(*refusal == Refusal::QueryBytes);
        if let Some(counter) = self.queries_stopped.get(limit) {
            counter.inc();
        }
    }

    /// The counter of lost lines of the request log.
    #[must_use]
    pub fn request_log_lines_lost(&self) -> IntCounter {
        self.request_log_lines_lost.clone()
    }

    /// The counter of lost log lines.
    #[must_use]
    pub fn log_lines_lost(&self) -> IntCounter {
        self.log_lines_lost.clone()
    }

    /// The metrics by key.
    pub(crate) fn keys(&self) -> &KeyMetrics {
        &self.keys
    }

    /// The metrics of live streams.
    #[must_use]
    pub fn streams(&self) -> &StreamMetrics {
        &self.streams
    }

    /// The text of all metrics, in the Prometheus text format 0.0.4.
    ///
    /// # Errors
    ///
    /// When a metric cannot be encoded, which would be a bug in this module.
    pub fn render(&self, gauges: &Gauges) -> Result<String, prometheus::Error> {
        self.queue_batches.set(saturate(gauges.queue_batches as u64));
        self.queue_bytes.set(saturate(gauges.queue_bytes as u64));
        self.body_bytes_reserved.set(saturate(gauges.body_bytes_reserved as u64));
        self.answer_bytes_held.set(saturate(gauges.answer_bytes_held as u64));
        self.answers_in_flight.set(saturate(gauges.answers_in_flight as u64));
        self.streams.buffer_bytes.set(saturate(gauges.stream_buffer_bytes as u64));
        if let Some(events) = gauges.stream_lag_events {
            self.streams.lag_events.set(saturate(events));
        }
        if let Some(stored) = &gauges.stored {
            self.stored_events.set(saturate(stored.events));
            self.stored_bytes.set(saturate(stored.bytes));
            self.segments.set(saturate(stored.segments));
            self.last_seq.set(saturate(stored.last_seq));
            self.event_types.set(saturate(stored.event_types));
            self.event_types_max.set(saturate(stored.event_types_max));
            self.erasures.set(&stored.erasures);
        }
        let mut text = Vec::with_capacity(32 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// From 50 microseconds to a minute.
const DURATION_BUCKETS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];
/// Powers of four, up to a million.
const SIZE_BUCKETS: [f64; 11] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0];

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn saturate(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
