//! Options of the engine, on any storage.

use std::num::NonZeroUsize;
use std::time::Duration;

use argus_core::engine::{Engine, Retention, Tuning};
use argus_core::storage::Storage;
use clap::Args;

use crate::units::{parse_age, parse_age_or_zero, parse_count, parse_size};

/// Most unsealed data in memory, in units of the seal size: four before commits wait for maintenance, and two being
/// merged or sealed meanwhile.
const FRESH_SEALS: usize = 4 + 2;

/// Memory per event while sealed segments are merged, in bytes: its position in the new segment, and its id.
const COMPACTED_EVENT_BYTES: usize = 48;

/// Memory for the blocks of the new segment that are being filled, one for each type partition, and for its index of
/// values.
const COMPACTION_BYTES: usize = 128 * 1024 * 1024;

/// Memory per event type, in bytes: its name of up to 256 bytes, and its index entries, both in stored segments and in
/// those being merged.
const TYPE_BYTES: usize = 1024;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Options of an engine.
#[derive(Args, Clone, Debug)]
pub struct EngineOptions {
    /// Remove events older than this, by their own timestamps, as in `30d` or `1y`. They are removed a segment at a
    /// time, so some stay longer, up to nine eighths of this age [default: keep all]
    #[arg(long, env = "ARGUS_RETAIN_AGE", value_name = "AGE", help_heading = "Service")]
    #[arg(value_parser = parse_age)]
    pub retain_age: Option<Duration>,

    /// Nothing expires by age while the wall clock is in doubt, and `/health/ready` warns. It is in doubt when it
    /// differs from the time of the last commits plus the uptime since then by more than an eighth of `--retain-age`
    /// (at least 5 minutes, at most a day), which also happens after a long downtime. It is trusted again when it
    /// agrees, or after this time without a jump (or after `--retain-age`, if that is less)
    #[arg(long, env = "ARGUS_CLOCK_TRUST_AFTER", value_name = "AGE", default_value = "24h", help_heading = "Service")]
    #[arg(value_parser = parse_age)]
    pub clock_trust_after: Duration,

    /// Remove the events that arrived first, a segment at a time, when the segments on disk take more than this. The
    /// last segment always stays, and the log is not counted [default: keep all]
    #[arg(long, env = "ARGUS_RETAIN_BYTES", value_name = "SIZE", help_heading = "Service")]
    #[arg(value_parser = parse_size)]
    pub retain_bytes: Option<usize>,

    /// How long the bytes of erased events may stay on disk, as in `1h`. Queries do not show the events from the moment
    /// on when `DELETE /events` is answered; after half of this time the files are rewritten without them. `0s`, or
    /// less than a minute: at once, which costs more if there are many erasures
    #[arg(long, env = "ARGUS_ERASE_WITHIN", value_name = "AGE", default_value = "1h", help_heading = "Service")]
    #[arg(value_parser = parse_age_or_zero)]
    pub erase_within: Duration,

    /// Memory for the filters that recognise new event ids without reading the disk, ten bits per id. When it is full,
    /// ids are compared with those of older events on disk
    #[arg(long, env = "ARGUS_MAX_FILTER_BYTES", value_name = "SIZE", default_value = "64MiB")]
    #[arg(value_parser = parse_size, help_heading = "Limits")]
    pub max_filter_bytes: usize,

    /// Most different event types in the repository; an event of a further type is refused with 422. A repository with
    /// more types is not opened
    #[arg(long, env = "ARGUS_MAX_EVENT_TYPES", value_name = "COUNT", default_value = "100000")]
    #[arg(value_parser = parse_count, help_heading = "Limits")]
    pub max_event_types: NonZeroUsize,
}

impl EngineOptions {
    /// Those of the target of a copy: nothing expires there, and the limit of event types is that of the server that
    /// opens it next.
    pub(super) fn of_copy() -> Self {
        Self {
            retain_age: None,
            clock_trust_after: DAY,
            retain_bytes: None,
            erase_within: HOUR,
            max_filter_bytes: Tuning::default().filter_bytes_max as usize,
            max_event_types: NonZeroUsize::MAX,
        }
    }

    /// The engine's sizes and limits under these options.
    #[must_use]
    pub fn tuning(&self) -> Tuning {
        Tuning {
            filter_bytes_max: self.max_filter_bytes as u64,
            types_max: self.max_event_types.get(),
            ..Tuning::default()
        }
    }

    /// Which events are kept.
    #[must_use]
    pub fn retention(&self) -> Retention {
        Retention {
            // `parse_age` allows about a century; `i64` nanoseconds reach 292 years.
            age: self.retain_age.map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)),
            bytes: self.retain_bytes.map(|bytes| bytes as u64),
        }
    }

    /// The most memory that an engine needs, without the index of stored events: a name and a number of bytes for each
    /// purpose.
    #[must_use]
    pub fn memory(&self) -> [(&'static str, usize); 4] {
        let Tuning { seal_bytes, segment_events_max, filter_bytes_max, types_max, .. } = self.tuning();
        [
            ("fresh", FRESH_SEALS.saturating_mul(seal_bytes)),
            ("compaction", segment_events_max.saturating_mul(COMPACTED_EVENT_BYTES).saturating_add(COMPACTION_BYTES)),
            ("types", types_max.saturating_mul(TYPE_BYTES)),
            ("filters", usize::try_from(filter_bytes_max).unwrap_or(usize::MAX)),
        ]
    }

    /// Configures retention, clock trust and erasure of a newly opened engine.
    pub(super) fn apply<S: Storage>(&self, mut engine: Engine<S>) -> Engine<S> {
        engine.retain(self.retention());
        engine.trust_clock_after(i64::try_from(self.clock_trust_after.as_nanos()).unwrap_or(i64::MAX));
        engine.erase_within(self.erase_within);
        engine
    }
}
