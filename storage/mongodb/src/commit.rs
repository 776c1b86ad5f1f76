//! Commits a group of batches in one transaction.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use argus_core::batch::Batch;
use argus_core::event::{Timestamp, Uuid};
use argus_core::proposal::{IdLookups, Proposal, Terms};
use argus_core::repository::Receipt;
use argus_database::{GeneratedIds, TypeCache, TypesAt};
use mongodb::bson::{DateTime, RawDocument, RawDocumentBuf, doc};
use mongodb::error::Error;
use mongodb::{ClientSession, Database};

use crate::collections::{durable, events, replicated};
use crate::fault::Fault;
use crate::head::Head;
use crate::row::document;
use crate::session::Session;
use crate::values::{count, count_of, split};

/// The most ids that one command looks up.
const IDS: usize = 5_000;

/// A group that is to be committed.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    group: &'a [Batch],
    terms: CommitTerms,
    ids: GeneratedIds,
    /// The number within the group of the first event of each batch.
    firsts: Vec<u64>,
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
}

/// What the first commands of a transaction have found.
struct Found {
    head: Head,
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
        let mut count = 0;
        let first = |batch: &Batch| {
            let first = count;
            count += batch.len() as u64;
            first
        };
        let firsts = group.iter().map(first).collect();
        Ok(Self { group, terms, ids: GeneratedIds::new(terms.now)?, firsts, is_in_doubt: false })
    }

    /// Whether the group may be stored although no attempt has succeeded.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Tries to commit the group. If an earlier attempt has, returns its receipts.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. [`is_in_doubt`](Self::is_in_doubt) tells whether the group may be stored.
    pub(crate) fn attempt(
        &mut self,
        session: &mut Session,
        types: &mut TypeCache,
        types_max: usize,
    ) -> Result<Vec<Receipt>, Fault> {
        let attempted = self.transact(session, types, types_max);
        if attempted.is_err() {
            session.roll_back();
        }
        attempted
    }

    fn transact(
        &mut self,
        session: &mut Session,
        types: &mut TypeCache,
        types_max: usize,
    ) -> Result<Vec<Receipt>, Fault> {
        let mut lookups = IdLookups::of(self.group);
        let generated = if self.is_in_doubt { self.generated_ids() } else { Vec::new() };
        let ids = lookups.ids().map(str::to_owned).chain(generated.iter().cloned()).collect();
        let unknown = types.unknown(self.group).into_iter().map(str::to_owned).collect();
        let database = session.database()?;
        session.begin(if self.terms.is_synchronous { durable() } else { replicated() })?;
        let Found { head, stored, types: found } =
            session.run(move |session| Box::pin(begin(database, session, ids, unknown)))?;
        if types.is_true_at(head.removals) {
            types.add(found.iter().map(String::as_str));
        } else {
            let unknown: Vec<String> = types.unknown(self.group).into_iter().map(str::to_owned).collect();
            let database = session.database()?;
            let found = session
                .run(move |session| Box::pin(async move { stored_types(&database, session, &unknown).await }))?;
            types.add(found.iter().map(String::as_str));
        }

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
            Proposal::of(self.group, &lookups, &known, &terms, |batch, index, _| self.id(batch, index))
        };
        let earlier_first = if own.is_empty() { None } else { self.first_seq(&proposal_from(1), &own) };
        let proposal = proposal_from(earlier_first.unwrap_or(head.last_seq + 1));
        if earlier_first.is_some() || proposal.stored() == 0 {
            // The commit of the head makes durable what this transaction has seen: the events of an earlier attempt,
            // and those that make others duplicates. The majority of the servers may not have them yet.
            session.commit()?;
        } else {
            self.is_in_doubt = false;
            self.store(session, types, head, &proposal)?;
        }
        self.is_in_doubt = false;
        Ok(proposal.into_receipts())
    }

    /// The sequence number from which an earlier attempt has numbered the events, from those of its events that are
    /// stored: some may have been erased since. `proposal` numbers them from 1.
    fn first_seq(&self, proposal: &Proposal<'_>, own: &HashMap<&str, i64>) -> Option<i64> {
        proposal.batches().iter().enumerate().find_map(|(batch, proposed)| {
            proposed.events().find_map(|(index, place, event)| {
                let id = event.id.map_or_else(|| self.id(batch, index).to_string(), |id| id.as_str().to_owned());
                own.get(&*id).map(|seq| seq + 1 - place.cast_signed())
            })
        })
    }

    /// Stores the events, and commits the transaction.
    fn store(
        &mut self,
        session: &mut Session,
        types: &mut TypeCache,
        head: Head,
        proposal: &Proposal<'_>,
    ) -> Result<(), Fault> {
        let (mut new_types, mut documents, mut bytes) = (HashSet::new(), Vec::new(), 0);
        for (batch, proposed) in proposal.batches().iter().enumerate() {
            for (index, seq, event) in proposed.events() {
                let id = event
                    .id
                    .map_or_else(|| Cow::Owned(self.id(batch, index).to_string()), |id| Cow::Borrowed(id.as_str()));
                if !types.contains(event.event_type.as_str()) {
                    new_types.insert(event.event_type.as_str());
                }
                let (document, counted) = document(seq, &event, &id, self.terms.now);
                documents.push(document);
                bytes += counted;
            }
        }
        let head = Head {
            last_seq: head.last_seq + proposal.stored().cast_signed(),
            events: head.events + proposal.stored().cast_signed(),
            bytes: head.bytes + bytes,
            event_types: head.event_types + count_of(new_types.len()),
            ..head
        };
        let database = session.database()?;
        session.run(move |session| Box::pin(insert(database, session, documents, head)))?;
        let committed = session.commit();
        // Also after an answer of the server: if the driver has asked twice, it knows the second answer only.
        self.is_in_doubt = committed.as_ref().is_err_and(|fault| !matches!(fault, Fault::Full(_)));
        committed?;
        types.add(new_types);
        Ok(())
    }

    /// The id of an event that came without one.
    fn id(&self, batch: usize, index: u32) -> Uuid {
        let first = self.firsts.get(batch).expect("each batch of the group has a number");
        self.ids.id(first + u64::from(index))
    }

    /// The ids of all events that came without one.
    fn generated_ids(&self) -> Vec<String> {
        let batches = self.group.iter().enumerate();
        let ids = batches.flat_map(move |(batch, events)| {
            let without = (0..).zip(events.events()).filter(|(_, event)| event.id.is_none());
            without.map(move |(index, _)| self.id(batch, index).to_string())
        });
        ids.collect()
    }
}

