//! A segment as a blob: blocks, then callers' ids, then an index of them.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ARGUSSEG` |
//! | 4 | version, 2 |
//! | 4 | CRC-32C of the 12 bytes before |
//! | … | [blocks](Block), one after the other |
//! | … | pages of the [order](SequenceIndex) of sequence numbers |
//! | … | pages and filter of callers' [ids](ids::Ids), if there are any |
//! | … | [index](Index), and what it says of the order and of callers' ids |
//! | 8 | offset of the index |
//! | 4 | CRC-32C of the index |
//! | 4 | CRC-32C of the 12 bytes before |
//!
//! Types with many events have blocks of their own, a *partition*, so that a query for a type reads events of that type
//! only. All others share one more partition. Only the index is kept in memory, with the filter of ids; blocks are read when
//! somebody asks for what is in them.

mod block;
mod filter;
mod ids;
mod index;
mod recovered_blocks;
mod sequence_index;
mod type_list;
mod verify;
mod writer;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;
use thiserror::Error;

pub(crate) use block::{Block, Row, Summary};
use ids::Ids;
pub(crate) use index::{Index, TypeSummary};
pub(crate) use recovered_blocks::RecoveredBlocks;
use sequence_index::SequenceIndex;
pub(crate) use type_list::{TypeList, count_types};
pub(crate) use verify::DamagedPart;
pub(crate) use writer::{PartitionPlan, Writer};

use super::{TypeName, id_hash};
use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor};
use crate::column::{u32_at, u64_at};
use crate::damage::{Concerned, Damage};
use crate::storage::{Blob, StorageError};

const MAGIC: &[u8; 8] = b"ARGUSSEG";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 16;
const FOOTER_BYTES: usize = 16;

/// A sealed segment, open for reading.
#[derive(Clone)]
pub(crate) struct Sealed {
    name: String,
    /// The sequence numbers that it answers for. Those of its events lie between them.
    seqs: (u64, u64),
    blob: Arc<dyn Blob>,
    index: Index,
    times: (i64, i64),
    /// `None` in what was found of a segment whose index is lost.
    sequence_index: Option<SequenceIndex>,
    ids: Option<Ids>,
}

/// What a page of the order says.
#[derive(Debug)]
pub(crate) struct SequencePage {
    /// Sequence numbers of events, ascending, and the numbers of their blocks.
    pub(crate) blocks: Vec<(u64, usize)>,
    /// The sequence number with which the next page begins.
    pub(crate) next: u64,
}

/// What can be wrong with a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum SealedError {
    /// The medium failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// It is not as it was written.
    #[error("damaged: {0}")]
    Damaged(Damage),
}

/// An error of a part of a blob, before its place is known.
enum PartError {
    Storage(StorageError),
    Corrupt(Corrupt),
}

/// The bytes at the beginning of each segment.
fn header() -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&Crc32c::of(&header).to_le_bytes());
    header
}

/// The bytes behind an index.
fn footer(index_at: u64, index: &[u8]) -> Vec<u8> {
    let mut footer = Vec::with_capacity(FOOTER_BYTES);
    footer.extend_from_slice(&index_at.to_le_bytes());
    footer.extend_from_slice(&Crc32c::of(index).to_le_bytes());
    footer.extend_from_slice(&Crc32c::of(&footer).to_le_bytes());
    footer
}

/// Puts the checksum of all that follows it in its place, the four bytes at `at`.
fn put_crc(bytes: &mut [u8], at: usize) {
    let place = bytes.get_mut(at..).and_then(<[u8]>::split_first_chunk_mut::<4>);
    let (crc, covered) = place.expect("room was left for the checksum");
    *crc = Crc32c::of(covered).to_le_bytes();
}

/// Where the index of a segment lies, and its checksum; `None` if the bytes behind it are not as they were written.
fn read_footer(blob: &dyn Blob) -> Result<Option<(Range<u64>, u32)>, StorageError> {
    let least = (HEADER_BYTES + FOOTER_BYTES) as u64;
    let Some(footer_at) = blob.len().checked_sub(FOOTER_BYTES as u64).filter(|_| blob.len() >= least) else {
        return Ok(None);
    };
    let footer = blob.read(footer_at..blob.len())?;
    let (index_at, index_crc) = (u64_at(&footer, 0, 0), u32_at(&footer, 8, 0));
    let is_inside = (HEADER_BYTES as u64..=footer_at).contains(&index_at);
    let is_whole = Crc32c::of(footer.get(..12).unwrap_or_default()) == u32_at(&footer, 12, 0);
    Ok((is_inside && is_whole).then_some((index_at..footer_at, index_crc)))
}

