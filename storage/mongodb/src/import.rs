//! Imports events with their numbers and times of commit: in one transaction, or in several if they are many.

use std::collections::HashSet;
use std::task::Poll;

use argus_core::batch::NewEvent;
use argus_core::event::{Event, EventId};
use argus_core::repository::ImportError;
use argus_core::transfer::Transfer;
use argus_database::Fault;
use mongodb::bson::doc;
use mongodb::error::Error;
use mongodb::{ClientSession, Database};

use crate::collections::{durable, events};
use crate::head::{Head, Staged};
use crate::plan::Part;
use crate::row::{NewRow, PAYLOAD_BYTES_MAX, counted_bytes, new_row};
use crate::session::Session;
use crate::staging::{insert, lock, stage};
use crate::types::stored_types;
use crate::values::{count, count_of, number};

/// The most ids that one command looks up.
const IDS: usize = 5_000;

/// Events that are to be imported.
#[derive(Debug)]
pub(crate) struct Import<'a> {
    transfer: &'a Transfer,
    /// The most events that one transaction stores.
    transaction_events: usize,
    /// How many events are staged.
    staged: usize,
    /// How many types are new.
    new_types: usize,
    /// Whether an earlier attempt may have stored them.
    is_in_doubt: bool,
}

/// What the first commands of a transaction have found.
struct Found {
    head: Head,
    /// The ids that stored events have, with the numbers of these.
    stored: Vec<(String, u64)>,
    /// How many types have no stored event.
    new_types: usize,
}

impl<'a> Import<'a> {
    pub(crate) fn new(transfer: &'a Transfer, transaction_events: usize) -> Self {
        Self { transfer, transaction_events, staged: 0, new_types: 0, is_in_doubt: false }
    }

    /// Whether the events may be stored although no attempt has succeeded.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Runs the next transaction. Ready if it was the last one, or if an earlier attempt has stored the events. None of
    /// them is visible before.
    ///
    /// # Errors
    ///
    /// A [`Fault`]. The step can be repeated. [`is_in_doubt`](Self::is_in_doubt) tells whether the events may be
    /// stored.
    pub(crate) fn step(
        &mut self,
        session: &mut Session,
        types_max: usize,
    ) -> Result<Poll<Result<(), ImportError>>, Fault> {
        let stepped = self.transact(session, types_max);
        if !matches!(stepped, Ok(Poll::Pending | Poll::Ready(Ok(())))) {
            session.roll_back();
        }
        stepped
    }

    fn transact(&mut self, session: &mut Session, types_max: usize) -> Result<Poll<Result<(), ImportError>>, Fault> {
        let own = (self.staged > 0).then(|| Staged { by: session.id(), events: count_of(self.staged) });
        let head = lock(session, &durable(), own)?;
        if head.staged.is_none() {
            // Nothing was staged, or another process has removed it. What is stored may have changed since.
            self.staged = 0;
            let found = self.look_up(session, head)?;
            if self.is_done(&found) {
                // The majority of the servers may not have it yet.
                session.commit()?;
                self.is_in_doubt = false;
                return Ok(Poll::Ready(Ok(())));
            }
            self.new_types = found.new_types;
            if let Some(refusal) = self.refusal(&found, types_max) {
                self.is_in_doubt = false;
                return Ok(Poll::Ready(Err(refusal)));
            }
        }
        self.is_in_doubt = false;
        let rows = self.transfer.events().skip(self.staged).map(|event| new_row_of(&event));
        let Part { documents, is_last } = Part::of(rows, self.transaction_events);
        if !is_last {
            let events = documents.len();
            stage(session, head, documents)?;
            self.staged += events;
            return Ok(Poll::Pending);
        }
        insert(session, documents, self.head(head))?;
        let committed = session.commit();
        // Also after an answer of the server: if the driver has asked twice, it knows the second answer only.
        self.is_in_doubt = committed.as_ref().is_err_and(|fault| !matches!(fault, Fault::Full(_)));
        committed.map(|()| Poll::Ready(Ok(())))
    }

    /// Looks up the ids and types of the events, while the head is locked.
    fn look_up(&self, session: &mut Session, head: Head) -> Result<Found, Fault> {
        let ids: Vec<String> = self.transfer.events().map(|event| event.id.text().into_owned()).collect();
        let names: HashSet<&str> = self.transfer.events().map(|event| event.event_type.as_str()).collect();
        let names = names.into_iter().map(str::to_owned).collect();
        let database = session.database()?;
        session.run(move |session| Box::pin(look_up(database, session, head, ids, names)))
    }

    /// Whether an earlier attempt has stored the events.
    fn is_done(&self, Found { head, stored, new_types: _ }: &Found) -> bool {
        let own: HashSet<(String, u64)> =
            self.transfer.events().map(|event| (event.id.text().into_owned(), event.seq)).collect();
        self.is_in_doubt
            && head.last_seq.cast_unsigned() >= self.transfer.up_to()
            && stored.len() == own.len()
            && stored.iter().all(|held| own.contains(held))
    }

    /// Why the events cannot be stored, if they cannot.
    fn refusal(&self, found: &Found, types_max: usize) -> Option<ImportError> {
        let Found { head, stored, new_types: _ } = found;
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
        let is_beyond = count(head.event_types) + found.new_types > types_max;
        is_beyond.then(|| ImportError::too_many_types(types_max))
    }

    /// The head once all events are stored.
    fn head(&self, head: Head) -> Head {
        let counted = |event: Event<'_>| counted_bytes(&new_event(&event), &event.id.text());
        Head {
            last_seq: number(self.transfer.up_to()),
            events: head.events + count_of(self.transfer.len()),
            bytes: head.bytes + self.transfer.events().map(counted).sum::<i64>(),
            event_types: head.event_types + count_of(self.new_types),
            // Whoever looks for gaps looks only if there may be some.
            removals: head.removals + i64::from(self.transfer.has_gaps()),
            staged: None,
            ..head
        }
    }
}

fn new_row_of(event: &Event<'_>) -> NewRow {
    new_row(event.seq, &new_event(event), &event.id.text(), event.stored_at)
}

/// The event as it came to the other repository.
fn new_event<'e>(event: &Event<'e>) -> NewEvent<'e> {
    let Event { id, seq: _, event_type, timestamp, payload, stored_at: _ } = *event;
    let id = match id {
        EventId::Given(id) => Some(id),
        EventId::Generated(_) => None,
    };
    NewEvent { event_type, timestamp, payload, id }
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
    let new_types = types.len() - stored_types(&database, session, &types).await?.len();
    Ok(Found { head, stored, new_types })
}
