//! Answers a block from its columns.

use alloc::vec::Vec;

use super::pieces::Piece;
use super::plan::{BLOCK_ROWS, Plan};
use crate::analysis::{Fold, Needs};
use crate::codec::ShapeValues;
use crate::damage::{Affected, Damage};
use crate::repository::ReadError;
use crate::row_group::{RowGroup, RowSet, Types, ValueColumn};
use crate::segment::BlockColumns;

/// Reading this many values from a column costs about as much as examining a row.
const VALUES_PER_ROW: usize = 8;

/// What became of a block.
pub(super) struct Answered {
    /// The rows that columns cannot answer, if they match.
    pub(super) others: RowSet,
    /// The cost, in rows.
    pub(super) cost: u32,
    pub(super) read_bytes: u64,
}

/// The rows of a block that may match, and columns of all rows that were read to find that out, or are needed.
struct Selected {
    rows: RowSet,
    times: Vec<i64>,
    seqs: Vec<u64>,
    /// The type of each row; `None` if there is only one, or nobody needs it.
    codes: Option<Vec<u32>>,
    /// How many values were tested.
    values: usize,
}

/// The rows of a block that can be answered from columns, and the others that may match.
struct Divided {
    columnar: RowSet,
    others: RowSet,
}

/// Passes the matching rows of a block to the fold, except those that columns cannot answer.
///
/// # Errors
///
/// [`ReadError`] if a column cannot be read or is damaged.
pub(super) fn answer_columns(
    plan: &mut Plan,
    fold: &mut Fold,
    piece: &Piece,
    mut columns: BlockColumns<'_>,
) -> Result<Answered, ReadError> {
    let Some(needs) = fold.needs() else { return Ok(Answered { others: RowSet::EMPTY, cost: 0, read_bytes: 0 }) };
    let count = columns.rows();
    let selected = select(plan, needs, piece, &mut columns)?;
    let shapes = if needs.path_count > 0 { columns.values_at(needs.paths, needs.path_count) } else { Vec::new() };
    let Divided { columnar, mut others } = divide(plan, needs, &mut columns, &shapes, &selected.rows)?;
    others.truncate(count);
    let taken = columnar.count(count);
    let values = selected.values + taken * (1 + needs.path_count);
    if taken > 0 {
        let has_columns = needs.path_count > 0 || needs.times || needs.types || needs.seqs;
        let chosen: Option<Vec<u32>> =
            (taken < count && has_columns).then(|| columnar.rows(count).map(|row| row as u32).collect());
        let chosen = chosen.as_deref();
        let of_paths = (0..needs.path_count).map(|path| values_of(path, &shapes, &mut columns, chosen));
        let of_paths: Vec<ValueColumn> = of_paths.collect::<Result<_, _>>()?;
        let names = type_names(piece, &columns)?;
        let times = if needs.times { pick(selected.times, chosen) } else { Vec::new() };
        let seqs = if needs.seqs { pick(selected.seqs, chosen) } else { Vec::new() };
        let codes = selected.codes.map(|codes| pick(codes, chosen));
        let types = match (&codes, names.as_slice()) {
            (Some(codes), names) => Types::Coded { names, codes },
            (None, [name, ..]) => Types::One(name),
            (None, []) => Types::One(""),
        };
        fold.add_rows(&RowGroup { rows: taken, times: &times, seqs: &seqs, types, columns: &of_paths });
    }
    let cost = BLOCK_ROWS.saturating_add(u32::try_from(values / VALUES_PER_ROW).unwrap_or(u32::MAX));
    Ok(Answered { others, cost, read_bytes: columns.read_bytes() })
}

/// Selects rows by the payload conditions that columns can decide, by time, sequence number and type.
fn select(
    plan: &mut Plan,
    needs: Needs<'_>,
    piece: &Piece,
    columns: &mut BlockColumns<'_>,
) -> Result<Selected, ReadError> {
    let (index, number) = (piece.sealed.index(), piece.number);
    let (mut rows, values) = columns.select(plan.pruning.tests())?;
    let bounds = &plan.bounds;
    let is_cut = bounds.is_before(index.first(number)) || bounds.is_after(index.last(number));
    let times = if is_cut || needs.times { columns.times()? } else { Vec::new() };
    if is_cut {
        rows.intersect(&RowSet::of(&times, |time| bounds.has_any_time((*time, *time))));
    }
    let is_cut = !bounds.has_all_seqs(index.seqs(number));
    let seqs = if is_cut || needs.seqs { columns.seqs()? } else { Vec::new() };
    if is_cut {
        rows.intersect(&RowSet::of(&seqs, |seq| bounds.has_any_seq((*seq, *seq))));
    }
    let requested = piece.requested.among(&piece.sealed, columns.names());
    let codes = if requested.is_some() || needs.types { columns.types()? } else { None };
    if let (Some(requested), Some(codes)) = (requested, &codes) {
        rows.intersect(&RowSet::of(codes, |code| requested.get(*code as usize) == Some(&true)));
    }
    Ok(Selected { rows, times, seqs, codes: codes.filter(|_| needs.types), values })
}

/// Divides the selected rows. Columns have all about the rows whose shape has at most one value at each path. If they
/// do not decide all conditions, or if a row has no shape, its payload has to be read.
fn divide(
    plan: &Plan,
    needs: Needs<'_>,
    columns: &mut BlockColumns<'_>,
    shapes: &[ShapeValues],
    rows: &RowSet,
) -> Result<Divided, ReadError> {
    let (mut columnar, mut others) = (rows.clone(), rows.clone());
    if needs.path_count == 0 && plan.filter.payload.is_empty() {
        return Ok(Divided { columnar, others: RowSet::EMPTY });
    }
    let simple: Vec<bool> = shapes.iter().map(|shape| shape.is_simple).collect();
    let shaped = columns.rows_of_shapes((needs.path_count > 0).then_some(&simple))?;
    columnar.intersect(if plan.is_columnar() { &shaped } else { &RowSet::EMPTY });
    others.remove(&columnar);
    Ok(Divided { columnar, others })
}

/// The values at a path, for the chosen rows; `None` for all rows.
fn values_of(
    path: usize,
    shapes: &[ShapeValues],
    columns: &mut BlockColumns<'_>,
    chosen: Option<&[u32]>,
) -> Result<ValueColumn, ReadError> {
    let simple = shapes.iter().filter(|shape| shape.is_simple);
    // The first leaf at a path has the same column in all shapes.
    match simple.filter_map(|shape| shape.columns.get(path).copied().flatten()).next() {
        Some(column) => Ok(columns.values(column, chosen)?),
        None => Ok(ValueColumn::Empty),
    }
}

/// The names of the types of a block.
fn type_names<'n>(piece: &Piece, columns: &'n BlockColumns<'_>) -> Result<Vec<&'n str>, ReadError> {
    let names = columns.names().map(core::str::from_utf8).collect::<Result<_, _>>();
    names.map_err(|_| {
        let damage = Damage::of(piece.sealed.name(), "the name of a type is not UTF-8");
        ReadError::Damaged(Damage { affected: Affected::Nothing, ..damage })
    })
}

/// The values of the chosen rows; `None` for all rows.
fn pick<T: Copy>(values: Vec<T>, chosen: Option<&[u32]>) -> Vec<T> {
    match chosen {
        Some(chosen) => chosen.iter().filter_map(|row| values.get(*row as usize).copied()).collect(),
        None => values,
    }
}
