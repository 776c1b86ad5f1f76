//! Reads single columns of a block.

use alloc::vec::Vec;

use bytes::Bytes;

use super::block::{Head, Page};
use super::{Sealed, SealedError, Version};
use crate::codec::{Corrupt, Cursor, Packed, Places, ShapeValues, Texts, decode_series};
use crate::json::Paths;
use crate::row_group::{RowSet, ValueColumn, ValueTest};

/// A block whose columns are read one by one.
pub(crate) struct BlockColumns<'s> {
    sealed: &'s Sealed,
    number: usize,
    head: Head,
    /// Read when they are needed.
    places: Option<Places>,
    /// How many bytes were read so far.
    read_bytes: u64,
}

/// A test on the scalar values at a path.
pub(crate) trait ColumnTest {
    /// Whether a path has these names, from the root of a payload to the value.
    fn is_at<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> bool;

    fn test(&mut self) -> &mut dyn ValueTest;
}

/// Flipping the sign bit maps unsigned integers to signed ones in the same order.
const SIGN: u64 = 1 << 63;

impl Sealed {
    /// Opens a block to read some of its columns; `None` if it has none, since it is older.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if the block cannot be read or is damaged.
    pub(crate) fn columns(&self, number: usize) -> Result<Option<BlockColumns<'_>>, SealedError> {
        let head_len = match self.version {
            Version::Two => None,
            Version::Three => self.index.head_len(number),
        };
        let Some(head_len) = head_len else { return Ok(None) };
        let damaged = |Corrupt(reason)| self.damaged_block(number, reason);
        let start = self.index.range(number).start;
        let bytes = self.blob.read(start..start + head_len)?;
        let head = Head::decode(&bytes).map_err(damaged)?;
        if head.rows() != self.index.rows(number) {
            return Err(damaged(Corrupt("it has other events than the index says")));
        }
        Ok(Some(BlockColumns { sealed: self, number, head, places: None, read_bytes: head_len }))
    }
}

