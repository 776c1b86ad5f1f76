//! Retention: which events expire, by age or by size.

use alloc::vec::Vec;

use super::Engine;
use super::task::Replacement;
use crate::clock::Moment;
use crate::event::Timestamp;
use crate::repository::ExpiryCause;
use crate::storage::Storage;

/// Limits for stored events; `None` is no limit. Expired events may stay readable a little longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events with timestamps older than this many nanoseconds expire, whenever they arrived.
    pub age: Option<i64>,
    /// When sealed segments take more than this many bytes, the oldest are dropped, except for the last one. The log
    /// does not count.
    pub bytes: Option<u64>,
}

/// A segment is dropped when all of it has expired. Before, it is rewritten without its expired events once the oldest
/// is overdue by the age divided by this; so it is rewritten at most this often.
const REWRITES_MAX: i64 = 8;

/// The limits of expiry at a moment, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// Events before this time have expired.
    pub(super) keep_from: i64,
    /// Segments with events before this time are rewritten.
    pub(super) overdue: i64,
}

impl Due {
    /// Nothing expires.
    pub(super) const NOTHING: Self = Self { keep_from: i64::MIN, overdue: i64::MIN };
}

impl Retention {
    fn due(self, now: Timestamp) -> Due {
        self.age.map_or(Due::NOTHING, |age| {
            let keep_from = now.as_nanos().saturating_sub(age);
            Due { keep_from, overdue: keep_from.saturating_sub(age / REWRITES_MAX) }
        })
    }
}

impl<S: Storage> Engine<S> {
    /// Sets the limits. Without this call, everything is kept.
    pub fn retain(&mut self, retention: Retention) {
        self.retention = retention;
        self.clock.set_age(retention.age);
    }

    /// How long, in nanoseconds, a wall clock must differ steadily from the expected time before it is believed. The
    /// expected time is that of the last commits plus the uptime since. If events expire at a lower age, that age
    /// counts instead. Meanwhile nothing expires by age. 24 hours by default; 0 believes every clock.
    pub fn trust_clock_after(&mut self, nanos: i64) {
        self.clock.trust_after(nanos);
    }

    /// The limits of expiry; nothing expires while the wall clock is in doubt.
    pub(super) fn due(&mut self, now: Moment) -> Due {
        if self.clock.is_new() {
            let epochs = self.fresh.iter().flat_map(|fresh| fresh.segment.epochs());
            let committed: Vec<i64> = epochs.map(|epoch| epoch.millis.saturating_mul(1_000_000)).collect();
            committed.into_iter().for_each(|nanos| self.clock.observe_commit(nanos));
        }
        self.clock.observe(now);
        self.due_at(now.wall)
    }

    /// As [`due`](Self::due), for a wall time shortly after the clock was observed.
    pub(super) fn due_at(&self, wall: Timestamp) -> Due {
        if self.clock.believes(wall) { self.retention.due(wall) } else { Due::NOTHING }
    }

    /// Schedules the next fully expired segment to be dropped with the next manifest.
    pub(super) fn drop_expired(&mut self, due: Due) {
        if self.busy.sealed {
            return;
        }
        let has_expired = self.sealed.iter().position(|sealed| sealed.times().1 < due.keep_from);
        let is_too_much = || {
            let total: u64 = self.sealed.iter().map(|sealed| sealed.bytes()).sum();
            self.retention.bytes.filter(|&most| total > most && self.sealed.len() > 1).map(|_| 0)
        };
        let expired = has_expired.map(|index| (index, ExpiryCause::Age));
        let Some((index, cause)) = expired.or_else(|| is_too_much().map(|index| (index, ExpiryCause::Size))) else {
            return;
        };
        let seqs = self.sealed.get(index).expect("it was found among them").seqs();
        self.unpublished.push(Replacement::nothing(index, seqs, cause));
        self.busy.sealed = true;
    }

    /// The next sealed segment that is due to be rewritten without its expired events.
    pub(super) fn to_be_trimmed(&self, due: Due) -> Option<usize> {
        self.sealed.iter().position(|sealed| sealed.times().0 < due.overdue)
    }
}
