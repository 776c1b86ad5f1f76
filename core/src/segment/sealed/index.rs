//! The index of a sealed segment: its types, blocks and partitions.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::Version;
use super::block::{ROWS_MAX, Summary};
use crate::codec::{Corrupt, Cursor, Packed, pack, pack_all, put_varint};
use crate::damage::Affected;
use crate::segment::tally::Tally;
use crate::segment::{SortKey, TypeName};

/// The types, blocks and type partitions of a sealed segment. It is kept in memory.
///
/// | bytes | what |
/// |---|---|
/// | varint | number of types t |
/// | varint, …, varint, varint | t types by name: length of the name, name, events, bytes of their ids and payloads |
/// | varint | number of blocks b |
/// | packed, 13 times | the block columns, b values each |
/// | varint | number of types of all blocks u |
/// | packed | u codes of types: those of the first block, ascending, then those of the second… |
/// | varint | number of partitions l |
/// | varint, packed | l times: number of blocks, at least 1, and the blocks, ascending |
///
/// The block columns are: offset, length, length of the head (not in version 2), number of rows, bytes of ids and
/// payloads, timestamp and sequence number of the first row, timestamp and sequence number of the last row, lowest and
/// highest sequence number, whether any row has a caller's id, and the end of the block's types in the column of types.
/// Timestamps have the sign bit flipped.
///
/// The blocks of a type partition ascend by time and do not overlap, and no type is in two partitions.
///
/// Earlier versions also wrote types without events. Reading drops them, so that they are not counted.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    types: Arc<[TypeSummary]>,
    offsets: Packed,
    lengths: Packed,
    /// `None` in version 2.
    heads: Option<Packed>,
    rows: Packed,
    text_bytes: Packed,
    first: [Packed; 2],
    last: [Packed; 2],
    seqs: [Packed; 2],
    has_ids: Packed,
    code_ends: Packed,
    codes: Packed,
    partitions: Box<[Packed]>,
}

/// A type's name, and the number and bytes of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeSummary {
    pub(crate) name: TypeName,
    pub(crate) events: u64,
    /// Bytes of their ids and payloads.
    pub(crate) bytes: u64,
}

/// Builds an index.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    offsets: Vec<u64>,
    lengths: Vec<u64>,
    heads: Vec<u64>,
    rows: Vec<u64>,
    text_bytes: Vec<u64>,
    first: [Vec<u64>; 2],
    last: [Vec<u64>; 2],
    seqs: [Vec<u64>; 2],
    has_ids: Vec<u64>,
    code_ends: Vec<u64>,
    codes: Vec<u32>,
    partitions: Vec<Vec<u64>>,
}

/// Where a block is in the blob.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockPlace {
    pub(super) offset: u64,
    pub(super) length: usize,
    /// The length of its head.
    pub(super) head: usize,
}

const SIGN: u64 = 1 << 63;

impl IndexBuilder {
    pub(super) fn new(partitions: usize) -> Self {
        Self { partitions: vec![Vec::new(); partitions], ..Self::default() }
    }

    /// Adds a block at the end of a partition; returns its number.
    pub(super) fn push(&mut self, partition: usize, place: BlockPlace, summary: &Summary) -> u32 {
        let BlockPlace { offset, length, head } = place;
        let number = self.offsets.len() as u64;
        self.offsets.push(offset);
        self.lengths.push(length as u64);
        self.heads.push(head as u64);
        self.rows.push(summary.rows as u64);
        self.text_bytes.push(summary.text_bytes);
        for (columns, key) in [(&mut self.first, summary.first), (&mut self.last, summary.last)] {
            let [times, seqs] = columns;
            times.push(key.time as u64 ^ SIGN);
            seqs.push(key.seq);
        }
        let [lowest, highest] = &mut self.seqs;
        lowest.push(summary.seqs.0);
        highest.push(summary.seqs.1);
        self.has_ids.push(summary.has_ids.into());
        self.codes.extend_from_slice(&summary.codes);
        self.code_ends.push(self.codes.len() as u64);
        self.partitions.get_mut(partition).expect("there are as many partitions as the plan has").push(number);
        number as u32
    }

