//! Writes a sealed segment.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::cmp::Ordering;

use bytes::Bytes;

use super::block::{BlockBuilder, Encoders, ROWS_MAX, Row, Summary};
use super::ids::IdIndexBuilder;
use super::index::{BlockPlace, IndexBuilder, TypeSummary};
use super::sequence_index::SequenceIndexBuilder;
use super::values_builder::ValueIndexBuilder;
use super::{Block, SealedError, Version, footer, id_hash};
use crate::codec::Corrupt;
use crate::column::partition_point;
use crate::segment::TypeName;
use crate::segment::tally::Imbalance;
use crate::storage::{Draft, Published, StorageError};

/// Bytes buffered before they are written.
const WRITE_BYTES: usize = 1 << 18;

/// The most partitions of single types; all other types share one more. Scans and writers may have a block of each
/// partition in memory.
const PARTITIONS_MAX: usize = 32;

/// A type has a partition of its own if its events are expected to fill this many blocks.
const PARTITION_BLOCKS_MIN: u64 = 1;

/// Assigns the types of a new segment to partitions.
#[derive(Debug)]
pub(crate) struct PartitionPlan {
    /// Ascending by name.
    types: Vec<TypeSummary>,
    /// The partition of each type.
    partitions: Vec<usize>,
    count: usize,
    block_bytes: usize,
}

/// Writes a sealed segment. Rows of different partitions may be mixed, but those of each partition must ascend by sort
/// key.
pub(crate) struct Writer {
    draft: Box<dyn Draft>,
    plan: PartitionPlan,
    /// The first and the last sequence number that the segment covers.
    seqs: (u64, u64),
    /// Whether a sequence number may occur twice.
    may_repeat: bool,
    /// The unfinished block of each partition.
    unfinished: Vec<BlockBuilder>,
    index: IndexBuilder,
    sequence_index: SequenceIndexBuilder,
    ids: IdIndexBuilder,
    values: ValueIndexBuilder,
    encoders: Encoders,
    /// Bytes that are not written yet, and their offset.
    pending: Vec<u8>,
    at: u64,
}

impl PartitionPlan {
    /// A plan for the types of some parts and blocks of about `block_bytes` bytes of text. The types of each part
    /// ascend by name.
    pub(crate) fn new(parts: impl Iterator<Item = Vec<TypeSummary>>, block_bytes: usize) -> Self {
        // Merge part by part, so that only the result and one part are in memory.
        let mut types = parts.reduce(union).unwrap_or_default();
        let total: u64 = types.iter().map(|summary| summary.bytes).sum();
        let partition_bytes_min = (PARTITION_BLOCKS_MIN * block_bytes as u64).max(total / PARTITIONS_MAX as u64 + 1);
        let is_large = |summary: &TypeSummary| summary.bytes >= partition_bytes_min;
        let shared = types.iter().filter(|summary| is_large(summary)).count();
        let mut own = 0..shared;
        let partitions =
            types.iter().map(|summary| if is_large(summary) { own.next() } else { None }.unwrap_or(shared)).collect();
        for summary in &mut types {
            (summary.events, summary.bytes) = (0, 0);
        }
        Self { types, partitions, count: shared + 1, block_bytes }
    }

    /// The code of a type.
    pub(crate) fn code(&self, name: &[u8]) -> Option<u32> {
        self.types.binary_search_by(|summary| summary.name.as_bytes().cmp(name)).ok().map(|code| code as u32)
    }

    /// The codes of types that ascend by name; `None` if one is not in the plan. Finds each by galloping search from
    /// the one before, which is usually near.
    pub(crate) fn codes<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> Option<Vec<u32>> {
        let mut at = 0;
        let is_before =
            |at: usize, name: &[u8]| self.types.get(at).is_some_and(|summary| summary.name.as_bytes() < name);
        names
            .map(|name| {
                let mut stride = 1;
                while is_before(at + stride, name) {
                    at += stride;
                    stride *= 2;
                }
                at = partition_point(at..(at + stride + 1).min(self.types.len()), |at| is_before(at, name));
                self.types.get(at).is_some_and(|summary| summary.name.as_bytes() == name).then_some(at as u32)
            })
            .collect()
    }

    /// The partition of a type.
    pub(crate) fn partition(&self, code: u32) -> usize {
        *self.partitions.get(code as usize).expect(CODE)
    }

    /// Whether a block is large enough to be copied as it is. Small ones are merged.
    pub(crate) fn is_filled(&self, summary: &Summary) -> bool {
        summary.text_bytes >= self.block_bytes as u64 / 2 || summary.rows >= ROWS_MAX / 2
    }

    /// The name of a type.
    pub(crate) fn name(&self, code: u32) -> &[u8] {
        self.types.get(code as usize).expect(CODE).name.as_bytes()
    }

