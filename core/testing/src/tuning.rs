//! Limits of the engine for tests.

use argus_core::engine::{TYPES_MAX_DEFAULT, Tuning};

/// Limits so small that a handful of events is merged, sealed and compacted. A short test then covers all of it.
pub const SMALL: Tuning = Tuning {
    seal_events: 12,
    seal_bytes: 4096,
    fan_in: 2,
    block_bytes: 256,
    segment_events_max: 200,
    fresh_segments_max: 1024,
    filter_bytes_max: 100,
    types_max: TYPES_MAX_DEFAULT,
};

/// A segment has eight events in several blocks, and segments are not compacted.
pub const UNCOMPACTED: Tuning = Tuning {
    seal_events: 8,
    seal_bytes: 1 << 20,
    fan_in: 99,
    block_bytes: 26,
    segment_events_max: 99,
    fresh_segments_max: 1024,
    filter_bytes_max: 1 << 20,
    types_max: 1000,
};
