//! Accepts erasures, and decides when which of their traces are removed.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::erasure::{ERASURE_BYTES_MAX, ERASURES_MAX, Erasure, Erasures, StoredErasure};
use super::task::Stage;
use super::{Engine, ErasureTest, Examination, LogCut};
use crate::clock::Moment;
use crate::event::Timestamp;
use crate::log::{HEADER_BYTES, RecordHeader};
use crate::query::Filter;
use crate::repository::{CommitError, Erased, ErasureStats};
use crate::segment::Part;
use crate::storage::{Storage, StorageError};

/// Default of [`Engine::erase_within`].
pub(super) const ERASE_WITHIN_DEFAULT: Duration = Duration::from_secs(3600);

/// With less time than this, the work begins at once: hosts ask for tasks only now and then.
const SHARED_FROM: Duration = Duration::from_secs(60);

/// The erasures of an engine that are not complete, and how far the removal of their traces is.
#[derive(Debug)]
pub(super) struct PendingErasures {
    /// Ascending by number.
    list: Vec<Pending>,
    /// The same, for readers.
    shared: Erasures,
    /// The number of the next erasure.
    next: u64,
    /// The time in which the traces of an erasure have to be gone.
    within: Duration,
    /// All events before this place in the log are in sealed segments.
    pub(super) sealed_to: LogCut,
    /// No byte before this offset in the log is left on the medium.
    pub(super) scrubbed_to: u64,
    /// Whether a task to scrub the log is under way.
    pub(super) is_scrubbing: bool,
    /// The name of a sealed segment that has erased events.
    pub(super) found_in: Option<String>,
    /// How many deletions of segments are under way.
    pub(super) deletions: usize,
    /// Names of segments that only the outdated copy of the manifest may list. They are deleted once it is rewritten.
    pub(super) leftovers: Vec<String>,
}

/// An erasure that is not complete.
#[derive(Debug)]
struct Pending {
    erasure: Arc<Erasure>,
    /// The offset in the log after its record.
    log_end: u64,
    /// The uptime when maintenance saw it first.
    seen: Option<Duration>,
}

impl PendingErasures {
    /// None. `next` is the number of the next one, and `log_start` the place where the log begins.
    pub(super) fn none(next: u64, log_start: LogCut) -> Self {
        Self {
            list: Vec::new(),
            shared: Erasures::new([].into()),
            next,
            within: ERASE_WITHIN_DEFAULT,
            sealed_to: log_start,
            scrubbed_to: 0,
            is_scrubbing: false,
            found_in: None,
            deletions: 0,
            leftovers: Vec::new(),
        }
    }

    /// For readers.
    pub(super) fn shared(&self) -> &Erasures {
        &self.shared
    }

    /// The number of the next erasure.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The number of the last erasure so far.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// The number of the first erasure whose record ends after this offset in the log, or of the next one.
    pub(super) fn first_after(&self, log_start: u64) -> u64 {
        let after = self.list.iter().find(|pending| pending.log_end > log_start);
        after.map_or(self.next, |pending| pending.erasure.stored.number)
    }

    /// Adds the next one.
    pub(super) fn push(&mut self, erasure: Erasure, log_end: u64) {
        self.next = erasure.stored.number + 1;
        self.list.push(Pending { erasure: Arc::new(erasure), log_end, seen: None });
        self.share();
    }

    /// The next one has this number: those before are complete.
    pub(super) fn skip_to(&mut self, next: u64) {
        self.next = next;
    }

    fn retain(&mut self, is_kept: impl FnMut(&Pending) -> bool) {
        let before = self.list.len();
        self.list.retain(is_kept);
        if self.list.len() < before {
            self.share();
        }
    }

    fn share(&mut self) {
        self.shared = Erasures::new(self.list.iter().map(|pending| Arc::clone(&pending.erasure)).collect());
    }

    fn bytes(&self) -> usize {
        self.list.iter().map(|pending| pending.erasure.bytes).sum()
    }

    /// Notes when each erasure was first seen.
    pub(super) fn observe(&mut self, now: Moment) {
        for pending in &mut self.list {
            pending.seen.get_or_insert(now.uptime);
        }
    }

    /// Whether the traces of erasures have to be removed now. All of them are then removed together.
    pub(super) fn are_due(&self, now: Moment) -> bool {
        let is_crowded = self.list.len() > ERASURES_MAX / 2 || self.bytes() > ERASURE_BYTES_MAX / 2;
        // The other half of the time is for the work.
        let wait = if self.within < SHARED_FROM { Duration::ZERO } else { self.within / 2 };
        self.list.iter().any(|pending| {
            let seen = pending.seen.unwrap_or(now.uptime);
            // The wall clock counts the time before this process; the uptime does not depend on it.
            let age = now.wall.as_nanos().saturating_sub(pending.erasure.accepted().as_nanos());
            let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0)).max(now.uptime.saturating_sub(seen));
            is_crowded || age >= wait
        })
    }

    /// Whether the log has traces that are still to be overwritten: it begins at `log_start`.
    pub(super) fn need_scrubbing(&self, log_start: u64) -> bool {
        let is_left = |pending: &Pending| pending.log_end <= log_start && self.scrubbed_to < log_start;
        !self.is_scrubbing && self.list.iter().any(is_left)
    }
}

