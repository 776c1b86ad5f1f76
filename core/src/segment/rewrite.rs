//! Writes segments anew as one sealed segment, without the events that have expired.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::sealed::{LanePlan, Row, Summary, TypeSummary, Writer};
use super::{Block, Part, Place, RowText, Sealed, Segment, TypeName};
use crate::storage::{Draft, Published, StorageError};

/// Taking a block over as it is, or opening it, is as much work as so many rows.
const BLOCK_ROWS: u32 = 32;

/// What ends a rewrite, since an event that is written under another type's name is lost for good.
const UNKNOWN_TYPE: &str = "an event has a type that its part does not list";

/// Writes parts that follow each other in the log into one sealed segment, some rows a call, and leaves out what has
/// expired.
///
/// Blocks into whose time nothing else falls are taken over as they are, so that what comes in the order of time is
/// compressed once.
pub(crate) struct Rewrite {
    sources: Vec<Source>,
    /// The next row or block of every source that has one left.
    heads: BinaryHeap<Reverse<Head>>,
    writer: Writer,
    /// Events before this time, in nanoseconds since the Unix epoch, are left out.
    keep_from: i64,
    /// The row that was taken last. What lies in several parts is written once.
    last: Option<Place>,
    text: RowText,
}

/// Something sorted that goes into the segment.
#[derive(Debug)]
struct Source {
    rows: SourceRows,
    /// In which lanes of the new segment its rows may go, one bit a lane.
    feeds: u128,
    /// Where the rows that are left begin, if any are.
    next: Option<Place>,
}

#[derive(Debug)]
enum SourceRows {
    /// A segment in memory, and the new codes of its types.
    Fresh(Arc<Segment>, Vec<u32>),
    /// A lane of a sealed segment; how many of its blocks were begun; the last of them, and the new codes of its types.
    Lane { sealed: Arc<Sealed>, lane: usize, begun: usize, open: Option<(Arc<Block>, Vec<u32>)> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    place: Place,
    source: usize,
    /// A row, or the next block that was not begun.
    row: Option<usize>,
}

impl Rewrite {
    /// Begins a segment of the events in `parts` that are not before `keep_from`. `intern` gives the names of types in
    /// fresh parts.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`] if a part has types out of order, so that one cannot be told from another.
    pub(crate) fn new(
        draft: Box<dyn Draft>,
        parts: &[Part],
        block_bytes: usize,
        keep_from: i64,
        intern: &mut dyn FnMut(&[u8]) -> TypeName,
    ) -> Result<Self, StorageError> {
        let plan = LanePlan::new(parts.iter().map(|part| types(part, intern)), block_bytes);
        let ids = parts.iter().map(id_count).sum();
        let mut sources = Vec::new();
        for part in parts {
            sources.extend(sources_in(part, &plan).ok_or_else(unknown_type)?);
        }
        let mut rewrite = Self {
            heads: BinaryHeap::with_capacity(sources.len()),
            sources,
            writer: Writer::new(draft, plan, parts.first().map_or(0, first_seq), ids),
            keep_from,
            last: None,
            text: RowText::default(),
        };
        for source in 0..rewrite.sources.len() {
            let head = rewrite.advance(source, None);
            rewrite.heads.extend(head.map(Reverse));
        }
        Ok(rewrite)
    }

    /// Takes about so many rows over; `true` when none is left.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when a part could not be read or the segment not be written; this is of no further use.
    pub(crate) fn step(&mut self, budget: u32) -> Result<bool, StorageError> {
        let mut left = budget;
        while left > 0 {
            let Some(Reverse(head)) = self.heads.pop() else { return Ok(true) };
            let next = match head.row {
                Some(row) => {
                    left -= 1;
                    self.take_row(head, row)?
                }
                None => {
                    left = left.saturating_sub(BLOCK_ROWS);
                    self.take_block(head)?
                }
            };
            self.heads.extend(next.map(Reverse));
        }
        Ok(self.heads.is_empty())
    }

    /// Makes the segment durable; `None` if nothing is in it. Only after [`step`](Self::step) has said that nothing is
    /// left. Also the names of its types, and perhaps others, ascending.
    pub(crate) fn finish(self) -> Result<Option<(Published, Vec<TypeName>)>, StorageError> {
        self.writer.finish()
    }

    /// Writes a row, and gives what follows it.
    fn take_row(&mut self, head: Head, row: usize) -> Result<Option<Head>, StorageError> {
        let Head { place, source, .. } = head;
        if place.time >= self.keep_from && self.last.replace(place) != Some(place) {
            match self.sources.get(source).map(|source| &source.rows) {
                Some(SourceRows::Fresh(segment, codes)) => {
                    let rows = segment.rows();
                    let (id, payload) = rows.id_and_payload(row);
                    let code = *codes.get(rows.row_type(row)).ok_or_else(unknown_type)?;
                    let millis = segment.committed_millis(rows.rank(row));
                    self.writer.push(&Row { place, millis, code, id, payload })?;
                }
                Some(SourceRows::Lane { open: Some((block, codes)), .. }) => {
                    self.text.load(block, row);
                    let code = *codes.get(block.type_index(row)).ok_or_else(unknown_type)?;
                    let (id, payload) = (self.text.id(), self.text.payload_bytes());
                    self.writer.push(&Row { place, millis: block.millis(row), code, id, payload })?;
                }
                Some(SourceRows::Lane { open: None, .. }) | None => {}
            }
        }
        Ok(self.advance(source, Some(row)))
    }

