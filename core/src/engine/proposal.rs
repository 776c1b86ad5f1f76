//! Decides which events of a group are stored: not duplicates, and none that adds an event type beyond the limit.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::dedup::{Asked, Holder, Ids, Repeat, repeats};
use super::types::TypeRegistry;
use crate::batch::{Batch, Handling};

/// The decision about one batch. Events that it does not mention are stored.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Duplicates, ascending by index in the batch.
    pub(super) repeats: Vec<Repeat>,
    /// Indexes of events whose types exceed the limit, ascending.
    pub(super) surplus: Vec<u32>,
    /// Whether the whole batch is refused because of `surplus`.
    pub(super) is_refused: bool,
}

impl Verdict {
    /// How many events of the batch are stored.
    pub(super) fn stored(&self, batch: &Batch) -> usize {
        if self.is_refused { 0 } else { batch.len() - self.repeats.len() - self.surplus.len() }
    }

    /// How many events before `index` are not stored. Only for a batch that is not refused.
    pub(super) fn left_out_before(&self, index: u32) -> usize {
        self.repeats.partition_point(|repeat| repeat.0 < index) + self.surplus.partition_point(|&left| left < index)
    }

    /// Whether the event at `index` is stored. Only for a batch that is not refused.
    pub(super) fn keeps(&self, index: u32) -> bool {
        self.repeats.binary_search_by_key(&index, |repeat| repeat.0).is_err()
            && self.surplus.binary_search(&index).is_err()
    }
}

/// Decides about a group as if its batches were committed one after the other.
pub(super) fn judge(group: &[Batch], asked: &[Asked<'_>], types: &TypeRegistry) -> Vec<Verdict> {
    if is_room_for(group, types) {
        let repeats = repeats(asked, group.len()).into_iter();
        return repeats.map(|repeats| Verdict { repeats, ..Verdict::default() }).collect();
    }
    let mut judge = Judge { types, admitted: BTreeSet::new(), ids: Ids::new(asked, group.len()) };
    group.iter().enumerate().map(|(index, batch)| judge.judge(index, batch)).collect()
}

/// Whether the group cannot exceed the limit of types, whichever of its events are stored.
fn is_room_for(group: &[Batch], types: &TypeRegistry) -> bool {
    let room = types.room();
    // The fast path, nearly always taken.
    if group.iter().map(|batch| batch.rows().type_count()).sum::<usize>() <= room {
        return true;
    }
    let mut unknown = BTreeSet::new();
    group.iter().flat_map(names).filter(|name| !types.knows(name)).all(|name| {
        unknown.insert(name);
        unknown.len() <= room
    })
}

fn names(batch: &Batch) -> impl Iterator<Item = &[u8]> {
    (0..batch.rows().type_count()).map(|code| batch.rows().type_name(code))
}

/// Judges a group event by event, because whether one event is stored decides whether later ones are duplicates and
/// whether there is room for their types.
struct Judge<'a> {
    types: &'a TypeRegistry,
    /// New types that the group adds.
    admitted: BTreeSet<&'a [u8]>,
    ids: Ids,
}

impl<'a> Judge<'a> {
    fn judge(&mut self, batch_index: usize, batch: &'a Batch) -> Verdict {
        let rows = batch.rows();
        let room = self.types.room().saturating_sub(self.admitted.len());
        let mut fits: Vec<bool> =
            names(batch).map(|name| self.types.knows(name) || self.admitted.contains(name)).collect();
        let mut verdict = Verdict::default();
        let (mut new_types, mut new_ids) = (Vec::new(), Vec::new());
        let mut ids = self.ids.take_batch(batch_index).into_iter().peekable();
        for index in 0..batch.len() as u32 {
            let id = ids.next_if(|&(at, _)| at == index).map(|(_, number)| number);
            if let Some(holder) = id.and_then(|number| self.ids.holder(number)) {
                verdict.repeats.push((index, holder));
                continue;
            }
            let code = rows.row_type(rows.row_by_ordinal(index as usize));
            let fits = fits.get_mut(code).expect("there is an entry for each type of the batch");
            if !*fits {
                if new_types.len() == room {
                    verdict.surplus.push(index);
                    continue;
                }
                *fits = true;
                new_types.push(rows.type_name(code));
            }
            if let Some(number) = id {
                self.ids.set_holder(number, Some(Holder::InGroup(batch_index, index)));
                new_ids.push(number);
            }
        }
        verdict.is_refused = !verdict.surplus.is_empty() && batch.handling() == Handling::Strict;
        if verdict.is_refused {
            verdict.repeats.clear();
            new_ids.into_iter().for_each(|number| self.ids.set_holder(number, None));
        } else {
            self.admitted.extend(new_types);
        }
        verdict
    }
}
