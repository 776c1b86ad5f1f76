//! Commits a group of batches in one transaction.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use argus_core::batch::{Batch, NewEvent};
use argus_core::event::{Timestamp, Uuid};
use argus_core::proposal::{IdLookups, Proposal, Terms};
use argus_core::repository::Receipt;
use argus_database::{GeneratedIds, TypeCache, TypesAt};
use futures_util::future::{FutureExt as _, OptionFuture, try_join_all};
use futures_util::try_join;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

use crate::document::document;
use crate::fault::Fault;
use crate::head::Head;
use crate::schema::SchemaName;
use crate::values::{Micros, split};
use crate::writer::Writer;

/// The most text in one statement, in bytes. A larger group takes several.
const STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// A group that is to be committed.
#[derive(Debug)]
pub(crate) struct Commit<'a> {
    schema: &'a SchemaName,
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
    /// Whether the server keeps what it has committed, whatever happens.
    pub(crate) is_durable: bool,
}

/// Events in columns, as a statement takes them.
#[derive(Debug, Default)]
struct Columns<'a> {
    seqs: Vec<i64>,
    times: Vec<Micros>,
    nanos: Vec<i16>,
    is_generated: Vec<bool>,
    ids: Vec<Cow<'a, str>>,
    types: Vec<&'a str>,
    payloads: Vec<&'a str>,
    has_document: Vec<bool>,
    text_bytes: usize,
}

/// What the first statements of a transaction have found.
struct Found {
    head: Head,
    stored: Vec<Held>,
    types: Vec<String>,
}

/// An id that a stored event has.
struct Held {
    /// Its place in the list of ids that were looked up.
    at: usize,
    seq: i64,
    stored_at: Micros,
}

