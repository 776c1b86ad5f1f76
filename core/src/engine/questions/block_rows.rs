//! Looks at the rows of a block one by one.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::pieces::Piece;
use super::plan::{PAYLOAD_BYTES, Plan};
use crate::analysis::Fold;
use crate::query::Evaluation;
use crate::repository::ReadError;
use crate::row_group::RowSet;
use crate::segment::{Block, RowText};

/// Some rows of a block that are looked at one by one, because columns cannot answer the question for them.
pub(super) struct BlockRows {
    piece: Piece,
    block: Arc<Block>,
    rows: RowSet,
    next: usize,
    /// For each type of the block, whether it is requested; `None` for all.
    requested: Option<Box<[bool]>>,
    text: RowText,
}

impl BlockRows {
    /// # Errors
    ///
    /// [`ReadError`] if the block cannot be read or is damaged.
    pub(super) fn open(piece: Piece, rows: RowSet) -> Result<Self, ReadError> {
        let block = piece.sealed.block(piece.number)?;
        let requested = piece.requested.in_block(&piece.sealed, &block);
        Ok(Self { piece, block, rows, next: 0, requested, text: RowText::default() })
    }

    /// Looks at the next row, and passes its event to the fold if it matches. Returns the cost; `None` after the last
    /// row.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the row is damaged.
    pub(super) fn step(&mut self, plan: &mut Plan, fold: &mut Fold) -> Result<Option<u32>, ReadError> {
        let Self { piece, block, rows, next, requested, text } = self;
        let row = *next;
        if row >= block.len() {
            return Ok(None);
        }
        *next += 1;
        let is_requested = requested.as_ref().is_none_or(|types| types.get(block.type_index(row)) == Some(&true));
        if !rows.has(row) || !is_requested || !plan.bounds.contains(block.sort_key(row)) {
            return Ok(Some(1));
        }
        text.load(block, row)?;
        let payload = text.payload()?;
        let loading = u32::try_from(payload.as_str().len() / PAYLOAD_BYTES).unwrap_or(u32::MAX);
        let Evaluation { matches, cost } = plan.conditions.evaluate(payload);
        let mut cost = loading.saturating_add(cost).saturating_add(1);
        if matches {
            let is_erased = plan.erasures.erases_sealed(piece.sealed.erased_to(), block, row)?;
            cost = cost.saturating_add(plan.erasures.take_cost());
            if !is_erased {
                cost = cost.saturating_add(fold.add(&text.event(block, row, &plan.key)?));
            }
        }
        Ok(Some(cost))
    }

    /// Memory in bytes. Nobody else has the block.
    pub(super) fn held_bytes(&self) -> usize {
        self.block.memory_bytes()
    }
}