impl<S: Storage> Engine<S> {
    /// Sets the time in which the bytes of erased events leave the medium: the segments that have any are rewritten,
    /// and the log before them is overwritten. The work begins after half of this time, so that several erasures share
    /// it; at once if it is less than a minute. The default is one hour.
    pub fn erase_within(&mut self, within: Duration) {
        self.erasures.within = within;
    }

    pub(super) fn accept_erasure(&mut self, now: Timestamp, filter: &Filter) -> Result<Erased, CommitError> {
        let is_empty = |list: Option<usize>| list == Some(0);
        let (types, ids) = (filter.types.as_ref().map(Vec::len), filter.ids.as_ref().map(Vec::len));
        if self.last_seq == 0 || is_empty(types) || is_empty(ids) {
            return Ok(Erased::Exactly(0));
        }
        if self.recovery.manifest_outdated {
            // An earlier version could open the outdated copy, and would take the record for a torn one.
            return Err(CommitError::unavailable("a copy of the manifest has to be rewritten first"));
        }
        let millis = now.as_nanos().div_euclid(1_000_000).max(self.last_millis);
        let stored =
            StoredErasure { number: self.erasures.next, up_to_seq: self.last_seq, millis, filter: filter.clone() };
        let text = stored.text();
        let erasure = Erasure::new(stored, &self.key);
        if self.erasures.list.len() >= ERASURES_MAX || self.erasures.bytes() + erasure.bytes > ERASURE_BYTES_MAX {
            let (count, reason) = (self.erasures.list.len(), "their events are removed first");
            return Err(CommitError::unavailable(format!("{count} erasures are not complete; {reason}")));
        }
        let before = self.snapshot();
        let offset = self.storage.log_end();
        let mark = RecordHeader::mark(offset, self.durable, self.last_seq + 1, millis, self.chain);
        let (header, index) = mark.with_erasure(erasure.stored.number, text.as_bytes());
        let (bytes, crc) = header.encode();
        self.append_parts(&[&bytes, &index, text.as_bytes()])?;
        (self.chain, self.marked) = (crc, self.durable);
        // Also if commits need not be durable: what is erased must not come back.
        self.sync_log()?;
        let end = offset + HEADER_BYTES as u64 + header.body_len();
        self.apply_erasure(erasure, self.cut_at(end));
        Ok(Erased::Among(before))
    }

    /// Applies an erasure whose record ends at this position in the log.
    pub(super) fn apply_erasure(&mut self, erasure: Erasure, end: LogCut) {
        self.last_millis = self.last_millis.max(erasure.stored.millis);
        self.erasures.push(erasure, end.offset);
        self.extend_last(end);
    }

    /// A record without events, which ends here, goes together with the one before.
    pub(super) fn extend_last(&mut self, end: LogCut) {
        match self.fresh.last_mut() {
            Some(fresh) => fresh.end = end,
            None => self.erasures.sealed_to = end,
        }
    }

    /// What erasures have left to do.
    pub(super) fn erasure_stats(&self) -> ErasureStats {
        let last = self.erasures.last();
        let is_open = !self.erasures.list.is_empty();
        let open = self.sealed.iter().filter(|sealed| is_open && sealed.erased_to() < last);
        ErasureStats {
            accepted: last,
            pending: self.erasures.list.len() as u64,
            oldest: self.erasures.list.first().map(|pending| pending.erasure.accepted()),
            bytes: open.map(|sealed| sealed.bytes()).sum(),
        }
    }

    /// A test for erased events, as of now.
    pub(super) fn erasure_test(&self) -> ErasureTest {
        ErasureTest::new(self.erasures.shared(), &self.key)
    }

    /// How many of the oldest fresh segments have to be sealed because they may have erased events, and so that the log
    /// can be trimmed.
    pub(super) fn to_be_sealed_for_erasure(&self, now: Moment) -> Option<usize> {
        let up_to_seq = self.erasures.list.last()?.erasure.stored.up_to_seq;
        if !self.erasures.are_due(now) {
            return None;
        }
        let count = self.fresh.partition_point(|fresh| fresh.segment.base() <= up_to_seq);
        (count > 0).then_some(count)
    }