    /// Whether there are no blocks.
    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Appends the index to `out`, without types that have no events: a type whose events have all expired must not be
    /// counted.
    pub(super) fn finish(&self, types: &[TypeSummary], version: Version, out: &mut Vec<u8>) {
        let used = || types.iter().filter(|summary| summary.events > 0);
        put_varint(used().count() as u64, out);
        for TypeSummary { name, events, bytes } in used() {
            let name = name.as_bytes();
            put_varint(name.len() as u64, out);
            out.extend_from_slice(name);
            put_varint(*events, out);
            put_varint(*bytes, out);
        }
        let codes = codes_among_used(types);
        put_varint(self.offsets.len() as u64, out);
        let Self {
            offsets, lengths, heads, rows, text_bytes, first, last, seqs, has_ids, code_ends, partitions, ..
        } = self;
        let [first_times, first_seqs] = first;
        let [last_times, last_seqs] = last;
        let [lowest, highest] = seqs;
        pack(offsets, out);
        pack(lengths, out);
        match version {
            Version::Two => {}
            Version::Three => pack(heads, out),
        }
        for column in
            [rows, text_bytes, first_times, first_seqs, last_times, last_seqs, lowest, highest, has_ids, code_ends]
        {
            pack(column, out);
        }
        put_varint(self.codes.len() as u64, out);
        let in_blocks =
            self.codes.iter().map(|&code| *codes.get(code as usize).expect("a block has only types of its segment"));
        pack_all(in_blocks, out);
        let partitions = || partitions.iter().filter(|partition| !partition.is_empty());
        put_varint(partitions().count() as u64, out);
        for partition in partitions() {
            put_varint(partition.len() as u64, out);
            pack(partition, out);
        }
    }
}

/// For each type, its code among those that have events.
fn codes_among_used(types: &[TypeSummary]) -> Vec<u64> {
    let used = types.iter().scan(0u64, |next, summary| {
        let code = *next;
        *next += u64::from(summary.events > 0);
        Some(code)
    });
    used.collect()
}

impl Index {
    /// Decodes an index whose blocks must end at or before `blocks_end`. `intern` returns the shared name of a type, or
    /// an error if the segment must not have the type. The index copies the columns out of the cursor's buffer, which
    /// the names of the types may make large.
    pub(super) fn decode(
        cursor: &mut Cursor,
        version: Version,
        blocks_end: u64,
        intern: &mut dyn FnMut(&[u8]) -> Result<TypeName, Corrupt>,
    ) -> Result<Self, Corrupt> {
        let (mut types, mut unused) = (Vec::new(), Vec::new());
        for code in 0..cursor.length(u32::MAX as usize)? {
            match TypeSummary::decode(cursor, intern)? {
                Some(summary) => types.push(summary),
                None => unused.push(code as u64),
            }
        }
        cursor.detach();
        let count = cursor.length(u32::MAX as usize)?;
        let mut column = || Packed::decode(cursor, count);
        let (offsets, lengths) = (column()?, column()?);
        let heads = match version {
            Version::Two => None,
            Version::Three => Some(column()?),
        };
        let (rows, text_bytes) = (column()?, column()?);
        let (first, last, seqs) = ([column()?, column()?], [column()?, column()?], [column()?, column()?]);
        let (has_ids, code_ends) = (column()?, column()?);
        let code_count = cursor.length(usize::MAX / 64)?;
        let codes = Packed::decode(cursor, code_count)?;
        let partitions = (0..cursor.length(count)?)
            .map(|_| {
                let blocks = cursor.length(count)?;
                Packed::decode(cursor, blocks)
            })
            .collect::<Result<_, _>>()?;
        let listed = types.len() + unused.len();
        let types = types.into();
        let mut index = Self {
            types,
            offsets,
            lengths,
            heads,
            rows,
            text_bytes,
            first,
            last,
            seqs,
            has_ids,
            code_ends,
            codes,
            partitions,
        };
        index.check(blocks_end, listed)?;
        if !unused.is_empty() {
            index.codes = codes_without(&unused, &index.codes)?;
        }
        Ok(index)
    }

    /// Checks that the columns are consistent. `listed` is the number of types, including those without events.
    fn check(&self, blocks_end: u64, listed: usize) -> Result<(), Corrupt> {
        let blocks = self.blocks();
        let is_inside =
            |number| self.range(number).end <= blocks_end && self.range(number).start < self.range(number).end;
        let in_partitions: usize = self.partitions.iter().map(Packed::len).sum();
        let numbers = || self.partitions.iter().flat_map(Packed::iter);
        let ends = || self.code_ends.iter();
        let has_head = |number| self.head_len(number).is_none_or(|len| (1..=self.lengths.get(number)).contains(&len));
        if !(0..blocks).all(|number| is_inside(number) && has_head(number)) {
            return Err(Corrupt("a block is out of bounds"));
        }
        if in_partitions != blocks
            || numbers().any(|number| number >= blocks as u64)
            || self.partitions.iter().any(|partition| partition.len() == 0)
        {
            return Err(Corrupt("not every block is in one partition"));
        }
        if self.rows.iter().any(|rows| rows == 0 || rows > ROWS_MAX as u64) {
            return Err(Corrupt("the number of rows of a block is invalid"));
        }
        let is_ascending = ends().zip(ends().skip(1)).all(|(end, next)| end <= next);
        if !is_ascending || ends().last().unwrap_or_default() != self.codes.len() as u64 {
            return Err(Corrupt("the types of the blocks are inconsistent"));
        }
        if self.codes.iter().any(|code| code >= listed as u64) {
            return Err(Corrupt("a block has an unknown type"));
        }
        Ok(())
    }

    /// The types, ascending by name.
    pub(crate) fn types(&self) -> &[TypeSummary] {
        &self.types
    }

