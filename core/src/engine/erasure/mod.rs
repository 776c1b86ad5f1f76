//! Erasures: events that are stored, but that no reader sees any more.
//!
//! An [`Erasure`] is a filter and the last sequence number to which it applies. It is one record of the log. Until the
//! segments are rewritten, readers test each row that they would return ([`ErasureTest`]). Each sealed segment knows
//! up to which erasure it has none of the erased events ([`Sealed::erased_to`](crate::segment::Sealed::erased_to)), and
//! is tested for later ones only.
//!
//! The manifest lists the erasures whose records are in no longer needed parts of the log and that are not complete. An
//! erasure is complete when nothing on the medium has its events any more: no segment, no part of the log, and no
//! segment that is still to be deleted. Then the next manifest does not list it either, so its filter is gone as well.

mod examination;
mod stored;
mod test;
mod types;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

pub(super) use examination::Examination;
pub(super) use stored::StoredErasure;
pub(super) use test::ErasureTest;
use types::ErasedTypes;

use crate::event::{Timestamp, Uuid};
use crate::identity::IdentityKey;
use crate::query::Conditions;
use crate::segment::{RowView, SortKey};

/// Most erasures that are not complete. Each row that may be erased is tested against all of them.
pub(super) const ERASURES_MAX: usize = 1_000;

/// Most bytes of the filters of these erasures, as JSON: each manifest has them.
pub(super) const ERASURE_BYTES_MAX: usize = 4 << 20;

/// An erasure, prepared for testing rows.
pub(super) struct Erasure {
    pub(super) stored: StoredErasure,
    /// Bytes of its filter as JSON.
    pub(super) bytes: usize,
    /// `None` for all types.
    types: Option<ErasedTypes>,
    ids: Option<Ids>,
    /// The conditions on the payload. Each test clones them, because evaluating changes them.
    conditions: Conditions,
}

/// The ids of a filter.
struct Ids {
    /// Ascending.
    given: Vec<Box<[u8]>>,
    /// Those that may be generated, and the sequence numbers that they then have, ascending.
    generated: Vec<(u64, Uuid)>,
}

impl Erasure {
    /// `key` is that of the repository.
    pub(super) fn new(stored: StoredErasure, key: &IdentityKey) -> Self {
        let ids = stored.filter.ids.as_ref().map(|ids| Ids::new(ids, key));
        let types = stored.filter.types.as_deref().map(ErasedTypes::new);
        let conditions = Conditions::compile(&stored.filter.payload);
        Self { bytes: stored.text().len(), types, ids, conditions, stored }
    }

    /// Whether it may select rows in these ranges; `false` is certain.
    fn may_select_in(&self, seqs: (u64, u64), times: (i64, i64)) -> bool {
        let filter = &self.stored.filter;
        seqs.0 <= self.stored.up_to_seq
            && filter.after_seq.is_none_or(|after| seqs.1 > after)
            && filter.start.is_none_or(|start| times.1 >= start.as_nanos())
            && filter.end.is_none_or(|end| times.0 <= end.as_nanos())
    }

    /// Whether it may select rows of this type; `false` is certain.
    fn may_select_type(&self, type_name: &[u8]) -> bool {
        self.types.as_ref().is_none_or(|types| types.has(type_name))
    }

    /// Whether it selects a row, as far as sequence number, time and type say.
    fn may_select(&self, SortKey { time, seq }: SortKey, type_name: &[u8]) -> bool {
        self.may_select_in((seq, seq), (time, time)) && self.may_select_type(type_name)
    }

    fn has_id(&self, row: &RowView<'_>, key: &IdentityKey) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.has(row, key))
    }

    /// When it was accepted.
    pub(super) fn accepted(&self) -> Timestamp {
        Timestamp::from_nanos(self.stored.millis.saturating_mul(1_000_000))
    }
}

impl Ids {
    fn new(ids: &[Box<str>], key: &IdentityKey) -> Self {
        let mut given: Vec<Box<[u8]>> = ids.iter().map(|id| id.as_bytes().into()).collect();
        given.sort_unstable();
        given.dedup();
        let generated = ids.iter().filter_map(|id| Uuid::parse_generated(id));
        let mut generated: Vec<(u64, Uuid)> = generated.map(|uuid| (key.seq(uuid), uuid)).collect();
        generated.sort_unstable_by_key(|&(seq, uuid)| (seq, uuid.0));
        Self { given, generated }
    }

    fn has(&self, row: &RowView<'_>, key: &IdentityKey) -> bool {
        let seq = row.sort_key.seq;
        if !row.id.is_empty() {
            return self.given.binary_search_by(|id| (**id).cmp(row.id)).is_ok();
        }
        let from = self.generated.partition_point(|&(other, _)| other < seq);
        let same = self.generated.iter().skip(from).take_while(|&&(other, _)| other == seq);
        let mut uuids = same.map(|&(_, uuid)| uuid).peekable();
        uuids.peek().is_some() && {
            let own = key.generate(row.millis, seq);
            uuids.any(|uuid| uuid == own)
        }
    }
}

/// The erasures that are not complete, ascending by number. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Erasures {
    list: Arc<[Arc<Erasure>]>,
}

impl Erasures {
    /// The list ascends by number.
    pub(super) fn new(list: Arc<[Arc<Erasure>]>) -> Self {
        Self { list }
    }

    /// Those that a segment, which has none of the events of erasures up to `erased_to`, may have events of, with this
    /// sequence number or a higher one.
    fn later(&self, erased_to: u64, seq: u64) -> &[Arc<Erasure>] {
        // Both conditions hold for the first erasures only: neither numbers nor last sequence numbers go back.
        let is_over = |erasure: &Arc<Erasure>| erasure.stored.number <= erased_to || erasure.stored.up_to_seq < seq;
        self.list.get(self.list.partition_point(is_over)..).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a segment may have events of any erasure after this number, as far as these ranges and types say.
    /// `has_any` tells whether any type of the segment is among some.
    fn may_select_in(
        &self,
        erased_to: u64,
        seqs: (u64, u64),
        times: (i64, i64),
        has_any: impl Fn(&ErasedTypes) -> bool,
    ) -> bool {
        self.later(erased_to, seqs.0).iter().any(|erasure| {
            let types = erasure.types.as_ref();
            erasure.may_select_in(seqs, times) && types.is_none_or(&has_any)
        })
    }
}

impl fmt::Debug for Erasure {
    /// Without the filter, which may have personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stored.fmt(f)
    }
}
