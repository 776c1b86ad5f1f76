//! Times for tests that are not about clocks.

use std::time::Duration;

use argus_core::clock::Moment;
use argus_core::event::Timestamp;

/// A moment at which the wall clock has never been set: the uptime runs along with it.
#[must_use]
pub fn steady(now: Timestamp) -> Moment {
    // Times before 1970 have an uptime of 0.
    Moment { wall: now, uptime: Duration::from_nanos(u64::try_from(now.as_nanos()).unwrap_or_default()) }
}
