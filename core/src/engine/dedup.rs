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
struct Asked<'a> {
    hash: u64,
    batch: usize,
    place: u32,
    id: &'a str,
}

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
    let mut asked: Vec<Asked<'_>> = Vec::new();
    for (index, batch) in group.iter().enumerate() {
        let rows = batch.rows();
        asked.extend((0..rows.id_count()).filter_map(|entry| {
            let (hash, row) = rows.id_entry(entry);
            let place = rows.rank(row);
            let id = batch.event(place as usize).id?.as_str();
            Some(Asked { hash, batch: index, place, id })
        }));
    }
    if asked.is_empty() {
        return Ok(repeats);
    }
    asked.sort_unstable_by_key(|asked| (asked.hash, asked.batch, asked.place));
    let ids: Vec<(u64, &str)> = asked.iter().map(|asked| (asked.hash, asked.id)).collect();
    debug_assert!(ids.iter().all(|(hash, id)| *hash == id_hash(id.as_bytes())));
    let answers: Vec<(&Asked<'_>, Option<u64>)> = asked.iter().zip(stored().seqs_of_ids(&ids)?).collect();
    for same_hash in answers.chunk_by(|(a, _), (b, _)| a.hash == b.hash) {
        let mut kept: Vec<&Asked<'_>> = Vec::new();
        for &(asked, stored) in same_hash {
            let earlier = || kept.iter().find(|kept| kept.id == asked.id);
            let original = match stored {
                Some(seq) => Some(Original::Stored(seq)),
                None => earlier().map(|kept| Original::InGroup(kept.batch, kept.place)),
            };
            match original {
                Some(original) => {
                    repeats.get_mut(asked.batch).into_iter().for_each(|list| list.push((asked.place, original)));
                }
                None => kept.push(asked),
            }
        }
    }
    for list in &mut repeats {
        list.sort_unstable_by_key(|&(place, _)| place);
    }
    Ok(repeats)
}
