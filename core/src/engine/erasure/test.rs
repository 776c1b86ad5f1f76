//! Tests whether rows are erased.

use alloc::vec::Vec;
use core::fmt;

use super::types::ErasedTypes;
use super::{Erasure, Erasures};
use crate::damage::Damage;
use crate::event::Payload;
use crate::identity::IdentityKey;
use crate::query::{Conditions, Evaluation};
use crate::segment::{Block, Part, RowText, RowView, Sealed, Segment, Sieve, SortKey, payload_text};

/// Tests whether rows are erased. Has buffers, so each reader has its own. Cheap to create.
#[derive(Clone)]
pub(in crate::engine) struct ErasureTest {
    pub(super) erasures: Erasures,
    key: IdentityKey,
    /// The conditions of each erasure, by its index, once they were needed.
    conditions: Vec<Option<Conditions>>,
    text: RowText,
    /// The cost of the tests since it was taken last, as in [`Evaluation`].
    cost: u32,
}

impl ErasureTest {
    pub(in crate::engine) fn new(erasures: &Erasures, key: &IdentityKey) -> Self {
        let erasures = erasures.clone();
        Self { erasures, key: *key, conditions: Vec::new(), text: RowText::default(), cost: 0 }
    }

    /// Whether nothing is erased.
    pub(in crate::engine) fn is_idle(&self) -> bool {
        self.erasures.is_empty()
    }

    /// What the tests since the last call have cost, in units as in [`Evaluation`].
    pub(in crate::engine) fn take_cost(&mut self) -> u32 {
        core::mem::take(&mut self.cost)
    }

    /// Whether a part may have erased events; `false` is certain. Reads nothing.
    pub(in crate::engine) fn may_erase_in(&self, part: &Part) -> bool {
        if self.is_idle() {
            return false;
        }
        match part {
            Part::Fresh(segment) => {
                let rows = segment.rows();
                let times = (segment.sort_key(0).time, segment.sort_key(rows.len().saturating_sub(1)).time);
                let has_any = |types: &ErasedTypes| types.has_any(rows.type_count(), |code| rows.type_name(code));
                self.erasures.may_select_in(0, part.seqs(), times, has_any)
            }
            Part::Sealed(sealed) => {
                let count = sealed.index().types().len();
                let has_any = |types: &ErasedTypes| types.has_any(count, |code| type_name(sealed, code));
                self.erasures.may_select_in(sealed.erased_to(), part.seqs(), sealed.times(), has_any)
            }
        }
    }

    /// Whether a block of a sealed segment may have erased events, as far as its index says; `false` is certain.
    pub(in crate::engine) fn may_erase_in_block(&self, sealed: &Sealed, number: usize) -> bool {
        let index = sealed.index();
        let has_any = |types: &ErasedTypes| index.codes(number).any(|code| types.has(type_name(sealed, code as usize)));
        let times = (index.first(number).time, index.last(number).time);
        self.erasures.may_select_in(sealed.erased_to(), index.seqs(number), times, has_any)
    }

    /// Whether the row of a part is erased. `block` has the row, if the part has blocks.
    ///
    /// # Errors
    ///
    /// [`Damage`] if the text of the row cannot be decoded.
    pub(in crate::engine) fn erases(&mut self, part: &Part, block: Option<&Block>, row: usize) -> Result<bool, Damage> {
        match (part, block) {
            (Part::Fresh(segment), _) => self.erases_fresh(segment, row),
            (Part::Sealed(sealed), Some(block)) => self.erases_sealed(sealed.erased_to(), block, row),
            (Part::Sealed(_), None) => Err(Damage::of(
                "a test for erasure",
                "a row of a sealed segment is in no block, which is a bug in Argus",
            )),
        }
    }

    /// Whether a row of a fresh segment is erased.
    ///
    /// # Errors
    ///
    /// As for [`erases`](Self::erases).
    pub(in crate::engine) fn erases_fresh(&mut self, segment: &Segment, row: usize) -> Result<bool, Damage> {
        if self.is_idle() {
            return Ok(false);
        }
        let rows = segment.rows();
        let (sort_key, type_name) = (segment.sort_key(row), rows.type_name(rows.row_type(row)));
        if !self.may_select(0, sort_key, type_name) {
            return Ok(false);
        }
        let (id, payload) = rows.id_and_payload(row);
        let millis = segment.committed_millis(rows.ordinal(row));
        self.selects(&RowView { erased_to: 0, sort_key, type_name, id, millis, payload })
    }

    /// Whether a row of a block is erased.
    ///
    /// # Errors
    ///
    /// As for [`erases`](Self::erases).
    pub(in crate::engine) fn erases_sealed(
        &mut self,
        erased_to: u64,
        block: &Block,
        row: usize,
    ) -> Result<bool, Damage> {
        if self.is_idle() {
            return Ok(false);
        }
        let (sort_key, type_name) = (block.sort_key(row), block.type_name(row));
        if !self.may_select(erased_to, sort_key, type_name) {
            return Ok(false);
        }
        let mut text = core::mem::take(&mut self.text);
        let loaded = text.load(block, row);
        let (id, payload, millis) = (text.id(), text.payload_bytes(), block.millis(row));
        let selected =
            loaded.and_then(|()| self.selects(&RowView { erased_to, sort_key, type_name, id, millis, payload }));
        self.text = text;
        selected
    }

    /// Whether an erasure, by its index, selects a row.
    fn selects_by(&mut self, index: usize, row: &RowView<'_>) -> Result<bool, Damage> {
        let Some(erasure) = self.erasures.list.get(index) else { return Ok(false) };
        if !erasure.may_select(row.sort_key, row.type_name) || !erasure.has_id(row, &self.key) {
            return Ok(false);
        }
        if erasure.conditions.is_empty() {
            return Ok(true);
        }
        if self.conditions.len() <= index {
            self.conditions.resize(index + 1, None);
        }
        let compiled = self.conditions.get_mut(index).expect("the list was just made long enough");
        let conditions = compiled.get_or_insert_with(|| erasure.conditions.clone());
        let payload = Payload::from_validated(payload_text(row.payload, row.sort_key.seq)?);
        let Evaluation { matches, cost } = conditions.evaluate(payload);
        self.cost = self.cost.saturating_add(cost);
        Ok(matches)
    }
}

/// The name of a type of a sealed segment.
fn type_name(sealed: &Sealed, code: usize) -> &[u8] {
    let summary = sealed.index().types().get(code);
    summary.expect("a code is below the number of types, as the index was checked").name.as_bytes()
}

impl Sieve for ErasureTest {
    fn may_select_in(&self, erased_to: u64, seqs: (u64, u64), times: (i64, i64)) -> bool {
        self.erasures.later(erased_to, seqs.0).iter().any(|erasure| erasure.may_select_in(seqs, times))
    }

    fn may_select(&self, erased_to: u64, sort_key: SortKey, type_name: &[u8]) -> bool {
        let may_select = |erasure: &alloc::sync::Arc<Erasure>| erasure.may_select(sort_key, type_name);
        self.erasures.later(erased_to, sort_key.seq).iter().any(may_select)
    }

    fn selects(&mut self, row: &RowView<'_>) -> Result<bool, Damage> {
        let count = self.erasures.list.len();
        let first = count - self.erasures.later(row.erased_to, row.sort_key.seq).len();
        for index in first..count {
            if self.selects_by(index, row)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl fmt::Debug for ErasureTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErasureTest").field("erasures", &self.erasures).finish_non_exhaustive()
    }
}
