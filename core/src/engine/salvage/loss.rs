//! Takes what a survey has found, and computes which events could not be salvaged.

use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::super::check::{DamagedRange, FoundSegment};
use super::super::erasure::StoredErasure;
use super::super::reading::{Content, Record};
use super::Loss;
use super::ranges::{self, SeqRange};
use super::write::SalvagedPart;
use crate::segment::{DamagedPart, Epoch, Part, RecoveredBlocks, Sealed, Segment};

/// Collects the losses of a survey, and the sequence numbers that were found.
#[derive(Default)]
pub(super) struct Losses {
    losses: Vec<Loss>,
    /// The sequence numbers in the log and in segments that no manifest lists.
    found: Vec<SeqRange>,
    /// The latest commit time in recovered blocks.
    millis: i64,
    /// The erasures in the log, ascending by number.
    erasures: Vec<StoredErasure>,
}

impl Losses {
    /// The intact part of a segment, if there is any.
    pub(super) fn take_segment(&mut self, segment: FoundSegment) -> Option<SalvagedPart> {
        let FoundSegment { name, seqs, is_listed, blob, sealed, damage } = segment;
        let whole = sealed.clone().filter(|_| damage.is_empty());
        if let Some(whole) = whole.clone().filter(|_| is_listed) {
            return Some(SalvagedPart { seqs, part: Part::Sealed(whole), is_whole: true });
        }
        let recovered = blob.and_then(|blob| RecoveredBlocks::of(&name, seqs, blob, sealed.as_deref()).ok());
        let found = recovered.as_ref().map_or(Vec::new(), |recovered| ranges::of(recovered.seqs.iter().copied()));
        if is_listed {
            let missing = ranges::gaps(&found, seqs);
            self.losses.extend(loss(&name, missing, sealed.as_deref(), &damage));
        }
        let RecoveredBlocks { sealed: recovered, millis, .. } = recovered?;
        let (&(first, _), &(_, last)) = (found.first()?, found.last()?);
        self.millis = self.millis.max(millis);
        self.found.extend(found.iter().filter(|_| !is_listed));
        let seqs = if is_listed { seqs } else { (first, last) };
        let is_whole = whole.is_some();
        Some(SalvagedPart { seqs, part: Part::Sealed(whole.unwrap_or_else(|| Arc::new(recovered))), is_whole })
    }

    /// The events of a record, if it has any. Remembers an erasure.
    pub(super) fn take_record(&mut self, record: Record) -> Option<SalvagedPart> {
        let rows = match record.content {
            Content::Events(rows) => rows,
            Content::Erasure(erasure) => {
                self.erasures.push(erasure);
                return None;
            }
            Content::Mark | Content::Skip(_) | Content::Unknown => return None,
        };
        let epochs = [Epoch { ordinal: 0, millis: record.header.millis }];
        let segment = Segment::new(record.header.first_seq, rows, epochs.into());
        let seqs = (segment.base(), segment.last_seq());
        self.found.push(seqs);
        Some(SalvagedPart { seqs, part: Part::Fresh(Arc::new(segment)), is_whole: false })
    }

    /// Adds the events of a damaged range of the log to the losses.
    pub(super) fn take_damaged_log(&mut self, damaged: &DamagedRange) {
        let Some((first, last)) = damaged.seqs else { return };
        let events = (last < u64::MAX).then(|| last - first + 1);
        let place = "the log".to_string();
        self.losses.push(Loss { place, seqs: vec![(first, last)], events, is_exact: damaged.is_exact });
    }

    /// The latest commit time in recovered blocks, in milliseconds since the Unix epoch.
    pub(super) fn millis(&self) -> i64 {
        self.millis
    }

    /// Takes the erasures in the log, ascending by number.
    pub(super) fn take_erasures(&mut self) -> Vec<StoredErasure> {
        core::mem::take(&mut self.erasures)
    }

    /// The losses. Without a manifest, each event up to `last_seq` that was not found counts as lost.
    pub(super) fn finish(mut self, without_manifest: bool, last_seq: u64) -> Vec<Loss> {
        if !without_manifest {
            return self.losses;
        }
        self.found.sort_unstable();
        let found = ranges::union(self.found);
        let seqs = ranges::gaps(&found, (1, last_seq));
        let events = Some(ranges::count(&seqs));
        let loss = Loss { place: "the repository".to_string(), seqs, events, is_exact: false };
        if loss.seqs.is_empty() { Vec::new() } else { vec![loss] }
    }
}

/// The loss of a segment. `missing` has the sequence numbers that were not found in it.
fn loss(name: &str, missing: Vec<SeqRange>, sealed: Option<&Sealed>, damage: &[DamagedPart]) -> Option<Loss> {
    let place = name.to_string();
    let Some(index) = sealed.map(Sealed::index) else {
        let events = Some(ranges::count(&missing));
        return (!missing.is_empty()).then_some(Loss { place, seqs: missing, events, is_exact: false });
    };
    // The index says how many events a damaged block has, and in which range.
    let blocks = || damage.iter().filter_map(|damage| damage.block);
    let mut block_seqs: Vec<SeqRange> = blocks().map(|block| index.seqs(block)).collect();
    block_seqs.sort_unstable();
    let seqs = ranges::intersection(&missing, &ranges::union(block_seqs));
    let events: u64 = blocks().map(|block| index.rows(block) as u64).sum();
    let is_exact = events == ranges::count(&seqs);
    (events > 0).then_some(Loss { place, seqs, events: Some(events), is_exact })
}
