//! The rows of one part that may match, in the order of time.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::bounds::Bounds;
use super::step::{Address, share};
use super::wanted::{Wanted, is_wanted};
use crate::codec::Packed;
use crate::column::partition_point;
use crate::query::{Filter, Order};
use crate::segment::{Block, Part, Sealed, SealedError, Segment, SortKey};

/// The rows of one part that may match, in the order of time, forwards or backwards.
#[derive(Debug)]
pub(super) struct Source {
    /// The part, as an index into those of the run.
    pub(super) part: usize,
    rows: SourceRows,
    backwards: bool,
}

#[derive(Debug)]
enum SourceRows {
    /// The remaining rows: as indexes into the rows grouped by type if `grouped`, else as rows.
    Fresh {
        segment: Arc<Segment>,
        places: Range<usize>,
        grouped: bool,
    },
    Partition(Box<Partition>),
}

/// A type partition of a sealed segment.
#[derive(Debug)]
struct Partition {
    sealed: Arc<Sealed>,
    /// The numbers of its blocks, and which of them remain.
    numbers: Packed,
    blocks: Range<usize>,
    wanted: Wanted,
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
    wanted: Option<Box<[bool]>>,
}

/// The next item of a source.
#[derive(Debug)]
pub(super) enum Next {
    /// A row.
    Row(SortKey, Address),
    /// A block that has to be read; its rows have this sort key or come later in the walk.
    Block(SortKey),
}

impl Source {
    /// The sources of a part: its rows that can match.
    pub(super) fn of(part: usize, content: &Part, filter: &Filter, bounds: &Bounds) -> Vec<Self> {
        let rows = match content {
            Part::Fresh(segment) => fresh_rows(segment, filter, bounds),
            Part::Sealed(sealed) => partitions(sealed, filter, bounds),
        };
        let some = rows.into_iter().filter(|rows| !rows.is_empty());
        let backwards = bounds.order() == Order::TimeDescending;
        some.map(|rows| Self { part, rows, backwards }).collect()
    }

    /// Takes the next row or block.
    pub(super) fn next(&mut self) -> Option<Next> {
        let (part, backwards) = (self.part, self.backwards);
        match &mut self.rows {
            SourceRows::Fresh { segment, places, grouped } => {
                let place = take(places, backwards)?;
                let row = if *grouped { segment.rows().grouped_row(place) } else { place };
                Some(Next::Row(segment.sort_key(row), Address { part, block: None, row }))
            }
            SourceRows::Partition(partition) => partition.next(part, backwards),
        }
    }

    /// Reads the block that [`next`](Self::next) returned.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if it cannot be read or is damaged.
    pub(super) fn open(&mut self) -> Result<(), SealedError> {
        match &mut self.rows {
            SourceRows::Fresh { .. } => Ok(()),
            SourceRows::Partition(partition) => partition.open(self.backwards),
        }
    }

    /// Its memory in bytes, without the part.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.rows {
                SourceRows::Fresh { segment, .. } => share(segment.memory_bytes(), segment),
                SourceRows::Partition(partition) => {
                    size_of::<Partition>()
                        + partition.open.as_ref().map_or(0, |open| share(open.block.memory_bytes(), &open.block))
                }
            }
    }

    /// The block that is open.
    pub(super) fn block(&self) -> Option<&Arc<Block>> {
        match &self.rows {
            SourceRows::Fresh { .. } => None,
            SourceRows::Partition(partition) => partition.open.as_ref().map(|open| &open.block),
        }
    }
}

impl SourceRows {
    fn is_empty(&self) -> bool {
        match self {
            Self::Fresh { places, .. } => places.is_empty(),
            Self::Partition(partition) => partition.blocks.is_empty(),
        }
    }
}

impl Partition {
    fn next(&mut self, part: usize, backwards: bool) -> Option<Next> {
        if let Some(open) = &mut self.open {
            while let Some(row) = take(&mut open.rows, backwards) {
                if is_wanted(open.wanted.as_deref(), &open.block, row) {
                    return Some(Next::Row(open.block.sort_key(row), Address { part, block: Some(open.number), row }));
                }
            }
        }
        self.open = None;
        // By the index, skip blocks that cannot have a matching row.
        loop {
            if self.blocks.is_empty() {
                return None;
            }
            let at = if backwards { self.blocks.end - 1 } else { self.blocks.start };
            let number = self.numbers.get(at) as usize;
            let index = self.sealed.index();
            if self.bounds.has_any_seq(index.seqs(number)) && self.wanted.has_any(&self.sealed, number) {
                return Some(Next::Block(if backwards { index.last(number) } else { index.first(number) }));
            }
            take(&mut self.blocks, backwards);
        }
    }

    fn open(&mut self, backwards: bool) -> Result<(), SealedError> {
        let Some(at) = take(&mut self.blocks, backwards) else { return Ok(()) };
        let number = self.numbers.get(at) as usize;
        let block = self.sealed.block(number)?;
        let rows = clip(0..block.len(), &self.bounds, |row| block.sort_key(row));
        let wanted = self.wanted.in_block(&self.sealed, &block);
        self.open = Some(Open { number, block, rows, wanted });
        Ok(())
    }
}

fn fresh_rows(segment: &Arc<Segment>, filter: &Filter, bounds: &Bounds) -> Vec<SourceRows> {
    let rows = segment.rows();
    if !bounds.has_any_seq((segment.base(), segment.last_seq())) {
        return Vec::new();
    }
    let source = |places, grouped| SourceRows::Fresh { segment: Arc::clone(segment), places, grouped };
    let Some(types) = &filter.types else {
        let places = clip(0..rows.len(), bounds, |row| segment.sort_key(row));
        return alloc::vec![source(places, false)];
    };
    let mut codes: Vec<usize> = types.iter().filter_map(|name| rows.type_code(name.as_bytes())).collect();
    codes.sort_unstable();
    codes.dedup();
    let groups = codes.into_iter().map(|code| {
        let places = clip(rows.type_group(code), bounds, |place| segment.sort_key(rows.grouped_row(place)));
        source(places, true)
    });
    groups.collect()
}

fn partitions(sealed: &Arc<Sealed>, filter: &Filter, bounds: &Bounds) -> Vec<SourceRows> {
    let index = sealed.index();
    if !bounds.has_any_seq(sealed.seqs()) {
        return Vec::new();
    }
    let Some(wanted) = Wanted::of(filter, sealed) else { return Vec::new() };
    let partition = |numbers: &Packed| {
        let number = |at| numbers.get(at) as usize;
        let start = partition_point(0..numbers.len(), |at| bounds.is_before(index.last(number(at))));
        let end = partition_point(start..numbers.len(), |at| !bounds.is_behind(index.first(number(at))));
        let partition = Partition {
            sealed: Arc::clone(sealed),
            numbers: numbers.clone(),
            blocks: start..end,
            wanted: wanted.clone(),
            bounds: *bounds,
            open: None,
        };
        (start < end).then(|| SourceRows::Partition(Box::new(partition)))
    };
    index.partitions().iter().filter_map(partition).collect()
}

/// The subrange of a sorted range that is within the bounds.
fn clip(range: Range<usize>, bounds: &Bounds, place: impl Fn(usize) -> SortKey) -> Range<usize> {
    let start = partition_point(range.clone(), |at| bounds.is_before(place(at)));
    start..partition_point(start..range.end, |at| !bounds.is_behind(place(at)))
}

fn take(range: &mut Range<usize>, backwards: bool) -> Option<usize> {
    if backwards { range.next_back() } else { range.next() }
}
