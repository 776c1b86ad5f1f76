//! Checks that a subject keeps its promises.

mod erasures;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use argus_core::analysis::{AnalysisLimits, Question};
use argus_core::batch::Batch;
use argus_core::event::Timestamp;
use argus_core::query::{Filter, Scan};
use argus_core::repository::{ReadError, Receipt, Repository, Snapshot};

use super::super::compare::{Difference, check_answer};
use super::super::model::Model;
use super::super::naive::{analyze, check_text};
use super::super::run::{Answer, Pace, collect};
use super::super::stored::{StoredEvent, StoredId, get};
use erasures::mark;

/// Knows what was promised, but not how the engine works.
///
/// Events acknowledged as durable exist once, in order, byte for byte. Events acknowledged without durability exist
/// until the process ends. They survive the end of the process if the machine keeps running, and every crash after the
/// first flush. If some are lost, everything after them is lost too, and no batch is lost in part. A batch that was not
/// acknowledged is stored whole or not at all; the next opening decides which, for good. Ids that were handed out do
/// not change. An acknowledged erasure is durable, with everything before it; what it has erased never comes back. An
/// erasure that was not acknowledged holds or not; the next opening decides which.
#[derive(Default)]
pub(super) struct Auditor {
    /// The expected contents.
    model: Model,
    /// Events up to this sequence number are durable.
    durable: u64,
    /// The last sequence numbers of the batches that are not durable yet. After a crash the store ends at `durable` or
    /// at one of these.
    ends: Vec<u64>,
    /// Whether the process that acknowledged all this has ended, and no later process has opened the store yet.
    is_down: bool,
    /// Whether nothing may be lost: the process ended without a fault and the machine kept running.
    all_stays: bool,
    /// Events up to this sequence number have the subject's ids.
    learned: u64,
    /// Which events may have expired.
    expiry: Expiry,
    /// Events that were acknowledged, but not as durable, and were lost.
    lost: u64,
    /// What may be stored as well.
    doubtful: Option<Doubtful>,
    /// The number of erasures.
    erasures: u64,
    /// The marks of erased events.
    erased_marks: Vec<String>,
    /// How many events with each mark were stored: callers send events again.
    stored_marks: BTreeMap<String, u64>,
    /// Snapshots of the subject and of the model, taken together.
    kept: Vec<[Arc<dyn Snapshot>; 2]>,
}

/// Which events may have expired.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expiry {
    /// Events older than this.
    pub(super) before: Option<Timestamp>,
    /// Any number of events from the first one on.
    pub(super) first: bool,
}

/// What the engine must think of the wall clock when it commits a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// It reports a doubt.
    Doubted,
    /// It reports no doubt, and the wall clock has not been changed much since it looked.
    Believed,
    /// It has not looked since it was opened, or the clock was changed since it looked.
    Unknown,
}

/// When a group was committed, and which of its events may have expired by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion {
    /// The wall time.
    pub(super) now: Timestamp,
    /// The age at which events expire, if any.
    pub(super) age: Option<i64>,
    pub(super) belief: Belief,
}

enum Doubtful {
    /// These batches, in this order.
    Group { now: Timestamp, group: Vec<Batch> },
    /// An erasure.
    Erasure(Filter),
}

/// What an auditor found wrong.
#[derive(Debug)]
pub(super) enum Finding {
    /// A broken promise.
    Broken(String),
    /// An error of the store on reading.
    Unreadable(ReadError),
}