impl BlockColumns<'_> {
    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.head.rows()
    }

    /// The names of the rows' types.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.head.names()
    }

    /// How many bytes were read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// The time of each row, in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// As for all columns: [`SealedError`] if the column cannot be read or is damaged.
    pub(crate) fn times(&mut self) -> Result<Vec<i64>, SealedError> {
        let index = &self.sealed.index;
        let ends = (index.first(self.number).time, index.last(self.number).time);
        let times = self.series(Page::Times)?;
        let times: Vec<i64> = times.into_iter().map(|time| (time ^ SIGN) as i64).collect();
        if times.first() == Some(&ends.0) && times.last() == Some(&ends.1) && times.is_sorted() {
            Ok(times)
        } else {
            Err(self.damaged(Corrupt("it has other times than the index says")))
        }
    }

    /// The sequence number of each row.
    pub(crate) fn seqs(&mut self) -> Result<Vec<u64>, SealedError> {
        self.series(Page::Seqs)
    }

    /// The type of each row, as an index into the names; `None` if there is only one.
    pub(crate) fn types(&mut self) -> Result<Option<Vec<u32>>, SealedError> {
        let names = self.head.names().count();
        if names == 1 {
            return Ok(None);
        }
        let mut page = self.page(Page::Types)?;
        let types = Packed::decode(&mut page, self.rows()).map_err(|error| self.damaged(error))?;
        let mut codes = Vec::new();
        types.append_all(&mut codes);
        if codes.iter().any(|code| *code >= names as u64) {
            return Err(self.damaged(Corrupt("it has an unknown type")));
        }
        Ok(Some(codes.into_iter().map(|code| code as u32).collect()))
    }

    /// The rows for which each of the tests may hold for any value at its path. Those that have no shape are among
    /// them; for all others, the tests do hold. Also returns how many values were tested.
    pub(crate) fn select(&mut self, tests: &mut [impl ColumnTest]) -> Result<(RowSet, usize), SealedError> {
        let (mut rows, mut values) = (RowSet::ALL, 0);
        if tests.is_empty() {
            return Ok((rows, values));
        }
        let places = self.places()?;
        for test in tests {
            let mut found = RowSet::EMPTY;
            places.whole_rows(|row| found.insert(row));
            let paths = self.head.layout().columns().iter().enumerate();
            let at_path: Vec<usize> = paths.filter(|(_, path)| test.is_at(path.names())).map(|(at, _)| at).collect();
            for column in at_path {
                let (texts, leaves) = self.texts(&places, column)?;
                values += leaves;
                let selected = texts.select(leaves, test.test()).map_err(|error| self.damaged(error))?;
                if places.are_uniform() {
                    found.unite(&selected);
                } else if !selected.is_empty() {
                    let of_rows = places.leaves_of(self.head.layout(), column);
                    found.unite(&RowSet::of(&of_rows, |leaf| selected.has(*leaf as usize)));
                }
            }
            rows.intersect(&found);
            if rows.is_empty() {
                break;
            }
        }
        self.places = Some(places);
        Ok((rows, values))
    }

    /// Where each shape has its values at `count` paths.
    pub(crate) fn values_at(&self, paths: &Paths, count: usize) -> Vec<ShapeValues> {
        self.head.layout().values_at(paths, count)
    }

    /// The rows that have a shape of which `is_wanted` is true; `None` for any shape.
    pub(crate) fn rows_of_shapes(&mut self, is_wanted: Option<&[bool]>) -> Result<RowSet, SealedError> {
        let places = self.places()?;
        let is_wanted = |shape: usize| is_wanted.is_none_or(|is_wanted| is_wanted.get(shape) == Some(&true));
        let rows = if places.are_uniform() {
            if is_wanted(0) { RowSet::ALL } else { RowSet::EMPTY }
        } else {
            let shapes: Vec<usize> = places.shapes().collect();
            RowSet::of(&shapes, |shape| shape.checked_sub(1).is_some_and(is_wanted))
        };
        self.places = Some(places);
        Ok(rows)
    }

    /// The values of a column, for some rows; `None` for all rows.
    pub(crate) fn values(&mut self, column: usize, rows: Option<&[u32]>) -> Result<ValueColumn, SealedError> {
        let places = self.places()?;
        let (texts, leaves) = self.texts(&places, column)?;
        let values = match (places.are_uniform(), rows) {
            (true, rows) => texts.values(leaves, rows),
            (false, None) => texts.values(leaves, Some(&places.leaves_of(self.head.layout(), column))),
            (false, Some(rows)) => {
                let of_rows = places.leaves_of(self.head.layout(), column);
                let chosen =
                    rows.iter().map(|row| *of_rows.get(*row as usize).expect("callers choose rows of the block"));
                texts.values(leaves, Some(&chosen.collect::<Vec<_>>()))
            }
        };
        self.places = Some(places);
        values.map_err(|error| self.damaged(error))
    }

    /// A column of leaves, and how many it has.
    fn texts(&mut self, places: &Places, column: usize) -> Result<(Texts, usize), SealedError> {
        let leaves = *places.leaves().get(column).expect("there is a number of leaves for each column");
        let mut page = self.page(Page::Column(column))?;
        let texts = Texts::decode(&mut page, leaves).map_err(|error| self.damaged(error))?;
        Ok((texts, leaves))
    }

    /// Takes the places of the leaves. The caller puts them back.
    fn places(&mut self) -> Result<Places, SealedError> {
        if let Some(places) = self.places.take() {
            return Ok(places);
        }
        let mut page = self.page(Page::Shapes)?;
        Places::decode(&mut page, self.head.layout(), self.head.rows()).map_err(|error| self.damaged(error))
    }

    fn series(&mut self, page: Page) -> Result<Vec<u64>, SealedError> {
        let mut cursor = self.page(page)?;
        decode_series(&mut cursor, self.rows()).map_err(|error| self.damaged(error))
    }

    fn page(&mut self, page: Page) -> Result<Cursor, SealedError> {
        let Some(range) = self.head.range(page) else { return Err(self.damaged(Corrupt("it lacks a page"))) };
        let start = self.sealed.index.range(self.number).start;
        let bytes: Bytes = self.sealed.blob.read(start + range.start as u64..start + range.end as u64)?;
        self.read_bytes += bytes.len() as u64;
        self.head.check(page, &bytes).map_err(|error| self.damaged(error))?;
        Ok(Cursor::new(bytes))
    }

    fn damaged(&self, Corrupt(reason): Corrupt) -> SealedError {
        self.sealed.damaged_block(self.number, reason)
    }
}
