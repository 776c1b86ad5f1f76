//! What of a group is stored: neither what is there already nor what brings a type too many.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::dedup::{Asked, Ids, Original, Repeat, repeats};
use super::types::TypeRegistry;
use crate::batch::{Batch, Handling};

/// What becomes of the events of one batch. All that are not mentioned are stored.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Duplicates, ascending by place.
    pub(super) repeats: Vec<Repeat>,
    /// The places of events whose types there is no room for, ascending.
    pub(super) surplus: Vec<u32>,
    /// Whether nothing of the batch is stored, because of these.
    pub(super) is_refused: bool,
}

impl Verdict {
    /// How many events of the batch are stored.
    pub(super) fn stored(&self, batch: &Batch) -> usize {
        if self.is_refused { 0 } else { batch.len() - self.repeats.len() - self.surplus.len() }
    }

    /// How many of the events before this place are not stored, in a batch that is not refused.
    pub(super) fn left_out_before(&self, place: u32) -> usize {
        self.repeats.partition_point(|repeat| repeat.0 < place) + self.surplus.partition_point(|&left| left < place)
    }

    /// Whether the event at this place is stored, in a batch that is not refused.
    pub(super) fn keeps(&self, place: u32) -> bool {
        self.repeats.binary_search_by_key(&place, |repeat| repeat.0).is_err()
            && self.surplus.binary_search(&place).is_err()
    }
}

/// Decides about the batches of a group as if each were committed for itself, one after the other.
pub(super) fn judge(group: &[Batch], asked: &[Asked<'_>], types: &TypeRegistry) -> Vec<Verdict> {
    if is_room_for(group, types) {
        let repeats = repeats(asked, group.len()).into_iter();
        return repeats.map(|repeats| Verdict { repeats, ..Verdict::default() }).collect();
    }
    let mut judge = Judge { types, admitted: BTreeSet::new(), ids: Ids::new(asked, group.len()) };
    group.iter().enumerate().map(|(index, batch)| judge.judge(index, batch)).collect()
}

/// Whether no event of a group can have a type too many, whichever are stored.
fn is_room_for(group: &[Batch], types: &TypeRegistry) -> bool {
    let room = types.room();
    // As good as always, this is all there is to it.
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

/// Goes through a group event by event: whether one is stored decides whether others are its duplicates, and whether
/// there is room for the types of others.
struct Judge<'a> {
    types: &'a TypeRegistry,
    /// Types that the group brings.
    admitted: BTreeSet<&'a [u8]>,
    ids: Ids,
}

impl<'a> Judge<'a> {
    fn judge(&mut self, index: usize, batch: &'a Batch) -> Verdict {
        let rows = batch.rows();
        let room = self.types.room().saturating_sub(self.admitted.len());
        let mut fits: Vec<bool> =
            names(batch).map(|name| self.types.knows(name) || self.admitted.contains(name)).collect();
        let mut verdict = Verdict::default();
        let (mut new_types, mut new_ids) = (Vec::new(), Vec::new());
        let mut ids = self.ids.take_batch(index).into_iter().peekable();
        for place in 0..batch.len() as u32 {
            let id = ids.next_if(|&(at, _)| at == place).map(|(_, number)| number);
            if let Some(original) = id.and_then(|number| self.ids.original(number)) {
                verdict.repeats.push((place, original));
                continue;
            }
            let code = rows.row_type(rows.row_by_ordinal(place as usize));
            let fits = fits.get_mut(code).expect("it is said of each type of the batch whether it fits");
            if !*fits {
                if new_types.len() == room {
                    verdict.surplus.push(place);
                    continue;
                }
                *fits = true;
                new_types.push(rows.type_name(code));
            }
            if let Some(number) = id {
                self.ids.set_original(number, Some(Original::InGroup(index, place)));
                new_ids.push(number);
            }
        }
        verdict.is_refused = !verdict.surplus.is_empty() && batch.handling() == Handling::Strict;
        if verdict.is_refused {
            verdict.repeats.clear();
            new_ids.into_iter().for_each(|number| self.ids.set_original(number, None));
        } else {
            self.admitted.extend(new_types);
        }
        verdict
    }
}