    /// The task to find out whether a sealed segment has erased events, or the index of one that has.
    pub(super) fn next_for_erasure(&mut self, now: Moment) -> Option<Result<usize, Stage>> {
        if self.erasures.list.is_empty() || !self.erasures.are_due(now) {
            return None;
        }
        if let Some(name) = self.erasures.found_in.take()
            && let Some(index) = self.sealed.iter().position(|sealed| sealed.name() == name)
        {
            return Some(Ok(index));
        }
        let (test, last) = (self.erasure_test(), self.erasures.last());
        let sealed = Arc::clone(self.sealed.iter().find(|sealed| sealed.erased_to() < last)?);
        Some(Err(Stage::Examining(Box::new(Examination::new(sealed, test)), last)))
    }

    /// Notes which sealed segments have no erased events, as far as their indexes say so.
    pub(super) fn note_untouched_segments(&mut self, now: Moment) {
        if self.busy.sealed || self.erasures.list.is_empty() || !self.erasures.are_due(now) {
            return;
        }
        let (test, last) = (self.erasure_test(), self.erasures.last());
        for index in 0..self.sealed.len() {
            let open = self.sealed.get(index).filter(|sealed| sealed.erased_to() < last);
            if open.is_some_and(|sealed| !test.may_erase_in(&Part::Sealed(Arc::clone(sealed)))) {
                self.set_erased_to(index, last);
            }
        }
    }

    /// A search has found out whether a segment has events of erasures up to this number.
    pub(super) fn install_examined(&mut self, examination: &Examination, erased_to: u64) {
        let name = examination.sealed().name();
        match examination.found() {
            Some(true) => self.erasures.found_in = Some(name.into()),
            Some(false) => {
                let index = self.sealed.iter().position(|sealed| sealed.name() == name);
                index.into_iter().for_each(|index| self.set_erased_to(index, erased_to));
            }
            // Abandoned. The work is due again.
            None => {}
        }
    }

    fn set_erased_to(&mut self, index: usize, erased_to: u64) {
        if let Some(sealed) = Arc::make_mut(&mut self.sealed).get_mut(index) {
            *sealed = Arc::new(sealed.as_ref().clone().with_erased_to(erased_to));
        }
    }

    /// Whether nothing on the medium has traces of an erasure any more, apart from the manifest.
    fn is_complete(&self, pending: &Pending) -> bool {
        let StoredErasure { number, up_to_seq, .. } = pending.erasure.stored;
        pending.log_end <= self.manifest.log_start.min(self.erasures.scrubbed_to)
            && self.obsolete.is_empty()
            && self.erasures.deletions == 0
            && self.erasures.leftovers.is_empty()
            && !self.recovery.manifest_outdated
            && self.fresh.first().is_none_or(|fresh| fresh.segment.base() > up_to_seq)
            && self.sealed.iter().all(|sealed| sealed.erased_to() >= number || sealed.seqs().0 > up_to_seq)
    }

    /// Whether a manifest has to be written because of erasures: some are complete, or only it can let the log begin
    /// after their records.
    pub(super) fn has_erasures_to_publish(&self, now: Moment) -> bool {
        if self.erasures.list.is_empty() {
            return false;
        }
        let may_advance = self.manifest.log_start < self.erasures.sealed_to.offset;
        self.erasures.list.iter().any(|pending| self.is_complete(pending))
            || (may_advance && self.erasures.are_due(now))
    }

    /// The erasures that a manifest has to list if the log begins at this offset.
    pub(super) fn erasures_before(&self, log_start: u64) -> Vec<StoredErasure> {
        let is_listed = |pending: &&Pending| pending.log_end <= log_start && !self.is_complete(pending);
        self.erasures.list.iter().filter(is_listed).map(|pending| pending.erasure.stored.clone()).collect()
    }

    /// Forgets the erasures that the manifest would have to list and does not: they are complete. Returns how many.
    pub(super) fn forget_complete_erasures(&mut self) -> u64 {
        let (log_start, listed) = (self.manifest.log_start, &self.manifest.erasures);
        let before = self.erasures.list.len();
        let is_listed = |number: u64| listed.binary_search_by_key(&number, |erasure| erasure.number).is_ok();
        self.erasures.retain(|pending| pending.log_end > log_start || is_listed(pending.erasure.stored.number));
        (before - self.erasures.list.len()) as u64
    }

    /// Takes the bytes before the beginning of the log off the medium, if erasures need it; otherwise discards them.
    /// Returns whether some are left.
    pub(super) fn trim_log(&mut self) -> Result<bool, StorageError> {
        let start = self.manifest.log_start;
        if !core::mem::take(&mut self.erasures.is_scrubbing) {
            return self.storage.discard(start);
        }
        let is_left = self.storage.scrub(start)?;
        if !is_left {
            self.erasures.scrubbed_to = start;
        }
        Ok(is_left)
    }
}
