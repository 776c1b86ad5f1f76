//! Imports events with their numbers and times of commit in one transaction.

use std::borrow::Cow;
use std::collections::HashSet;

use argus_core::batch::NewEvent;
use argus_core::event::Event;
use argus_core::repository::ImportError;
use argus_core::transfer::Transfer;
use argus_database::{Fault, TypeCache};
use futures_util::future::try_join_all;
use futures_util::try_join;

use crate::attempt::Attempt;
use crate::begin::{Found, Held, begin};
use crate::columns::{ColumnSet, count, count_of};
use crate::head::Head;
use crate::schema::SchemaName;
use crate::values::{Micros, split};
use crate::writer::{StoredAt, Writer, prepare_insert};

/// Events that are to be imported.
#[derive(Debug)]
pub(crate) struct Import<'a> {
    schema: &'a SchemaName,
    transfer: &'a Transfer,
    /// Whether an earlier attempt may have stored them.
    is_in_doubt: bool,
}

impl<'a> Import<'a> {
    pub(crate) fn new(schema: &'a SchemaName, transfer: &'a Transfer) -> Self {
        Self { schema, transfer, is_in_doubt: false }
    }

    /// Whether an earlier attempt has stored the events: `stored` are those that have their ids.
    fn is_done(&self, head: &Head, stored: &[Held], seqs: &[u64]) -> bool {
        let is_own = |held: &Held| seqs.get(held.at) == Some(&held.seq.cast_unsigned());
        self.is_in_doubt
            && head.last_seq.cast_unsigned() >= self.transfer.up_to()
            && stored.len() == seqs.len()
            && stored.iter().all(is_own)
    }

    /// Why the events cannot be stored, if they cannot.
    fn refusal(&self, found: &Found, seqs: &[u64], new_types: usize, types_max: usize) -> Option<ImportError> {
        let Found { head, stored, types: _ } = found;
        if head.last_seq.cast_unsigned() != self.transfer.first_after() {
            return Some(ImportError::other_head(self.transfer, head.last_seq.cast_unsigned()));
        }
        if let Some((first, second)) = self.transfer.twins() {
            return Some(ImportError::taken_id(second, first));
        }
        if let Some((seq, held)) = stored.first().and_then(|held| Some((*seqs.get(held.at)?, held))) {
            return Some(ImportError::taken_id(seq, held.seq.cast_unsigned()));
        }
        let is_beyond = count(head.event_types) + new_types > types_max;
        is_beyond.then(|| ImportError::too_many_types(types_max))
    }

    /// Stores the events, and ends the transaction.
    fn store(&mut self, writer: &mut Writer, head: Head, new_types: usize) -> Result<(), Fault> {
        let (mut columns, mut bytes, mut stored_at) = (ColumnSet::default(), 0, Vec::new());
        for event in self.transfer.events() {
            let Event { id, seq, event_type, timestamp, payload, .. } = event;
            bytes += columns.push(seq, &NewEvent { event_type, timestamp, payload, id: None }, id);
            stored_at.push(split(event.stored_at).0);
        }
        let head = Head {
            last_seq: self.transfer.up_to().cast_signed(),
            events: head.events + count_of(self.transfer.len()),
            bytes: head.bytes + bytes,
            event_types: head.event_types + count_of(new_types),
            // Whoever looks for gaps looks only if there may be some.
            removals: head.removals + i64::from(self.transfer.has_gaps()),
            ..head
        };
        let Writer { session, statements } = writer;
        let stored = session.run(async |client| {
            let insert = prepare_insert(client, self.schema, StoredAt::Each).await?;
            let mut rest = stored_at.as_slice();
            let times: Vec<Vec<Micros>> = columns
                .iter()
                .map(|columns| {
                    let (times, others) = rest.split_at(columns.len());
                    rest = others;
                    times.to_vec()
                })
                .collect();
            let inserts = columns.iter().zip(&times).map(|(columns, times)| columns.insert(client, &insert, times));
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
        stored
    }
}

impl Attempt for Import<'_> {
    /// Whether the events could be stored.
    type Done = Result<(), ImportError>;

    fn transact(&mut self, writer: &mut Writer, _: &mut TypeCache, types_max: usize) -> Result<Self::Done, Fault> {
        let Writer { session, statements } = &mut *writer;
        let ids: Vec<Cow<'_, str>> = self.transfer.events().map(|event| event.id.text()).collect();
        let seqs: Vec<u64> = self.transfer.events().map(|event| event.seq).collect();
        let names: HashSet<&str> = self.transfer.events().map(|event| event.event_type.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let found = session.run(async |client| begin(client, self.schema, &statements.lock, &ids, &names).await)?;
        let is_done = self.is_done(&found.head, &found.stored, &seqs);
        let new_types = names.len() - found.types.len();
        let refusal = self.refusal(&found, &seqs, new_types, types_max).filter(|_| !is_done);
        self.is_in_doubt = false;
        if is_done || refusal.is_some() {
            session.run(async |client| client.batch_execute("ROLLBACK").await)?;
            return Ok(refusal.map_or(Ok(()), Err));
        }
        self.store(writer, found.head, new_types).map(Ok)
    }

    fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }
}
