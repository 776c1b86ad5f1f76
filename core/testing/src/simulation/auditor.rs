//! Holds a subject to what it has promised.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use argus_core::batch::Batch;
use argus_core::event::Timestamp;
use argus_core::query::Query;
use argus_core::repository::{ReadError, Receipt, Repository, Snapshot};

use super::super::compare::{Difference, check_answer};
use super::super::model::Model;
use super::super::run::{Answer, Pace, collect};
use super::super::stored::{StoredEvent, StoredId, get};

/// Knows what was promised, and nothing of how it is kept.
///
/// What was acknowledged as durable is there, in order, byte for byte and once. What was acknowledged and not said to
/// be durable is there until the process ends; afterwards too if the machine goes on, and from the first flush on in
/// any case. Of what is lost, nothing is there that came later, and no part of a batch. What was not acknowledged is
/// there by whole batches or not at all, and that is decided when the store is opened the next time, for good. Ids that
/// were given out stay.
#[derive(Default)]
pub(super) struct Auditor {
    /// What is stored.
    model: Model,
    /// The events of the model up to this one are durable.
    durable: u64,
    /// The last events of the batches behind them: a crash leaves the model up to one of these.
    ends: Vec<u64>,
    /// Whether the process that had acknowledged all this has ended, and no other has shown yet what it finds.
    is_down: bool,
    /// Whether that process left everything to a machine that has gone on since.
    all_stays: bool,
    /// The events of the model up to this one have the ids that the subject has given them.
    learned: u64,
    /// What the subject may give up.
    expiry: Expiry,
    /// Events that were acknowledged, and never said to be durable, and were lost.
    lost: u64,
    /// What may be stored as well, in the order in which it was to be.
    doubtful: Option<Doubtful>,
    /// Snapshots of the subject and of the model, taken at the same moments.
    kept: Vec<[Arc<dyn Snapshot>; 2]>,
}

/// What a subject may give up, for good.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expiry {
    /// Events before this time.
    pub(super) before: Option<Timestamp>,
    /// Events that came first, as many as it likes.
    pub(super) first: bool,
}

/// What an engine has to make of the wall clock when a group is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    /// It has said that it is in doubt.
    Doubted,
    /// It has not, and the wall clock shows about the same still.
    Believed,
    /// It has not looked at it since it was opened, or not for long.
    Unknown,
}

/// When a group was committed, and what of it may have expired by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion {
    /// The wall time.
    pub(super) now: Timestamp,
    /// The age at which events expire, if they do.
    pub(super) age: Option<i64>,
    pub(super) belief: Belief,
}

struct Doubtful {
    now: Timestamp,
    group: Vec<Batch>,
}

/// What an auditor finds.
#[derive(Debug)]
pub(super) enum Finding {
    /// A promise is broken.
    Broken(String),
    /// The store says that it cannot read what it holds.
    Unreadable(ReadError),
}

