//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use argus_core::event::Timestamp;

/// The time now, UTC. A clock set outside the years 1677 to 2262 gives the nearest end of that range.
#[must_use]
pub fn now() -> Timestamp {
    let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(error) => i64::try_from(error.duration().as_nanos()).map_or(i64::MIN, |before| -before),
    };
    Timestamp::from_nanos(nanos)
}
