//! Which blocks and rows a scan need not read, because of its payload conditions.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::json::{Wanted, WantedStrings};
use crate::query::{Filter, LeafTest, PayloadFilter};
use crate::row_group::{RowSet, ValueTest};
use crate::segment::{BlockSet, ColumnTest, Sealed, SealedError, TextSearch};

/// The payload conditions of a filter that columns can decide.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Pruning {
    conditions: Vec<ColumnCondition>,
    /// Finds the rows of fresh segments that may match, if one of the conditions is that a value is a certain string.
    search: Option<Arc<TextSearch>>,
}

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
        let conditions: Vec<ColumnCondition> = conditions.take(CONDITIONS_MAX).collect();
        // Long strings are usually rarer.
        let string = conditions.iter().filter_map(ColumnCondition::string).max_by_key(|string| string.len());
        let search = string.and_then(TextSearch::new).map(Arc::new);
        Self { conditions, search }
    }

    /// Finds the rows of fresh segments that may match; `None` if all may.
    pub(in crate::engine) fn search(&self) -> Option<&Arc<TextSearch>> {
        self.search.as_ref()
    }

    /// How many conditions there are.
    pub(in crate::engine) fn conditions(&self) -> usize {
        self.conditions.len()
    }

    /// The conditions as tests on columns.
    pub(in crate::engine) fn tests(&mut self) -> &mut [ColumnCondition] {
        &mut self.conditions
    }

    /// The blocks that may have a matching event; `None` if all may.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if the index of values cannot be read or is damaged.
    pub(in crate::engine) fn blocks(&self, sealed: &Sealed) -> Result<Option<BlockSet>, SealedError> {
        let conditions = self
            .conditions
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
        let columns = if self.conditions.is_empty() { None } else { sealed.columns(number)? };
        let Some(mut columns) = columns else { return Ok(Selected { rows: None, bytes: 0, cost: 0 }) };
        let (rows, values) = columns.select(&mut self.conditions)?;
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

    /// The string that is the only value that fulfils it, if it is one.
    fn string(&self) -> Option<&[u8]> {
        let Wanted { strings, numbers, literals } = &self.wanted;
        match strings {
            WantedStrings::One(string) if numbers.is_none() && !literals => Some(string),
            WantedStrings::One(_) | WantedStrings::All => None,
        }
    }
}