impl Auditor {
    /// Of an empty store that takes so many event types.
    pub(super) fn new(types_max: usize) -> Self {
        Self { model: Model::with_types(types_max), ..Self::default() }
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// Events that were acknowledged and lost, as far as that may be.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// From now on the subject may give up so much.
    pub(super) fn allow(&mut self, expiry: Expiry) {
        self.expiry.before = self.expiry.before.max(expiry.before);
        self.expiry.first |= expiry.first;
    }

    /// A group was acknowledged on an occasion, and said to be durable or not.
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
            // A model is not durable; a medium with syncs is, once they were called.
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
            Err(Finding::Broken(format!("the receipts should be {expected:?}, but are {found:?}")))
        }
    }

    /// How many of the events of a receipt had expired by the wall time of an occasion.
    fn expired(&self, receipt: &Receipt, Occasion { now, age, belief: _ }: Occasion) -> u32 {
        let Some(age) = age else { return 0 };
        let seqs = receipt.first_seq..receipt.first_seq + u64::from(receipt.stored);
        let events = seqs.filter_map(|seq| self.model.event(seq));
        events.filter(|event| event.timestamp.as_nanos() < now.as_nanos() - age).count() as u32
    }

    /// All that was acknowledged is durable.
    pub(super) fn flushed(&mut self) {
        self.durable = self.model.last_seq();
        self.ends.clear();
    }

    /// A process has ended, perhaps in opening what the one before has left. The machine goes on and has all that was
    /// written, or not.
    pub(super) fn process_ended(&mut self, all_stays: bool) {
        self.all_stays = all_stays && (self.all_stays || !self.is_down);
        self.is_down = true;
        // Nobody holds what it held.
        self.kept.clear();
    }

    /// Nobody knows whether a group was stored.
    pub(super) fn left_in_doubt(&mut self, now: Timestamp, group: &[Batch]) {
        self.doubtful = Some(Doubtful { now, group: group.to_vec() });
    }

    /// The store was opened: decides what became of what was in doubt, and looks at everything.
    pub(super) fn recovered(&mut self, snapshot: &Arc<dyn Snapshot>) -> Result<(), Finding> {
        let before = (self.model.clone(), self.learned, self.lost);
        let decided = self.decide(snapshot).and_then(|()| self.audit(snapshot));
        match decided {
            Ok(()) => {
                self.doubtful = None;
                self.is_down = false;
                // What a store shows when it is opened was made durable before.
                self.flushed();
            }
            // A store that cannot be read has decided nothing.
            Err(_) => (self.model, self.learned, self.lost) = before,
        }
        decided
    }

    fn decide(&mut self, snapshot: &Arc<dyn Snapshot>) -> Result<(), Finding> {
        let before = self.model.last_seq();
        let last_seq = snapshot.stats().last_seq;
        if last_seq < before {
            return self.lose(last_seq);
        }
        let in_doubt = self.doubtful.as_ref().map_or(0, |doubtful| doubtful.group.len());
        if let Some(Doubtful { now, group }) = &self.doubtful {
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
                "there are {last_seq} events, where {before} were known and {} would be with the batches in doubt \
                 ({in_doubt}) that are whole",
                self.model.last_seq()
            )));
        }
        self.learn(snapshot)
    }

    /// Takes back what was acknowledged and is not there, if that may be.
    fn lose(&mut self, left: u64) -> Result<(), Finding> {
        let before = self.model.last_seq();
        if self.all_stays || left < self.durable {
            let durable = if self.all_stays { before } else { self.durable };
            return Err(Finding::Broken(format!(
                "there are {left} events, where {before} were known and {durable} safe"
            )));
        }
        if left != self.durable && !self.ends.contains(&left) {
            return Err(Finding::Broken(format!("a batch is there in part: {left} events, where {:?} end", self.ends)));
        }
        self.model.truncate(left);
        self.learned = left;
        self.lost += before - left;
        Ok(())
    }

    /// Compares all events, and some of the look-ups.
    pub(super) fn audit(&mut self, snapshot: &Arc<dyn Snapshot>) -> Result<(), Finding> {
        let found = collect(snapshot, &Query::default(), Pace::UNBROKEN)?;
        self.expire(&found);
        if snapshot.stats().events != found.events.len() as u64 {
            return Err(Finding::Broken(format!("{} events are said to be there", snapshot.stats().events)));
        }
        let types: BTreeSet<&str> = found.events.iter().map(|event| event.event_type.as_str()).collect();
        if snapshot.stats().event_types != types.len() as u64 {
            let said = snapshot.stats().event_types;
            return Err(Finding::Broken(format!(
                "{said} event types are said to be there, and there are {}",
                types.len()
            )));
        }
        let mut expected: Vec<&StoredEvent> = self.model.events().iter().collect();
        expected.sort_by_key(|event| event.position());
        if !expected.iter().copied().eq(&found.events) {
            let events = expected.into_iter().cloned().collect();
            check_answer("all events", &Answer { next: None, events }, &found)?;
            return Err(Finding::Broken("an event has another id than it was given".to_string()));
        }
        let count = self.model.events().len();
        let some = self.model.events().iter().step_by(1 + count / 8).chain(self.model.events().last());
        let ids =
            some.map(|event| (event.id.text(), Some(event))).chain([("an id that nothing has".to_string(), None)]);
        for (id, expected) in ids {
            let found = get(snapshot.as_ref(), &id)?;
            if found.as_ref() != expected {
                return Err(Finding::Broken(format!("under the id {id:?} should be {expected:?}, but is {found:?}")));
            }
        }
        Ok(())
    }

    /// Lets go of what the subject has given up, as far as it may.
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

    /// Sees that nothing is there that is older than it may be when all is tidy.
    pub(super) fn check_expired(&self, overdue: Timestamp) -> Result<(), Finding> {
        match self.model.events().iter().find(|event| event.timestamp < overdue) {
            Some(event) => Err(Finding::Broken(format!("event {} should have expired: {event:?}", event.seq))),
            None => Ok(()),
        }
    }

    /// Compares the answers to a query.
    pub(super) fn ask(&self, snapshot: &Arc<dyn Snapshot>, query: &Query, pace: Pace) -> Result<(), Finding> {
        let found = collect(snapshot, query, pace)?;
        let expected = collect(&self.model.snapshot(), query, Pace::UNBROKEN)?;
        Ok(check_answer(&format!("{query:?} at {pace:?}"), &expected, &found)?)
    }

    /// Keeps a snapshot, to be looked at again when more has happened.
    pub(super) fn keep(&mut self, snapshot: Arc<dyn Snapshot>) {
        self.kept.push([snapshot, self.model.snapshot()]);
    }

    /// Compares the snapshots that were kept, and lets go of them.
    pub(super) fn check_kept(&mut self) -> Result<(), Finding> {
        for [subject, model] in std::mem::take(&mut self.kept) {
            let expected = collect(&model, &Query::default(), Pace::UNBROKEN)?;
            check_answer(
                "a snapshot that was kept",
                &expected,
                &collect(&subject, &Query::default(), Pace::UNBROKEN)?,
            )?;
        }
        Ok(())
    }

    /// Takes over the ids of what is new.
    fn learn(&mut self, snapshot: &Arc<dyn Snapshot>) -> Result<(), Finding> {
        let news = Query { after_seq: Some(self.learned), ..Query::default() };
        let found = collect(snapshot, &news, Pace::UNBROKEN)?;
        let expected = collect(&self.model.snapshot(), &news, Pace::UNBROKEN)?;
        check_answer("the new events", &expected, &found)?;
        for event in found.events {
            if let StoredId::Generated(id) = event.id {
                self.model.take_id(event.seq, id);
            }
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
