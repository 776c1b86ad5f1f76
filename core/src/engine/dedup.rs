//! Which events of a group are there already.

use alloc::vec;
use alloc::vec::Vec;

use super::EngineSnapshot;
use crate::batch::Batch;
use crate::repository::ReadError;
use crate::segment::id_hash;

/// What an event with a caller's id turned out to be a duplicate of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Original {
    /// A stored event, by its sequence number.
    Stored(u64),
    /// An earlier event of the same group: index of the batch, place in it.
    InGroup(usize, u32),
}

/// A duplicate: its place in the batch, and what it repeats.
pub(super) type Repeat = (u32, Original);

/// An event with a caller's id.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    hash: u64,
    /// The index of its batch.
    batch: usize,
    /// Its place in it.
    place: u32,
    id: &'a str,
    /// The sequence number of the event that is stored under this id.
    stored: Option<u64>,
}

/// The events of a group that have callers' ids, ascending by the hashes of these and then by their places.
///
/// # Errors
///
/// [`ReadError`] when ids that are stored cannot be read.
pub(super) fn look_up(stored: impl FnOnce() -> EngineSnapshot, group: &[Batch]) -> Result<Vec<Asked<'_>>, ReadError> {
    let mut asked: Vec<Asked<'_>> = Vec::new();
    for (index, batch) in group.iter().enumerate() {
        let rows = batch.rows();
        asked.extend((0..rows.id_count()).map(|entry| {
            let (hash, row) = rows.id_entry(entry);
            let place = rows.ordinal(row);
            let id = batch.event(place as usize).id.expect("only rows with an id have an entry among the hashes");
            Asked { hash, batch: index, place, id: id.as_str(), stored: None }
        }));
    }
    if asked.is_empty() {
        return Ok(asked);
    }
    asked.sort_unstable_by_key(|asked| (asked.hash, asked.batch, asked.place));
    let ids: Vec<(u64, &str)> = asked.iter().map(|asked| (asked.hash, asked.id)).collect();
    debug_assert!(ids.iter().all(|(hash, id)| *hash == id_hash(id.as_bytes())));
    let seqs = stored().seqs_of_ids(&ids)?;
    assert_eq!(seqs.len(), asked.len(), "each id that is asked for has an answer");
    asked.iter_mut().zip(seqs).for_each(|(asked, seq)| asked.stored = seq);
    Ok(asked)
}

/// The duplicates of each of so many batches, ascending by place, if all other events are stored.
pub(super) fn repeats(asked: &[Asked<'_>], batches: usize) -> Vec<Vec<Repeat>> {
    let mut repeats = vec![Vec::new(); batches];
    for same_hash in asked.chunk_by(|a, b| a.hash == b.hash) {
        let mut kept: Vec<&Asked<'_>> = Vec::new();
        for asked in same_hash {
            let earlier = || kept.iter().find(|kept| kept.id == asked.id);
            let original = match asked.stored {
                Some(seq) => Some(Original::Stored(seq)),
                None => earlier().map(|kept| Original::InGroup(kept.batch, kept.place)),
            };
            match original {
                Some(original) => {
                    repeats.get_mut(asked.batch).expect(BATCH).push((asked.place, original));
                }
                None => kept.push(asked),
            }
        }
    }
    for list in &mut repeats {
        list.sort_unstable_by_key(|&(place, _)| place);
    }
    repeats
}

/// Why there is a list for each batch.
const BATCH: &str = "ids are asked for by batches of the group";

/// Why each id can be found.
const NUMBER: &str = "numbers of ids are given by `Ids::new`";

/// The ids of a group, each with a number, for those who decide event by event which of them are stored.
#[derive(Debug)]
pub(super) struct Ids {
    /// By number: the event that has the id, as far as that is known.
    originals: Vec<Option<Original>>,
    /// The events of each batch that have ids: their places, ascending, and the numbers of the ids.
    batches: Vec<Vec<(u32, usize)>>,
}

impl Ids {
    /// Those of so many batches, of which only the stored ones have an event yet.
    pub(super) fn new(asked: &[Asked<'_>], batches: usize) -> Self {
        let mut ids = Self { originals: Vec::new(), batches: vec![Vec::new(); batches] };
        for same_hash in asked.chunk_by(|a, b| a.hash == b.hash) {
            let mut numbered: Vec<(&str, usize)> = Vec::new();
            for asked in same_hash {
                let known = numbered.iter().find(|(id, _)| *id == asked.id).map(|&(_, number)| number);
                let number = known.unwrap_or_else(|| {
                    numbered.push((asked.id, ids.originals.len()));
                    ids.originals.push(asked.stored.map(Original::Stored));
                    ids.originals.len() - 1
                });
                ids.batches.get_mut(asked.batch).expect(BATCH).push((asked.place, number));
            }
        }
        ids.batches.iter_mut().for_each(|batch| batch.sort_unstable());
        ids
    }

    /// The places of a batch's events that have ids, ascending, and the numbers of these.
    pub(super) fn take_batch(&mut self, batch: usize) -> Vec<(u32, usize)> {
        core::mem::take(self.batches.get_mut(batch).expect(BATCH))
    }

    /// The event that has this id, if one does.
    pub(super) fn original(&self, number: usize) -> Option<Original> {
        *self.originals.get(number).expect(NUMBER)
    }

    /// From now on this event has the id, or none.
    pub(super) fn set_original(&mut self, number: usize, original: Option<Original>) {
        *self.originals.get_mut(number).expect(NUMBER) = original;
    }
}
