//! Commits a group of batches: in one transaction, or in several if it is large.

use std::collections::HashMap;
use std::task::Poll;

use argus_core::batch::Batch;
use argus_core::event::Timestamp;
use argus_core::proposal::{IdLookups, Proposal, Terms};
use argus_core::repository::Receipt;
use argus_database::{Fault, TypeCache, TypesAt};
use mongodb::bson::{DateTime, RawDocument, doc};
use mongodb::error::Error;
use mongodb::{ClientSession, Database};

use crate::collections::{durable, events, replicated};
use crate::head::Head;
use crate::plan::{GroupIds, Part, Plan, numbered};
use crate::session::Session;
use crate::staging::{insert, lock, stage};
use crate::types::stored_types;
use crate::values::{count, split};

/// The most ids that one command looks up.
const IDS: usize = 5_000;

/// A group that is to be committed.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    group: &'a [Batch],
    terms: CommitTerms,
    ids: GroupIds,
    /// What is stored, if some of it is staged.
    plan: Option<Plan<'a>>,
    /// Whether an earlier attempt may have stored the group.
    is_in_doubt: bool,
}

/// How a group is committed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitTerms {
    /// The wall clock: when the events are stored.
    pub(crate) now: Timestamp,
    /// Events before this time have expired on arrival.
    pub(crate) keep_from: Timestamp,
    /// Whether the commit returns only when it is durable.
    pub(crate) is_synchronous: bool,
    /// The most events that one transaction stores.
    pub(crate) transaction_events: usize,
}

/// What is to be done for a group.
enum Proposed<'a> {
    /// Nothing: an earlier attempt was successful, or there are no events to store.
    Nothing(Vec<Receipt>),
    /// Events are to be stored.
    Events(Plan<'a>),
}

/// What is stored already.
struct Found {
    /// The stored events that have one of the ids.
    stored: HashMap<String, Held>,
    types: Vec<String>,
}

/// A stored event with one of the ids.
#[derive(Clone, Copy, Debug)]
struct Held {
    seq: i64,
    stored_at: (DateTime, i32),
}

