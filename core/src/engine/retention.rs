//! Retention: which events are dropped, by age or by size.

use alloc::vec::Vec;

use super::Engine;
use super::task::Replacement;
use crate::clock::Moment;
use crate::event::Timestamp;
use crate::repository::ExpiryCause;
use crate::storage::Storage;

/// For how long, and how much, events are kept. Without a limit they stay. What has expired may be there a little
/// longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events older than so many nanoseconds expire: by their own timestamps, whenever they came.
    pub age: Option<i64>,
    /// When all segments together take more bytes on the medium, the ones that came first are dropped, but for the last
    /// one. The log is not counted.
    pub bytes: Option<u64>,
}

/// An event that has expired is dropped with all of its segment, or after this part of the age: so often is a segment
/// rewritten at most while its events expire.
const REWRITES_MAX: i64 = 8;

/// What has expired at some moment, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// Events before this time have expired.
    pub(super) keep_from: i64,
    /// Events before this time are worth a rewriting.
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
    /// From now on, events are dropped that need not be kept any more. Everything is kept otherwise.
    pub fn retain(&mut self, retention: Retention) {
        self.retention = retention;
        self.clock.set_age(retention.age);
    }

    /// A wall clock that departs from what the last commits and the uptime since then give is believed when it has
    /// stayed so for this many nanoseconds, or for the age at which events expire if that is less. Nothing expires by
    /// age until then. 24 hours if not set; 0 believes every clock.
    pub fn trust_clock_after(&mut self, nanos: i64) {
        self.clock.trust_after(nanos);
    }

    /// What has expired, as far as the wall clock is believed.
    pub(super) fn due(&mut self, now: Moment) -> Due {
        if self.clock.is_new() {
            let epochs = self.fresh.iter().flat_map(|fresh| fresh.segment.epochs());
            let committed: Vec<i64> = epochs.map(|epoch| epoch.millis.saturating_mul(1_000_000)).collect();
            committed.into_iter().for_each(|nanos| self.clock.recall(nanos));
        }
        self.clock.observe(now);
        self.due_at(now.wall)
    }

    /// What has expired at a wall time shortly after the clock was observed.
    pub(super) fn due_at(&self, wall: Timestamp) -> Due {
        if self.clock.believes(wall) { self.retention.due(wall) } else { Due::NOTHING }
    }

    /// Drops the next sealed segment of which nothing is to be kept, from the next manifest on.
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

    /// The sealed segment that has to be rewritten without what has expired.
    pub(super) fn to_be_trimmed(&self, due: Due) -> Option<usize> {
        self.sealed.iter().position(|sealed| sealed.times().0 < due.overdue)
    }
}