impl Auditor {
    /// The auditor of an empty store with this limit of event types.
    pub(super) fn new(types_max: usize) -> Self {
        Self { model: Model::with_types(types_max), ..Self::default() }
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// Events that were acknowledged, but not as durable, and lost.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// From now on these events may have expired as well.
    pub(super) fn allow(&mut self, expiry: Expiry) {
        self.expiry.before = self.expiry.before.max(expiry.before);
        self.expiry.first |= expiry.first;
    }

    /// A group was acknowledged, as durable or not. Checks its receipts.
    pub(super) fn acknowledged(
        &mut self,
        occasion: Occasion,
        group: &[Batch],
        receipts: &[Receipt],
        is_durable: bool,
        snapshot: &Arc<dyn Snapshot>,
    ) -> Result<(), Finding> {
        let before = self.model.last_seq();
        let mut expected = accept(&mut self.model, occasion.now, group);
        self.learn(snapshot)?;
        if is_durable {
            self.flushed();
        } else {
            self.ends.extend(expected.iter().scan(before, |end, receipt| {
                *end += u64::from(receipt.stored);
                Some(*end)
            }));
        }
        let mut found = receipts.to_vec();
        for (receipt, found) in expected.iter_mut().zip(&found) {
            receipt.expired = match occasion.belief {
                Belief::Doubted => 0,
                Belief::Unknown if found.expired == 0 => 0,
                Belief::Unknown | Belief::Believed => self.expired(receipt, occasion),
            };
            // The model's receipts never say durable.
            receipt.durable = is_durable;
            let first = self.model.event(receipt.first_seq);
            receipt.generated_id = first.filter(|_| receipt.stored > 0).and_then(|event| match event.id {
                StoredId::Generated(id) => Some(id),
                StoredId::Given(_) => None,
            });
        }
        for receipt in expected.iter_mut().chain(&mut found).filter(|receipt| receipt.stored == 0) {
            receipt.first_seq = 0;
        }
        if expected == found {
            Ok(())
        } else {
            Err(Finding::Broken(format!("wrong receipts: expected {expected:?}, found {found:?}")))
        }
    }

    /// How many events of a receipt were older than the limit at the wall time of the commit.
    fn expired(&self, receipt: &Receipt, Occasion { now, age, belief: _ }: Occasion) -> u32 {
        let Some(age) = age else { return 0 };
        let seqs = receipt.first_seq..receipt.first_seq + u64::from(receipt.stored);
        let events = seqs.filter_map(|seq| self.model.event(seq));
        events.filter(|event| event.timestamp.as_nanos() < now.as_nanos() - age).count() as u32
    }

    /// Everything acknowledged is durable now.
    pub(super) fn flushed(&mut self) {
        self.durable = self.model.last_seq();
        self.ends.clear();
    }

    /// A process has ended, perhaps while it opened the store. With `all_stays` the machine keeps running and has
    /// everything that was written.
    pub(super) fn process_ended(&mut self, all_stays: bool) {
        self.all_stays = all_stays && (self.all_stays || !self.is_down);
        self.is_down = true;
        // Its snapshots have gone with it.
        self.kept.clear();
    }

    /// A group's outcome is unknown.
    pub(super) fn left_in_doubt(&mut self, now: Timestamp, group: &[Batch]) {
        self.doubtful = Some(Doubtful::Group { now, group: group.to_vec() });
    }

    /// The store was opened. Finds out which batches in doubt were stored, and compares everything.
    pub(super) fn recovered(&mut self, snapshot: &Arc<dyn Snapshot>) -> Result<(), Finding> {
        let before = (self.model.clone(), self.learned, self.lost, self.erasures, self.erased_marks.clone());
        let decided = self.decide(snapshot).and_then(|()| self.audit(snapshot));
        match decided {
            Ok(()) => {
                self.doubtful = None;
                self.is_down = false;
                // An opened store makes everything it shows durable first.
                self.flushed();
            }
            // A store that cannot be read decides nothing.
            Err(_) => (self.model, self.learned, self.lost, self.erasures, self.erased_marks) = before,
        }
        decided
    }

    fn decide(&mut self, snapshot: &Arc<dyn Snapshot>) -> Result<(), Finding> {
        let before = self.model.last_seq();
        let last_seq = snapshot.last_seq();
        if last_seq < before {
            return self.lose(last_seq);
        }
        let in_doubt = match &self.doubtful {
            Some(Doubtful::Group { group, .. }) => group.len(),
            Some(Doubtful::Erasure(_)) | None => 0,
        };
        if let Some(Doubtful::Group { now, group }) = &self.doubtful {
            for batch in group {
                let mut longer = self.model.clone();
                accept(&mut longer, *now, std::slice::from_ref(batch));
                if longer.last_seq() > last_seq {
                    break;
                }
                self.model = longer;
            }
        }
        if self.model.last_seq() != last_seq {
            return Err(Finding::Broken(format!(
                "{last_seq} events found; {before} were known, and {} with the batches in doubt \
                 ({in_doubt}) that fit whole",
                self.model.last_seq()
            )));
        }
        self.learn(snapshot)?;
        match &self.doubtful {
            Some(Doubtful::Erasure(filter)) if snapshot.erasures() == self.erasures + 1 => {
                let filter = filter.clone();
                self.erase(&filter);
                self.erasures += 1;
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Removes acknowledged events that are gone, if they may be.
    fn lose(&mut self, left: u64) -> Result<(), Finding> {
        let before = self.model.last_seq();
        if self.all_stays || left < self.durable {
            let durable = if self.all_stays { before } else { self.durable };
            return Err(Finding::Broken(format!(
                "{left} events found; {before} were known, and {durable} of them must not be lost"
            )));
        }
        if left != self.durable && !self.ends.contains(&left) {
            return Err(Finding::Broken(format!(
                "part of a batch is stored: {left} events found, batches end at {:?}",
                self.ends
            )));
        }
        self.model.truncate(left);
        self.learned = left;
        self.lost += before - left;
        Ok(())
    }

    /// Compares all events, and looks some up by id.
    pub(super) fn audit(&mut self, snapshot: &Arc<dyn Snapshot>) -> Result<(), Finding> {
        if snapshot.erasures() != self.erasures {
            let (found, expected) = (snapshot.erasures(), self.erasures);
            return Err(Finding::Broken(format!("{found} erasures found, and {expected} were acknowledged")));
        }
        let found = collect(snapshot, &Scan::default(), Pace::UNBROKEN)?;
        self.expire(&found);
        self.check_gaps(snapshot, &found)?;
        let stats = snapshot.stats()?;
        // Erased events count until they are removed.
        let fits =
            |figure: u64, exact: usize| figure == exact as u64 || (stats.erasures.pending > 0 && figure > exact as u64);
        if !fits(stats.events, found.events.len()) {
            return Err(Finding::Broken(format!("stats report {} events, a scan finds another number", stats.events)));
        }
        let types: BTreeSet<&str> = found.events.iter().map(|event| event.event_type.as_str()).collect();
        if !fits(stats.event_types, types.len()) {
            let said = stats.event_types;
            return Err(Finding::Broken(format!("stats report {said} event types, a scan finds {}", types.len())));
        }
        let mut expected: Vec<&StoredEvent> = self.model.events().iter().collect();
        expected.sort_by_key(|event| event.position());
        if !expected.iter().copied().eq(&found.events) {
            let events = expected.into_iter().cloned().collect();
            check_answer("all events", &Answer { next: None, events }, &found)?;
            return Err(Finding::Broken("the id of an event, or the time when it was stored, has changed".to_string()));
        }
        let count = self.model.events().len();
        let some = self.model.events().iter().step_by(1 + count / 8).chain(self.model.events().last());
        let ids = some.map(|event| (event.id.text(), Some(event))).chain([("an unknown id".to_string(), None)]);
        for (id, expected) in ids {
            let found = get(snapshot.as_ref(), &id)?;
            if found.as_ref() != expected {
                return Err(Finding::Broken(format!(
                    "wrong event under the id {id:?}: expected {expected:?}, found {found:?}"
                )));
            }
        }
        Ok(())
    }

    /// Removes from the model what the subject has expired, if it may.
    fn expire(&mut self, found: &Answer) {
        let Expiry { before, first } = self.expiry;
        if before.is_none() && !first {
            return;
        }
        let there: BTreeSet<u64> = found.events.iter().map(|event| event.seq).collect();
        let first_there = there.first().copied().unwrap_or(u64::MAX);
        self.model.retain(|event| {
            let may_be_gone =
                before.is_some_and(|before| event.timestamp < before) || (first && event.seq < first_there);
            !may_be_gone || there.contains(&event.seq)
        });
    }

    /// Checks that no event older than `overdue` is left after all maintenance.
    pub(super) fn check_expired(&self, overdue: Timestamp) -> Result<(), Finding> {
        match self.model.events().iter().find(|event| event.timestamp < overdue) {
            Some(event) => Err(Finding::Broken(format!("event {} should have expired: {event:?}", event.seq))),
            None => Ok(()),
        }
    }

    /// Compares the answers to a query.
    pub(super) fn ask(&self, snapshot: &Arc<dyn Snapshot>, query: &Scan, pace: Pace) -> Result<(), Finding> {
        let found = collect(snapshot, query, pace)?;
        let expected = collect(&self.model.snapshot(), query, Pace::UNBROKEN)?;
        Ok(check_answer(&format!("{query:?} at {pace:?}"), &expected, &found)?)
    }

    /// Compares the answers to a question about many events. The run is ended after this number of calls, and another
    /// one goes on.
    pub(super) fn ask_question(
        &self,
        snapshot: &Arc<dyn Snapshot>,
        question: &Question,
        budget: u32,
        calls: u32,
    ) -> Result<(), Finding> {
        match analyze(snapshot, question, AnalysisLimits::DEFAULT, budget, calls)? {
            Ok(found) => Ok(check_text(question, self.model.events(), &found)?),
            Err(excess) => Err(Finding::Broken(format!("{excess}, asked {question:?}"))),
        }
    }

    /// Keeps a snapshot, to compare it again later.
    pub(super) fn keep(&mut self, snapshot: Arc<dyn Snapshot>) {
        self.kept.push([snapshot, self.model.snapshot()]);
    }

    /// Compares the kept snapshots and drops them.
    pub(super) fn check_kept(&mut self) -> Result<(), Finding> {
        for [subject, model] in std::mem::take(&mut self.kept) {
            let expected = collect(&model, &Scan::default(), Pace::UNBROKEN)?;
            check_answer("a kept snapshot", &expected, &collect(&subject, &Scan::default(), Pace::UNBROKEN)?)?;
        }
        Ok(())
    }

    /// Copies the subject's ids and times of commit of new events into the model.
    fn learn(&mut self, snapshot: &Arc<dyn Snapshot>) -> Result<(), Finding> {
        let news = Scan::from(Filter { after_seq: Some(self.learned), ..Filter::default() });
        let found = collect(snapshot, &news, Pace::UNBROKEN)?;
        let expected = collect(&self.model.snapshot(), &news, Pace::UNBROKEN)?;
        check_answer("the new events", &expected, &found)?;
        for event in found.events {
            if let Some(mark) = mark(&event) {
                *self.stored_marks.entry(mark.to_string()).or_default() += 1;
            }
            if let StoredId::Generated(id) = event.id {
                self.model.take_id(event.seq, id);
            }
            self.model.take_stored_at(event.seq, event.stored_at);
        }
        self.learned = self.model.last_seq();
        Ok(())
    }
}

fn accept(model: &mut Model, now: Timestamp, group: &[Batch]) -> Vec<Receipt> {
    model.commit(now, group).expect("a model does not fail")
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(what) => f.write_str(what),
            Self::Unreadable(error) => error.fmt(f),
        }
    }
}

impl From<ReadError> for Finding {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<Difference> for Finding {
    fn from(difference: Difference) -> Self {
        Self::Broken(difference.to_string())
    }
}

impl fmt::Debug for Auditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auditor").field("events", &self.model.events().len()).finish_non_exhaustive()
    }
}
