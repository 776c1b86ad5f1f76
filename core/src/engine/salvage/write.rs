//! Writes the salvaged events to a new repository.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::super::Tuning;
use super::super::manifest::Entry;
use super::super::reading::WINDOW_BYTES;
use super::ranges::Range;
use crate::segment::{Part, Rewrite, TypeNames};
use crate::storage::{Blob, Draft, Published, StorageError, StorageWriter};

/// Events that go into the new repository.
pub(super) struct Piece {
    /// The sequence numbers that it answers for.
    pub(super) seqs: Range,
    pub(super) part: Part,
    /// Whether it is a sealed segment without a fault, which can be taken over to the byte.
    pub(super) is_whole: bool,
}

impl Piece {
    /// Number of events.
    pub(super) fn events(&self) -> u64 {
        match &self.part {
            Part::Fresh(segment) => segment.rows().len() as u64,
            Part::Sealed(sealed) => sealed.events(),
        }
    }
}

/// Pieces that are going to be one segment.
struct Group {
    seqs: Range,
    pieces: Vec<Piece>,
    /// Events and bytes, if all of them come from the log.
    fresh: Option<(u64, u64)>,
}

/// Writes the pieces as segments; gives the entries of a manifest that lists them.
pub(super) fn write<T: StorageWriter>(
    mut pieces: Vec<Piece>,
    to: &mut T,
    tuning: Tuning,
) -> Result<Vec<Entry>, StorageError> {
    pieces.sort_by_key(|piece| piece.seqs);
    let mut entries = Vec::new();
    let mut names = TypeNames::default();
    for (group, number) in grouped(pieces, tuning).into_iter().zip(1..) {
        let (first, last) = group.seqs;
        let entry = Entry { number, first, last };
        let draft = to.create(&entry.name())?;
        let published = match group.pieces.as_slice() {
            [Piece { part: Part::Sealed(sealed), is_whole: true, .. }] => Some(copy(&**sealed.blob(), draft)?),
            pieces => {
                let parts: Vec<Part> = pieces.iter().map(|piece| piece.part.clone()).collect();
                let mut rewrite = Rewrite::new(draft, &parts, group.seqs, tuning.block_bytes, i64::MIN, &mut |name| {
                    names.intern(name)
                })?;
                while !rewrite.step(u32::MAX)? {}
                rewrite.finish()?.map(|(_, published)| published)
            }
        };
        if let Some(published) = published {
            to.adopt(published);
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Puts together what lies in each other's way, which it does only where it is unknown what belongs to the repository;
/// and short records.
fn grouped(pieces: Vec<Piece>, tuning: Tuning) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for piece in pieces {
        let size = match &piece.part {
            Part::Fresh(segment) => Some((segment.rows().len() as u64, segment.rows().bytes() as u64)),
            Part::Sealed(_) => None,
        };
        let group = groups.last_mut();
        let together = group.as_ref().and_then(|group| group.fresh.zip(size)).map(|(a, b)| (a.0 + b.0, a.1 + b.1));
        let fits =
            |(events, bytes): &(u64, u64)| *events <= tuning.seal_events as u64 && *bytes <= tuning.seal_bytes as u64;
        match group {
            Some(group) if together.as_ref().is_some_and(fits) || piece.seqs.0 <= group.seqs.1 => {
                group.seqs.1 = group.seqs.1.max(piece.seqs.1);
                group.fresh = together;
                group.pieces.push(piece);
            }
            Some(_) | None => groups.push(Group { seqs: piece.seqs, pieces: vec![piece], fresh: size }),
        }
    }
    groups
}

fn copy(blob: &dyn Blob, mut draft: Box<dyn Draft>) -> Result<Published, StorageError> {
    let mut at = 0;
    while at < blob.len() {
        let end = blob.len().min(at + WINDOW_BYTES as u64);
        draft.write(&blob.read(at..end)?)?;
        at = end;
    }
    draft.finish()
}
