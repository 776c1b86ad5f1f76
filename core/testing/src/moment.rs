//! Times for tests that are not about clocks.

use std::time::Duration;

use argus_core::clock::Moment;
use argus_core::event::Timestamp;

/// 2023-11-14T22:13:20Z; any time would do.
pub const NOW: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);

/// A moment at which the wall clock has never been set: the uptime runs along with it.
#[must_use]
pub fn steady(now: Timestamp) -> Moment {
    // Times before 1970 have an uptime of 0.
    Moment { wall: now, uptime: Duration::from_nanos(u64::try_from(now.as_nanos()).unwrap_or_default()) }
}