    /// The code of a type, if any event has it.
    pub(crate) fn code(&self, name: &[u8]) -> Option<u32> {
        self.types.binary_search_by(|summary| summary.name.as_bytes().cmp(name)).ok().map(|code| code as u32)
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.offsets.len()
    }

    /// The blocks of each type partition, in the order of time.
    pub(crate) fn partitions(&self) -> &[Packed] {
        &self.partitions
    }

    /// The range of a block in the blob.
    pub(crate) fn range(&self, number: usize) -> Range<u64> {
        let start = self.offsets.get(number);
        start..start.saturating_add(self.lengths.get(number))
    }

    /// The length of a block's head; `None` if it has none.
    pub(crate) fn head_len(&self, number: usize) -> Option<u64> {
        self.heads.as_ref().map(|heads| heads.get(number))
    }

    /// Number of rows of a block.
    pub(crate) fn rows(&self, number: usize) -> usize {
        self.rows.get(number) as usize
    }

    /// The number of a block's rows, and the bytes of their ids and payloads.
    pub(crate) fn tally(&self, number: usize) -> Tally {
        Tally { events: self.rows.get(number), bytes: self.text_bytes.get(number) }
    }

    /// The sort key of a block's first row.
    pub(crate) fn first(&self, number: usize) -> SortKey {
        sort_key(&self.first, number)
    }

    /// The sort key of a block's last row.
    pub(crate) fn last(&self, number: usize) -> SortKey {
        sort_key(&self.last, number)
    }

    /// The lowest and the highest sequence number in a block.
    pub(crate) fn seqs(&self, number: usize) -> (u64, u64) {
        let [lowest, highest] = &self.seqs;
        (lowest.get(number), highest.get(number))
    }

    /// The lowest and the highest sequence number of all events, if there are any.
    pub(crate) fn all_seqs(&self) -> Option<(u64, u64)> {
        let all = || (0..self.blocks()).map(|number| self.seqs(number));
        all().map(|(lowest, _)| lowest).min().zip(all().map(|(_, highest)| highest).max())
    }

    /// The events that are affected if a block is damaged.
    pub(crate) fn affected(&self, number: usize) -> Affected {
        let (first, last) = self.seqs(number);
        Affected::some(first, last, self.rows(number) as u64)
    }

    /// Whether any row of a block has a caller's id.
    pub(crate) fn has_ids(&self, number: usize) -> bool {
        self.has_ids.get(number) != 0
    }

    /// The codes of a block's types, ascending.
    pub(crate) fn codes(&self, number: usize) -> impl Iterator<Item = u32> + '_ {
        let start = number.checked_sub(1).map_or(0, |before| self.code_ends.get(before));
        (start as usize..self.code_ends.get(number) as usize).map(|at| self.codes.get(at) as u32)
    }

    /// The whole entry of a block.
    pub(crate) fn summary(&self, number: usize) -> Summary {
        Summary {
            rows: self.rows(number),
            text_bytes: self.text_bytes.get(number),
            first: self.first(number),
            last: self.last(number),
            seqs: self.seqs(number),
            codes: self.codes(number).collect(),
            has_ids: self.has_ids(number),
        }
    }

    /// The earliest and the latest time of all events.
    pub(crate) fn times(&self) -> (i64, i64) {
        let ends = self.partitions.iter().filter_map(|partition| {
            let last = partition.len().checked_sub(1)?;
            Some((self.first(partition.get(0) as usize).time, self.last(partition.get(last) as usize).time))
        });
        ends.reduce(|all, partition| (all.0.min(partition.0), all.1.max(partition.1))).unwrap_or_default()
    }
}

impl TypeSummary {
    /// Decodes a type; `None` if it has no events.
    fn decode(
        cursor: &mut Cursor,
        intern: &mut dyn FnMut(&[u8]) -> Result<TypeName, Corrupt>,
    ) -> Result<Option<Self>, Corrupt> {
        let len = cursor.length(u32::MAX as usize)?;
        let name = cursor.take(len)?;
        let (events, bytes) = (cursor.varint()?, cursor.varint()?);
        if events == 0 {
            return Ok(None);
        }
        Ok(Some(Self { name: intern(&name)?, events, bytes }))
    }
}

/// Renumbers codes without the `unused` ones, which ascend.
fn codes_without(unused: &[u64], codes: &Packed) -> Result<Packed, Corrupt> {
    let mut left = Vec::new();
    for code in codes.iter() {
        let Err(before) = unused.binary_search(&code) else { return Err(Corrupt("a type has no events")) };
        left.push(code - before as u64);
    }
    let mut bytes = Vec::new();
    pack(&left, &mut bytes);
    Packed::decode(&mut Cursor::new(bytes.into()), left.len())
}

fn sort_key([times, seqs]: &[Packed; 2], number: usize) -> SortKey {
    SortKey { time: (times.get(number) ^ SIGN) as i64, seq: seqs.get(number) }
}

#[cfg(test)]
mod tests;
