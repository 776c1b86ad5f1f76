//! A few metrics, rendered by hand. All labels come from closed sets.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use argus_core::api::{Reply, Transport};
use argus_core::repository::{ErasureStats, Receipt, Stats};

use crate::answers::Held;
use crate::clock::now;
use crate::gate::KeyCounters;
use crate::hub::Counts;

/// The counters of a server.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    /// By method, route and status.
    requests: BTreeMap<(&'static str, &'static str, u16), u64>,
    rejected: BTreeMap<&'static str, u64>,
    accepted: u64,
    duplicates: u64,
    broken: u64,
    /// By kind.
    timeouts: BTreeMap<&'static str, u64>,
    /// By limit.
    queries_stopped: BTreeMap<&'static str, u64>,
}

/// What others count.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) idle_closed: u64,
    pub(crate) address_limit: u64,
    pub(crate) log_lines_lost: u64,
    pub(crate) request_log_lines_lost: u64,
    pub(crate) keys: BTreeMap<String, KeyCounters>,
    pub(crate) streams: Counts,
}

/// Methods with a label of their own.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

impl Metrics {
    pub(crate) fn answered(&self, method: &str, reply: &Reply) {
        let method = METHODS.iter().find(|known| **known == method).copied().unwrap_or("other");
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counters.requests.entry((method, reply.route.as_str(), reply.status)).or_default() += 1;
        for (code, count) in &reply.rejected {
            *counters.rejected.entry(code.as_str()).or_default() += count;
        }
    }

    pub(crate) fn committed(&self, receipt: &Receipt) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.accepted += u64::from(receipt.stored);
        counters.duplicates += receipt.duplicates.len() as u64;
    }

    /// A connection broke within a request.
    pub(crate) fn connection_broke(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).broken += 1;
    }

    /// A client was too slow: `head_timeout`, `body_timeout`, `write_timeout` or `idle_timeout`.
    pub(crate) fn timed_out(&self, kind: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).timeouts.entry(kind).or_default() += 1;
    }

    /// A query exceeded this limit: `time` or `bytes`.
    pub(crate) fn query_stopped(&self, limit: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).queries_stopped.entry(limit).or_default() += 1;
    }

    pub(crate) fn render(&self, stats: &Stats, held: Held, counted: &Counted) -> String {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Page(String::new());
        page.family("argus_build_info", "gauge", "Always 1; the labels have the version and the runtime.");
        page.sample(
            "argus_build_info",
            &format!("{{version=\"{}\",runtime=\"minimal\"}}", env!("CARGO_PKG_VERSION")),
            1,
        );
        page.family("argus_http_requests_total", "counter", "Requests answered.");
        for ((method, route, status), count) in &counters.requests {
            let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}");
            page.sample("argus_http_requests_total", &labels, *count);
        }
        page.single("argus_events_accepted_total", "counter", "Events stored.", counters.accepted);
        page.single("argus_events_duplicate_total", "counter", "Events that were stored before.", counters.duplicates);
        page.family("argus_events_rejected_total", "counter", "Faults found in events, by kind.");
        for (reason, count) in &counters.rejected {
            page.sample("argus_events_rejected_total", &format!("{{reason=\"{reason}\"}}"), *count);
        }
        page.family("argus_connection_incidents_total", "counter", "Connections that ended abnormally, by kind.");
        page.sample("argus_connection_incidents_total", "{kind=\"broken\"}", counters.broken);
        page.sample("argus_connection_incidents_total", "{kind=\"idle_closed\"}", counted.idle_closed);
        page.sample("argus_connection_incidents_total", "{kind=\"address_limit\"}", counted.address_limit);
        for kind in ["head_timeout", "body_timeout", "write_timeout", "idle_timeout"] {
            let count = counters.timeouts.get(kind).copied().unwrap_or_default();
            page.sample("argus_connection_incidents_total", &format!("{{kind=\"{kind}\"}}"), count);
        }
        page.family("argus_queries_stopped_total", "counter", "Queries that exceeded a limit.");
        for limit in ["time", "bytes"] {
            let count = counters.queries_stopped.get(limit).copied().unwrap_or_default();
            page.sample("argus_queries_stopped_total", &format!("{{limit=\"{limit}\"}}"), count);
        }
        page.single(
            "argus_request_log_lines_lost_total",
            "counter",
            "Lines of the request log that could not be written.",
            counted.request_log_lines_lost,
        );
        page.single(
            "argus_log_lines_lost_total",
            "counter",
            "Log lines that could not be written.",
            counted.log_lines_lost,
        );
        page.keys(&counted.keys);
        page.single("argus_answer_bytes_held", "gauge", "Bytes that answers hold.", held.bytes as u64);
        page.single("argus_answers_in_flight", "gauge", "Running answers.", held.answers as u64);
        let Counts { buffer_bytes, open, ended, sent } = &counted.streams;
        page.family("argus_streams", "gauge", "Live streams that are open.");
        for (transport, count) in Transport::ALL.iter().zip(*open) {
            page.sample("argus_streams", &format!("{{transport=\"{}\"}}", transport.as_str()), count);
        }
        page.single("argus_stream_events_sent_total", "counter", "Events sent on live streams.", *sent);
        page.family("argus_streams_ended_total", "counter", "Live streams that have ended, by reason.");
        for (reason, count) in ended {
            page.sample("argus_streams_ended_total", &format!("{{reason=\"{reason}\"}}"), *count);
        }
        page.single("argus_stream_buffer_bytes", "gauge", "Bytes that live streams share.", *buffer_bytes);
        page.single("argus_stored_events", "gauge", "Events in the repository.", stats.events);
        page.single("argus_stored_bytes", "gauge", "Bytes of these events, with their indexes.", stats.bytes);
        page.single("argus_stored_event_types", "gauge", "Different event types of these events.", stats.event_types);
        page.single("argus_event_types_limit", "gauge", "The limit of different types.", stats.event_types_max);
        let ErasureStats { accepted: _, pending, oldest, bytes } = stats.erasures;
        page.single("argus_erasures_pending", "gauge", "Erasures that are not complete.", pending);
        page.single("argus_erasure_pending_bytes", "gauge", "Bytes still to be searched or rewritten.", bytes);
        let age = oldest.map_or(0, |oldest| now().as_nanos().saturating_sub(oldest.as_nanos()).max(0) as u64);
        page.single("argus_erasure_oldest_seconds", "gauge", "Age of the oldest of them.", age / 1_000_000_000);
        page.0
    }
}

/// A page in the text format of Prometheus.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn keys(&mut self, keys: &BTreeMap<String, KeyCounters>) {
        type Family = (&'static str, &'static str, fn(&KeyCounters) -> u64);
        if keys.is_empty() {
            return;
        }
        let families: [Family; 3] = [
            ("argus_key_requests_total", "Requests with this key.", |counters| counters.requests),
            ("argus_key_events_written_total", "Events stored with this key.", |counters| counters.events),
            ("argus_key_body_bytes_total", "Bytes of request bodies with this key.", |counters| counters.bytes),
        ];
        for (name, help, value) in families {
            self.family(name, "counter", help);
            for (key, counters) in keys {
                self.sample(name, &format!("{{key=\"{key}\"}}"), value(counters));
            }
        }
        let name = "argus_key_requests_refused_total";
        self.family(name, "counter", "Requests with this key that were refused.");
        for (key, counters) in keys {
            for (reason, count) in [("forbidden", counters.forbidden), ("too-many-requests", counters.limited)] {
                self.sample(name, &format!("{{key=\"{key}\",reason=\"{reason}\"}}"), count);
            }
        }
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }
}
