//! Rewrites segments as one sealed segment, without expired and erased events.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Add as _;

use super::sealed::{PartitionPlan, Row, Summary, TypeSummary, Writer};
use super::tally::{Imbalance, Tally};
use super::{Block, Part, RowText, RowView, Sealed, SealedError, Segment, Sieve, SortKey, TypeName};
use crate::codec::Packed;
use crate::storage::{Draft, Published, StorageError};

/// Copying or decoding a block costs about as much as this many rows.
const BLOCK_ROWS: u32 = 32;

/// Why a rewrite fails: an event written under a wrong type would be lost.
const UNKNOWN_TYPE: &str = "an event has a type that its segment does not list";

/// Rewrites parts as one sealed segment without expired and erased events, a limited number of rows per call. The parts
/// ascend by sequence number.
///
/// A block is copied as it is if none of its rows is left out and no rows of other inputs belong between them. So
/// events that arrive in the order of time are compressed only once.
///
/// The parts are deleted once the new segment has replaced them. So [`finish`](Self::finish) proves that the new
/// segment has all events and bytes of the parts, except for those left out.
pub(crate) struct Rewrite {
    inputs: Vec<Input>,
    /// The next row or block of each input that has any left.
    queue: BinaryHeap<Reverse<Next>>,
    writer: Writer,
    /// Events before this time, in nanoseconds since the Unix epoch, are left out as expired.
    keep_from: i64,
    /// Selects the erased events, which are left out.
    sieve: Box<dyn Sieve>,
    /// The sort key of the last row, by which an event in several parts is recognized and written once.
    last: Option<SortKey>,
    /// Whether parts may have the same events. This happens only in a salvage.
    overlaps: bool,
    text: RowText,
    /// The events of all parts.
    read: Tally,
    /// The events that were left out…
    left_out: Tally,
    /// …and how many of them because they are erased.
    erased: u64,
}

/// What a rewrite leaves out.
pub(crate) struct LeftOut {
    /// Events before this time, in nanoseconds since the Unix epoch, have expired.
    pub(crate) before: i64,
    /// Selects the erased events.
    pub(crate) erased: Box<dyn Sieve>,
}

/// A finished rewrite.
pub(crate) struct Rewritten {
    /// The new segment; `None` if all events were left out.
    pub(crate) segment: Option<(Sealed, Published)>,
    /// How many events were left out because they are erased.
    pub(crate) erased: u64,
}

/// A sorted input: a fresh segment, or one type partition of a sealed one.
#[derive(Debug)]
struct Input {
    rows: InputRows,
    /// The partitions of the new segment that its rows may go to, one bit each.
    targets: u128,
    /// The sort key of its next row; `None` at its end.
    next: Option<SortKey>,
}

#[derive(Debug)]
enum InputRows {
    /// A fresh segment, and the new codes of its types.
    Fresh(Arc<Segment>, Vec<u32>),
    Partition(Partition),
}

/// A type partition of a sealed segment.
#[derive(Debug)]
struct Partition {
    sealed: Arc<Sealed>,
    /// Its blocks in the order of time.
    blocks: Packed,
    /// How many of the blocks were started.
    started: usize,
    /// The last started block, if it is merged row by row, and the new codes of its types.
    open: Option<(Arc<Block>, Vec<u32>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    sort_key: SortKey,
    input: usize,
    /// The next row; `None` for the next block.
    row: Option<usize>,
}

/// Why the input of a queue entry can be found.
const INPUT: &str = "each entry of the queue belongs to an input";

impl Rewrite {
    /// Begins a segment with the events in `parts`, except those that are left out. There must be at least one part.
    /// `seqs` are the first and the last sequence number that the parts cover. `intern` returns the shared name of a
    /// type of a fresh part.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`] if the types of a part are out of order.
    pub(crate) fn new(
        draft: Box<dyn Draft>,
        parts: &[Part],
        seqs: (u64, u64),
        block_bytes: usize,
        left_out: LeftOut,
        intern: &mut dyn FnMut(&[u8]) -> TypeName,
    ) -> Result<Self, StorageError> {
        let plan = PartitionPlan::new(parts.iter().map(|part| types(part, intern)), block_bytes);
        let ids = parts.iter().map(id_count).sum();
        let overlaps = !parts.is_sorted_by(|part, next| part.seqs().1 < next.seqs().0);
        let mut inputs = Vec::new();
        for part in parts {
            inputs.extend(inputs_of(part, &plan).ok_or_else(unknown_type)?);
        }
        let mut rewrite = Self {
            queue: BinaryHeap::with_capacity(inputs.len()),
            inputs,
            writer: Writer::new(draft, plan, seqs, ids, overlaps),
            keep_from: left_out.before,
            sieve: left_out.erased,
            last: None,
            overlaps,
            text: RowText::default(),
            read: parts.iter().map(Part::tally).fold(Tally::default(), Tally::add),
            left_out: Tally::default(),
            erased: 0,
        };
        for input in 0..rewrite.inputs.len() {
            let next = rewrite.advance(input, None);
            rewrite.queue.extend(next.map(Reverse));
        }
        Ok(rewrite)
    }

