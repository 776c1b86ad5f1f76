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

/// The duplicates of each batch of the group, ascending by place.
///
/// # Errors
///
/// [`ReadError`] when ids that are stored cannot be read.
pub(super) fn find_repeats(
    stored: impl FnOnce() -> EngineSnapshot,
    group: &[Batch],
) -> Result<Vec<Vec<Repeat>>, ReadError> {
    let mut repeats = vec![Vec::new(); group.len()];
    let mut ids: Vec<(u64, usize, u32)> = Vec::new();
    for (index, batch) in group.iter().enumerate() {
        let rows = batch.rows();
        ids.extend((0..rows.id_count()).map(|entry| {
            let (hash, row) = rows.id_entry(entry);
            (hash, index, rows.rank(row))
        }));
    }
    if ids.is_empty() {
        return Ok(repeats);
    }
    ids.sort_unstable();
    let stored = stored();
    for same_hash in ids.chunk_by(|a, b| a.0 == b.0) {
        let mut kept: Vec<(&str, usize, u32)> = Vec::new();
        for &(hash, index, place) in same_hash {
            let Some(id) = group.get(index).and_then(|batch| batch.event(place as usize).id) else { continue };
            let id = id.as_str();
            debug_assert_eq!(hash, id_hash(id.as_bytes()));
            let earlier = || kept.iter().find(|kept| kept.0 == id).map(|kept| Original::InGroup(kept.1, kept.2));
            match stored.seq_of_id(id, hash)?.map(Original::Stored).or_else(earlier) {
                Some(original) => repeats.get_mut(index).into_iter().for_each(|list| list.push((place, original))),
                None => kept.push((id, index, place)),
            }
        }
    }
    for list in &mut repeats {
        list.sort_unstable_by_key(|&(place, _)| place);
    }
    Ok(repeats)
}
