//! A subject and the model, under the same steps.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use argus_core::batch::{Batch, Handling};
use argus_core::event::{Timestamp, Uuid};
use argus_core::query::{Filter, Order, Scan, decode_cursor, encode_cursor};
use argus_core::repository::{CommitError, ImportError, MaintenanceQueue, Receipt, Repository, Snapshot};
use argus_core::transfer::Transfer;

use super::compare::{Difference, broken, check_answer, check_id, check_query, check_same, require};
use super::generate::{self, Draft};
use super::model::Model;
use super::moment::{NOW, steady};
use super::run::{Answer, Pace, Run, collect, count_erased};
use super::script::{Foreign, Planned, Step};
use super::stored::{StoredEvent, StoredId};

/// Applies the same steps to a subject and to a model. Compares every answer at once. [`check`](Self::check) compares
/// again what must not change: kept snapshots and unfinished queries.
#[derive(Debug)]
pub struct Pair<R> {
    subject: R,
    reopen: fn(&mut R),
    maintenance: MaintenanceQueue,
    model: Model,
    now: Timestamp,
    /// The subject's ids in order of sequence numbers.
    ids: Vec<String>,
    /// The model's ids in the same order.
    model_ids: Vec<String>,
    /// The subject's ids of events that are stored, to find repeated ones.
    known: BTreeSet<String>,
    kept: Vec<Kept>,
    unfinished: Vec<Unfinished>,
}

/// Snapshots of both, taken after the same step.
struct Kept {
    subject: Arc<dyn Snapshot>,
    model: Arc<dyn Snapshot>,
}

/// An unfinished query and its expected answer.
#[derive(Debug)]
struct Unfinished {
    question: String,
    run: Run,
    expected: Answer,
}

impl<R: Repository> Pair<R> {
    /// A pair of an empty subject and a model without a limit of event types. `reopen` closes a subject and opens it
    /// again.
    #[must_use]
    pub fn new(subject: R, reopen: fn(&mut R)) -> Self {
        Self::with_model(subject, Model::new(), reopen)
    }

    /// A pair of an empty subject and an empty model with the same limits.
    #[must_use]
    pub fn with_model(subject: R, model: Model, reopen: fn(&mut R)) -> Self {
        Self {
            subject,
            reopen,
            maintenance: MaintenanceQueue::default(),
            model,
            now: NOW,
            ids: Vec::new(),
            model_ids: Vec::new(),
            known: BTreeSet::new(),
            kept: Vec::new(),
            unfinished: Vec::new(),
        }
    }

