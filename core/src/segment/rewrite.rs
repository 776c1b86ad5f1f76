//! Writes segments anew as one sealed segment, without the events that have expired.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Add as _;

use super::sealed::{LanePlan, Row, Summary, TypeSummary, Writer};
use super::tally::{Imbalance, Tally};
use super::{Block, Part, Place, RowText, Sealed, Segment, TypeName};
use crate::codec::Packed;
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
///
/// The sources are deleted when the segment is in their place. So [`finish`](Self::finish) proves that it has all of
/// their events and all bytes of them, but for what was left out.
pub(crate) struct Rewrite {
    sources: Vec<Source>,
    /// The next row or block of every source that has one left.
    heads: BinaryHeap<Reverse<Head>>,
    writer: Writer,
    /// Events before this time, in nanoseconds since the Unix epoch, are left out.
    keep_from: i64,
    /// The row that was taken last. What lies in several parts is written once.
    last: Option<Place>,
    /// Whether parts may have the same events. Only a salvage has such parts.
    overlaps: bool,
    text: RowText,
    /// What the parts have, and what of it was left out.
    read: Tally,
    left_out: Tally,
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
    Lane(Lane),
}

/// A lane of a sealed segment.
#[derive(Debug)]
struct Lane {
    sealed: Arc<Sealed>,
    /// Its blocks, in the order of time, and how many of them were begun.
    blocks: Packed,
    begun: usize,
    /// The last of these, if it is read row by row, and the new codes of its types.
    open: Option<(Arc<Block>, Vec<u32>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    place: Place,
    source: usize,
    /// A row, or the next block that was not begun.
    row: Option<usize>,
}

/// Why a source can be found.
const HEAD: &str = "each head is of a source";

impl Rewrite {
    /// Begins a segment of the events in `parts`, of which there is at least one, that are not before `keep_from`. All
    /// their sequence numbers are in `seqs`. `intern` gives the names of types in fresh parts.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`] if a part has types out of order, so that one cannot be told from another.
    pub(crate) fn new(
        draft: Box<dyn Draft>,
        parts: &[Part],
        seqs: (u64, u64),
        block_bytes: usize,
        keep_from: i64,
        intern: &mut dyn FnMut(&[u8]) -> TypeName,
    ) -> Result<Self, StorageError> {
        let plan = LanePlan::new(parts.iter().map(|part| types(part, intern)), block_bytes);
        let ids = parts.iter().map(id_count).sum();
        let overlaps = !parts.is_sorted_by(|part, next| part.seqs().1 < next.seqs().0);
        let mut sources = Vec::new();
        for part in parts {
            sources.extend(sources_in(part, &plan).ok_or_else(unknown_type)?);
        }
        let mut rewrite = Self {
            heads: BinaryHeap::with_capacity(sources.len()),
            sources,
            writer: Writer::new(draft, plan, seqs, ids, overlaps),
            keep_from,
            last: None,
            overlaps,
            text: RowText::default(),
            read: parts.iter().map(Part::tally).fold(Tally::default(), Tally::add),
            left_out: Tally::default(),
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

    /// Makes the segment durable, and opens it: what is served from then on is what is stored. `None`, and nothing is
    /// there, if no event is left. Only after [`step`](Self::step) has said that nothing is left.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the segment could not be written or read. [`StorageError::Failed`] with an [`Imbalance`]
    /// if it has other events than were to be put there. In each case the sources must be kept.
    pub(crate) fn finish(self) -> Result<Option<(Sealed, Published)>, StorageError> {
        let Self { writer, read, left_out, .. } = self;
        let seqs = writer.seqs();
        let segment = match writer.finish()? {
            Some((published, names)) => {
                let blob = Arc::clone(&published.blob);
                let mut intern = TypeName::among(names);
                Some((Sealed::open(&published.name, seqs, blob, u64::MAX, &mut intern)?, published))
            }
            None => None,
        };
        let written = segment.as_ref().map_or(Tally::default(), |(sealed, _)| sealed.tally());
        let listed = segment.as_ref().map_or(0, |(sealed, _)| sealed.events());
        if read != written + left_out || listed != written.events {
            return Err(Imbalance::Count { read, written, left_out }.into());
        }
        Ok(segment)
    }

    /// Writes a row, and gives what follows it.
    fn take_row(&mut self, head: Head, row: usize) -> Result<Option<Head>, StorageError> {
        let Head { place, source, .. } = head;
        let event = match &self.sources.get(source).expect(HEAD).rows {
            SourceRows::Fresh(segment, codes) => {
                let rows = segment.rows();
                let (id, payload) = rows.id_and_payload(row);
                let code = *codes.get(rows.row_type(row)).ok_or_else(unknown_type)?;
                Row { place, millis: segment.committed_millis(rows.rank(row)), code, id, payload }
            }
            SourceRows::Lane(lane) => {
                let (block, codes) = lane.open.as_ref().expect("a row is of the block that is read row by row");
                self.text.load(block, row);
                let code = *codes.get(block.type_index(row)).ok_or_else(unknown_type)?;
                Row { place, millis: block.millis(row), code, id: self.text.id(), payload: self.text.payload_bytes() }
            }
        };
        let is_repeated = self.last.replace(place) == Some(place);
        if is_repeated && !self.overlaps {
            return Err(Imbalance::Seq(place.seq).into());
        }
        if is_repeated || place.time < self.keep_from {
            self.left_out += Tally::one(event.id, event.payload);
        } else {
            self.writer.push(&event)?;
        }
        Ok(self.advance(source, Some(row)))
    }

    /// Takes a block over, or opens it, and gives what follows.
    fn take_block(&mut self, head: Head) -> Result<Option<Head>, StorageError> {
        let lane = self.lane(head.source);
        let (sealed, number) = (Arc::clone(&lane.sealed), lane.blocks.get(lane.begun) as usize);
        lane.begun += 1;
        let mut summary = sealed.index().summary(number);
        if summary.last.time < self.keep_from {
            self.left_out += summary.tally();
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
        self.lane(head.source).open = Some((block, codes));
        self.sources.get_mut(head.source).expect(HEAD).next = Some(place);
        Ok(Some(Head { place, source: head.source, row: Some(0) }))
    }

    /// Whether all rows of a block go into one lane, and before all others that may still go there.
    fn is_alone(&self, source: usize, block: &Summary, codes: &[u32]) -> bool {
        let lanes = codes.iter().fold(0u128, |lanes, &code| lanes | 1 << self.writer.plan().lane(code));
        let rivals =
            self.sources.iter().enumerate().filter(|(index, other)| *index != source && other.feeds & lanes != 0);
        lanes.is_power_of_two() && rivals.filter_map(|(_, rival)| rival.next).all(|next| next > block.last)
    }

    fn lane(&mut self, source: usize) -> &mut Lane {
        let lane = match &mut self.sources.get_mut(source).expect(HEAD).rows {
            SourceRows::Lane(lane) => Some(lane),
            SourceRows::Fresh(..) => None,
        };
        lane.expect("only a lane has blocks")
    }

    /// What follows a row of a source, or its beginning.
    fn advance(&mut self, index: usize, row: Option<usize>) -> Option<Head> {
        let source = self.sources.get_mut(index).expect(HEAD);
        let next_row = row.map_or(0, |row| row + 1);
        let found = match &mut source.rows {
            SourceRows::Fresh(segment, _) => {
                (next_row < segment.rows().len()).then(|| (segment.place(next_row), Some(next_row)))
            }
            SourceRows::Lane(Lane { open: Some((block, _)), .. }) if row.is_some() && next_row < block.len() => {
                Some((block.place(next_row), Some(next_row)))
            }
            SourceRows::Lane(Lane { sealed, blocks, begun, open }) => {
                *open = None;
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
            let code = |code: u32| *codes.get(code as usize).expect("an index names only types that it lists");
            let lanes = index.lanes().iter().map(|blocks| {
                let mut codes = blocks.iter().flat_map(|number| index.codes(number as usize)).map(code);
                let lane = Lane { sealed: Arc::clone(sealed), blocks: blocks.clone(), begun: 0, open: None };
                Source { rows: SourceRows::Lane(lane), feeds: feeds(&mut codes), next: None }
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
