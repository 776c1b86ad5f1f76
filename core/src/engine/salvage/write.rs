//! Writes the salvaged events to a new repository.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::super::Tuning;
use super::super::erasure::ErasureTest;
use super::super::manifest::SegmentEntry;
use super::super::reading::chunks;
use super::ranges::SeqRange;
use crate::segment::{LeftOut, Part, Rewrite, Rewritten, TypeNames};
use crate::storage::{Blob, Draft, Published, StorageError, StorageWriter};

/// Salvaged events of one segment or log record.
pub(super) struct SalvagedPart {
    /// Their range of sequence numbers.
    pub(super) seqs: SeqRange,
    pub(super) part: Part,
    /// Whether it is an undamaged sealed segment, which can be copied byte by byte.
    pub(super) is_whole: bool,
}

impl SalvagedPart {
    /// Number of events.
    pub(super) fn events(&self) -> u64 {
        match &self.part {
            Part::Fresh(segment) => segment.rows().len() as u64,
            Part::Sealed(sealed) => sealed.events(),
        }
    }
}

/// Parts that become one segment.
struct Group {
    seqs: SeqRange,
    parts: Vec<SalvagedPart>,
    /// Number of events and bytes, if all parts come from the log.
    fresh_size: Option<(u64, u64)>,
}

/// What was written.
pub(super) struct Written {
    /// The manifest entries of the segments.
    pub(super) segments: Vec<SegmentEntry>,
    /// How many events were left out because they are erased.
    pub(super) erased: u64,
}

/// Writes the parts as segments, without erased events.
pub(super) fn write<T: StorageWriter>(
    mut parts: Vec<SalvagedPart>,
    to: &mut T,
    tuning: Tuning,
    test: &ErasureTest,
) -> Result<Written, StorageError> {
    parts.sort_by_key(|part| part.seqs);
    let mut written = Written { segments: Vec::new(), erased: 0 };
    let mut names = TypeNames::default();
    for (group, number) in grouped(parts, tuning).into_iter().zip(1..) {
        let (first, last) = group.seqs;
        let entry = SegmentEntry { number, first, last, erased_to: 0 };
        let draft = to.create(&entry.name())?;
        let published = match group.parts.as_slice() {
            [SalvagedPart { part: part @ Part::Sealed(sealed), is_whole: true, .. }] if !test.may_erase_in(part) => {
                Some(copy(sealed.blob().as_ref(), draft)?)
            }
            parts => {
                let parts: Vec<Part> = parts.iter().map(|part| part.part.clone()).collect();
                let left_out = LeftOut { before: i64::MIN, erased: Box::new(test.clone()) };
                let mut intern = |name: &[u8]| names.intern(name);
                let mut rewrite = Rewrite::new(draft, &parts, group.seqs, tuning.block_bytes, left_out, &mut intern)?;
                while !rewrite.step(u32::MAX)? {}
                let Rewritten { segment, erased } = rewrite.finish()?;
                written.erased += erased;
                segment.map(|(_, published)| published)
            }
        };
        if let Some(published) = published {
            to.adopt(published);
            written.segments.push(entry);
        }
    }
    Ok(written)
}

/// Groups neighbouring parts from the log up to the size at which an engine seals segments. Also groups parts whose
/// ranges overlap, which happens only without a manifest.
fn grouped(parts: Vec<SalvagedPart>, tuning: Tuning) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for part in parts {
        let size = match &part.part {
            Part::Fresh(segment) => Some((segment.rows().len() as u64, segment.rows().bytes() as u64)),
            Part::Sealed(_) => None,
        };
        let group = groups.last_mut();
        let total = group.as_ref().and_then(|group| group.fresh_size.zip(size)).map(|(a, b)| (a.0 + b.0, a.1 + b.1));
        let fits =
            |(events, bytes): &(u64, u64)| *events <= tuning.seal_events as u64 && *bytes <= tuning.seal_bytes as u64;
        match group {
            Some(group) if total.as_ref().is_some_and(fits) || part.seqs.0 <= group.seqs.1 => {
                group.seqs.1 = group.seqs.1.max(part.seqs.1);
                group.fresh_size = total;
                group.parts.push(part);
            }
            Some(_) | None => groups.push(Group { seqs: part.seqs, parts: vec![part], fresh_size: size }),
        }
    }
    groups
}

fn copy(blob: &dyn Blob, mut draft: Box<dyn Draft>) -> Result<Published, StorageError> {
    for chunk in chunks(blob) {
        draft.write(&chunk?)?;
    }
    draft.finish()
}
