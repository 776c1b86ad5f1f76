//! Which events are kept, and when those that are not are looked for.

use std::time::Duration;

use argus_core::event::Timestamp;

/// How often events that expire are looked for.
const INTERVAL: Duration = Duration::from_secs(10);

/// Which events are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events that are older are removed; `None` keeps them. In nanoseconds.
    pub age: Option<i64>,
    /// If the types, ids and payloads of all events have more bytes, those that were stored first are removed.
    pub bytes: Option<u64>,
}

impl Retention {
    /// Whether events ever expire.
    #[must_use]
    pub fn removes(self) -> bool {
        self.age.is_some() || self.bytes.is_some()
    }

    /// Events before this time are too old at this one.
    #[must_use]
    pub fn keep_from(self, now: Timestamp) -> Timestamp {
        Timestamp::from_nanos(self.age.map_or(i64::MIN, |age| now.as_nanos().saturating_sub(age)))
    }

    /// How many events are too many, about, if so many events have so many bytes; `None` if none is.
    #[must_use]
    pub fn surplus(self, events: u64, bytes: u64) -> Option<u64> {
        let mean = (bytes / events.max(1)).max(1);
        let surplus = bytes.checked_sub(self.bytes?).filter(|surplus| *surplus > 0)?;
        Some(surplus / mean + 1)
    }
}

/// When a repository looks for events that expire: again and again, and once at a time.
#[derive(Debug, Default)]
pub struct ExpirySchedule {
    /// When that was last begun, as uptime.
    last: Option<Duration>,
    is_under_way: bool,
}

impl ExpirySchedule {
    /// Whether it is due at this uptime. Then it has begun.
    pub fn begin(&mut self, uptime: Duration) -> bool {
        let is_due = self.last.is_none_or(|last| uptime.saturating_sub(last) >= INTERVAL);
        if self.is_under_way || !is_due {
            return false;
        }
        *self = Self { last: Some(uptime), is_under_way: true };
        true
    }

    /// Notes that it has ended.
    pub fn end(&mut self) {
        self.is_under_way = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_in_events_of_mean_size() {
        let retention = Retention { age: None, bytes: Some(1_000) };
        assert_eq!(retention.surplus(10, 1_000), None);
        assert_eq!(retention.surplus(10, 1_001), Some(1));
        assert_eq!(retention.surplus(20, 2_000), Some(11));
        assert_eq!(retention.surplus(0, 2_000), Some(1), "the counts are wrong, and nothing is divided by 0");
        assert_eq!(Retention::default().surplus(20, 2_000), None);
    }

    #[test]
    fn expiry_comes_again_after_it_has_ended() {
        let mut schedule = ExpirySchedule::default();
        assert!(schedule.begin(Duration::ZERO));
        assert!(!schedule.begin(INTERVAL), "it is under way");
        schedule.end();
        assert!(!schedule.begin(INTERVAL / 2));
        assert!(schedule.begin(INTERVAL));
    }
}
