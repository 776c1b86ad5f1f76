//! Decides which rows a rewrite leaves out, besides those that have expired.

use super::SortKey;
use crate::damage::Damage;

/// A row of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowView<'a> {
    /// Its segment has no events of erasures up to this number: as [`Sealed::erased_to`](super::Sealed::erased_to); 0
    /// for a fresh one.
    pub(crate) erased_to: u64,
    pub(crate) sort_key: SortKey,
    pub(crate) type_name: &'a [u8],
    /// The caller's id, empty if there is none.
    pub(crate) id: &'a [u8],
    /// When it was committed, in milliseconds since the Unix epoch.
    pub(crate) millis: i64,
    pub(crate) payload: &'a [u8],
}

/// Selects rows that a rewrite leaves out.
pub(crate) trait Sieve: Send {
    /// Whether rows in these ranges of sequence numbers and times may be selected; `false` is certain.
    fn may_select_in(&self, erased_to: u64, seqs: (u64, u64), times: (i64, i64)) -> bool;

    /// Whether a row with this sort key and this type may be selected; `false` is certain.
    fn may_select(&self, erased_to: u64, sort_key: SortKey, type_name: &[u8]) -> bool;

    /// Whether a row is selected.
    ///
    /// # Errors
    ///
    /// [`Damage`] if its payload is not UTF-8.
    fn selects(&mut self, row: &RowView<'_>) -> Result<bool, Damage>;
}
