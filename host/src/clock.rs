//! The one place that reads the clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use argus_core::clock::Moment;
use argus_core::event::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The time now, UTC. A clock set outside the years 1677 to 2262 gives the nearest end of that range.
#[must_use]
pub fn now() -> Timestamp {
    let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(error) => i64::try_from(error.duration().as_nanos()).map_or(i64::MIN, |before| -before),
    };
    Timestamp::from_nanos(nanos)
}

/// The time now, and the time that the machine is up.
#[must_use]
pub fn moment() -> Moment {
    // This one goes on while the machine sleeps, and nobody sets it.
    #[cfg(target_os = "linux")]
    let id = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = ClockId::Monotonic;
    let uptime = Duration::try_from(clock_gettime(id)).expect("a machine is never up for less than no time");
    Moment { wall: now(), uptime }
}

/// The time now, for the `Date` field of an answer.
pub(crate) fn http_date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// The clock that timeouts are measured by.
///
/// There is one in each [`Node`](crate::node::Node). It is the system's monotonic clock, except in tests of this
/// crate, which set the time by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    #[cfg(test)]
    pub(crate) manual: Option<std::sync::Arc<crate::testing::ManualTime>>,
}

impl Clock {
    /// The time now.
    #[must_use]
    pub fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(manual) = &self.manual {
            return manual.now();
        }
        Instant::now()
    }
}
