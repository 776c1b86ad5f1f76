//! Sealed segments: compressed blocks in a blob, with indexes.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ARGUSSEG` |
//! | 4 | version, 3 |
//! | 4 | CRC-32C of the 12 bytes before |
//! | … | [blocks](Block), one after the other |
//! | … | pages of the [sequence index](SequenceIndex) |
//! | … | pages and filter of callers' [ids](ids::IdIndex), if there are any |
//! | … | pages of the [index of values](ValueIndex) (not in version 2) |
//! | … | [index](Index), followed by the directories of the sequence index, of callers' ids and of the index of values |
//! | 8 | offset of the index |
//! | 4 | CRC-32C of the index |
//! | 4 | CRC-32C of the 12 bytes before |
//!
//! Each type with many events has its own blocks, a *type partition*, so that a query for it reads no other events. All
//! other types share one more partition. Only the index and the filter of ids are kept in memory; blocks are read on
//! demand.

mod block;
mod columns;
mod filter;
mod ids;
mod index;
mod lookup;
mod recovered_blocks;
mod sequence_index;
mod type_list;
mod values;
mod values_builder;
mod verify;
mod writer;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Add as _, Range};

use bytes::Bytes;
use thiserror::Error;

pub(crate) use block::{Block, Row, Summary};
pub(crate) use columns::{BlockColumns, ColumnTest};
use ids::IdIndex;
pub(crate) use index::{Index, TypeSummary};
pub(crate) use recovered_blocks::RecoveredBlocks;
use sequence_index::SequenceIndex;
pub(crate) use type_list::{TypeList, count_types};
pub(crate) use values::BlockSet;
use values::ValueIndex;
pub(crate) use verify::DamagedPart;
pub(crate) use writer::{PartitionPlan, Writer};

use super::tally::Tally;
use super::{TypeName, id_hash};
use crate::checksum::Crc32c;
use crate::codec::{Corrupt, Cursor};
use crate::column::{u32_at, u64_at};
use crate::damage::{Affected, Damage};
use crate::storage::{Blob, StorageError};

const MAGIC: &[u8; 8] = b"ARGUSSEG";
const HEADER_BYTES: usize = 16;
const FOOTER_BYTES: usize = 16;

/// The version of a segment's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Blocks that are read as a whole. Such segments are read, but no longer written.
    Two,
    /// Blocks of pages.
    Three,
}

/// A sealed segment, open for reading.
#[derive(Clone)]
pub(crate) struct Sealed {
    name: String,
    version: Version,
    /// The first and the last sequence number that it covers. Those of its events lie in between.
    seqs: (u64, u64),
    blob: Arc<dyn Blob>,
    index: Index,
    times: (i64, i64),
    /// It has no events of erasures up to this number.
    erased_to: u64,
    /// `None` in [`RecoveredBlocks`].
    sequence_index: Option<SequenceIndex>,
    ids: Option<IdIndex>,
    /// `None` in version 2 and in [`RecoveredBlocks`].
    values: Option<ValueIndex>,
}

/// Why a sealed segment cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum SealedError {
    /// The medium failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its bytes differ from what was written.
    #[error("damaged: {0}")]
    Damaged(Damage),
}

/// An error in a part of the blob, without its offset.
enum PartError {
    Storage(StorageError),
    Corrupt(Corrupt),
}

impl Version {
    /// The version that is written.
    const CURRENT: Self = Self::Three;
    const ALL: [Self; 2] = [Self::Two, Self::Three];

    fn number(self) -> u32 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }

    /// The version of a segment with this header, if it is intact and known.
    fn of_header(bytes: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|version| bytes == version.header())
    }

    /// The header of each segment.
    fn header(self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&self.number().to_le_bytes());
        header.extend_from_slice(&Crc32c::of(&header).to_le_bytes());
        header
    }
}

/// The footer, after the index.
fn footer(index_at: u64, index: &[u8]) -> Vec<u8> {
    let mut footer = Vec::with_capacity(FOOTER_BYTES);
    footer.extend_from_slice(&index_at.to_le_bytes());
    footer.extend_from_slice(&Crc32c::of(index).to_le_bytes());
    footer.extend_from_slice(&Crc32c::of(&footer).to_le_bytes());
    footer
}