impl Sealed {
    /// Opens the segment in a blob, which answers for these sequence numbers: reads the index, and the filter of ids if
    /// it has up to so many bytes. `intern` gives the names of types that are shared with other segments, or says that
    /// there must not be such a type.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if they cannot be read, or are not as they were written.
    pub(crate) fn open(
        name: &str,
        seqs: (u64, u64),
        blob: Arc<dyn Blob>,
        filter_bytes_max: u64,
        intern: &mut dyn FnMut(&[u8]) -> Result<TypeName, Corrupt>,
    ) -> Result<Self, SealedError> {
        let damaged = |offset, reason: &str| damaged(name, offset, reason, Concerned::between(seqs.0, seqs.1));
        let len = blob.len();
        let Some(footer_at) = len.checked_sub(FOOTER_BYTES as u64).filter(|&at| at >= HEADER_BYTES as u64) else {
            let reason =
                if len == 0 { "it has no bytes: nothing is left of it" } else { "it is too short for a segment" };
            return Err(damaged(0, reason));
        };
        let found = blob.read(0..HEADER_BYTES as u64)?;
        if found != header() {
            let is_other =
                found.starts_with(MAGIC) && Crc32c::of(found.get(..12).unwrap_or_default()) == u32_at(&found, 12, 0);
            let version = u32_at(&found, 8, 0);
            let reason = format!("version {version} is unknown");
            return Err(damaged(0, if is_other { &reason } else { "its head is wrong" }));
        }
        let Some((Range { start: index_at, end }, index_crc)) = read_footer(&*blob)? else {
            return Err(damaged(footer_at, "its last bytes are wrong"));
        };
        let bytes = blob.read(index_at..end)?;
        if Crc32c::of(&bytes) != index_crc {
            return Err(damaged(index_at, "the checksum of the index is wrong"));
        }
        let mut cursor = Cursor::new(bytes);
        let decoded = Index::decode(&mut cursor, index_at, intern).map_err(PartError::Corrupt).and_then(|index| {
            let sequence_index = SequenceIndex::decode(&mut cursor)?;
            let most = (0..index.blocks()).map(|number| index.rows(number)).sum();
            let ids = Ids::decode(&mut cursor, most, |range| read(&*blob, range), filter_bytes_max)?;
            Ok((index, sequence_index, ids))
        });
        let (index, sequence_index, ids) = match decoded {
            Ok(decoded) if cursor.is_empty() => decoded,
            Ok(_) => return Err(damaged(index_at, "the index is too long")),
            Err(PartError::Storage(error)) => return Err(error.into()),
            Err(PartError::Corrupt(Corrupt(reason))) => return Err(damaged(index_at, reason)),
        };
        if index.all_seqs().is_some_and(|(first, last)| first < seqs.0 || last > seqs.1) {
            return Err(damaged(index_at, "it has other events"));
        }
        Ok(Self {
            name: name.to_string(),
            seqs,
            blob,
            times: index.times(),
            index,
            sequence_index: Some(sequence_index),
            ids,
        })
    }

