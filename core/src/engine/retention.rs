use super::Engine;
use super::chore::Replacement;
use crate::event::Timestamp;
use crate::storage::Storage;

/// For how long, and how much, events are kept. What neither asks to be given up stays; what is to be given up may be there a little longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events older than so many nanoseconds expire: by their own timestamps, whenever they came.
    pub age: Option<i64>,
    /// When all segments together take more bytes on the medium, the ones that came first are given up, but for the last one. The log is
    /// not counted.
    pub bytes: Option<u64>,
}

/// An event that has expired is given up with all of its segment, or after this part of the age: so often is a segment rewritten at most while
/// its events expire.
const REWRITES_MAX: i64 = 8;

impl Retention {
    /// Events before this time have expired, in nanoseconds since the Unix epoch.
    pub(super) fn keep_from(self, now: Timestamp) -> i64 {
        self.age.map_or(i64::MIN, |age| now.as_nanos().saturating_sub(age))
    }

    /// Events before this time are worth a rewriting.
    pub(super) fn overdue(self, now: Timestamp) -> i64 {
        self.age.map_or(i64::MIN, |age| now.as_nanos().saturating_sub(age.saturating_add(age / REWRITES_MAX)))
    }
}

impl<S: Storage> Engine<S> {
    /// Gives up the next sealed segment of which nothing is to be kept, from the next manifest on.
    pub(super) fn give_up(&mut self, now: Timestamp) {
        if self.busy.sealed {
            return;
        }
        let keep_from = self.retention.keep_from(now);
        let has_expired = self.sealed.iter().position(|sealed| sealed.times().1 < keep_from);
        let is_too_much = || {
            let total: u64 = self.sealed.iter().map(|sealed| sealed.bytes()).sum();
            self.retention.bytes.filter(|&most| total > most && self.sealed.len() > 1).map(|_| 0)
        };
        let Some(index) = has_expired.or_else(is_too_much) else { return };
        let seqs = self.sealed.get(index).map_or((0, 0), |sealed| sealed.seqs());
        self.unpublished.push(Replacement::nothing(index, seqs));
        self.busy.sealed = true;
    }

    /// The sealed segment that has to be rewritten without what has expired.
    pub(super) fn to_be_trimmed(&self, now: Timestamp) -> Option<usize> {
        let overdue = self.retention.overdue(now);
        self.sealed.iter().position(|sealed| sealed.times().0 < overdue)
    }
}