/// Writes the checksum of all bytes after `at + 4` to the four bytes at `at`.
fn put_crc(bytes: &mut [u8], at: usize) {
    let field = bytes.get_mut(at..).and_then(<[u8]>::split_first_chunk_mut::<4>);
    let (crc, covered) = field.expect("the caller has reserved four bytes for the checksum");
    *crc = Crc32c::of(covered).to_le_bytes();
}

/// The range and the checksum of the index; `None` if the footer is damaged.
fn read_footer(blob: &dyn Blob) -> Result<Option<(Range<u64>, u32)>, StorageError> {
    let footer_at = blob.len().checked_sub(FOOTER_BYTES as u64).filter(|&at| at >= HEADER_BYTES as u64);
    let Some(footer_at) = footer_at else {
        return Ok(None);
    };
    let footer = blob.read(footer_at..blob.len())?;
    let (index_at, index_crc) = (u64_at(&footer, 0, 0), u32_at(&footer, 8, 0));
    let is_inside = (HEADER_BYTES as u64..=footer_at).contains(&index_at);
    let is_whole = Crc32c::of(footer.get(..12).unwrap_or_default()) == u32_at(&footer, 12, 0);
    Ok((is_inside && is_whole).then_some((index_at..footer_at, index_crc)))
}

impl Sealed {
    /// The number and bytes of the events in all blocks, according to the index.
    pub(crate) fn tally(&self) -> Tally {
        let blocks = (0..self.index.blocks()).map(|number| self.index.tally(number));
        blocks.fold(Tally::default(), Tally::add)
    }

    /// Opens a segment that covers these sequence numbers: reads the index, and the filter of ids if it has at most
    /// `filter_bytes_max` bytes. `intern` returns the shared name of a type, or an error if the segment must not have
    /// it.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if they cannot be read or are damaged.
    pub(crate) fn open(
        name: &str,
        seqs: (u64, u64),
        blob: Arc<dyn Blob>,
        filter_bytes_max: u64,
        intern: &mut dyn FnMut(&[u8]) -> Result<TypeName, Corrupt>,
    ) -> Result<Self, SealedError> {
        let damaged = |offset, reason: &str| damaged(name, offset, reason, Affected::between(seqs.0, seqs.1));
        let len = blob.len();
        let Some(footer_at) = len.checked_sub(FOOTER_BYTES as u64).filter(|&at| at >= HEADER_BYTES as u64) else {
            let reason = if len == 0 { "it is empty" } else { "it is too short for a segment" };
            return Err(damaged(0, reason));
        };
        let found = blob.read(0..HEADER_BYTES as u64)?;
        let Some(known) = Version::of_header(&found) else {
            let is_other_version =
                found.starts_with(MAGIC) && Crc32c::of(found.get(..12).unwrap_or_default()) == u32_at(&found, 12, 0);
            let version = u32_at(&found, 8, 0);
            let reason = format!("version {version} is unknown");
            return Err(damaged(0, if is_other_version { &reason } else { "its header is damaged" }));
        };
        let Some((Range { start: index_at, end }, index_crc)) = read_footer(&*blob)? else {
            return Err(damaged(footer_at, "its footer is damaged"));
        };
        let bytes = blob.read(index_at..end)?;
        if Crc32c::of(&bytes) != index_crc {
            return Err(damaged(index_at, "the checksum of the index is wrong"));
        }
        let mut cursor = Cursor::new(bytes);
        let decoded =
            Index::decode(&mut cursor, known, index_at, intern).map_err(PartError::Corrupt).and_then(|index| {
                let sequence_index = SequenceIndex::decode(&mut cursor, known)?;
                let ids_max = (0..index.blocks()).map(|number| index.rows(number)).sum();
                let ids = IdIndex::decode(&mut cursor, known, ids_max, |range| read(&*blob, range), filter_bytes_max)?;
                let values = match known {
                    Version::Two => None,
                    Version::Three => Some(ValueIndex::decode(&mut cursor, index.blocks())?),
                };
                Ok((index, sequence_index, ids, values))
            });
        let (index, sequence_index, ids, values) = match decoded {
            Ok(decoded) if cursor.is_empty() => decoded,
            Ok(_) => return Err(damaged(index_at, "the index has unused bytes")),
            Err(PartError::Storage(error)) => return Err(error.into()),
            Err(PartError::Corrupt(Corrupt(reason))) => return Err(damaged(index_at, reason)),
        };
        if index.all_seqs().is_some_and(|(first, last)| first < seqs.0 || last > seqs.1) {
            return Err(damaged(index_at, "it has events outside of its range of sequence numbers"));
        }
        Ok(Self {
            name: name.to_string(),
            version: known,
            seqs,
            blob,
            times: index.times(),
            index,
            erased_to: 0,
            sequence_index: Some(sequence_index),
            ids,
            values,
        })
    }

