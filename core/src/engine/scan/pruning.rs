//! Which blocks and rows of a sealed segment a scan need not read, because of its payload conditions.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::json::Wanted;
use crate::query::{Filter, LeafTest, PayloadFilter};
use crate::row_group::{RowSet, ValueTest};
use crate::segment::{BlockSet, ColumnTest, Sealed, SealedError};

/// The payload conditions of a filter that columns can decide.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Pruning(Vec<ColumnCondition>);

#[derive(Clone, Debug)]
pub(in crate::engine) struct ColumnCondition {
    /// The names of the path.
    names: Vec<Box<[u8]>>,
    wanted: Wanted,
    test: LeafTest,
}

/// The rows of a block that may match.
pub(in crate::engine) struct Selected {
    /// `None` if all may.
    pub(in crate::engine) rows: Option<RowSet>,
    /// How many bytes were read to find out.
    pub(in crate::engine) bytes: u64,
    /// The cost of finding out, in rows.
    pub(in crate::engine) cost: u32,
}

/// The most conditions that are used, so that a step of a scan does not take too long. All others are left to the rows.
const CONDITIONS_MAX: usize = 8;

impl Pruning {
    pub(in crate::engine) fn of(filter: &Filter) -> Self {
        let conditions = filter.payload.iter().filter_map(ColumnCondition::of);
        Self(conditions.take(CONDITIONS_MAX).collect())
    }

    /// How many conditions there are.
    pub(in crate::engine) fn conditions(&self) -> usize {
        self.0.len()
    }

    /// The conditions as tests on columns.
    pub(in crate::engine) fn tests(&mut self) -> &mut [ColumnCondition] {
        &mut self.0
    }

    /// The blocks that may have a matching event; `None` if all may.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if the index of values cannot be read or is damaged.
    pub(in crate::engine) fn blocks(&self, sealed: &Sealed) -> Result<Option<BlockSet>, SealedError> {
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
    pub(in crate::engine) fn rows(&mut self, sealed: &Sealed, number: usize) -> Result<Selected, SealedError> {
        let columns = if self.0.is_empty() { None } else { sealed.columns(number)? };
        let Some(mut columns) = columns else { return Ok(Selected { rows: None, bytes: 0, cost: 0 }) };
        let (rows, values) = columns.select(&mut self.0)?;
        // Testing a value costs about as much as examining a row.
        let cost = u32::try_from(values).unwrap_or(u32::MAX);
        Ok(Selected { rows: Some(rows), bytes: columns.read_bytes(), cost })
    }
}

impl ColumnTest for ColumnCondition {
    fn is_at<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> bool {
        names.eq(self.names.iter().map(AsRef::as_ref))
    }

    fn test(&mut self) -> &mut dyn ValueTest {
        &mut self.test
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
