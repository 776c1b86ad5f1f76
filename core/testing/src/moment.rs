//! Moments for tests that are about something else.

use std::time::Duration;

use argus_core::clock::Moment;
use argus_core::event::Timestamp;

/// A moment where nobody ever sets the wall clock.
#[must_use]
pub fn steady(now: Timestamp) -> Moment {
    // From 1970 on.
    Moment { wall: now, uptime: Duration::from_nanos(u64::try_from(now.as_nanos()).unwrap_or_default()) }
}
