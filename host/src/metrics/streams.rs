//! The metrics of live streams.

use argus_core::api::Transport;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::register;

/// The handles to the metrics of live streams.
#[derive(Debug)]
pub struct StreamMetrics {
    open: Box<[IntGauge]>,
    sent: IntCounter,
    ended: Box<[IntCounter]>,
    pub(super) buffer_bytes: IntGauge,
    pub(super) lag_events: IntGauge,
}

/// Why a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The client has left, or was closed because it took nothing for the write timeout.
    Client,
    /// The client was too slow, and was told.
    Slow,
    /// The server drains, and the client was told.
    Drain,
    /// The key of the request is no longer valid, and the client was told.
    Revoked,
    /// Stored events could not be read.
    Error,
}

/// Counts a stream as open until dropped.
#[derive(Debug)]
pub struct OpenStream(IntGauge);

impl StreamEnd {
    const ALL: [Self; 5] = [Self::Client, Self::Slow, Self::Drain, Self::Revoked, Self::Error];

    /// The name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Slow => "slow",
            Self::Drain => "drain",
            Self::Revoked => "revoked",
            Self::Error => "error",
        }
    }
}

impl StreamMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let open = Opts::new("argus_streams", "Live streams that are open.");
        let open = register(registry, IntGaugeVec::new(open, &["transport"])?)?;
        let transports = Transport::ALL.iter().map(|transport| transport.as_str());
        let open = transports.map(|transport| open.get_metric_with_label_values(&[transport]));
        let ended = Opts::new("argus_streams_ended_total", "Live streams that have ended, by reason.");
        let ended = register(registry, IntCounterVec::new(ended, &["reason"])?)?;
        let ended = StreamEnd::ALL.iter().map(|end| ended.get_metric_with_label_values(&[end.as_str()]));
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help)?);
        Ok(Self {
            open: open.collect::<Result<_, _>>()?,
            ended: ended.collect::<Result<_, _>>()?,
            sent: register(
                registry,
                IntCounter::new("argus_stream_events_sent_total", "Events sent on live streams.")?,
            )?,
            buffer_bytes: gauge("argus_stream_buffer_bytes", "Bytes in memory of events that live streams share.")?,
            lag_events: gauge("argus_stream_lag_events", "Events stored that live streams were not given yet.")?,
        })
    }

    /// Counts a stream as open until the guard is dropped.
    #[must_use]
    pub fn opens(&self, transport: Transport) -> OpenStream {
        let gauge = self.open.get(transport as usize).expect("each transport has a gauge");
        gauge.inc();
        OpenStream(gauge.clone())
    }

    /// Counts events that were sent.
    pub fn sent(&self, events: usize) {
        self.sent.inc_by(events as u64);
    }

    /// Counts a stream that has ended.
    pub fn ended(&self, end: StreamEnd) {
        if let Some(counter) = self.ended.get(end as usize) {
            counter.inc();
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_at_its_index() {
        assert!(StreamEnd::ALL.iter().enumerate().all(|(index, end)| *end as usize == index));
        assert!(Transport::ALL.iter().enumerate().all(|(index, transport)| *transport as usize == index));
    }
}
