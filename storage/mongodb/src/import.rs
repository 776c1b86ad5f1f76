//! Imports events with their numbers and times of commit in one transaction.

use std::collections::HashSet;

use argus_core::batch::NewEvent;
use argus_core::event::{Event, EventId};
use argus_core::repository::ImportError;
use argus_core::transfer::Transfer;
use mongodb::bson::{RawDocumentBuf, doc};
use mongodb::error::Error;
use mongodb::{ClientSession, Database};

use crate::collections::{durable, events};
use crate::fault::Fault;
use crate::head::Head;
use crate::row::{PAYLOAD_BYTES_MAX, counted_bytes, new_row};
use crate::session::Session;
use crate::staging::lock;
use crate::types::stored_types;
use crate::values::{count, count_of, number};

/// The most ids that one command looks up.
const IDS: usize = 5_000;

/// Events that are to be imported.
#[derive(Debug)]
pub(crate) struct Import<'a> {
    transfer: &'a Transfer,
    /// Whether an earlier attempt may have stored them.
    is_in_doubt: bool,
}

/// What the first commands of a transaction have found.
struct Found {
    head: Head,
    /// The ids that stored events have, with the numbers of these.
    stored: Vec<(String, u64)>,
    /// Those of the types of which there are events.
    types: Vec<String>,
}

impl<'a> Import<'a> {
    pub(crate) fn new(transfer: &'a Transfer) -> Self {
        Self { transfer, is_in_doubt: false }
    }

    /// Whether the events may be stored although no attempt has succeeded.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Tries to store the events. If an earlier attempt has, does nothing.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. [`is_in_doubt`](Self::is_in_doubt) tells whether the events may be stored.
    pub(crate) fn attempt(
        &mut self,
        session: &mut Session,
        types_max: usize,
    ) -> Result<Result<(), ImportError>, Fault> {
        let attempted = self.transact(session, types_max);
        if !matches!(attempted, Ok(Ok(()))) {
            session.roll_back();
        }
        attempted
    }

    fn transact(&mut self, session: &mut Session, types_max: usize) -> Result<Result<(), ImportError>, Fault> {
        let ids: Vec<String> = self.transfer.events().map(|event| event.id.text().into_owned()).collect();
        let names: HashSet<&str> = self.transfer.events().map(|event| event.event_type.as_str()).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let types = names.len();
        let head = lock(session, &durable(), None)?;
        let database = session.database()?;
        let found = session.run(move |session| Box::pin(look_up(database, session, head, ids, names)))?;
        if self.is_done(&found) {
            // The majority of the servers may not have it yet.
            session.commit()?;
            self.is_in_doubt = false;
            return Ok(Ok(()));
        }
        self.is_in_doubt = false;
        let new_types = types - found.types.len();
        match self.refusal(&found, new_types, types_max) {
            Some(refusal) => Ok(Err(refusal)),
            None => self.store(session, found.head, new_types).map(Ok),
        }
    }

    /// Whether an earlier attempt has stored the events.
    fn is_done(&self, Found { head, stored, types: _ }: &Found) -> bool {
        let own: HashSet<(String, u64)> =
            self.transfer.events().map(|event| (event.id.text().into_owned(), event.seq)).collect();
        self.is_in_doubt
            && head.last_seq.cast_unsigned() >= self.transfer.up_to()
            && stored.len() == own.len()
            && stored.iter().all(|held| own.contains(held))
    }

    /// Why the events cannot be stored, if they cannot.
    fn refusal(&self, found: &Found, new_types: usize, types_max: usize) -> Option<ImportError> {
        let Found { head, stored, types: _ } = found;
        if head.last_seq.cast_unsigned() != self.transfer.first_after() {
            return Some(ImportError::other_head(self.transfer, head.last_seq.cast_unsigned()));
        }
        if let Some((first, second)) = self.transfer.twins() {
            return Some(ImportError::taken_id(second, first));
        }
        if let Some((id, holder)) = stored.first() {
            let taken = self.transfer.events().find(|event| event.id.text() == id.as_str());
            return taken.map(|event| ImportError::taken_id(event.seq, *holder));
        }
        if let Some(long) = self.transfer.events().find(|event| event.payload.as_str().len() > PAYLOAD_BYTES_MAX) {
            let reason = format!("the payload of event {} is too long for a document of MongoDB", long.seq);
            return Some(ImportError::Refused(reason));
        }
        let is_beyond = count(head.event_types) + new_types > types_max;
        is_beyond.then(|| ImportError::too_many_types(types_max))
    }

    /// Stores the events, and commits the transaction.
    fn store(&mut self, session: &mut Session, head: Head, new_types: usize) -> Result<(), Fault> {
        let (mut documents, mut bytes) = (Vec::with_capacity(self.transfer.len()), 0);
        for event in self.transfer.events() {
            let Event { id, seq, event_type, timestamp, payload, stored_at } = event;
            let given = match id {
                EventId::Given(id) => Some(id),
                EventId::Generated(_) => None,
            };
            let event = NewEvent { event_type, timestamp, payload, id: given };
            documents.push(new_row(seq, &event, &id.text(), stored_at).document);
            bytes += counted_bytes(&event, &id.text());
        }
        let head = Head {
            last_seq: number(self.transfer.up_to()),
            events: head.events + count_of(self.transfer.len()),
            bytes: head.bytes + bytes,
            event_types: head.event_types + count_of(new_types),
            // Whoever looks for gaps looks only if there may be some.
            removals: head.removals + i64::from(self.transfer.has_gaps()),
            ..head
        };
        let database = session.database()?;
        session.run(move |session| Box::pin(insert(database, session, documents, head)))?;
        let committed = session.commit();
        // Also after an answer of the server: if the driver has asked twice, it knows the second answer only.
        self.is_in_doubt = committed.as_ref().is_err_and(|fault| !matches!(fault, Fault::Full(_)));
        committed
    }
}

/// Looks up ids and types, while the head is locked.
async fn look_up(
    database: Database,
    session: &mut ClientSession,
    head: Head,
    ids: Vec<String>,
    types: Vec<String>,
) -> Result<Found, Error> {
    let (events, mut stored) = (events(&database), Vec::new());
    for ids in ids.chunks(IDS) {
        let mut cursor =
            events.find(doc! { "id": { "$in": ids } }).projection(doc! { "id": 1 }).session(&mut *session).await?;
        while cursor.advance(session).await? {
            let document = cursor.current();
            let held = document.get_str("id").ok().zip(document.get_i64("_id").ok());
            let changed = "a document of the collection `events` has no id: somebody else has changed it";
            let (id, seq) = held.ok_or_else(|| Error::custom(changed.to_owned()))?;
            stored.push((id.to_owned(), seq.cast_unsigned()));
        }
    }
    let types = stored_types(&database, session, &types).await?;
    Ok(Found { head, stored, types })
}

/// Inserts the events, if there are any, and writes the head.
async fn insert(
    database: Database,
    session: &mut ClientSession,
    documents: Vec<RawDocumentBuf>,
    head: Head,
) -> Result<(), Error> {
    if !documents.is_empty() {
        events(&database).insert_many(&documents).ordered(true).session(&mut *session).await?;
    }
    head.write(&database, session).await
}
