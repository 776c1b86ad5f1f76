//! Walks rows in the order of sequence numbers.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::bounds::Bounds;
use super::pruning::Pruning;
use super::requested_types::{RequestedTypes, is_requested};
use super::step::{Address, BLOCK_ROWS, Row, Step, share};
use crate::column::partition_point;
use crate::event::Timestamp;
use crate::query::{Filter, Position};
use crate::repository::ReadError;
use crate::segment::{Block, BlockSet, Part, Sealed, SealedError, Segment, SortKey};

/// The most blocks kept open, about the number of type partitions: consecutive rows lie in different partitions.
const OPEN_BLOCKS_MAX: usize = 34;

/// Walks the parts one after the other: they ascend by sequence number and do not overlap. Begins at the first row in
/// the range, and reads nothing before it.
#[derive(Debug)]
pub(super) struct SequenceWalk {
    parts: vec::IntoIter<PartRows>,
    current: Option<PartRows>,
    bounds: Bounds,
    /// All events up to this sequence number were examined.
    reached: Option<u64>,
    /// Bytes of the blocks that were read, as they are in memory.
    read_bytes: u64,
}

/// The remaining rows of a part.
#[derive(Debug)]
enum PartRows {
    Fresh(FreshRows),
    Sealed(Box<SealedRows>),
}

#[derive(Debug)]
struct FreshRows {
    part: usize,
    segment: Arc<Segment>,
    /// The remaining rows, as indexes into the rows in the order of sequence numbers.
    indexes: Range<usize>,
    requested: RequestedTypes,
}

#[derive(Debug)]
struct SealedRows {
    part: usize,
    sealed: Arc<Sealed>,
    requested: RequestedTypes,
    /// The blocks that may have a matching payload; `None` if all may.
    candidates: Option<BlockSet>,
    /// Where the next page of the sequence index begins.
    next_page: u64,
    /// The remaining sequence numbers of this page, with their blocks.
    page: vec::IntoIter<(u64, usize)>,
    /// The most recently used block comes last.
    open: Vec<OpenBlock>,
}

#[derive(Debug)]
struct OpenBlock {
    number: usize,
    block: Arc<Block>,
    /// Its rows by sequence number.
    rows: Box<[(u64, u16)]>,
    /// For each type of the block, whether it is requested; `None` for all.
    requested: Option<Box<[bool]>>,
}

impl SequenceWalk {
    /// The walk, and the parts that it needs.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if an index cannot be read or is damaged.
    pub(super) fn over(
        parts: impl Iterator<Item = Part>,
        filter: &Filter,
        bounds: Bounds,
    ) -> Result<(Self, Vec<Part>), ReadError> {
        let pruning = Pruning::of(filter);
        let (mut held, mut rows) = (Vec::new(), Vec::new());
        for part in parts {
            if let Some(part_rows) = PartRows::of(held.len(), &part, filter, &pruning, &bounds)? {
                rows.push(part_rows);
                held.push(part);
            }
        }
        Ok((Self { parts: rows.into_iter(), current: None, bounds, reached: None, read_bytes: 0 }, held))
    }

    pub(super) fn step(&mut self) -> Result<Step, ReadError> {
        let Some(rows) = &mut self.current else {
            self.current = self.parts.next();
            return Ok(if self.current.is_some() { Step::Work(1) } else { Step::End });
        };
        let step = match rows {
            PartRows::Fresh(rows) => rows.step(&self.bounds, &mut self.reached),
            PartRows::Sealed(rows) => rows.step(&self.bounds, &mut self.reached, &mut self.read_bytes)?,
        };
        if matches!(step, Step::End) {
            self.current = None;
            return Ok(Step::Work(1));
        }
        Ok(step)
    }

    /// Bytes of the blocks that were read, as they are in memory.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Its memory in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.parts.as_slice().iter().chain(&self.current).map(PartRows::held_bytes).fold(0, usize::saturating_add)
    }

    /// All events up to this position were examined; `None` if none was.
    pub(super) fn reached(&self) -> Option<Position> {
        self.reached.map(|seq| Position { timestamp: Timestamp::from_nanos(0), seq })
    }
}

impl PartRows {
    /// Its memory in bytes, without the part.
    fn held_bytes(&self) -> usize {
        match self {
            Self::Fresh(rows) => share(rows.segment.memory_bytes(), &rows.segment) + rows.requested.held_bytes(),
            Self::Sealed(rows) => {
                let candidates = rows.candidates.as_ref().map_or(0, BlockSet::held_bytes);
                let page = size_of_val(rows.page.as_slice()) + rows.requested.held_bytes() + candidates;
                let open = |open: &OpenBlock| share(open.block.memory_bytes(), &open.block) + size_of_val(&*open.rows);
                rows.open.iter().map(open).fold(page, usize::saturating_add)
            }
        }
    }

    /// `None` if no row of the part can match.
    fn of(
        part: usize,
        content: &Part,
        filter: &Filter,
        pruning: &Pruning,
        bounds: &Bounds,
    ) -> Result<Option<Self>, SealedError> {
        Ok(match content {
            Part::Fresh(segment) => FreshRows::of(part, segment, filter, bounds).map(Self::Fresh),
            Part::Sealed(sealed) => {
                SealedRows::of(part, sealed, filter, pruning, bounds)?.map(|rows| Self::Sealed(Box::new(rows)))
            }
        })
    }
}

