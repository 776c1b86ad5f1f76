//! Finds the duplicates of a group: events whose ids a stored event, or an earlier one of the group, already has.

use alloc::vec;
use alloc::vec::Vec;

use crate::batch::Batch;

/// The first event with a caller's id. Later events with this id are duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A stored event, by its sequence number.
    Stored(u64),
    /// An earlier event of the same group: index of its batch, index in the batch.
    InGroup(usize, u32),
}

/// A duplicate: its index in its batch, and the holder of its id.
pub(super) type DuplicateEvent = (u32, Holder);

/// The look-up of one event's id, which came from the caller.
#[derive(Debug)]
struct IdLookup<'a> {
    hash: u64,
    /// The index of its batch.
    batch: usize,
    /// Its index in the batch.
    index: u32,
    id: &'a str,
    /// The sequence number of the stored event with this id, if there is one.
    stored: Option<u64>,
}

/// The callers' ids of a group of batches, and which stored events have them.
#[derive(Debug)]
pub struct IdLookups<'a> {
    /// Ascending by hash, batch and index.
    lookups: Vec<IdLookup<'a>>,
    batches: usize,
}

impl<'a> IdLookups<'a> {
    /// The ids of a group. At first, none is known to be stored.
    #[must_use]
    pub fn of(group: &'a [Batch]) -> Self {
        let mut lookups: Vec<IdLookup<'a>> = Vec::new();
        for (batch_index, batch) in group.iter().enumerate() {
            let rows = batch.rows();
            lookups.extend((0..rows.id_count()).map(|entry| {
                let (hash, row) = rows.id_entry(entry);
                let index = rows.ordinal(row);
                let id = batch.event(index as usize).id.expect("only rows with an id have an entry among the hashes");
                IdLookup { hash, batch: batch_index, index, id: id.as_str(), stored: None }
            }));
        }
        lookups.sort_unstable_by_key(|lookup| (lookup.hash, lookup.batch, lookup.index));
        Self { lookups, batches: group.len() }
    }

    /// Whether no event of the group has a caller's id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lookups.is_empty()
    }

    /// The ids, in an order of their own. An id that several events have comes several times in a row.
    pub fn ids(&self) -> impl Iterator<Item = &'a str> {
        self.lookups.iter().map(|lookup| lookup.id)
    }

    /// The ids with their hashes, ascending by hash.
    pub(crate) fn hashed(&self) -> Vec<(u64, &'a str)> {
        self.lookups.iter().map(|lookup| (lookup.hash, lookup.id)).collect()
    }

    /// Notes the sequence number of the stored event with each of the [`ids`](Self::ids), in their order.
    ///
    /// # Panics
    ///
    /// If there are not as many of them.
    pub fn set_stored(&mut self, seqs: impl IntoIterator<Item = Option<u64>, IntoIter: ExactSizeIterator>) {
        let seqs = seqs.into_iter();
        assert_eq!(seqs.len(), self.lookups.len(), "each look-up has a result");
        self.lookups.iter_mut().zip(seqs).for_each(|(lookup, seq)| lookup.stored = seq);
    }

    /// The duplicates in each batch, ascending by index, if all other events are stored.
    pub(super) fn duplicates(&self) -> Vec<Vec<DuplicateEvent>> {
        let mut duplicates = vec![Vec::new(); self.batches];
        for same_hash in self.lookups.chunk_by(|a, b| a.hash == b.hash) {
            let mut kept: Vec<&IdLookup<'_>> = Vec::new();
            for lookup in same_hash {
                let earlier = || kept.iter().find(|kept| kept.id == lookup.id);
                let holder = match lookup.stored {
                    Some(seq) => Some(Holder::Stored(seq)),
                    None => earlier().map(|kept| Holder::InGroup(kept.batch, kept.index)),
                };
                match holder {
                    Some(holder) => {
                        duplicates.get_mut(lookup.batch).expect(BATCH).push((lookup.index, holder));
                    }
                    None => kept.push(lookup),
                }
            }
        }
        for list in &mut duplicates {
            list.sort_unstable_by_key(|&(index, _)| index);
        }
        duplicates
    }
}

const BATCH: &str = "look-ups are for events of the group";

const NUMBER: &str = "numbers of ids are given by `IdHolders::new`";

/// The holders of the ids of a group, updated as events are accepted one by one. Each different id has a number.
#[derive(Debug)]
pub(super) struct IdHolders {
    /// The holder of each id, by number; `None` if no event accepted so far has it.
    holders: Vec<Option<Holder>>,
    /// For each batch, its events with ids: index in the batch, ascending, and number of the id.
    batches: Vec<Vec<(u32, usize)>>,
}

impl IdHolders {
    /// Numbers the ids. At first, only stored events hold ids.
    pub(super) fn new(lookups: &IdLookups<'_>) -> Self {
        let mut ids = Self { holders: Vec::new(), batches: vec![Vec::new(); lookups.batches] };
        for same_hash in lookups.lookups.chunk_by(|a, b| a.hash == b.hash) {
            let mut numbered: Vec<(&str, usize)> = Vec::new();
            for lookup in same_hash {
                let known = numbered.iter().find(|(id, _)| *id == lookup.id).map(|&(_, number)| number);
                let number = known.unwrap_or_else(|| {
                    numbered.push((lookup.id, ids.holders.len()));
                    ids.holders.push(lookup.stored.map(Holder::Stored));
                    ids.holders.len() - 1
                });
                ids.batches.get_mut(lookup.batch).expect(BATCH).push((lookup.index, number));
            }
        }
        ids.batches.iter_mut().for_each(|batch| batch.sort_unstable());
        ids
    }

    /// The events of a batch that have ids: index in the batch, ascending, and number of the id. Returns them only
    /// once.
    pub(super) fn take_batch(&mut self, batch: usize) -> Vec<(u32, usize)> {
        core::mem::take(self.batches.get_mut(batch).expect(BATCH))
    }

    /// The event that holds this id, if any.
    pub(super) fn holder(&self, number: usize) -> Option<Holder> {
        *self.holders.get(number).expect(NUMBER)
    }

    /// Sets or clears the event that holds this id.
    pub(super) fn set_holder(&mut self, number: usize, holder: Option<Holder>) {
        *self.holders.get_mut(number).expect(NUMBER) = holder;
    }
}
