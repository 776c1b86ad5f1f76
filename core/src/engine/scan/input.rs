//! The rows of one part that may match, in the order of time.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::bounds::Bounds;
use super::fresh_rows::FreshRows;
use super::pruning::{Pruning, Selected};
use super::requested_types::{RequestedTypes, is_requested};
use super::step::{Address, BLOCK_ROWS, Next, share, take};
use crate::codec::Packed;
use crate::column::partition_point;
use crate::query::{Filter, Order};
use crate::row_group::RowSet;
use crate::segment::{Block, BlockSet, Part, Sealed, SealedError};

/// The rows of one part that may match, in the order of time, forwards or backwards.
#[derive(Debug)]
pub(super) struct MergeInput {
    /// The index of the part among those of the run.
    part: usize,
    rows: InputRows,
    backwards: bool,
}

#[derive(Debug)]
enum InputRows {
    Fresh(FreshRows),
    Partition(Box<Partition>),
}

/// A type partition of a sealed segment.
#[derive(Debug)]
struct Partition {
    sealed: Arc<Sealed>,
    /// The numbers of its blocks, and which of them remain.
    numbers: Packed,
    blocks: Range<usize>,
    requested: RequestedTypes,
    /// The blocks that may have a matching payload; `None` if all may.
    candidates: Option<Arc<BlockSet>>,
    /// Blocks without a sequence number in these bounds are skipped.
    bounds: Bounds,
    open: Option<Open>,
}

/// A block that is being read.
#[derive(Debug)]
struct Open {
    number: usize,
    block: Arc<Block>,
    /// The remaining rows.
    rows: Range<usize>,
    /// For each type of the block, whether it is requested; `None` for all.
    requested: Option<Box<[bool]>>,
    /// The rows that may have a matching payload; `None` if all may.
    candidates: Option<RowSet>,
}

impl MergeInput {
    /// The inputs of a part: its rows that can match, sorted.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if an index cannot be read or is damaged.
    pub(super) fn of(
        part: usize,
        content: &Part,
        filter: &Filter,
        pruning: &Pruning,
        bounds: &Bounds,
    ) -> Result<Vec<Self>, SealedError> {
        let rows = match content {
            Part::Fresh(segment) => {
                let inputs = FreshRows::of(segment, filter, pruning.search(), bounds);
                inputs.into_iter().map(InputRows::Fresh).collect()
            }
            Part::Sealed(sealed) => partitions(sealed, filter, pruning, bounds)?,
        };
        let backwards = bounds.order() == Order::TimeDescending;
        Ok(rows.into_iter().filter(|rows| !rows.is_empty()).map(|rows| Self { part, rows, backwards }).collect())
    }

    /// Takes the next row or block.
    pub(super) fn next(&mut self) -> Option<Next> {
        let (part, backwards) = (self.part, self.backwards);
        match &mut self.rows {
            InputRows::Fresh(rows) => rows.next(part, backwards),
            InputRows::Partition(partition) => partition.next(part, backwards),
        }
    }

    /// Whether a row that [`next`](Self::next) returned has a requested type.
    pub(super) fn is_requested(&self, row: usize) -> bool {
        match &self.rows {
            InputRows::Fresh(rows) => rows.is_requested(row),
            // Only rows of requested types are returned.
            InputRows::Partition(_) => true,
        }
    }

    /// Reads the block that [`next`](Self::next) returned, unless none of its rows match, or searches the rows. Returns
    /// how many bytes of blocks were read, as they are in memory, and what it cost, in rows.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if it cannot be read or is damaged.
    pub(super) fn open(&mut self, pruning: &mut Pruning) -> Result<(u64, u32), SealedError> {
        match &mut self.rows {
            InputRows::Fresh(rows) => Ok((0, rows.search(self.backwards))),
            InputRows::Partition(partition) => partition.open(pruning, self.backwards),
        }
    }