    /// The subject.
    #[must_use]
    pub fn subject(&self) -> &R {
        &self.subject
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Applies a step to both.
    ///
    /// # Errors
    ///
    /// The first [`Difference`] found. The pair must not be used afterwards.
    pub fn run(&mut self, step: &Step) -> Result<(), Difference> {
        match step {
            Step::Commit { elapsed, group } => {
                self.now = Timestamp::from_nanos(self.now.as_nanos().saturating_add(*elapsed));
                self.commit(group)
            }
            Step::Maintain { budget, calls } => (0..*calls).try_for_each(|_| self.maintain(*budget)),
            Step::Erase { filter, id_of, pace } => self.erase(filter, *id_of, *pace),
            Step::Import { events, left_out } => self.import(events, *left_out),
            Step::Wait { elapsed } => {
                self.now = Timestamp::from_nanos(self.now.as_nanos().saturating_add(*elapsed));
                Ok(())
            }
            Step::Keep => {
                let kept = self.keep();
                self.kept.push(kept);
                Ok(())
            }
            Step::Reopen => {
                self.maintenance = MaintenanceQueue::default();
                (self.reopen)(&mut self.subject);
                self.keep().check(&[])
            }
            Step::Ask { query, pace } => {
                let now = self.keep();
                check_query(&now.subject, &now.model, query, *pace)?;
                Ok(())
            }
            Step::Begin { query, pace, calls, dropped } => self.begin(query, *pace, *calls, *dropped),
            Step::Walk { query, batches } => self.walk(query, batches),
        }
    }

    /// Compares the kept snapshots and unfinished queries, and then the current state, with these queries.
    ///
    /// # Errors
    ///
    /// The first [`Difference`].
    pub fn check(mut self, queries: &[Scan]) -> Result<(), Difference> {
        for unfinished in self.unfinished.drain(..) {
            let found = unfinished.run.finish().map_err(|error| broken(&unfinished.question, &error))?;
            check_answer(&unfinished.question, &unfinished.expected, &found)?;
        }
        self.kept.iter().chain([&self.keep()]).try_for_each(|kept| kept.check(queries))
    }

    fn commit(&mut self, group: &[Vec<Planned>]) -> Result<(), Difference> {
        let expected = self.model.commit(self.now, &batches(group, &self.model_ids));
        let found = self.subject.commit(self.now, &batches(group, &self.ids));
        let (expected, found) = (expected.map_err(refused)?, found.map_err(refused)?);
        let seen = self.ids.len();
        self.learn_ids()?;
        self.check_receipts(&expected, &found, seen)
    }

    /// Erases from both, and compares how many events were erased.
    fn erase(&mut self, filter: &Filter, id_of: Option<u64>, pace: Pace) -> Result<(), Difference> {
        let question = format!("erased by {filter:?} and the id of {id_of:?} at {} events", self.ids.len());
        let with_id = |ids: &[String]| {
            let mut filter = filter.clone();
            let index = id_of.and_then(|seq| usize::try_from(seq).ok()?.checked_sub(1));
            if let Some(id) = index.and_then(|index| ids.get(index)) {
                filter.ids.get_or_insert_default().push(id.as_str().into());
            }
            filter
        };
        let own = with_id(&self.ids);
        let erased = self.subject.erase(self.now, &own).map_err(refused)?;
        let found = count_erased(&erased, &own, pace).map_err(|error| broken(&question, &error))?;
        require(&question, &self.model.erase_now(&with_id(&self.model_ids)), &found)?;
        let left: BTreeSet<u64> = self.model.events().iter().map(|event| event.seq).collect();
        for (seq, (id, model_id)) in (1..).zip(self.ids.iter().zip(&mut self.model_ids)) {
            if !left.contains(&seq) {
                // Their ids are new again, for callers too: also those that were generated.
                self.known.remove(id);
                model_id.clone_from(id);
            }
        }
        self.keep().check(&[Scan::from(filter.clone())])
    }

    /// Imports into both.
    fn import(&mut self, events: &[Foreign], left_out: u64) -> Result<(), Difference> {
        let mut transfer = Transfer::after(self.model.last_seq());
        for Foreign { draft, random, left_out, age } in events {
            let seq = transfer.up_to() + 1 + left_out;
            let stored_at = Timestamp::from_nanos(self.now.as_nanos().saturating_sub(*age));
            let event = StoredEvent {
                id: draft.id.clone().map_or_else(|| generated_id(stored_at, *random), StoredId::Given),
                seq,
                event_type: draft.event_type.clone(),
                timestamp: draft.timestamp,
                payload: draft.payload.clone(),
                stored_at,
            };
            transfer.push(&event.as_event()).expect("the numbers ascend");
        }
        transfer.extend_to(transfer.up_to() + left_out);
        let outcome = |imported: Result<(), ImportError>| match imported {
            Ok(()) => "imported".to_owned(),
            Err(ImportError::Refused(_)) => "refused".to_owned(),
            Err(ImportError::Commit(error)) => error.to_string(),
        };
        let (expected, found) = (self.model.import(&transfer), self.subject.import(&transfer));
        let question = format!("an import of {transfer:?}: {expected:?} or {found:?}");
        require(&question, &outcome(expected), &outcome(found))?;
        let known = count(&self.ids);
        self.learn_ids()?;
        self.leave_out_to(self.model.last_seq());
        let found = collect(&self.subject_snapshot(), &after(known), Pace::UNBROKEN);
        let found = found.map_err(|error| broken("the imported events", &error))?;
        for event in &found.events {
            let expected = self.model.event(event.seq).map(|event| event.stored_at);
            let question = format!("when event {} was stored", event.seq);
            require(&question, &format!("{expected:?}"), &format!("{:?}", Some(event.stored_at)))?;
        }
        self.keep().check(&[])
    }

    /// Gives ids to the numbers up to this one that have no events, as if these had been erased.
    fn leave_out_to(&mut self, last: u64) {
        for seq in count(&self.ids) + 1..=last {
            if self.model.event(seq).is_some() {
                return;
            }
            let id = format!("left out: {seq}");
            self.ids.push(id.clone());
            self.model_ids.push(id);
        }
    }

    /// Learns the subject's ids of new events, and checks that each id leads to its event.
    fn learn_ids(&mut self) -> Result<(), Difference> {
        let snapshot = self.subject_snapshot();
        let news = collect(&snapshot, &after(count(&self.ids)), Pace::UNBROKEN)
            .map_err(|error| broken("the new events", &error))?;
        for event in &news.events {
            let id = event.id.text();
            self.leave_out_to(event.seq - 1);
            require("the next sequence number", &(count(&self.ids) + 1), &event.seq)?;
            require(&format!("id {id:?} is new"), &true, &self.known.insert(id.clone()))?;
            check_id(snapshot.as_ref(), &id, Some(event))?;
            self.ids.push(id);
            let twin = self.model.event(event.seq);
            require(&format!("event {} is stored", event.seq), &twin.is_some(), &true)?;
            self.model_ids.extend(twin.map(|twin| twin.id.text()));
        }
        Ok(())
    }

    fn check_receipts(&self, expected: &[Receipt], found: &[Receipt], seen: usize) -> Result<(), Difference> {
        require("receipts", &expected.len(), &found.len())?;
        for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
            let question = |what: &str| format!("receipt {index} after event {seen}: {what}");
            require(&question("stored"), &expected.stored, &found.stored)?;
            if expected.stored > 0 {
                require(&question("first_seq"), &expected.first_seq, &found.first_seq)?;
            }
            let show = |receipt: &Receipt| format!("{:?}", receipt.duplicates);
            require(&question("duplicates"), &show(expected), &show(found))?;
            require(&question("surplus"), &format!("{:?}", expected.surplus), &format!("{:?}", found.surplus))?;
            // The model tells whether there is a generated id; the subject's own event tells which.
            let first = usize::try_from(expected.first_seq - 1).expect("a test has few events");
            let first = expected.generated_id.and_then(|_| self.ids.get(first)).map_or("none", |id| id);
            let given = found.generated_id.map_or_else(|| "none".to_string(), |uuid| uuid.to_string());
            require(&question("generated_id"), &first, &given.as_str())?;
        }
        Ok(())
    }

