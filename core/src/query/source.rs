//! The matching rows of one segment, in the order of the query.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use super::bounds::Bounds;
use super::{Order, Query};
use crate::codec::Packed;
use crate::column::partition;
use crate::segment::{Block, Part, Place, Sealed, SealedError, Segment};

/// The rows of one part that may match, in the order of the query.
#[derive(Debug)]
pub(super) struct Source {
    /// The part, as an index into those of the run.
    pub(super) part: usize,
    rows: SourceRows,
    order: Order,
}

#[derive(Debug)]
enum SourceRows {
    /// Places that are left: in the grouping by type if `grouped`, else rows.
    Fresh {
        segment: Arc<Segment>,
        places: Range<usize>,
        grouped: bool,
    },
    Lane(Box<Lane>),
}

/// A lane of a sealed segment.
#[derive(Debug)]
struct Lane {
    sealed: Arc<Sealed>,
    /// The numbers of its blocks, and which of them are left.
    numbers: Packed,
    blocks: Range<usize>,
    /// The types that are asked for, ascending, by the numbers of the segment; `None` for all.
    codes: Option<Box<[u32]>>,
    open: Option<Open>,
}

/// A block that is being read.
#[derive(Debug)]
struct Open {
    number: usize,
    block: Arc<Block>,
    /// Rows that are left.
    rows: Range<usize>,
    /// For each type of the block, whether it is asked for; `None` for all.
    wanted: Option<Box<[bool]>>,
}

/// What a source has next.
#[derive(Debug)]
pub(super) enum Next {
    /// A row.
    Row(Place, Address),
    /// A block that has to be opened; its rows lie at this place or behind it.
    Block(Place),
}

/// Where an event lies.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// The part, as an index into those of the run.
    pub(super) part: usize,
    /// The number of the block, where the part has blocks.
    pub(super) block: Option<usize>,
    pub(super) row: usize,
}

impl Source {
    /// What of a part can match a query.
    pub(super) fn of(part: usize, content: &Part, query: &Query) -> Vec<Self> {
        let bounds = Bounds::of(query);
        let rows = match content {
            Part::Fresh(segment) => fresh_rows(segment, query, &bounds),
            Part::Sealed(sealed) => lanes(sealed, query, &bounds),
        };
        let some = rows.into_iter().filter(|rows| !rows.is_empty());
        some.map(|rows| Self { part, rows, order: query.order }).collect()
    }

    /// The next row or block, which is taken out.
    pub(super) fn next(&mut self) -> Option<Next> {
        let (part, order) = (self.part, self.order);
        match &mut self.rows {
            SourceRows::Fresh { segment, places, grouped } => {
                let place = take(places, order)?;
                let row = if *grouped { segment.rows().grouped_row(place) } else { place };
                Some(Next::Row(segment.place(row), Address { part, block: None, row }))
            }
            SourceRows::Lane(lane) => lane.next(part, order),
        }
    }

    /// Opens the block that [`next`](Self::next) has spoken of.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if it cannot be read or is damaged.
    pub(super) fn open(&mut self, bounds: &Bounds) -> Result<Option<(usize, Arc<Block>)>, SealedError> {
        match &mut self.rows {
            SourceRows::Fresh { .. } => Ok(None),
            SourceRows::Lane(lane) => lane.open(self.order, bounds),
        }
    }

    /// The block that is open.
    pub(super) fn block(&self) -> Option<&Arc<Block>> {
        match &self.rows {
            SourceRows::Fresh { .. } => None,
            SourceRows::Lane(lane) => lane.open.as_ref().map(|open| &open.block),
        }
    }
}

impl SourceRows {
    fn is_empty(&self) -> bool {
        match self {
            Self::Fresh { places, .. } => places.is_empty(),
            Self::Lane(lane) => lane.blocks.is_empty(),
        }
    }
}