impl FreshRows {
    fn of(part: usize, segment: &Arc<Segment>, filter: &Filter, bounds: &Bounds) -> Option<Self> {
        let rows = segment.rows();
        let requested = RequestedTypes::in_fresh(filter, segment)?;
        let seq = |index| segment.seq(rows.row_by_ordinal(index));
        let first = partition_point(0..rows.len(), |index| seq(index) <= bounds.after_seq());
        let indexes = first..partition_point(first..rows.len(), |index| seq(index) <= bounds.up_to_seq());
        (!indexes.is_empty()).then(|| Self { part, segment: Arc::clone(segment), indexes, requested })
    }

    fn step(&mut self, bounds: &Bounds, reached: &mut Option<u64>) -> Step {
        let Some(index) = self.indexes.next() else { return Step::End };
        let rows = self.segment.rows();
        let row = rows.row_by_ordinal(index);
        let sort_key = self.segment.sort_key(row);
        *reached = Some(sort_key.seq);
        if !bounds.contains(sort_key) || !self.requested.has(rows.row_type(row)) {
            return Step::Work(1);
        }
        Step::Row(Row { sort_key, address: Address { part: self.part, block: None, row }, block: None })
    }
}

impl SealedRows {
    fn of(
        part: usize,
        sealed: &Arc<Sealed>,
        filter: &Filter,
        pruning: &Pruning,
        bounds: &Bounds,
    ) -> Result<Option<Self>, SealedError> {
        if !bounds.has_any_seq(sealed.seqs()) {
            return Ok(None);
        }
        let Some(requested) = RequestedTypes::in_sealed(filter, sealed) else { return Ok(None) };
        let candidates = pruning.blocks(sealed)?;
        let next_page = bounds.after_seq().saturating_add(1);
        Ok(Some(Self {
            part,
            sealed: Arc::clone(sealed),
            requested,
            candidates,
            next_page,
            page: Vec::new().into_iter(),
            open: Vec::new(),
        }))
    }

    fn step(&mut self, bounds: &Bounds, reached: &mut Option<u64>, read_bytes: &mut u64) -> Result<Step, ReadError> {
        let Some(&(seq, number)) = self.page.as_slice().first() else {
            let Some(page) = self.sealed.sequence_page(self.next_page)? else { return Ok(Step::End) };
            self.next_page = page.next;
            self.page = page.blocks.into_iter();
            return Ok(Step::Work(BLOCK_ROWS));
        };
        if seq > bounds.up_to_seq() {
            return Ok(Step::End);
        }
        let can_match = self.candidates.as_ref().is_none_or(|candidates| candidates.has(number))
            && self.requested.has_any(&self.sealed, number)
            && !bounds.is_before(self.sealed.index().last(number))
            && !bounds.is_after(self.sealed.index().first(number))
            && bounds.has_any_seq(self.sealed.index().seqs(number));
        if can_match && !self.use_block(number) {
            *read_bytes += self.open(number)?;
            return Ok(Step::Work(BLOCK_ROWS));
        }
        self.page.next();
        *reached = Some(seq);
        let Some(open) = self.open.last().filter(|_| can_match) else { return Ok(Step::Work(1)) };
        let found = open.rows.binary_search_by_key(&seq, |&(other, _)| other).ok();
        let Some(&(_, row)) = found.and_then(|at| open.rows.get(at)) else {
            let reason = "it lacks an event that the sequence index says it has";
            return Err(self.sealed.damaged_block(number, reason).into());
        };
        let row = usize::from(row);
        let sort_key = open.block.sort_key(row);
        if !bounds.contains(sort_key) || !is_requested(open.requested.as_deref(), &open.block, row) {
            return Ok(Step::Work(1));
        }
        let address = Address { part: self.part, block: Some(number), row };
        Ok(Step::Row(Row { sort_key, address, block: Some(Arc::clone(&open.block)) }))
    }

    /// Moves an open block to the end; returns whether it is open.
    fn use_block(&mut self, number: usize) -> bool {
        let Some(at) = self.open.iter().rposition(|open| open.number == number) else { return false };
        if at + 1 < self.open.len() {
            let open = self.open.remove(at);
            self.open.push(open);
        }
        true
    }

    /// Reads a block. Returns its bytes in memory.
    fn open(&mut self, number: usize) -> Result<u64, ReadError> {
        let block = self.sealed.block(number)?;
        let bytes = block.memory_bytes() as u64;
        let seqs = (0..block.len()).map(|row| block.sort_key(row)).map(|SortKey { seq, .. }| seq);
        let mut rows: Vec<(u64, u16)> = seqs.zip(0..).collect();
        rows.sort_unstable();
        let requested = self.requested.in_block(&self.sealed, &block);
        if self.open.len() == OPEN_BLOCKS_MAX {
            self.open.remove(0);
        }
        self.open.push(OpenBlock { number, block, rows: rows.into(), requested });
        Ok(bytes)
    }
}
