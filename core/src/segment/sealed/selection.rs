//! Selects rows of a block by the values in their columns, without reading the other columns.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::block::{Head, Page};
use super::row_set::RowSet;
use super::{Sealed, SealedError, Version};
use crate::codec::{Corrupt, Cursor, Places, Texts};

/// A test on the scalar values at a path.
pub(crate) trait ColumnTest {
    /// Whether a path has these names, from the root of a payload to the value.
    fn is_at<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> bool;

    /// The string, without escapes, for which alone the test holds; `None` if it holds for other values.
    fn only(&self) -> Option<Box<[u8]>>;

    /// Whether the test holds for the value of a JSON token.
    fn holds_for(&mut self, token: &str) -> bool;
}

/// The rows of a block that may fulfil some tests.
pub(crate) struct Selection {
    pub(crate) rows: RowSet,
    /// How many bytes were read.
    pub(crate) bytes: u64,
    /// How many values were tested.
    pub(crate) values: usize,
}

/// Why a leaf can be found.
const LEAF: &str = "a column has as many leaves as all shapes that use it";

impl Sealed {
    /// The rows of a block for which each of the tests may hold for any value at its path; `None` if the block has no
    /// columns. Reads the columns at these paths alone.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if the block cannot be read or is damaged.
    pub(crate) fn select(
        &self,
        number: usize,
        tests: &mut [impl ColumnTest],
    ) -> Result<Option<Selection>, SealedError> {
        let head_len = match self.version {
            Version::Two => None,
            Version::Three => self.index.head_len(number),
        };
        let Some(head_len) = head_len else { return Ok(None) };
        let start = self.index.range(number).start;
        let damaged = |Corrupt(reason)| self.damaged_block(number, reason);
        let bytes = self.blob.read(start..start + head_len)?;
        let head = Head::decode(&bytes).map_err(damaged)?;
        let mut read = head_len;
        let mut page = |page| {
            let Some(range) = head.range(page) else { return Err(damaged(Corrupt("it lacks a page"))) };
            let bytes: Bytes = self.blob.read(start + range.start as u64..start + range.end as u64)?;
            read += bytes.len() as u64;
            head.check(page, &bytes).map_err(damaged)?;
            Ok(Cursor::new(bytes))
        };
        let layout = head.layout();
        let places = Places::decode(&mut page(Page::Shapes)?, layout, head.rows()).map_err(damaged)?;
        let (mut rows, mut values) = (RowSet::ALL, 0);
        for test in tests {
            let mut found = RowSet::EMPTY;
            places.whole_rows(|row| found.insert(row));
            let only = test.only();
            let paths = layout.columns().iter().enumerate();
            let at_path: Vec<usize> = paths.filter(|(_, path)| test.is_at(path.names())).map(|(at, _)| at).collect();
            for column in at_path {
                let leaves = *places.leaves().get(column).expect("there is a number of leaves for each column");
                values += leaves;
                let mut is_wanted = vec![false; leaves];
                let texts = Texts::decode(&mut page(Page::Column(column))?, leaves).map_err(damaged)?;
                let mut any = false;
                let mark = |leaf: usize| {
                    any = true;
                    *is_wanted.get_mut(leaf).expect(LEAF) = true;
                };
                texts.find(leaves, only.as_deref(), &mut |token| test.holds_for(token), mark).map_err(damaged)?;
                if any {
                    let is_wanted = |leaf: usize| *is_wanted.get(leaf).expect(LEAF);
                    places.rows_of(layout, column, is_wanted, |row| found.insert(row));
                }
            }
            rows.intersect(&found);
            if rows.is_empty() {
                break;
            }
        }
        Ok(Some(Selection { rows, bytes: read, values }))
    }
}