impl Lane {
    fn next(&mut self, part: usize, order: Order) -> Option<Next> {
        if let Some(open) = &mut self.open {
            while let Some(row) = take(&mut open.rows, order) {
                let wanted = open.wanted.as_ref();
                if wanted.is_none_or(|wanted| wanted.get(open.block.type_index(row)).copied().unwrap_or_default()) {
                    return Some(Next::Row(open.block.place(row), Address { part, block: Some(open.number), row }));
                }
            }
        }
        self.open = None;
        // Blocks without a type that is asked for are passed by, from what the index says.
        loop {
            let at = match order {
                Order::Ascending => self.blocks.start,
                Order::Descending => self.blocks.end.checked_sub(1)?,
            };
            if self.blocks.is_empty() {
                return None;
            }
            let number = self.numbers.get(at) as usize;
            if self.has_wanted(number) {
                let index = self.sealed.index();
                return Some(Next::Block(match order {
                    Order::Ascending => index.first(number),
                    Order::Descending => index.last(number),
                }));
            }
            take(&mut self.blocks, order);
        }
    }

    fn has_wanted(&self, number: usize) -> bool {
        let codes = self.codes.as_ref();
        codes.is_none_or(|codes| self.sealed.index().codes(number).any(|code| codes.binary_search(&code).is_ok()))
    }

    fn open(&mut self, order: Order, bounds: &Bounds) -> Result<Option<(usize, Arc<Block>)>, SealedError> {
        let Some(at) = take(&mut self.blocks, order) else { return Ok(None) };
        let number = self.numbers.get(at) as usize;
        let block = self.sealed.block(number)?;
        let rows = clip(0..block.len(), bounds, |row| block.place(row));
        let wanted = self.codes.as_ref().map(|codes| {
            let types = self.sealed.index();
            block.names().map(|name| types.code(name).is_some_and(|code| codes.binary_search(&code).is_ok())).collect()
        });
        self.open = Some(Open { number, block: Arc::clone(&block), rows, wanted });
        Ok(Some((number, block)))
    }
}

fn fresh_rows(segment: &Arc<Segment>, query: &Query, bounds: &Bounds) -> Vec<SourceRows> {
    let rows = segment.rows();
    if query.after_seq.is_some_and(|after| segment.last_seq() <= after) {
        return Vec::new();
    }
    let source = |places, grouped| SourceRows::Fresh { segment: Arc::clone(segment), places, grouped };
    let Some(types) = &query.types else {
        let places = clip(0..rows.len(), bounds, |row| segment.place(row));
        return alloc::vec![source(places, false)];
    };
    let mut codes: Vec<usize> = types.iter().filter_map(|name| rows.type_code(name.as_bytes())).collect();
    codes.sort_unstable();
    codes.dedup();
    let groups = codes.into_iter().map(|code| {
        let places = clip(rows.type_group(code), bounds, |place| segment.place(rows.grouped_row(place)));
        source(places, true)
    });
    groups.collect()
}

fn lanes(sealed: &Arc<Sealed>, query: &Query, bounds: &Bounds) -> Vec<SourceRows> {
    let index = sealed.index();
    if query.after_seq.is_some_and(|after| sealed.seqs().1 <= after) {
        return Vec::new();
    }
    let codes: Option<Box<[u32]>> = query.types.as_ref().map(|types| {
        let mut codes: Vec<u32> = types.iter().filter_map(|name| index.code(name.as_bytes())).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.into()
    });
    if codes.as_ref().is_some_and(|codes| codes.is_empty()) {
        return Vec::new();
    }
    let lane = |numbers: &Packed| {
        let number = |at| numbers.get(at) as usize;
        let start = partition(0..numbers.len(), |at| bounds.is_before(index.last(number(at))));
        let end = partition(start..numbers.len(), |at| !bounds.is_behind(index.first(number(at))));
        let lane = Lane {
            sealed: Arc::clone(sealed),
            numbers: numbers.clone(),
            blocks: start..end,
            codes: codes.clone(),
            open: None,
        };
        (start < end).then(|| SourceRows::Lane(Box::new(lane)))
    };
    index.lanes().iter().filter_map(lane).collect()
}

/// The part of a sorted range that lies within the bounds.
fn clip(range: Range<usize>, bounds: &Bounds, place: impl Fn(usize) -> Place) -> Range<usize> {
    let start = partition(range.clone(), |at| bounds.is_before(place(at)));
    start..partition(start..range.end, |at| !bounds.is_behind(place(at)))
}

fn take(range: &mut Range<usize>, order: Order) -> Option<usize> {
    match order {
        Order::Ascending => range.next(),
        Order::Descending => range.next_back(),
    }
}