    fn maintain(&mut self, budget: u32) -> Result<(), Difference> {
        self.maintenance.step(&mut self.subject, steady(self.now), budget).map_err(refused).map(|_| ())
    }

    fn subject_snapshot(&self) -> Arc<dyn Snapshot> {
        self.subject.reader().take().expect("a subject in this process always has a snapshot")
    }

    fn keep(&self) -> Kept {
        Kept { subject: self.subject_snapshot(), model: self.model.snapshot() }
    }

    fn begin(&mut self, query: &Scan, pace: Pace, calls: u32, dropped: bool) -> Result<(), Difference> {
        let now = self.keep();
        let question = format!("{query:?} at {pace:?}, started at {} events", self.ids.len());
        let mut run = Run::begin(&now.subject, query, pace).map_err(|error| broken(&question, &error))?;
        for _ in 0..calls {
            if run.step().map_err(|error| broken(&question, &error))? {
                return Ok(());
            }
        }
        if !dropped {
            let expected = collect(&now.model, query, Pace::UNBROKEN).map_err(|error| broken("the model", &error))?;
            self.unfinished.push(Unfinished { question, run, expected });
        }
        Ok(())
    }

    /// Reads page by page, by cursors. Each page must equal the model's at that moment. All pages together must hold
    /// each event at most once, and every event that existed at the start.
    fn walk(&mut self, query: &Scan, batches: &[Vec<Planned>]) -> Result<(), Difference> {
        let at_first = collect(&self.model.snapshot(), &Scan { limit: None, ..query.clone() }, Pace::UNBROKEN)
            .map_err(|error| broken("the model", &error))?;
        let mut batches = batches.iter();
        let mut met = BTreeSet::new();
        let mut query = query.clone();
        loop {
            let now = self.keep();
            let page = check_query(&now.subject, &now.model, &query, Pace::UNBROKEN)?;
            for event in &page.events {
                require(
                    &format!("event {} is on one page only of {query:?}", event.seq),
                    &true,
                    &met.insert(event.seq),
                )?;
            }
            let Some(next) = page.next else { break };
            let cursor = decode_cursor(&encode_cursor(next, &query), &query);
            require("a cursor decodes to its position", &true, &(cursor == Ok(next)))?;
            query.from = Some(next);
            if let Some(batch) = batches.next() {
                self.commit(std::slice::from_ref(batch))?;
                self.maintain(3)?;
            }
        }
        for event in &at_first.events {
            require(&format!("event {} is on a page of {query:?}", event.seq), &true, &met.contains(&event.seq))?;
        }
        Ok(())
    }
}