    /// The name of its blob.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The first and the last sequence number that it answers for.
    pub(crate) fn seqs(&self) -> (u64, u64) {
        self.seqs
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Number of events.
    pub(crate) fn events(&self) -> u64 {
        self.index.types().iter().map(|summary| summary.events).sum()
    }

    /// Number of events with a caller's id; or, where these cannot be looked up, of those that may have one.
    pub(crate) fn id_count(&self) -> usize {
        let blocks = || (0..self.index.blocks()).filter(|&number| self.index.has_ids(number));
        self.ids.as_ref().map_or_else(|| blocks().map(|number| self.index.rows(number)).sum(), Ids::len)
    }

    /// Bytes that its filter of ids takes in memory.
    pub(crate) fn filter_bytes(&self) -> u64 {
        self.ids.as_ref().map_or(0, Ids::filter_bytes)
    }

    /// The same segment without the filter of ids: look-ups of ids take longer and say the same.
    pub(crate) fn without_filter(&self) -> Self {
        let mut sealed = self.clone();
        sealed.ids.as_mut().into_iter().for_each(Ids::release_filter);
        sealed
    }

    /// The times of the first and of the last of its events, in nanoseconds since the Unix epoch.
    pub(crate) fn times(&self) -> (i64, i64) {
        self.times
    }

    /// Its blob.
    pub(crate) fn blob(&self) -> &Arc<dyn Blob> {
        &self.blob
    }

    /// Bytes on the medium.
    pub(crate) fn bytes(&self) -> u64 {
        self.blob.len()
    }

    /// A block.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if it cannot be read, or is not as it was written.
    pub(crate) fn block(&self, number: usize) -> Result<Arc<Block>, SealedError> {
        self.decode_block(number, &self.block_bytes(number)?)
    }

    /// The bytes of a block.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if they cannot be read; nothing is checked.
    pub(crate) fn block_bytes(&self, number: usize) -> Result<Bytes, SealedError> {
        Ok(self.blob.read(self.index.range(number))?)
    }

    /// The block of this number in its bytes.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if they are not as they were written.
    pub(crate) fn decode_block(&self, number: usize, bytes: &Bytes) -> Result<Arc<Block>, SealedError> {
        let block = Block::decode(bytes).and_then(|block| {
            // A medium may give a block that is whole, and another one.
            let ends = (block.sort_key(0), block.sort_key(block.len().saturating_sub(1)));
            let is_right =
                block.len() == self.index.rows(number) && ends == (self.index.first(number), self.index.last(number));
            if is_right { Ok(Arc::new(block)) } else { Err(Corrupt("it has other events than the index says")) }
        });
        block.map_err(|Corrupt(reason)| self.damaged_block(number, reason))
    }

    /// What is wrong with a block.
    pub(crate) fn damaged_block(&self, number: usize, reason: &str) -> SealedError {
        damaged(&self.name, self.index.range(number).start, reason, self.index.concerned(number))
    }

    /// The event with this sequence number, if it is here: its block and that one's number, and its row in it.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if a block cannot be read, or is not as it was written.
    pub(crate) fn find_seq(&self, seq: u64) -> Result<Option<(usize, Arc<Block>, usize)>, SealedError> {
        let is_inside = |number: usize| (self.index.seqs(number).0..=self.index.seqs(number).1).contains(&seq);
        let blocks = match &self.sequence_index {
            Some(sequence_index) => self.block_of_seq(sequence_index, seq)?.into_iter().collect(),
            None => (0..self.index.blocks()).filter(|&number| is_inside(number)).collect::<Vec<_>>(),
        };
        for number in blocks {
            let block = self.block(number)?;
            if let Some(row) = block.row_of_seq(seq) {
                return Ok(Some((number, block, row)));
            }
        }
        Ok(None)
    }

    /// The blocks of the events from a sequence number on, up to the end of a page of the order; `None` if there are no
    /// more.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if the page cannot be read, or is not as it was written.
    pub(crate) fn sequence_page(&self, seq: u64) -> Result<Option<SequencePage>, SealedError> {
        let Some(sequence_index) = &self.sequence_index else {
            return Err(self.damaged(self.bytes(), "its order of sequence numbers is lost"));
        };
        let Some((page, _)) = sequence_index.locate(seq.max(sequence_index.first())) else { return Ok(None) };
        let range = sequence_index.page(page);
        let offset = range.start;
        let bytes = self.blob.read(range)?;
        let blocks = sequence_index.blocks(page, &bytes);
        let blocks = blocks.map_err(|Corrupt(reason)| self.damaged(offset, reason))?;
        let (mut found, mut next) = (Vec::new(), seq);
        for (other, block) in blocks {
            next = other.saturating_add(1);
            let Some(block) = block.filter(|_| other >= seq) else { continue };
            if block as usize >= self.index.blocks() {
                return Err(self.damaged(offset, "an event is in no block"));
            }
            found.push((other, block as usize));
        }
        Ok(Some(SequencePage { blocks: found, next }))
    }

    fn block_of_seq(&self, sequence_index: &SequenceIndex, seq: u64) -> Result<Option<usize>, SealedError> {
        let Some((page, at)) = sequence_index.locate(seq) else { return Ok(None) };
        let range = sequence_index.page(page);
        let offset = range.start;
        let bytes = self.blob.read(range)?;
        let blocks = sequence_index.blocks(page, &bytes);
        let mut blocks = blocks.map_err(|Corrupt(reason)| self.damaged(offset, reason))?;
        match blocks.nth(at).and_then(|(_, block)| block) {
            Some(block) if block as usize >= self.index.blocks() => {
                Err(self.damaged(offset, "an event is in no block"))
            }
            block => Ok(block.map(|block| block as usize)),
        }
    }

    /// Hands over the events with these callers' ids that are here: the index of each in `ids`, the number of its
    /// block, the block, and its row in it. The ids ascend by their hashes.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if a page or a block cannot be read, or is not as it was written.
    pub(crate) fn find_ids(
        &self,
        ids: &[(u64, &[u8])],
        mut sink: impl FnMut(usize, usize, &Arc<Block>, usize),
    ) -> Result<(), SealedError> {
        let Some(stored) = &self.ids else { return Ok(()) };
        let mut page_at = 0;
        let read = |range: Range<u64>| {
            page_at = range.start;
            read(&*self.blob, range)
        };
        let hashes = ids.iter().map(|&(hash, _)| hash);
        let candidates = stored.candidates(hashes, read);
        let mut candidates = candidates.map_err(|error| self.at(page_at, error))?;
        // Events that came together lie together, and a block is read once for all of them.
        candidates.sort_unstable_by_key(|(entry, _)| (entry.block, entry.row));
        let mut found = Vec::new();
        for in_block in candidates.chunk_by(|(a, _), (b, _)| a.block == b.block) {
            let Some((first, _)) = in_block.first() else { continue };
            let number = first.block as usize;
            if number >= self.index.blocks() {
                return Err(self.damaged(page_at, "an id is in no block"));
            }
            let block = self.block(number)?;
            for &(entry, index) in in_block {
                let row = usize::from(entry.row);
                found.clear();
                if row < block.len() {
                    block.append_id(row, &mut found);
                }
                let (_, id) = ids.get(index).expect("each candidate is one for an id that was asked for");
                if found == *id {
                    sink(index, number, &block, row);
                }
            }
        }
        Ok(())
    }

    /// The event with this caller's id, if it is here: its block and that one's number, and its row in it.
    ///
    /// # Errors
    ///
    /// As for [`find_ids`](Self::find_ids).
    pub(crate) fn find_id(&self, id: &[u8], hash: u64) -> Result<Option<(usize, Arc<Block>, usize)>, SealedError> {
        let mut found = None;
        self.find_ids(&[(hash, id)], |_, number, block, row| found = Some((number, Arc::clone(block), row)))?;
        Ok(found)
    }

    fn at(&self, offset: u64, error: PartError) -> SealedError {
        match error {
            PartError::Storage(error) => error.into(),
            PartError::Corrupt(Corrupt(reason)) => self.damaged(offset, reason),
        }
    }

    /// Something is wrong with what only serves to look events up.
    fn damaged(&self, offset: u64, reason: &str) -> SealedError {
        damaged(&self.name, offset, reason, Concerned::Nothing)
    }
}

fn damaged(name: &str, offset: u64, reason: &str, concerned: Concerned) -> SealedError {
    let (place, reason) = (name.to_string(), reason.to_string());
    SealedError::Damaged(Damage { place, offset: Some(offset), reason, concerned })
}

fn read(blob: &dyn Blob, range: Range<u64>) -> Result<Bytes, PartError> {
    blob.read(range).map_err(PartError::Storage)
}

impl From<Corrupt> for PartError {
    fn from(error: Corrupt) -> Self {
        Self::Corrupt(error)
    }
}

impl From<SealedError> for StorageError {
    fn from(error: SealedError) -> Self {
        match error {
            SealedError::Storage(error) => error,
            SealedError::Damaged(damage) => Self::Failed(damage.into()),
        }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("name", &self.name).field("blocks", &self.index.blocks()).finish_non_exhaustive()
    }
}
