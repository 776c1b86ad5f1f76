//! Decodes JSON texts from columns, one for each path. Each row can be decoded by itself.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::cursor::{Corrupt, Cursor};
use super::layout::{Layout, Path, Shape};
use super::packed::Packed;
use super::shape::SHAPES_MAX;
use super::texts::Texts;
use crate::row_group::NONE;

/// A column of compact JSON texts, split by *shape* and path. The leaves of a text are its strings (with quotation
/// marks, but not the names of members), numbers, `true`, `false` and `null`; its shape is the rest. The leaves at one
/// path share a column, whatever their shapes. Any bytes round-trip: texts without a shape are stored whole.
///
/// The [`Layout`] has the shapes and the paths. Each page is:
///
/// | page | what |
/// |---|---|
/// | shapes | for each row its shape from 1 on, 0 if it has none, [`Packed`] |
/// | whole | the rows without a shape, if any, as [`Texts`] |
/// | columns | a page for each column of the layout: its leaves as [`Texts`] |
///
/// A column has the leaves of the first shape that uses it, in the order of rows, then those of the second…
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    layout: Arc<Layout>,
    rows: ShapeRows,
    /// For each shape, where its rows begin in the columns of its leaves.
    starts: Vec<Vec<u32>>,
    columns: Vec<Texts>,
    /// The number of leaves in each column.
    leaves: Vec<usize>,
    whole: Option<Texts>,
}

/// Where a row is.
#[derive(Clone, Copy, Debug)]
struct ShapeRow {
    /// The shape from 1 on; 0 if it has none.
    shape: u32,
    /// The index among the rows of this shape.
    index: u32,
}

/// Where each row is.
#[derive(Clone, Debug)]
enum ShapeRows {
    /// All rows have the first shape, of which there is no other.
    Uniform(usize),
    Mixed(Vec<ShapeRow>),
}

/// Where the leaves of each shape are in the columns.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    rows: ShapeRows,
    /// The number of rows without a shape.
    whole: usize,
    starts: Vec<Vec<u32>>,
    /// The number of leaves in each column.
    leaves: Vec<usize>,
}

const NO_ROW: Corrupt = Corrupt("a row does not exist");