impl Held {
    /// The id and the event of a document; `None` if somebody else has changed it.
    fn of(document: &RawDocument) -> Option<(String, Self)> {
        let stored_at = (document.get_datetime("stored_at").ok()?, document.get_i32("stored_nanos").ok()?);
        Some((document.get_str("id").ok()?.to_owned(), Self { seq: document.get_i64("_id").ok()?, stored_at }))
    }
}

/// Locks the head, and looks up ids and types. When the head is locked, no other commit is under way, and all earlier
/// ones are visible.
async fn begin(
    database: Database,
    session: &mut ClientSession,
    ids: Vec<String>,
    unknown: Vec<String>,
) -> Result<Found, Error> {
    let head = Head::lock(&database, session).await?;
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
    let types = stored_types(&database, session, &unknown).await?;
    Ok(Found { head, stored, types })
}

/// Those of these types of which there are events.
///
/// # Errors
///
/// The error of the server.
pub(crate) async fn stored_types(
    database: &Database,
    session: &mut ClientSession,
    names: &[String],
) -> Result<Vec<String>, Error> {
    let (events, mut stored) = (events(database), Vec::new());
    for name in names {
        let found = events.find_one(doc! { "event_type": name }).projection(doc! { "_id": 1 });
        if found.session(&mut *session).await?.is_some() {
            stored.push(name.clone());
        }
    }
    Ok(stored)
}

/// Inserts the events, and writes the head.
async fn insert(
    database: Database,
    session: &mut ClientSession,
    documents: Vec<RawDocumentBuf>,
    head: Head,
) -> Result<(), Error> {
    events(&database).insert_many(&documents).ordered(true).session(&mut *session).await?;
    head.write(&database, session).await
}
