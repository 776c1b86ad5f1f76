//! Commits a group of batches in one transaction.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use argus_core::batch::Batch;
use argus_core::event::{EventId, Timestamp, Uuid};
use argus_core::proposal::{IdLookups, Proposal, Terms};
use argus_core::repository::Receipt;
use argus_database::{Fault, GeneratedIds, TypeCache, TypesAt};
use futures_util::future::try_join_all;
use futures_util::try_join;

use crate::attempt::Attempt;
use crate::begin::{Found, Held, begin, stored_types};
use crate::columns::{ColumnSet, count, count_of};
use crate::head::Head;
use crate::schema::SchemaName;
use crate::values::split;
use crate::writer::Writer;

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

    /// Stores the events, and ends the transaction.
    fn store(
        &mut self,
        Writer { session, statements }: &mut Writer,
        types: &mut TypeCache,
        head: Head,
        proposal: &Proposal<'_>,
    ) -> Result<(), Fault> {
        let (mut new_types, mut columns, mut bytes) = (HashSet::new(), ColumnSet::default(), 0);
        for (batch, proposed) in proposal.batches().iter().enumerate() {
            for (index, seq, event) in proposed.events() {
                let id = event.id.map_or_else(|| EventId::Generated(self.id(batch, index)), EventId::Given);
                if !types.contains(event.event_type.as_str()) {
                    new_types.insert(event.event_type.as_str());
                }
                bytes += columns.push(seq, &event, id);
            }
        }
        let head = Head {
            last_seq: head.last_seq + proposal.stored().cast_signed(),
            events: head.events + proposal.stored().cast_signed(),
            bytes: head.bytes + bytes,
            event_types: head.event_types + count_of(new_types.len()),
            ..head
        };
        let (stored_at, _) = split(self.terms.now);
        let stored = session.run(async |client| {
            let inserts = columns.iter().map(|columns| columns.insert(client, &statements.insert, &stored_at));
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

impl Attempt for Commit<'_> {
    type Done = Vec<Receipt>;

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
            session.run(async |client| begin(client, self.schema, &statements.lock, &ids, &unknown).await)?;
        if types.is_true_at(head.removals) {
            types.add(found.iter().map(String::as_str));
        } else {
            let unknown = types.unknown(self.group);
            let found = session.run(async |client| stored_types(client, self.schema, &unknown).await)?;
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

    fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use argus_testing::NOW;
    use argus_testing::generate::batch_of_ids;

    use super::*;

    #[test]
    fn any_event_that_was_not_erased_tells_the_first_number() {
        let group = [batch_of_ids(&[Some("a"), None, Some("c")]), batch_of_ids(&[None])];
        let schema = SchemaName::default();
        let terms = CommitTerms { now: NOW, keep_from: Timestamp::from_nanos(i64::MIN), is_durable: true };
        let commit = Commit::new(&schema, &group, terms).unwrap();
        let (lookups, cache) = (IdLookups::of(&group), TypeCache::default());
        let known = TypesAt { cache: &cache, count: 0, limit: 1 };
        let terms = Terms { next_seq: 1, keep_from: terms.keep_from, durable: true };
        let proposal = Proposal::of(&group, &lookups, &known, &terms, |batch, index, _| commit.id(batch, index));
        let generated = [commit.id(0, 1).to_string(), commit.id(1, 0).to_string()];
        for (seq, id) in (101..).zip(["a", &generated[0], "c", &generated[1]]) {
            assert_eq!(commit.first_seq(&proposal, &HashMap::from([(id, seq)])), Some(101), "{id}");
        }
        assert_eq!(commit.first_seq(&proposal, &HashMap::from([("b", 7)])), None);
    }
}