impl Kept {
    fn check(&self, queries: &[Scan]) -> Result<(), Difference> {
        check_same(&self.subject, &self.model, queries)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.model.last_seq()).finish()
    }
}

/// The batches of a plan for a repository with these ids. Batches of an odd number of events are lenient.
fn batches(group: &[Vec<Planned>], ids: &[String]) -> Vec<Batch> {
    let resolve = |planned: &Planned| {
        let index = planned.id_of.and_then(|seq| usize::try_from(seq).ok()?.checked_sub(1));
        let id = index.and_then(|index| ids.get(index)).cloned().or_else(|| planned.draft.id.clone());
        Draft { id, ..planned.draft.clone() }
    };
    let handling = |batch: &[Planned]| if batch.len() % 2 == 1 { Handling::Lenient } else { Handling::Strict };
    let drafts = |batch: &[Planned]| batch.iter().map(resolve).collect::<Vec<_>>();
    group.iter().map(|batch| generate::batch(&drafts(batch)).handled(handling(batch))).collect()
}

/// The events with higher numbers than this one, by number.
fn after(seq: u64) -> Scan {
    let scan = Scan::from(Filter { after_seq: Some(seq), ..Filter::default() });
    Scan { order: Order::Sequence, ..scan }
}

/// An id of version 7 with these random bits.
fn generated_id(time: Timestamp, random: u64) -> StoredId {
    let millis = u128::try_from(time.as_nanos() / 1_000_000).expect("the tests are after 1970");
    StoredId::Generated(Uuid((millis << 80 | 7 << 76 | 0b10 << 62 | u128::from(random)).to_be_bytes()))
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes the error by value")]
fn refused(error: CommitError) -> Difference {
    Difference { question: "a commit".to_string(), expected: "success".to_string(), found: error.to_string() }
}

fn count(ids: &[String]) -> u64 {
    u64::try_from(ids.len()).expect("usize has at most 64 bits")
}

#[cfg(test)]
mod tests {
    use argus_core::repository::{Erased, Failure, Reader};

    use super::super::Random;
    use super::*;

    fn run<R: Repository>(subject: R, seed: u64) -> Result<(), Difference> {
        let mut random = Random::seeded(seed);
        let mut pair = Pair::new(subject, |_| {});
        for _ in 0..20 {
            pair.run(&Step::draw(&mut random))?;
        }
        pair.check(&[generate::scan(&mut random)])
    }

    #[test]
    fn a_model_equals_itself() {
        for seed in 0..20 {
            assert_eq!(run(Model::new(), seed), Ok(()), "seed {seed}");
        }
    }

    /// Drops the last batch of each group silently.
    struct Forgetful(Model);

    impl Repository for Forgetful {
        fn commit(&mut self, now: Timestamp, group: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
            self.0.commit(now, group.split_last().map_or(group, |(_, others)| others))
        }

        fn erase(&mut self, now: Timestamp, filter: &Filter) -> Result<Erased, CommitError> {
            self.0.erase(now, filter)
        }

        fn import(&mut self, transfer: &Transfer) -> Result<(), ImportError> {
            self.0.import(transfer)
        }

        fn failure(&self) -> Option<&Failure> {
            self.0.failure()
        }

        fn reader(&self) -> Reader {
            self.0.reader()
        }
    }

    #[test]
    fn a_subject_that_loses_events_is_found() {
        for seed in 0..20 {
            run(Forgetful(Model::new()), seed).expect_err("it lost events");
        }
    }
}
