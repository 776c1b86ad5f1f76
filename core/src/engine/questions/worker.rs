//! Answers blocks, one after the other.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::task::Poll;

use super::block_rows::BlockRows;
use super::pieces::{Next, Piece, Pieces};
use super::plan::Plan;
use crate::analysis::{Fold, Needs};
use crate::codec::ShapeValues;
use crate::damage::{Affected, Damage};
use crate::repository::{AnalysisPart, ReadError};
use crate::row_group::{RowGroup, RowSet, Types, ValueColumn};
use crate::segment::{BlockColumns, Sieve as _};

/// Opening a block costs about as much as examining this many rows.
const BLOCK_ROWS: u32 = 32;

/// Reading this many values from a column costs about as much as examining a row.
const VALUES_PER_ROW: usize = 8;

/// What one thread does for a question.
pub(super) struct Worker {
    pub(super) plan: Plan,
    pub(super) fold: Fold,
    pub(super) pieces: Pieces,
    /// Whether it has looked at a block.
    has_begun: bool,
    /// A block that is looked at row by row.
    rows: Option<Box<BlockRows>>,
    /// Bytes that were read.
    read_bytes: u64,
}

/// The rows of a block that can be answered from columns, and the others that may match.
struct Divided {
    columnar: RowSet,
    others: RowSet,
}

impl Worker {
    pub(super) fn new(plan: Plan, fold: Fold, pieces: Pieces) -> Self {
        Self { plan, fold, pieces, has_begun: false, rows: None, read_bytes: 0 }
    }

    /// Whether it has looked at a block, or another one was given some of its blocks.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// From now on, not only this one looks at blocks.
    pub(super) fn begin(&mut self) {
        self.has_begun = true;
    }

    /// Whether nothing is left to do.
    pub(super) fn is_idle(&self) -> bool {
        self.rows.is_none() && self.pieces.is_empty()
    }

    /// Examines about `budget` events. Ready once none is left.
    pub(super) fn work(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        self.has_begun = true;
        let mut left = budget.max(1);
        while left > 0 {
            if !self.fold.wants_more() {
                (self.pieces, self.rows) = (Pieces::default(), None);
            }
            if let Some(rows) = &mut self.rows {
                match rows.step(&mut self.plan, &mut self.fold)? {
                    Some(cost) => left = left.saturating_sub(cost),
                    None => self.rows = None,
                }
                continue;
            }
            match self.pieces.next(&self.plan)? {
                Next::Piece(piece) => left = left.saturating_sub(self.answer(piece)?),
                Next::Opened => left = left.saturating_sub(BLOCK_ROWS),
                Next::End => return Ok(Poll::Ready(())),
            }
        }
        Ok(Poll::Pending)
    }

