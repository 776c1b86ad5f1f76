//! Finds the events of a group whose ids are held already.

use alloc::vec;
use alloc::vec::Vec;

use super::EngineSnapshot;
use crate::batch::Batch;
use crate::repository::ReadError;
use crate::segment::id_hash;

/// The event that holds a caller's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// A stored event, by its sequence number.
    Stored(u64),
    /// An earlier event of the same group: index of its batch, index in the batch.
    InGroup(usize, u32),
}

/// A duplicate: its index in its batch, and the event that holds its id.
pub(super) type Repeat = (u32, Holder);

/// An event with a caller's id, which is looked up.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    hash: u64,
    /// The index of its batch.
    batch: usize,
    /// Its index in the batch.
    index: u32,
    id: &'a str,
    /// The sequence number of the stored event with this id, if there is one.
    stored: Option<u64>,
}

/// The events of a group that have callers' ids, ascending by hash, batch and index.
///
/// # Errors
///
/// [`ReadError`] if stored ids cannot be read.
pub(super) fn look_up(stored: impl FnOnce() -> EngineSnapshot, group: &[Batch]) -> Result<Vec<Asked<'_>>, ReadError> {
    let mut asked: Vec<Asked<'_>> = Vec::new();
    for (batch_index, batch) in group.iter().enumerate() {
        let rows = batch.rows();
        asked.extend((0..rows.id_count()).map(|entry| {
            let (hash, row) = rows.id_entry(entry);
            let index = rows.ordinal(row);
            let id = batch.event(index as usize).id.expect("only rows with an id have an entry among the hashes");
            Asked { hash, batch: batch_index, index, id: id.as_str(), stored: None }
        }));
    }
    if asked.is_empty() {
        return Ok(asked);
    }
    asked.sort_unstable_by_key(|asked| (asked.hash, asked.batch, asked.index));
    let ids: Vec<(u64, &str)> = asked.iter().map(|asked| (asked.hash, asked.id)).collect();
    debug_assert!(ids.iter().all(|(hash, id)| *hash == id_hash(id.as_bytes())));
    let seqs = stored().seqs_of_ids(&ids)?;
    assert_eq!(seqs.len(), asked.len(), "each id that is asked for has an answer");
    asked.iter_mut().zip(seqs).for_each(|(asked, seq)| asked.stored = seq);
    Ok(asked)
}

/// The duplicates in each of `batches` batches, ascending by index, if all other events are stored.
pub(super) fn repeats(asked: &[Asked<'_>], batches: usize) -> Vec<Vec<Repeat>> {
    let mut repeats = vec![Vec::new(); batches];
    for same_hash in asked.chunk_by(|a, b| a.hash == b.hash) {
        let mut kept: Vec<&Asked<'_>> = Vec::new();
        for asked in same_hash {
            let earlier = || kept.iter().find(|kept| kept.id == asked.id);
            let holder = match asked.stored {
                Some(seq) => Some(Holder::Stored(seq)),
                None => earlier().map(|kept| Holder::InGroup(kept.batch, kept.index)),
            };
            match holder {
                Some(holder) => {
                    repeats.get_mut(asked.batch).expect(BATCH).push((asked.index, holder));
                }
                None => kept.push(asked),
            }
        }
    }
    for list in &mut repeats {
        list.sort_unstable_by_key(|&(index, _)| index);
    }
    repeats
}

const BATCH: &str = "ids are asked for by batches of the group";

const NUMBER: &str = "numbers of ids are given by `Ids::new`";

/// The ids of a group, numbered, for deciding event by event which are stored.
#[derive(Debug)]
pub(super) struct Ids {
    /// The holder of each id, by number, as far as it is known.
    holders: Vec<Option<Holder>>,
    /// For each batch, its events with ids: index in the batch, ascending, and number of the id.
    batches: Vec<Vec<(u32, usize)>>,
}

impl Ids {
    /// Numbers the ids of `batches` batches. Only stored events hold ids yet.
    pub(super) fn new(asked: &[Asked<'_>], batches: usize) -> Self {
        let mut ids = Self { holders: Vec::new(), batches: vec![Vec::new(); batches] };
        for same_hash in asked.chunk_by(|a, b| a.hash == b.hash) {
            let mut numbered: Vec<(&str, usize)> = Vec::new();
            for asked in same_hash {
                let known = numbered.iter().find(|(id, _)| *id == asked.id).map(|&(_, number)| number);
                let number = known.unwrap_or_else(|| {
                    numbered.push((asked.id, ids.holders.len()));
                    ids.holders.push(asked.stored.map(Holder::Stored));
                    ids.holders.len() - 1
                });
                ids.batches.get_mut(asked.batch).expect(BATCH).push((asked.index, number));
            }
        }
        ids.batches.iter_mut().for_each(|batch| batch.sort_unstable());
        ids
    }

    /// The events of a batch that have ids: index in the batch, ascending, and number of the id.
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
