//! Which blocks and rows of a sealed segment a scan need not read, because of its payload conditions.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::json::Wanted;
use crate::query::{Filter, LeafTest, PayloadFilter};
use crate::segment::{BlockSet, ColumnTest, RowSet, Sealed, SealedError};

/// The payload conditions of a filter that columns can decide.
#[derive(Debug)]
pub(super) struct Pruning(Vec<ColumnCondition>);

#[derive(Debug)]
struct ColumnCondition {
    /// The names of the path.
    names: Vec<Box<[u8]>>,
    wanted: Wanted,
    test: LeafTest,
}

/// The rows of a block that may match.
pub(super) struct Selected {
    /// `None` if all may.
    pub(super) rows: Option<RowSet>,
    /// How many bytes were read to find out.
    pub(super) bytes: u64,
    /// The cost of finding out, in rows.
    pub(super) cost: u32,
}

/// The most conditions that are used, so that a step of a scan does not take too long. All others are left to the rows.
const CONDITIONS_MAX: usize = 8;

impl Pruning {
    pub(super) fn of(filter: &Filter) -> Self {
        let conditions = filter.payload.iter().filter_map(ColumnCondition::of);
        Self(conditions.take(CONDITIONS_MAX).collect())
    }

    /// The blocks that may have a matching event; `None` if all may.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if the index of values cannot be read or is damaged.
    pub(super) fn blocks(&self, sealed: &Sealed) -> Result<Option<BlockSet>, SealedError> {
        let conditions = self
            .0
            .iter()
            .map(|ColumnCondition { names, wanted, .. }| (names.iter().map(AsRef::as_ref).collect(), wanted.clone()));
        sealed.blocks_with(&conditions.collect::<Vec<(Vec<&[u8]>, Wanted)>>())
    }

    /// The rows of a block that may match.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if the block cannot be read or is damaged.
    pub(super) fn rows(&mut self, sealed: &Sealed, number: usize) -> Result<Selected, SealedError> {
        let selection = if self.0.is_empty() { None } else { sealed.select(number, &mut self.0)? };
        Ok(selection.map_or(Selected { rows: None, bytes: 0, cost: 0 }, |selection| Selected {
            rows: Some(selection.rows),
            bytes: selection.bytes,
            // Testing a value costs about as much as examining a row.
            cost: u32::try_from(selection.values).unwrap_or(u32::MAX),
        }))
    }
}

impl ColumnTest for ColumnCondition {
    fn is_at<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> bool {
        names.eq(self.names.iter().map(AsRef::as_ref))
    }

    fn only(&self) -> Option<Box<[u8]>> {
        self.test.only().map(Into::into)
    }

    fn holds_for(&mut self, token: &str) -> bool {
        self.test.holds_for(token)
    }
}

impl ColumnCondition {
    fn of(PayloadFilter { path, test }: &PayloadFilter) -> Option<Self> {
        Some(Self {
            names: path.names().map(|name| name.as_bytes().into()).collect(),
            wanted: test.wanted()?,
            test: LeafTest::of(test)?,
        })
    }
}