    /// Takes a block over, or opens it, and gives what follows.
    fn take_block(&mut self, head: Head) -> Result<Option<Head>, StorageError> {
        let Some((sealed, number)) = self.begin_block(head.source) else { return Ok(None) };
        let mut summary = sealed.index().summary(number);
        if summary.last.time < self.keep_from {
            return Ok(self.advance(head.source, None));
        }
        let bytes = sealed.block_bytes(number)?;
        let block = sealed.decode_block(number, &bytes)?;
        let plan = self.writer.plan();
        let codes = block.names().map(|name| plan.code(name)).collect::<Option<Vec<u32>>>();
        let codes = codes.ok_or_else(|| sealed.damaged_block(number, UNKNOWN_TYPE))?;
        if summary.first.time >= self.keep_from
            && plan.is_filled(&summary)
            && self.is_alone(head.source, &summary, &codes)
        {
            summary.codes.clone_from(&codes);
            summary.codes.sort_unstable();
            self.writer.copy(&summary, &bytes, &block, &codes)?;
            return Ok(self.advance(head.source, None));
        }
        let place = block.place(0);
        if let Some(Source { rows: SourceRows::Lane { open, .. }, next, .. }) = self.sources.get_mut(head.source) {
            *open = Some((block, codes));
            *next = Some(place);
        }
        Ok(Some(Head { place, source: head.source, row: Some(0) }))
    }

    /// Whether all rows of a block go into one lane, and before all others that may still go there.
    fn is_alone(&self, source: usize, block: &Summary, codes: &[u32]) -> bool {
        let lanes = codes.iter().fold(0u128, |lanes, &code| lanes | 1 << self.writer.plan().lane(code));
        let rivals =
            self.sources.iter().enumerate().filter(|(index, other)| *index != source && other.feeds & lanes != 0);
        lanes.is_power_of_two() && rivals.filter_map(|(_, rival)| rival.next).all(|next| next > block.last)
    }

    /// The next block of a source that was not begun.
    fn begin_block(&mut self, source: usize) -> Option<(Arc<Sealed>, usize)> {
        let SourceRows::Lane { sealed, lane, begun, .. } = &mut self.sources.get_mut(source)?.rows else { return None };
        let blocks = sealed.index().lanes().get(*lane)?;
        let number = (*begun < blocks.len()).then(|| blocks.get(*begun) as usize)?;
        *begun += 1;
        Some((Arc::clone(sealed), number))
    }

    /// What follows a row of a source, or its beginning.
    fn advance(&mut self, index: usize, row: Option<usize>) -> Option<Head> {
        let source = self.sources.get_mut(index)?;
        let next_row = row.map_or(0, |row| row + 1);
        let found = match &mut source.rows {
            SourceRows::Fresh(segment, _) => {
                (next_row < segment.rows().len()).then(|| (segment.place(next_row), Some(next_row)))
            }
            SourceRows::Lane { open: Some((block, _)), .. } if row.is_some() && next_row < block.len() => {
                Some((block.place(next_row), Some(next_row)))
            }
            SourceRows::Lane { sealed, lane, begun, open } => {
                *open = None;
                let blocks = sealed.index().lanes().get(*lane)?;
                (*begun < blocks.len()).then(|| (sealed.index().first(blocks.get(*begun) as usize), None))
            }
        };
        source.next = found.map(|(place, _)| place);
        found.map(|(place, row)| Head { place, source: index, row })
    }
}

fn unknown_type() -> StorageError {
    StorageError::Failed(UNKNOWN_TYPE.into())
}

/// The types of a part that has events of them, ascending by name.
fn types(part: &Part, intern: &mut dyn FnMut(&[u8]) -> TypeName) -> Vec<TypeSummary> {
    match part {
        Part::Fresh(segment) => {
            let rows = segment.rows();
            let average = (rows.text().len() / rows.len().max(1)) as u64;
            let types = (0..rows.type_count()).map(|code| {
                let events = rows.type_group(code).len() as u64;
                TypeSummary { name: intern(rows.type_name(code)), events, bytes: events * average }
            });
            types.collect()
        }
        Part::Sealed(sealed) => sealed.index().types().to_vec(),
    }
}

/// The lowest sequence number that a part can have.
fn first_seq(part: &Part) -> u64 {
    match part {
        Part::Fresh(segment) => segment.base(),
        Part::Sealed(sealed) => sealed.seqs().0,
    }
}

fn id_count(part: &Part) -> usize {
    match part {
        Part::Fresh(segment) => segment.rows().id_count(),
        Part::Sealed(sealed) => sealed.id_count(),
    }
}

/// What there is in a part, sorted; `None` if a type of it is not in the plan.
fn sources_in(part: &Part, plan: &LanePlan) -> Option<Vec<Source>> {
    let feeds = |codes: &mut dyn Iterator<Item = u32>| codes.fold(0u128, |feeds, code| feeds | 1 << plan.lane(code));
    match part {
        Part::Fresh(segment) => {
            let rows = segment.rows();
            let codes = plan.codes((0..rows.type_count()).map(|code| rows.type_name(code)))?;
            let feeds = feeds(&mut codes.iter().copied());
            Some(alloc::vec![Source { rows: SourceRows::Fresh(Arc::clone(segment), codes), feeds, next: None }])
        }
        Part::Sealed(sealed) => {
            let index = sealed.index();
            let codes = plan.codes(index.types().iter().map(|summary| summary.name.as_bytes()))?;
            let lanes = index.lanes().iter().enumerate().map(|(lane, blocks)| {
                let in_lane = blocks.iter().flat_map(|number| index.codes(number as usize));
                let mut codes = in_lane.filter_map(|code| codes.get(code as usize).copied());
                let rows = SourceRows::Lane { sealed: Arc::clone(sealed), lane, begun: 0, open: None };
                Source { rows, feeds: feeds(&mut codes), next: None }
            });
            Some(lanes.collect())
        }
    }
}

impl core::fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rewrite").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}