    fn count(&mut self, code: u32, events: u64, bytes: u64) {
        let summary = self.types.get_mut(code as usize).expect(CODE);
        summary.events += events;
        summary.bytes += bytes;
    }
}

/// Why a code is that of a type.
const CODE: &str = "codes come from the plan";

/// Merges the types of two parts, ascending by name.
fn union(a: Vec<TypeSummary>, b: Vec<TypeSummary>) -> Vec<TypeSummary> {
    let mut all = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (Some(a), Some(b)) => a.name.cmp(&b.name),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return all,
        };
        match order {
            Ordering::Less => all.extend(a.next()),
            Ordering::Greater => all.extend(b.next()),
            Ordering::Equal => all.extend(a.next().zip(b.next()).map(|(a, b)| TypeSummary {
                name: a.name,
                events: a.events + b.events,
                bytes: a.bytes + b.bytes,
            })),
        }
    }
}

/// Why a type's partition can be found.
const PARTITION: &str = "the plan gives each type one of its partitions";

impl Writer {
    /// Begins a segment of events in this range of sequence numbers, with at most `ids_max` callers' ids. Two events
    /// with the same sequence number are an error unless `may_repeat` is set.
    pub(crate) fn new(
        draft: Box<dyn Draft>,
        plan: PartitionPlan,
        seqs: (u64, u64),
        ids_max: usize,
        may_repeat: bool,
    ) -> Self {
        let (partitions, pending) = (plan.count, Version::CURRENT.header());
        Self {
            draft,
            plan,
            seqs,
            may_repeat,
            unfinished: (0..partitions).map(|_| BlockBuilder::default()).collect(),
            index: IndexBuilder::new(partitions),
            sequence_index: SequenceIndexBuilder::new(seqs),
            ids: IdIndexBuilder::new(ids_max),
            values: ValueIndexBuilder::default(),
            encoders: Encoders::default(),
            pending,
            at: 0,
        }
    }

    /// The plan.
    pub(crate) fn plan(&self) -> &PartitionPlan {
        &self.plan
    }

    /// The first and the last sequence number that the segment covers.
    pub(crate) fn seqs(&self) -> (u64, u64) {
        self.seqs
    }

