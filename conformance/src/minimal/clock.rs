//! This host's clocks.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use argus_core::clock::Moment;
use argus_core::event::Timestamp;

/// The current moment. The uptime counts from the first call.
pub(crate) fn moment() -> Moment {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    Moment { wall: now(), uptime: BEGUN.get_or_init(Instant::now).elapsed() }
}

/// The wall clock. This host reads it only here.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