    /// Copies about `budget` rows; `true` when none are left.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if a part cannot be read or the segment cannot be written. The rewrite must then be dropped.
    pub(crate) fn step(&mut self, budget: u32) -> Result<bool, StorageError> {
        let mut left = budget;
        while left > 0 {
            let Some(Reverse(next)) = self.queue.pop() else { return Ok(true) };
            let next = match next.row {
                Some(row) => {
                    left -= 1;
                    self.take_row(next, row)?
                }
                None => {
                    left = left.saturating_sub(BLOCK_ROWS);
                    self.take_block(next)?
                }
            };
            self.queue.extend(next.map(Reverse));
        }
        Ok(self.queue.is_empty())
    }

    /// Makes the segment durable, and opens it from the medium. If all events were left out, writes no blob. Call this
    /// only after [`step`](Self::step) has returned `true`.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if the segment cannot be written or read. [`StorageError::Failed`] with an [`Imbalance`] if the
    /// segment lacks events or has wrong ones. In each case the parts must be kept.
    pub(crate) fn finish(self) -> Result<Rewritten, StorageError> {
        let Self { writer, read, left_out, erased, .. } = self;
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
        Ok(Rewritten { segment, erased })
    }

    /// Writes or leaves out a row. Returns the next row or block of its input.
    fn take_row(&mut self, next: Next, row: usize) -> Result<Option<Next>, StorageError> {
        let Next { sort_key, input, .. } = next;
        let (event, erased_to) = match &self.inputs.get(input).expect(INPUT).rows {
            InputRows::Fresh(segment, codes) => {
                let rows = segment.rows();
                let (id, payload) = rows.id_and_payload(row);
                let code = *codes.get(rows.row_type(row)).ok_or_else(unknown_type)?;
                (Row { sort_key, millis: segment.committed_millis(rows.ordinal(row)), code, id, payload }, 0)
            }
            InputRows::Partition(partition) => {
                let (block, codes) = partition.open.as_ref().expect("the input has an open block, which has the row");
                self.text.load(block, row).map_err(SealedError::from)?;
                let code = *codes.get(block.type_index(row)).ok_or_else(unknown_type)?;
                let (millis, id, payload) = (block.millis(row), self.text.id(), self.text.payload_bytes());
                (Row { sort_key, millis, code, id, payload }, partition.sealed.erased_to())
            }
        };
        let is_repeated = self.last.replace(sort_key) == Some(sort_key);
        if is_repeated && !self.overlaps {
            return Err(Imbalance::Seq(sort_key.seq).into());
        }
        let is_kept = !is_repeated && sort_key.time >= self.keep_from;
        let type_name = self.writer.plan().name(event.code);
        let is_erased = is_kept && self.sieve.may_select(erased_to, sort_key, type_name) && {
            let Row { sort_key, millis, id, payload, .. } = event;
            let selected = self.sieve.selects(&RowView { erased_to, sort_key, type_name, id, millis, payload });
            selected.map_err(SealedError::from)?
        };
        if is_erased || !is_kept {
            self.left_out += Tally::one(event.id, event.payload);
            self.erased += u64::from(is_erased);
        } else {
            self.writer.push(&event)?;
        }
        Ok(self.advance(input, Some(row)))
    }

    /// Copies a block, leaves it out, or opens it. Returns the next row or block of its input.
    fn take_block(&mut self, next: Next) -> Result<Option<Next>, StorageError> {
        let partition = self.partition(next.input);
        let (sealed, number) = (Arc::clone(&partition.sealed), partition.blocks.get(partition.started) as usize);
        partition.started += 1;
        let mut summary = sealed.index().summary(number);
        if summary.last.time < self.keep_from {
            self.left_out += summary.tally();
            return Ok(self.advance(next.input, None));
        }
        let bytes = sealed.block_bytes(number)?;
        let block = sealed.decode_block(number, &bytes)?;
        let plan = self.writer.plan();
        let codes = block.names().map(|name| plan.code(name)).collect::<Option<Vec<u32>>>();
        let codes = codes.ok_or_else(|| sealed.damaged_block(number, UNKNOWN_TYPE))?;
        if let Some(head) = sealed.copied_head(number)
            && summary.first.time >= self.keep_from
            && plan.is_filled(&summary)
            && self.is_alone(next.input, &summary, &codes)
            && !self.has_erased(&sealed, &summary, &block)?
        {
            summary.codes.clone_from(&codes);
            summary.codes.sort_unstable();
            self.writer.copy(&summary, &bytes, head, &block, &codes)?;
            return Ok(self.advance(next.input, None));
        }
        let sort_key = block.sort_key(0);
        self.partition(next.input).open = Some((block, codes));
        self.inputs.get_mut(next.input).expect(INPUT).next = Some(sort_key);
        Ok(Some(Next { sort_key, input: next.input, row: Some(0) }))
    }

