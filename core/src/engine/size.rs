//! How much segments contain.

use crate::segment::{Sealed, Segment};

/// How much some segments contain, and from which times.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) events: u64,
    pub(super) bytes: u64,
    /// The times of the first and the last event, in nanoseconds since the Unix epoch.
    pub(super) times: (i64, i64),
}

impl Size {
    pub(super) fn of_fresh(segment: &Segment) -> Self {
        let events = segment.rows().len();
        let times = (segment.sort_key(0).time, segment.sort_key(events.saturating_sub(1)).time);
        Self { events: events as u64, bytes: segment.rows().bytes() as u64, times }
    }

    pub(super) fn of_sealed(sealed: &Sealed) -> Self {
        Self { events: sealed.events(), bytes: sealed.bytes(), times: sealed.times() }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            bytes: self.bytes + other.bytes,
            times: (self.times.0.min(other.times.0), self.times.1.max(other.times.1)),
        }
    }
}
