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

/// A segment is dropped when all its events have expired. Until then, it is rewritten without its expired events each
/// time the oldest one has been expired for the age divided by this. So a segment is rewritten about this often at
/// most.
const REWRITES_MAX: i64 = 8;

/// The times before which events expire, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutoffs {
    /// Events before this time have expired.
    pub(super) keep_from: i64,
    /// Segments with events before this time are rewritten.
    pub(super) rewrite_before: i64,
}

impl Cutoffs {
    /// Nothing expires.
    pub(super) const NONE: Self = Self { keep_from: i64::MIN, rewrite_before: i64::MIN };
}

impl Retention {
    fn cutoffs(self, now: Timestamp) -> Cutoffs {
        self.age.map_or(Cutoffs::NONE, |age| {
            let keep_from = now.as_nanos().saturating_sub(age);
            Cutoffs { keep_from, rewrite_before: keep_from.saturating_sub(age / REWRITES_MAX) }
        })
    }
}

impl<S: Storage> Engine<S> {
    /// Sets the limits. Without this call, everything is kept.
    pub fn retain(&mut self, retention: Retention) {
        self.retention = retention;
        self.clock.set_age(retention.age);
    }

    /// Sets after how many nanoseconds a wall clock in doubt is trusted: it must have differed steadily for so long
    /// from the expected time, which is the time of the last commits plus the uptime since. If events expire at a lower
    /// age, that age counts instead. Until then, nothing expires by age. The default is 24 hours; 0 trusts every clock.
    pub fn trust_clock_after(&mut self, nanos: i64) {
        self.clock.set_trust_after(nanos);
    }

    /// The cutoffs now. Nothing expires while the wall clock is in doubt.
    pub(super) fn cutoffs(&mut self, now: Moment) -> Cutoffs {
        if self.clock.is_new() {
            let epochs = self.fresh.iter().flat_map(|fresh| fresh.segment.epochs());
            let committed: Vec<i64> = epochs.map(|epoch| epoch.millis.saturating_mul(1_000_000)).collect();
            committed.into_iter().for_each(|nanos| self.clock.observe_commit(nanos));
        }
        self.clock.observe(now);
        self.cutoffs_at(now.wall)
    }

    /// As [`cutoffs`](Self::cutoffs), for a wall time shortly after the clock was observed.
    pub(super) fn cutoffs_at(&self, wall: Timestamp) -> Cutoffs {
        if self.clock.trusts(wall) { self.retention.cutoffs(wall) } else { Cutoffs::NONE }
    }

    /// Schedules a segment for removal with the next manifest: one whose events have all expired, or the oldest one if
    /// there are too many bytes.
    pub(super) fn drop_expired(&mut self, cutoffs: Cutoffs) {
        if self.busy.sealed {
            return;
        }
        let by_age = self.sealed.iter().position(|sealed| sealed.times().1 < cutoffs.keep_from);
        let by_size = || {
            let total: u64 = self.sealed.iter().map(|sealed| sealed.bytes()).sum();
            self.retention.bytes.filter(|&max| total > max && self.sealed.len() > 1).map(|_| 0)
        };
        let expired = by_age.map(|index| (index, ExpiryCause::Age));
        let Some((index, cause)) = expired.or_else(|| by_size().map(|index| (index, ExpiryCause::Size))) else {
            return;
        };
        self.unpublished.push(Replacement::removal(index, cause));
        self.busy.sealed = true;
    }

    /// The next sealed segment that is due to be rewritten without its expired events.
    pub(super) fn to_be_rewritten(&self, cutoffs: Cutoffs) -> Option<usize> {
        self.sealed.iter().position(|sealed| sealed.times().0 < cutoffs.rewrite_before)
    }
}