    /// Whether any row of a block is erased.
    fn has_erased(&mut self, sealed: &Sealed, summary: &Summary, block: &Block) -> Result<bool, StorageError> {
        let erased_to = sealed.erased_to();
        if !self.sieve.may_select_in(erased_to, summary.seqs, (summary.first.time, summary.last.time)) {
            return Ok(false);
        }
        for row in 0..block.len() {
            let (sort_key, type_name) = (block.sort_key(row), block.type_name(row));
            if !self.sieve.may_select(erased_to, sort_key, type_name) {
                continue;
            }
            self.text.load(block, row).map_err(SealedError::from)?;
            let (millis, id, payload) = (block.millis(row), self.text.id(), self.text.payload_bytes());
            let view = RowView { erased_to, sort_key, type_name, id, millis, payload };
            if self.sieve.selects(&view).map_err(SealedError::from)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether all rows of a block go to one partition, and all rows that other inputs may still add to that partition
    /// come later.
    fn is_alone(&self, input: usize, block: &Summary, codes: &[u32]) -> bool {
        let partitions =
            codes.iter().fold(0u128, |partitions, &code| partitions | 1 << self.writer.plan().partition(code));
        let mut others =
            self.inputs.iter().enumerate().filter(|(index, other)| *index != input && other.targets & partitions != 0);
        partitions.is_power_of_two() && others.all(|(_, other)| other.next.is_none_or(|next| next > block.last))
    }

    fn partition(&mut self, input: usize) -> &mut Partition {
        let partition = match &mut self.inputs.get_mut(input).expect(INPUT).rows {
            InputRows::Partition(partition) => Some(partition),
            InputRows::Fresh(..) => None,
        };
        partition.expect("only a partition has blocks")
    }

    /// The next row or block of an input: after `row`, or after the last started block if `row` is `None`.
    fn advance(&mut self, index: usize, row: Option<usize>) -> Option<Next> {
        let input = self.inputs.get_mut(index).expect(INPUT);
        let next_row = row.map_or(0, |row| row + 1);
        let found = match &mut input.rows {
            InputRows::Fresh(segment, _) => {
                (next_row < segment.rows().len()).then(|| (segment.sort_key(next_row), Some(next_row)))
            }
            InputRows::Partition(Partition { open: Some((block, _)), .. })
                if row.is_some() && next_row < block.len() =>
            {
                Some((block.sort_key(next_row), Some(next_row)))
            }
            InputRows::Partition(Partition { sealed, blocks, started, open }) => {
                *open = None;
                (*started < blocks.len()).then(|| (sealed.index().first(blocks.get(*started) as usize), None))
            }
        };
        input.next = found.map(|(sort_key, _)| sort_key);
        found.map(|(sort_key, row)| Next { sort_key, input: index, row })
    }
}

fn unknown_type() -> StorageError {
    StorageError::Failed(UNKNOWN_TYPE.into())
}

/// The types of a part, ascending by name.
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

/// The inputs of a part; `None` if one of its types is not in the plan.
fn inputs_of(part: &Part, plan: &PartitionPlan) -> Option<Vec<Input>> {
    let targets =
        |codes: &mut dyn Iterator<Item = u32>| codes.fold(0u128, |targets, code| targets | 1 << plan.partition(code));
    match part {
        Part::Fresh(segment) => {
            let rows = segment.rows();
            let codes = plan.codes((0..rows.type_count()).map(|code| rows.type_name(code)))?;
            let targets = targets(&mut codes.iter().copied());
            Some(alloc::vec![Input { rows: InputRows::Fresh(Arc::clone(segment), codes), targets, next: None }])
        }
        Part::Sealed(sealed) => {
            let index = sealed.index();
            let codes = plan.codes(index.types().iter().map(|summary| summary.name.as_bytes()))?;
            let code = |code: u32| *codes.get(code as usize).expect("an index names only types that it lists");
            let partitions = index.partitions().iter().map(|blocks| {
                let mut codes = blocks.iter().flat_map(|number| index.codes(number as usize)).map(code);
                let partition =
                    Partition { sealed: Arc::clone(sealed), blocks: blocks.clone(), started: 0, open: None };
                Input { rows: InputRows::Partition(partition), targets: targets(&mut codes), next: None }
            });
            Some(partitions.collect())
        }
    }
}

impl core::fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rewrite").field("inputs", &self.inputs.len()).finish_non_exhaustive()
    }
}