    /// The name of its blob.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has the version that is written now.
    pub(crate) fn is_current(&self) -> bool {
        self.version == Version::CURRENT
    }

    /// The length of a block's head, if the block can be copied to a new segment as it is.
    pub(crate) fn copied_head(&self, number: usize) -> Option<usize> {
        match self.version {
            Version::Two => None,
            Version::Three => self.index.head_len(number).map(|len| len as usize),
        }
    }

    /// The first and the last sequence number that it covers.
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

    /// Number of events with a caller's id; in [`RecoveredBlocks`], of those in blocks with any such event.
    pub(crate) fn id_count(&self) -> usize {
        let blocks = || (0..self.index.blocks()).filter(|&number| self.index.has_ids(number));
        self.ids.as_ref().map_or_else(|| blocks().map(|number| self.index.rows(number)).sum(), IdIndex::len)
    }

    /// Bytes of its filter of ids in memory.
    pub(crate) fn filter_bytes(&self) -> u64 {
        self.ids.as_ref().map_or(0, IdIndex::filter_bytes)
    }

    /// The same segment without the filter of ids in memory: lookups of ids give the same results but are slower.
    pub(crate) fn without_filter(&self) -> Self {
        let mut sealed = self.clone();
        sealed.ids.as_mut().into_iter().for_each(IdIndex::release_filter);
        sealed
    }

    /// It has no events of erasures up to this number. 0 for a segment that was just opened: the manifest knows it.
    pub(crate) fn erased_to(&self) -> u64 {
        self.erased_to
    }

    /// The same segment, of which it is known that it has no events of erasures up to this number.
    pub(crate) fn with_erased_to(self, erased_to: u64) -> Self {
        Self { erased_to, ..self }
    }

    /// The earliest and the latest time of its events, in nanoseconds since the Unix epoch.
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

    /// Reads a block.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if it cannot be read or is damaged.
    pub(crate) fn block(&self, number: usize) -> Result<Arc<Block>, SealedError> {
        self.decode_block(number, &self.block_bytes(number)?)
    }

    /// Reads the bytes of a block.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if they cannot be read. They are not checked.
    pub(crate) fn block_bytes(&self, number: usize) -> Result<Bytes, SealedError> {
        Ok(self.blob.read(self.index.range(number))?)
    }

    /// Decodes a block from its bytes.
    ///
    /// # Errors
    ///
    /// [`SealedError`] if they are damaged.
    pub(crate) fn decode_block(&self, number: usize, bytes: &Bytes) -> Result<Arc<Block>, SealedError> {
        let block = Block::decode(bytes, self.version).and_then(|block| {
            // The medium may return a valid block that is not the requested one.
            let ends = (block.sort_key(0), block.sort_key(block.len().saturating_sub(1)));
            let is_right =
                block.len() == self.index.rows(number) && ends == (self.index.first(number), self.index.last(number));
            if is_right { Ok(Arc::new(block)) } else { Err(Corrupt("it has other events than the index says")) }
        });
        block.map_err(|Corrupt(reason)| self.damaged_block(number, reason))
    }

    /// The error for a damaged block.
    pub(crate) fn damaged_block(&self, number: usize, reason: &str) -> SealedError {
        damaged(&self.name, self.index.range(number).start, reason, self.index.affected(number))
    }

    /// Damage to data that only serves lookups. No events are lost.
    fn damaged(&self, offset: u64, reason: &str) -> SealedError {
        damaged(&self.name, offset, reason, Affected::Nothing)
    }
}

fn damaged(name: &str, offset: u64, reason: &str, affected: Affected) -> SealedError {
    let (place, reason) = (name.to_string(), reason.to_string());
    SealedError::Damaged(Damage { place, offset: Some(offset), reason, affected })
}

fn read(blob: &dyn Blob, range: Range<u64>) -> Result<Bytes, PartError> {
    blob.read(range).map_err(PartError::Storage)
}

impl From<Damage> for SealedError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
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
