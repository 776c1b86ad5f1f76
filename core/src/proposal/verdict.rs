//! Decides which events of a group are stored: not duplicates, and none that adds an event type beyond the limit.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::KnownTypes;
use super::ids::{DuplicateEvent, Holder, IdHolders, IdLookups};
use crate::batch::{Batch, Handling};

/// The decision about one batch. Events that it does not mention are stored.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Duplicates, ascending by index in the batch.
    pub(super) duplicates: Vec<DuplicateEvent>,
    /// Indexes of events whose types exceed the limit, ascending.
    pub(super) surplus: Vec<u32>,
    /// Whether the whole batch is refused because of `surplus`.
    pub(super) is_refused: bool,
}

impl Verdict {
    /// How many events of the batch are stored.
    pub(super) fn stored(&self, batch: &Batch) -> usize {
        if self.is_refused { 0 } else { batch.len() - self.duplicates.len() - self.surplus.len() }
    }

    /// How many events before `index` are not stored. Only for a batch that is not refused.
    pub(super) fn left_out_before(&self, index: u32) -> usize {
        self.duplicates.partition_point(|duplicate| duplicate.0 < index)
            + self.surplus.partition_point(|&surplus| surplus < index)
    }

    /// Whether the event at `index` is stored. Only for a batch that is not refused.
    pub(super) fn keeps(&self, index: u32) -> bool {
        self.duplicates.binary_search_by_key(&index, |duplicate| duplicate.0).is_err()
            && self.surplus.binary_search(&index).is_err()
    }
}

/// Decides about a group as if its batches were committed one after the other.
pub(super) fn judge(group: &[Batch], lookups: &IdLookups<'_>, types: &dyn KnownTypes) -> Vec<Verdict> {
    if cannot_exceed_limit(group, types) {
        let duplicates = lookups.duplicates().into_iter();
        return duplicates.map(|duplicates| Verdict { duplicates, ..Verdict::default() }).collect();
    }
    let mut judge = Judge { types, new_types: BTreeSet::new(), ids: IdHolders::new(lookups) };
    group.iter().enumerate().map(|(index, batch)| judge.judge(index, batch)).collect()
}

/// Whether the group cannot exceed the limit of types, whichever of its events are stored.
fn cannot_exceed_limit(group: &[Batch], types: &dyn KnownTypes) -> bool {
    let remaining = types.remaining();
    // The fast path, nearly always taken.
    if group.iter().map(|batch| batch.rows().type_count()).sum::<usize>() <= remaining {
        return true;
    }
    let mut new_types = BTreeSet::new();
    group.iter().flat_map(names).filter(|name| !types.contains(name)).all(|name| {
        new_types.insert(name);
        new_types.len() <= remaining
    })
}

fn names(batch: &Batch) -> impl Iterator<Item = &[u8]> {
    (0..batch.rows().type_count()).map(|code| batch.rows().type_name(code))
}

/// Judges a group event by event: whether an event is stored affects which later events are duplicates and how many
/// more types may be added.
struct Judge<'a> {
    types: &'a dyn KnownTypes,
    /// The new types of the batches judged so far.
    new_types: BTreeSet<&'a [u8]>,
    ids: IdHolders,
}

impl<'a> Judge<'a> {
    fn judge(&mut self, batch_index: usize, batch: &'a Batch) -> Verdict {
        let rows = batch.rows();
        let remaining = self.types.remaining().saturating_sub(self.new_types.len());
        let mut is_listed: Vec<bool> =
            names(batch).map(|name| self.types.contains(name) || self.new_types.contains(name)).collect();
        let mut verdict = Verdict::default();
        let (mut new_types, mut new_ids) = (Vec::new(), Vec::new());
        let mut ids = self.ids.take_batch(batch_index).into_iter().peekable();
        for index in 0..batch.len() as u32 {
            let id = ids.next_if(|&(at, _)| at == index).map(|(_, number)| number);
            if let Some(holder) = id.and_then(|number| self.ids.holder(number)) {
                verdict.duplicates.push((index, holder));
                continue;
            }
            let code = rows.row_type(rows.row_by_ordinal(index as usize));
            let is_listed = is_listed.get_mut(code).expect("there is an entry for each type of the batch");
            if !*is_listed {
                if new_types.len() == remaining {
                    verdict.surplus.push(index);
                    continue;
                }
                *is_listed = true;
                new_types.push(rows.type_name(code));
            }
            if let Some(number) = id {
                self.ids.set_holder(number, Some(Holder::InGroup(batch_index, index)));
                new_ids.push(number);
            }
        }
        verdict.is_refused = !verdict.surplus.is_empty() && batch.handling() == Handling::Strict;
        if verdict.is_refused {
            verdict.duplicates.clear();
            new_ids.into_iter().for_each(|number| self.ids.set_holder(number, None));
        } else {
            self.new_types.extend(new_types);
        }
        verdict
    }
}