    /// Its memory in bytes, without the part.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.rows {
                InputRows::Fresh(rows) => rows.held_bytes(),
                InputRows::Partition(partition) => {
                    size_of::<Partition>()
                        + partition.requested.held_bytes()
                        + partition.candidates.as_ref().map_or(0, |set| share(set.held_bytes(), set))
                        + partition.open.as_ref().map_or(0, |open| share(open.block.memory_bytes(), &open.block))
                }
            }
    }

    /// The block that is open.
    pub(super) fn block(&self) -> Option<&Arc<Block>> {
        match &self.rows {
            InputRows::Fresh(_) => None,
            InputRows::Partition(partition) => partition.open.as_ref().map(|open| &open.block),
        }
    }

    /// Whether [`open`](Self::open) has found rows that may match.
    pub(super) fn has_found(&self) -> bool {
        match &self.rows {
            InputRows::Fresh(rows) => rows.has_found(),
            InputRows::Partition(partition) => partition.open.is_some(),
        }
    }
}

impl InputRows {
    fn is_empty(&self) -> bool {
        match self {
            Self::Fresh(rows) => rows.is_empty(),
            Self::Partition(partition) => partition.blocks.is_empty(),
        }
    }
}

impl Partition {
    fn next(&mut self, part: usize, backwards: bool) -> Option<Next> {
        if let Some(open) = &mut self.open {
            while let Some(row) = take(&mut open.rows, backwards) {
                if open.candidates.as_ref().is_none_or(|candidates| candidates.has(row))
                    && is_requested(open.requested.as_deref(), &open.block, row)
                {
                    return Some(Next::Row(open.block.sort_key(row), Address { part, block: Some(open.number), row }));
                }
            }
        }
        self.open = None;
        // Skip blocks that cannot have a matching row, as far as the index says.
        loop {
            if self.blocks.is_empty() {
                return None;
            }
            let at = if backwards { self.blocks.end - 1 } else { self.blocks.start };
            let number = self.numbers.get(at) as usize;
            let index = self.sealed.index();
            if self.candidates.as_ref().is_none_or(|candidates| candidates.has(number))
                && self.bounds.has_any_seq(index.seqs(number))
                && self.requested.has_any(&self.sealed, number)
            {
                return Some(Next::Block(if backwards { index.last(number) } else { index.first(number) }));
            }
            take(&mut self.blocks, backwards);
        }
    }

    fn open(&mut self, pruning: &mut Pruning, backwards: bool) -> Result<(u64, u32), SealedError> {
        let Some(at) = take(&mut self.blocks, backwards) else { return Ok((0, 0)) };
        let number = self.numbers.get(at) as usize;
        let Selected { rows: candidates, bytes, cost } = pruning.rows(&self.sealed, number)?;
        let cost = cost.saturating_add(BLOCK_ROWS);
        if candidates.as_ref().is_some_and(RowSet::is_empty) {
            return Ok((bytes, cost));
        }
        let block = self.sealed.block(number)?;
        let bytes = bytes + block.memory_bytes() as u64;
        let rows = self.bounds.clip(0..block.len(), |row| block.sort_key(row));
        let requested = self.requested.in_block(&self.sealed, &block);
        self.open = Some(Open { number, block, rows, requested, candidates });
        Ok((bytes, cost))
    }
}

fn partitions(
    sealed: &Arc<Sealed>,
    filter: &Filter,
    pruning: &Pruning,
    bounds: &Bounds,
) -> Result<Vec<InputRows>, SealedError> {
    let index = sealed.index();
    if !bounds.has_any_seq(sealed.seqs()) || !bounds.has_any_time(sealed.times()) {
        return Ok(Vec::new());
    }
    let Some(requested) = RequestedTypes::in_sealed(filter, sealed) else { return Ok(Vec::new()) };
    let candidates = pruning.blocks(sealed)?.map(Arc::new);
    let partition = |numbers: &Packed| {
        let number = |at| numbers.get(at) as usize;
        let start = partition_point(0..numbers.len(), |at| bounds.is_before(index.last(number(at))));
        let end = partition_point(start..numbers.len(), |at| !bounds.is_after(index.first(number(at))));
        let partition = Partition {
            sealed: Arc::clone(sealed),
            numbers: numbers.clone(),
            blocks: start..end,
            requested: requested.clone(),
            candidates: candidates.clone(),
            bounds: *bounds,
            open: None,
        };
        (start < end).then(|| InputRows::Partition(Box::new(partition)))
    };
    Ok(index.partitions().iter().filter_map(partition).collect())
}