    /// Takes what another one, which is idle, has seen.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.fold.merge(&other.fold);
        self.read_bytes += other.read_bytes;
    }

    /// Bytes that were read.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        let rows = self.rows.as_ref().map_or(0, |rows| rows.held_bytes());
        self.fold.held_bytes() + self.pieces.held_bytes() + rows
    }

    /// Answers a block, or leaves some of its rows to [`BlockRows`]. Returns the cost.
    fn answer(&mut self, piece: Piece) -> Result<u32, ReadError> {
        let (index, number) = (piece.sealed.index(), piece.number);
        let (first, last, seqs) = (index.first(number), index.last(number), index.seqs(number));
        if !self.plan.bounds.has_any_seq(seqs) {
            return Ok(1);
        }
        if self.plan.erasures.may_select_in(piece.sealed.erased_to(), seqs, (first.time, last.time)) {
            return self.answer_rows(piece, RowSet::ALL);
        }
        if self.is_whole(&piece)
            && let Some(name) = only_type(&piece)
            && self.fold.add_counted(name, index.rows(number) as u64, (first.time, last.time))
        {
            return Ok(1);
        }
        let sealed = piece.sealed.clone();
        let Some(columns) = sealed.columns(number)? else { return self.answer_rows(piece, RowSet::ALL) };
        self.answer_columns(&piece, columns)
    }

    /// Whether all events of a block match, and the index knows that.
    fn is_whole(&self, piece: &Piece) -> bool {
        let (index, bounds) = (piece.sealed.index(), &self.plan.bounds);
        let (first, last, seqs) = (index.first(piece.number), index.last(piece.number), index.seqs(piece.number));
        let in_bounds = !bounds.is_before(first) && !bounds.is_after(last);
        in_bounds && bounds.has_all_seqs(seqs) && self.plan.filter.payload.is_empty()
    }

    fn answer_rows(&mut self, piece: Piece, rows: RowSet) -> Result<u32, ReadError> {
        let rows = BlockRows::open(piece, rows)?;
        self.read_bytes += rows.held_bytes() as u64;
        self.rows = Some(Box::new(rows));
        Ok(BLOCK_ROWS)
    }

    fn answer_columns(&mut self, piece: &Piece, mut columns: BlockColumns<'_>) -> Result<u32, ReadError> {
        let Some(needs) = self.fold.needs() else { return Ok(0) };
        let plan = &mut self.plan;
        let (mut rows, mut values) = columns.select(plan.pruning.tests())?;
        let times = clip_times(plan, piece, &mut columns, needs.times, &mut rows)?;
        let (index, count) = (piece.sealed.index(), columns.rows());
        let is_cut = !plan.bounds.has_all_seqs(index.seqs(piece.number));
        let seqs = if is_cut || needs.seqs { columns.seqs()? } else { Vec::new() };
        if is_cut {
            rows.intersect(&RowSet::of(&seqs, |seq| plan.bounds.has_any_seq((*seq, *seq))));
        }
        let codes = requested_types(piece, &mut columns, needs.types, &mut rows)?;
        let shapes = if needs.path_count > 0 { columns.values_at(needs.paths, needs.path_count) } else { Vec::new() };
        let Divided { columnar, others } = divide(plan, needs, &mut columns, &shapes, &rows)?;
        let taken = columnar.count(count);
        if taken > 0 {
            let has_columns = needs.path_count > 0 || needs.times || needs.types || needs.seqs;
            let chosen: Option<Vec<u32>> =
                (taken < count && has_columns).then(|| columnar.rows(count).map(|row| row as u32).collect());
            let mut of_paths = Vec::with_capacity(needs.path_count);
            for path in 0..needs.path_count {
                let column = shapes.iter().filter(|shape| shape.is_simple);
                let column = column.filter_map(|shape| shape.columns.get(path).copied().flatten()).next();
                of_paths.push(match column {
                    Some(column) => columns.values(column, chosen.as_deref())?,
                    None => ValueColumn::Empty,
                });
            }
            values += taken * (1 + needs.path_count);
            let names = type_names(piece, &columns)?;
            let (times, codes) = (pick(times, chosen.as_deref()), codes.map(|codes| pick(codes, chosen.as_deref())));
            let seqs = if needs.seqs { pick(seqs, chosen.as_deref()) } else { Vec::new() };
            let types = match (&codes, names.first()) {
                (Some(codes), _) => Types::Coded { names: &names, codes },
                (None, name) => Types::One(name.copied().unwrap_or_default()),
            };
            self.fold.add_rows(&RowGroup { rows: taken, times: &times, seqs: &seqs, types, columns: &of_paths });
        }
        self.read_bytes += columns.read_bytes();
        let mut cost = BLOCK_ROWS.saturating_add(u32::try_from(values / VALUES_PER_ROW).unwrap_or(u32::MAX));
        if others.count(count) > 0 {
            drop(columns);
            cost = cost.saturating_add(self.answer_rows(piece.clone(), others)?);
        }
        Ok(cost)
    }
}

impl AnalysisPart for Worker {
    fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        self.work(budget)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The type of all events of a block, if there is only one.
fn only_type(piece: &Piece) -> Option<&str> {
    let index = piece.sealed.index();
    let mut codes = index.codes(piece.number);
    let (code, others) = (codes.next()?, codes.next());
    let name = index.types().get(code as usize)?.name.as_bytes();
    core::str::from_utf8(name).ok().filter(|_| others.is_none())
}

/// Removes the rows that are outside of the range of time. Returns the times of all rows if they are needed or had to be
/// read.
fn clip_times(
    plan: &Plan,
    piece: &Piece,
    columns: &mut BlockColumns<'_>,
    are_needed: bool,
    rows: &mut RowSet,
) -> Result<Vec<i64>, ReadError> {
    let index = piece.sealed.index();
    let is_cut = plan.bounds.is_before(index.first(piece.number)) || plan.bounds.is_after(index.last(piece.number));
    if !is_cut {
        return if are_needed { Ok(columns.times()?) } else { Ok(Vec::new()) };
    }
    let times = columns.times()?;
    rows.intersect(&RowSet::of(&times, |time| plan.bounds.has_any_time((*time, *time))));
    Ok(if are_needed { times } else { Vec::new() })
}

/// Removes the rows whose type is not requested. Returns the type of each row if there are several and they are needed.
fn requested_types(
    piece: &Piece,
    columns: &mut BlockColumns<'_>,
    are_needed: bool,
    rows: &mut RowSet,
) -> Result<Option<Vec<u32>>, ReadError> {
    let requested = piece.requested.among(&piece.sealed, columns.names());
    if requested.is_none() && !are_needed {
        return Ok(None);
    }
    let Some(codes) = columns.types()? else { return Ok(None) };
    if let Some(requested) = requested {
        rows.intersect(&RowSet::of(&codes, |code| requested.get(*code as usize) == Some(&true)));
    }
    Ok(are_needed.then_some(codes))
}

/// Divides the selected rows. Columns have all about the rows whose shape has at most one value at each path. If they do
/// not decide all conditions, or if a row has no shape, its payload has to be read.
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
    let shaped = if needs.path_count > 0 {
        let simple: Vec<bool> = shapes.iter().map(|shape| shape.is_simple).collect();
        columns.rows_of_shapes(Some(&simple))?
    } else {
        columns.rows_of_shapes(None)?
    };
    columnar.intersect(if plan.is_columnar() { &shaped } else { &RowSet::EMPTY });
    others.remove(&columnar);
    Ok(Divided { columnar, others })
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
