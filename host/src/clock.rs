//! The time for the core, and a clock that tests can set.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use argus_core::clock::Moment;
use argus_core::event::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The time now, in UTC. A clock set outside the years 1677 to 2262 is clamped to that range.
#[must_use]
pub fn now() -> Timestamp {
    let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(error) => i64::try_from(error.duration().as_nanos()).map_or(i64::MIN, |before| -before),
    };
    Timestamp::from_nanos(nanos)
}

/// The wall-clock time, and the time since the machine started.
#[must_use]
pub fn moment() -> Moment {
    Moment { wall: now(), uptime: uptime() }
}

/// The time since the machine started.
#[must_use]
pub fn uptime() -> Duration {
    // This clock also counts while the machine sleeps, and cannot be set.
    #[cfg(target_os = "linux")]
    let id = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = ClockId::Monotonic;
    Duration::try_from(clock_gettime(id)).expect("a machine is never up for less than no time")
}

/// The time now, as the `Date` field of an answer.
pub(crate) fn http_date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// The monotonic clock that timeouts are measured by. Each [`Node`](crate::node::Node) has one; tests of this crate set
/// its time by hand.
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