impl<'a> Commit<'a> {
    /// A group to be committed.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(crate) fn new(
        schema: &'a SchemaName,
        group: &'a [Batch],
        terms: CommitTerms,
    ) -> Result<Self, getrandom::Error> {
        let mut count = 0;
        let first = |batch: &Batch| {
            let first = count;
            count += batch.len() as u64;
            first
        };
        let firsts = group.iter().map(first).collect();
        Ok(Self { schema, group, terms, ids: GeneratedIds::new(terms.now)?, firsts, is_in_doubt: false })
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
        writer: &mut Writer,
        types: &mut TypeCache,
        types_max: usize,
    ) -> Result<Vec<Receipt>, Fault> {
        let attempted = self.transact(writer, types, types_max);
        if attempted.is_err() && !writer.session.is_lost() {
            // Ends what the failed statement has left.
            writer.session.run(async |client| client.batch_execute("ROLLBACK").await)?;
        }
        attempted
    }

    fn transact(
        &mut self,
        writer: &mut Writer,
        types: &mut TypeCache,
        types_max: usize,
    ) -> Result<Vec<Receipt>, Fault> {
        let Writer { session, statements } = &mut *writer;
        let mut lookups = IdLookups::of(self.group);
        let mut ids: Vec<Cow<'_, str>> = lookups.ids().map(Cow::Borrowed).collect();
        let given = ids.len();
        if self.is_in_doubt {
            ids.extend(self.generated_ids().map(|id| Cow::Owned(id.to_string())));
        }
        let unknown = types.unknown(self.group);
        let Found { head, stored, types: found } =
            session.run(async |client| self.begin(client, &statements.lock, &ids, &unknown).await)?;
        if types.is_true_at(head.removals) {
            types.add(found.iter().map(String::as_str));
        } else {
            let unknown = types.unknown(self.group);
            let found = session.run(async |client| self.stored_types(client, &unknown).await)?;
            types.add(found.iter().map(String::as_str));
        }

        let (now, _) = split(self.terms.now);
        // What an earlier attempt has stored is no duplicate.
        let is_own = |held: &Held| self.is_in_doubt && (held.at >= given || held.stored_at == now);
        let own: HashMap<&str, i64> = stored
            .iter()
            .filter(|held| is_own(held))
            .filter_map(|held| Some((&**ids.get(held.at)?, held.seq)))
            .collect();
        let mut seqs = vec![None; given];
        for held in stored.iter().filter(|held| !is_own(held)) {
            *seqs.get_mut(held.at).expect("only ids of callers are not its own") = Some(held.seq.cast_unsigned());
        }
        lookups.set_stored(seqs);
        // If an earlier attempt was successful, all types that it could add are there.
        let count = if own.is_empty() { count(head.event_types) } else { types_max };
        let known = TypesAt { cache: types, count, limit: types_max };
        let proposal_from = |next_seq: i64| {
            let CommitTerms { keep_from, is_durable, .. } = self.terms;
            let terms = Terms { next_seq: next_seq.cast_unsigned(), keep_from, durable: is_durable };
            Proposal::of(self.group, &lookups, &known, &terms, |batch, index, _| self.id(batch, index))
        };
        let earlier_first = if own.is_empty() { None } else { self.first_seq(&proposal_from(1), &own) };
        let proposal = proposal_from(earlier_first.unwrap_or(head.last_seq + 1));
        self.is_in_doubt = false;
        if earlier_first.is_some() || proposal.stored() == 0 {
            session.run(async |client| client.batch_execute("ROLLBACK").await)?;
        } else {
            self.store(writer, types, head, &proposal)?;
        }
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

    /// Begins the transaction: locks the head, and looks up ids and types. When the head is locked, no other commit is
    /// under way, and all earlier ones are visible.
    async fn begin(
        &self,
        client: &Client,
        lock: &Statement,
        ids: &[Cow<'_, str>],
        types: &[&str],
    ) -> Result<Found, Error> {
        let look_up = format!(
            "SELECT held.place, e.seq, e.stored_at FROM unnest($1) WITH ORDINALITY held (id, place) \
             JOIN {}.events e ON e.id = held.id",
            self.schema
        );
        let stored = OptionFuture::from(
            (!ids.is_empty()).then_some(async { client.query_typed(&look_up, &[(&ids, Type::TEXT_ARRAY)]).await }),
        );
        let types = OptionFuture::from((!types.is_empty()).then(|| self.stored_types(client, types)));
        // Polled in this order, so sent in this order, without waiting for the answers.
        let ((), head, stored, types) = try_join!(
            client.batch_execute("BEGIN"),
            Head::lock(client, lock),
            stored.map(Option::transpose),
            types.map(Option::transpose),
        )?;
        let stored = stored.iter().flatten().map(Held::of).collect::<Result<_, Error>>()?;
        Ok(Found { head, stored, types: types.unwrap_or_default() })
    }

    /// Those of these types of which there are events.
    async fn stored_types(&self, client: &Client, names: &[&str]) -> Result<Vec<String>, Error> {
        let query = format!(
            "SELECT name FROM unnest($1) name WHERE EXISTS (SELECT FROM {}.events e WHERE e.event_type = name)",
            self.schema
        );
        let rows = client.query_typed(&query, &[(&names, Type::TEXT_ARRAY)]).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// Stores the events, and ends the transaction.
    fn store(
        &mut self,
        Writer { session, statements }: &mut Writer,
        types: &mut TypeCache,
        head: Head,
        proposal: &Proposal<'_>,
    ) -> Result<(), Fault> {
        let (mut new_types, mut columns, mut bytes) = (HashSet::new(), vec![Columns::default()], 0);
        for (batch, proposed) in proposal.batches().iter().enumerate() {
            for (index, seq, event) in proposed.events() {
                let id = event
                    .id
                    .map_or_else(|| Cow::Owned(self.id(batch, index).to_string()), |id| Cow::Borrowed(id.as_str()));
                if !types.contains(event.event_type.as_str()) {
                    new_types.insert(event.event_type.as_str());
                }
                bytes += text_bytes(&event, &id);
                if columns.last().is_none_or(|columns| columns.text_bytes >= STATEMENT_BYTES) {
                    columns.push(Columns::default());
                }
                if let Some(columns) = columns.last_mut() {
                    columns.push(seq, &event, id);
                }
            }
        }
        let head = Head {
            last_seq: head.last_seq + proposal.stored().cast_signed(),
            events: head.events + proposal.stored().cast_signed(),
            bytes: head.bytes + bytes,
            event_types: head.event_types + count_of(new_types.len()),
            ..head
        };
        let stored = session.run(async |client| {
            let inserts = columns.iter().map(|columns| columns.insert(client, &statements.insert, self.terms.now));
            // Sent in this order, without waiting for the answers. After an error, the rest is refused.
            let sent = try_join!(
                try_join_all(inserts),
                head.write(client, &statements.write),
                client.batch_execute("COMMIT"),
            );
            sent.map(drop)
        });
        // Any other fault is an answer of the server, which then has stored nothing.
        self.is_in_doubt = stored.as_ref().is_err_and(Fault::is_lost);
        stored?;
        types.add(new_types);
        Ok(())
    }

    /// The id of an event that came without one.
    fn id(&self, batch: usize, index: u32) -> Uuid {
        let first = self.firsts.get(batch).expect("each batch of the group has a number");
        self.ids.id(first + u64::from(index))
    }

    /// The ids of all events that came without one.
    fn generated_ids(&self) -> impl Iterator<Item = Uuid> {
        let batches = self.group.iter().enumerate();
        batches.flat_map(move |(batch, events)| {
            let without = (0..).zip(events.events()).filter(|(_, event)| event.id.is_none());
            without.map(move |(index, _)| self.id(batch, index))
        })
    }
}

impl<'a> Columns<'a> {
    fn push(&mut self, seq: u64, event: &NewEvent<'a>, id: Cow<'a, str>) {
        let (time, nanos) = split(event.timestamp);
        self.text_bytes += event.payload.as_str().len() + id.len();
        self.seqs.push(seq.cast_signed());
        self.times.push(time);
        self.nanos.push(nanos);
        self.is_generated.push(event.id.is_none());
        self.ids.push(id);
        self.types.push(event.event_type.as_str());
        self.payloads.push(event.payload.as_str());
        self.has_document.push(document(event.payload).is_some());
    }

    /// Inserts the events.
    async fn insert(&self, client: &Client, statement: &Statement, stored_at: Timestamp) -> Result<(), Error> {
        let (stored_at, _) = split(stored_at);
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &self.seqs,
            &self.times,
            &self.nanos,
            &self.is_generated,
            &self.ids,
            &self.types,
            &self.payloads,
            &self.has_document,
            &stored_at,
        ];
        client.execute(statement, &parameters).await.map(drop)
    }
}

impl Held {
    fn of(row: &Row) -> Result<Self, Error> {
        let place: i64 = row.try_get(0)?;
        // PostgreSQL counts from 1.
        Ok(Self { at: count(place - 1), seq: row.try_get(1)?, stored_at: row.try_get(2)? })
    }
}

/// The bytes of an event that the head counts.
fn text_bytes(event: &NewEvent<'_>, id: &str) -> i64 {
    count_of(event.payload.as_str().len() + event.event_type.as_str().len() + id.len())
}

/// A number of PostgreSQL as a number of things in memory.
fn count(number: i64) -> usize {
    usize::try_from(number).expect("the table checks that it is not negative, and places begin at 1")
}

/// A number of things in memory as a number of PostgreSQL.
fn count_of(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