    /// Adds an event to its partition.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), StorageError> {
        let partition = self.plan.partition(row.code);
        let bytes = row.id.len() + row.payload.len();
        self.plan.count(row.code, 1, bytes as u64);
        let block = self.unfinished.get(partition).expect(PARTITION);
        let is_full = block.text_bytes() + bytes > self.plan.block_bytes || block.len() == ROWS_MAX;
        if is_full && !block.is_empty() {
            self.finish_block(partition)?;
        }
        self.unfinished.get_mut(partition).expect(PARTITION).push(row);
        Ok(())
    }

    /// Copies a block of another segment of the current version, whose types must all be in one partition. `head` is
    /// the length of its head. `codes` has the plan's codes of the block's types, in the order of the block; `summary`
    /// has the same codes, ascending.
    pub(crate) fn copy(
        &mut self,
        summary: &Summary,
        bytes: &Bytes,
        head: usize,
        block: &Block,
        codes: &[u32],
    ) -> Result<(), StorageError> {
        let partition = self.plan.partition(*summary.codes.first().expect("a block has types"));
        self.finish_block(partition)?;
        for row in 0..block.len() {
            let code = codes.get(block.type_index(row)).expect("there is a code for each type of the block");
            self.plan.count(*code, 1, 0);
        }
        // An estimate suffices: bytes per type only serve the plan of the next segment.
        let share = summary.text_bytes / summary.codes.len().max(1) as u64;
        for &code in &summary.codes {
            self.plan.count(code, 0, share);
        }
        let place = BlockPlace { offset: self.end(), length: bytes.len(), head };
        let number = self.index.push(partition, place, summary);
        self.add_values(block)?;
        for row in 0..block.len() {
            self.add_to_sequence_index(block.sort_key(row).seq, number)?;
        }
        if summary.has_ids {
            let mut id = Vec::new();
            for row in 0..block.len() {
                id.clear();
                block.append_id(row, &mut id).map_err(SealedError::from)?;
                if !id.is_empty() {
                    self.ids.insert(id_hash(&id), number, row as u16);
                }
            }
        }
        self.pending.extend_from_slice(bytes);
        self.write_pending()
    }

    /// Writes all buffered rows and the index, and makes the segment durable. Also returns the names of the plan's
    /// types, ascending. If there are no events, writes no blob and returns `None`.
    pub(crate) fn finish(mut self) -> Result<Option<(Published, Vec<TypeName>)>, StorageError> {
        for partition in 0..self.plan.count {
            self.finish_block(partition)?;
        }
        if self.index.is_empty() {
            return Ok(None);
        }
        let mut index = Vec::new();
        self.index.finish(&self.plan.types, Version::CURRENT, &mut index);
        self.sequence_index.finish(self.end(), &mut self.pending, &mut index);
        let ids = core::mem::replace(&mut self.ids, IdIndexBuilder::new(0));
        ids.finish(self.end(), &mut self.pending, &mut index);
        self.values.finish(self.end(), &mut self.pending, &mut index);
        let footer = footer(self.at + self.pending.len() as u64, &index);
        // Three writes, since the index may be large and is not copied.
        for bytes in [self.pending, index, footer] {
            self.draft.write(&bytes)?;
        }
        let published = self.draft.finish()?;
        Ok(Some((published, self.plan.types.into_iter().map(|summary| summary.name).collect())))
    }

    /// The offset after all bytes so far.
    fn end(&self) -> u64 {
        self.at + self.pending.len() as u64
    }

    fn finish_block(&mut self, partition: usize) -> Result<(), StorageError> {
        let block = self.unfinished.get_mut(partition).expect(PARTITION);
        if block.is_empty() {
            return Ok(());
        }
        let at = self.at + self.pending.len() as u64;
        let before = self.pending.len();
        let ids: Vec<(u64, usize)> = block.ids().map(|(row, id)| (id_hash(id), row)).collect();
        let seqs = block.seqs().to_vec();
        let (summary, head) = block.encode(|code| self.plan.name(code), &mut self.encoders, &mut self.pending);
        let place = BlockPlace { offset: at, length: self.pending.len() - before, head };
        let number = self.index.push(partition, place, &summary);
        // Reading the block back also proves that it can be read.
        let bytes = Bytes::copy_from_slice(self.pending.get(before..).expect("a block was appended"));
        let block = Block::decode(&bytes, Version::CURRENT).map_err(unreadable)?;
        self.add_values(&block)?;
        for seq in seqs {
            self.add_to_sequence_index(seq, number)?;
        }
        for (hash, row) in ids {
            self.ids.insert(hash, number, row as u16);
        }
        self.write_pending()
    }

    /// Adds a block to the index of values.
    fn add_values(&mut self, block: &Block) -> Result<(), StorageError> {
        self.values.add(block, id_hash).map_err(unreadable)
    }

    /// Adds an event to the sequence index.
    fn add_to_sequence_index(&mut self, seq: u64, block: u32) -> Result<(), Imbalance> {
        let is_new = self.sequence_index.insert(seq, block)?;
        if is_new || self.may_repeat { Ok(()) } else { Err(Imbalance::Seq(seq)) }
    }

    /// Writes the pending bytes if there are enough.
    fn write_pending(&mut self) -> Result<(), StorageError> {
        if self.pending.len() >= WRITE_BYTES {
            self.draft.write(&self.pending)?;
            self.at += self.pending.len() as u64;
            self.pending.clear();
        }
        Ok(())
    }
}

/// The error for a block that was written and cannot be read.
fn unreadable(Corrupt(reason): Corrupt) -> StorageError {
    StorageError::Failed(format!("a block of a new segment cannot be read: {reason}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summaries(numbers: impl Iterator<Item = u32>) -> Vec<TypeSummary> {
        let summary =
            |number| TypeSummary { name: TypeName::new(format!("{number:04}").as_bytes()), events: 1, bytes: 10 };
        numbers.map(summary).collect()
    }

    #[test]
    fn types_of_parts_are_merged_and_found() {
        let parts = [summaries((0..900).step_by(3)), summaries((0..900).step_by(2)), Vec::new(), summaries(899..901)];
        let plan = PartitionPlan::new(parts.into_iter(), 10);
        let expected: Vec<u32> =
            (0..=900).filter(|number| number % 3 == 0 || number % 2 == 0 || *number >= 899).collect();
        assert!(
            plan.types
                .iter()
                .map(|summary| &summary.name)
                .eq(summaries(expected.iter().copied()).iter().map(|summary| &summary.name))
        );
        for stride in [1, 2, 7, 100, 1_000] {
            let some: Vec<u32> =
                (0..expected.len() as u32).step_by(stride).chain([expected.len() as u32 - 1]).collect();
            let names: Vec<TypeName> = some
                .iter()
                .filter_map(|&code| plan.types.get(code as usize))
                .map(|summary| summary.name.clone())
                .collect();
            assert_eq!(plan.codes(names.iter().map(TypeName::as_bytes)), Some(some), "{stride}");
        }
        assert_eq!(plan.codes([&b"0000"[..], b"0002"].into_iter()), Some(alloc::vec![0, 1]));
        for other in [[&b"0001"[..], b"0002"], [b"0002", b"9999"]] {
            assert_eq!(plan.codes(other.into_iter()), None);
        }
    }
}