impl<'a> Commit<'a> {
    /// A group to be committed.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(crate) fn new(group: &'a [Batch], terms: CommitTerms) -> Result<Self, getrandom::Error> {
        Ok(Self { group, terms, ids: GroupIds::new(group, terms.now)?, plan: None, is_in_doubt: false })
    }

    /// Whether the group may be stored although no attempt has succeeded.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Runs the next transaction. Ready with the receipts if it was the last one, or if an earlier attempt has
    /// committed the group. Nothing of the group is visible before.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. The step can be repeated. [`is_in_doubt`](Self::is_in_doubt) tells whether the group may be stored.
    pub(crate) fn step(
        &mut self,
        session: &mut Session,
        types: &mut TypeCache,
        types_max: usize,
    ) -> Result<Poll<Vec<Receipt>>, Fault> {
        let stepped = self.transact(session, types, types_max);
        if stepped.is_err() {
            session.roll_back();
        }
        stepped
    }

    fn transact(
        &mut self,
        session: &mut Session,
        types: &mut TypeCache,
        types_max: usize,
    ) -> Result<Poll<Vec<Receipt>>, Fault> {
        let concern = if self.terms.is_synchronous { durable() } else { replicated() };
        let staged = self.plan.as_ref().and_then(|plan| plan.staged(session.id()));
        let head = lock(session, &concern, staged)?;
        if head.staged.is_none() {
            // Nothing was staged, or another process has removed it. What is stored may have changed since.
            match self.propose(session, types, types_max, head)? {
                Proposed::Events(plan) => self.plan = Some(plan),
                Proposed::Nothing(receipts) => {
                    // The commit of the head makes durable what this transaction has seen: the events of an earlier
                    // attempt, and those that make others duplicates. The majority of the servers may not have them
                    // yet.
                    session.commit()?;
                    self.is_in_doubt = false;
                    return Ok(Poll::Ready(receipts));
                }
            }
        }
        self.is_in_doubt = false;
        let plan = self.plan.as_mut().expect("only its own staged events are in a locked head");
        let Part { documents, is_last } = plan.part(&self.ids, self.terms.now, self.terms.transaction_events);
        if !is_last {
            let events = documents.len();
            stage(session, head, documents)?;
            plan.add_staged(events);
            return Ok(Poll::Pending);
        }
        insert(session, documents, plan.head(head))?;
        let committed = session.commit();
        // Also after an answer of the server: if the driver has asked twice, it knows the second answer only.
        self.is_in_doubt = committed.as_ref().is_err_and(|fault| !matches!(fault, Fault::Full(_)));
        committed?;
        let (new_types, receipts) = self.plan.take().expect("it was there above").into_outcome();
        types.add(new_types);
        Ok(Poll::Ready(receipts))
    }

    /// Decides which events are stored, by what is stored already.
    fn propose(
        &self,
        session: &mut Session,
        types: &mut TypeCache,
        types_max: usize,
        head: Head,
    ) -> Result<Proposed<'a>, Fault> {
        let mut lookups = IdLookups::of(self.group);
        let generated = if self.is_in_doubt { self.ids.generated(self.group) } else { Vec::new() };
        let ids = lookups.ids().map(str::to_owned).chain(generated.iter().cloned()).collect();
        // Forgets the types if some may have been removed.
        types.is_true_at(head.removals);
        let unknown = types.unknown(self.group).into_iter().map(str::to_owned).collect();
        let database = session.database()?;
        let Found { stored, types: found } =
            session.run(move |session| Box::pin(look_up(database, session, ids, unknown)))?;
        types.add(found.iter().map(String::as_str));

        let now = split(self.terms.now);
        // What an earlier attempt has stored is no duplicate.
        let is_own = |held: &Held| self.is_in_doubt && held.stored_at == now;
        let of_generated = generated.iter().filter_map(|id| Some((&**id, stored.get(id)?.seq)));
        let of_given = lookups.ids().filter_map(|id| Some((id, stored.get(id).filter(|held| is_own(held))?.seq)));
        let own: HashMap<&str, i64> = of_generated.chain(of_given).collect();
        let seqs: Vec<Option<u64>> = lookups
            .ids()
            .map(|id| stored.get(id).filter(|held| !is_own(held)).map(|held| held.seq.cast_unsigned()))
            .collect();
        lookups.set_stored(seqs);
        // If an earlier attempt was successful, all types that it could add are there.
        let count = if own.is_empty() { count(head.event_types) } else { types_max };
        let known = TypesAt { cache: types, count, limit: types_max };
        let proposal_from = |next_seq: i64| {
            let CommitTerms { keep_from, is_synchronous, .. } = self.terms;
            let terms = Terms { next_seq: next_seq.cast_unsigned(), keep_from, durable: is_synchronous };
            Proposal::of(self.group, &lookups, &known, &terms, |batch, index, _| self.ids.id(batch, index))
        };
        if let Some(first) = self.first_seq(&proposal_from(1), &own) {
            return Ok(Proposed::Nothing(proposal_from(first).into_receipts()));
        }
        let proposal = proposal_from(head.last_seq + 1);
        if proposal.stored() == 0 {
            return Ok(Proposed::Nothing(proposal.into_receipts()));
        }
        Ok(Proposed::Events(Plan::new(proposal, &self.ids, types)))
    }

    /// The sequence number from which an earlier attempt has numbered the events, from those of its events that are
    /// stored: some may have been erased since. `proposal` numbers them from 1.
    fn first_seq(&self, proposal: &Proposal<'_>, own: &HashMap<&str, i64>) -> Option<i64> {
        if own.is_empty() {
            return None;
        }
        numbered(proposal.batches()).find_map(|(batch, index, place, event)| {
            own.get(&*self.ids.of(batch, index, &event)).map(|seq| seq + 1 - place.cast_signed())
        })
    }
}

impl Held {
    /// The id and the event of a document; `None` if somebody else has changed it.
    fn of(document: &RawDocument) -> Option<(String, Self)> {
        let stored_at = (document.get_datetime("stored_at").ok()?, document.get_i32("stored_nanos").ok()?);
        Some((document.get_str("id").ok()?.to_owned(), Self { seq: document.get_i64("_id").ok()?, stored_at }))
    }
}

/// Looks up ids and types. While the head is locked, no other commit is under way, and all earlier ones are visible.
async fn look_up(
    database: Database,
    session: &mut ClientSession,
    ids: Vec<String>,
    types: Vec<String>,
) -> Result<Found, Error> {
    let (events, mut stored) = (events(&database), HashMap::new());
    for ids in ids.chunks(IDS) {
        let found = events.find(doc! { "id": { "$in": ids } });
        let fields = doc! { "id": 1, "stored_at": 1, "stored_nanos": 1 };
        let mut cursor = found.projection(fields).session(&mut *session).await?;
        while cursor.advance(session).await? {
            let changed = "a document of the collection `events` has no id: somebody else has changed it";
            stored.extend([Held::of(cursor.current()).ok_or_else(|| Error::custom(changed.to_owned()))?]);
        }
    }
    let types = stored_types(&database, session, &types).await?;
    Ok(Found { stored, types })
}