impl ShapeRows {
    fn get(&self, row: usize) -> Option<ShapeRow> {
        match self {
            Self::Uniform(count) => (row < *count).then(|| u32::try_from(row).ok()).flatten().map(ShapeRow::first),
            Self::Mixed(rows) => rows.get(row).copied(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = ShapeRow> {
        let (uniform, mixed) = match self {
            Self::Uniform(count) => (0..u32::try_from(*count).unwrap_or(u32::MAX), &[][..]),
            Self::Mixed(rows) => (0..0, rows.as_slice()),
        };
        uniform.map(ShapeRow::first).chain(mixed.iter().copied())
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Uniform(_) => 0,
            Self::Mixed(rows) => size_of_val(rows.as_slice()),
        }
    }
}

impl ShapeRow {
    /// A row of the first shape.
    fn first(index: u32) -> Self {
        Self { shape: 1, index }
    }
}

impl Places {
    /// Decodes the page of shapes of a block with this many rows.
    pub(crate) fn decode(cursor: &mut Cursor, layout: &Layout, count: usize) -> Result<Self, Corrupt> {
        let shapes = layout.shapes().len();
        let numbers = Packed::decode(cursor, count)?;
        let mut counts = [0u32; SHAPES_MAX + 1];
        let rows = if shapes == 1 && numbers.only() == Some(1) {
            counts[1] = u32::try_from(count).map_err(|_| NO_ROW)?;
            ShapeRows::Uniform(count)
        } else {
            let mut rows = Vec::with_capacity(count);
            for number in numbers.iter() {
                if number > shapes as u64 {
                    return Err(Corrupt("the number of a shape is invalid"));
                }
                let index = counts.get_mut(number as usize).ok_or(Corrupt("the number of a shape is invalid"))?;
                rows.push(ShapeRow { shape: number as u32, index: *index });
                *index += 1;
            }
            ShapeRows::Mixed(rows)
        };
        let [whole, counts @ ..] = counts;
        let mut leaves = alloc::vec![0; layout.columns().len()];
        let starts = layout.shapes().iter().zip(counts).map(|(Shape { leaves: of_shape, .. }, rows)| {
            let start = |&(column, _): &(usize, _)| {
                let leaves: &mut usize = leaves.get_mut(column).ok_or(NO_ROW)?;
                let start = u32::try_from(*leaves).map_err(|_| NO_ROW)?;
                *leaves += rows as usize;
                Ok(start)
            };
            of_shape.iter().map(start).collect::<Result<Vec<u32>, Corrupt>>()
        });
        let starts = starts.collect::<Result<_, _>>()?;
        Ok(Self { rows, whole: whole as usize, starts, leaves })
    }

    /// Calls `found` with each row without a shape.
    pub(crate) fn whole_rows(&self, mut found: impl FnMut(usize)) {
        if self.whole > 0 {
            let whole = self.rows.iter().enumerate().filter(|(_, place)| place.shape == 0);
            whole.for_each(|(row, _)| found(row));
        }
    }

    /// Whether all rows have the first shape, so that each row has the leaves of its own number.
    pub(crate) fn are_uniform(&self) -> bool {
        match &self.rows {
            ShapeRows::Uniform(_) => true,
            ShapeRows::Mixed(_) => false,
        }
    }

    /// The shape of each row from 1 on; 0 if it has none.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().map(|row| row.shape as usize)
    }

    /// The number of each row's leaf in a column; [`NONE`] if it has none.
    pub(crate) fn leaves_of(&self, layout: &Layout, column: usize) -> Vec<u32> {
        let start = |(shape, starts): (&Shape, &Vec<u32>)| {
            let mut leaves = shape.leaves.iter().zip(starts);
            leaves.find(|((other, _), _)| *other == column).map(|(_, start)| *start)
        };
        let starts: Vec<Option<u32>> = layout.shapes().iter().zip(&self.starts).map(start).collect();
        let leaf = |ShapeRow { shape, index }: ShapeRow| {
            let start = shape.checked_sub(1).and_then(|shape| starts.get(shape as usize).copied().flatten());
            start.map_or(NONE, |start| start + index)
        };
        self.rows.iter().map(leaf).collect()
    }

    /// The number of rows without a shape.
    pub(crate) fn whole(&self) -> usize {
        self.whole
    }

    /// The number of leaves in each column.
    pub(crate) fn leaves(&self) -> &[usize] {
        &self.leaves
    }
}

impl Documents {
    /// `whole` has the rows without a shape, if there are any, and `columns` a column for each of the layout.
    pub(crate) fn new(layout: Arc<Layout>, places: Places, whole: Option<Texts>, columns: Vec<Texts>) -> Self {
        let Places { rows, starts, leaves, .. } = places;
        Self { layout, rows, starts, columns, leaves, whole }
    }

    /// Its memory in bytes, in addition to the encoded bytes and the heaps of the columns.
    pub(crate) fn memory_bytes(&self) -> usize {
        let starts: usize = self.starts.iter().map(Vec::len).sum();
        self.layout.memory_bytes()
            + self.rows.memory_bytes()
            + size_of_val(self.columns.as_slice())
            + self.columns.iter().chain(&self.whole).map(Texts::memory_bytes).sum::<usize>()
            + starts * size_of::<u32>()
    }

    /// Each column with its path and the number of its leaves.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&Path, &Texts, usize)> {
        self.layout
            .columns()
            .iter()
            .zip(&self.columns)
            .zip(&self.leaves)
            .map(|((path, texts), &leaves)| (path, texts, leaves))
    }

    /// Whether some rows have no shape, so that their values are in no column.
    pub(crate) fn has_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Appends the text of a row to `out`.
    pub(crate) fn append(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Corrupt> {
        let ShapeRow { shape, index } = self.rows.get(row).ok_or(NO_ROW)?;
        let Some(shape) = shape.checked_sub(1) else {
            return self.whole.as_ref().ok_or(NO_ROW)?.append(index as usize, out);
        };
        let starts = self.starts.get(shape as usize).ok_or(NO_ROW)?;
        let Shape { first, leaves } = self.layout.shapes().get(shape as usize).ok_or(NO_ROW)?;
        out.extend_from_slice(first);
        for ((column, piece), start) in leaves.iter().zip(starts) {
            self.columns.get(*column).ok_or(NO_ROW)?.append((start + index) as usize, out)?;
            out.extend_from_slice(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
