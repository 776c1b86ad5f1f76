//! Where the log ended when the repository was closed, in a blob of its own.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ARGUSEND` |
//! | 4 | version, 2 |
//! | 4 | chain: CRC-32C of the last header before the end, as the next record has it |
//! | 8 | offset in the log of its end |
//! | 8 | sequence number of the first event after it |
//! | 8 | number of the first erasure after it |
//! | 4 | CRC-32C of the 40 bytes before |
//!
//! Version 1 has no number of an erasure: there were none. All integers are little-endian. The blob is written when the
//! whole log is durable. It stays true, because the end of a log only moves forward. A repository works without the
//! blob, but then a log that has lost its last records looks like one that never had them.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::checksum::Crc32c;
use crate::column::{u32_at, u64_at};
use crate::log::{LogPosition, RecordHeader};
use crate::storage::{StorageError, StorageReader, StorageWriter};

/// The name of the blob.
pub(super) const NAME: &str = "log-end";

const MAGIC: &[u8; 8] = b"ARGUSEND";
const VERSION: u32 = 2;
/// Without the checksum.
const BYTES: usize = 40;
/// The same in version 1.
const BYTES_1: usize = 32;

/// Where a log ended when it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogEnd {
    pub(super) offset: u64,
    /// The chain of the next record: header checksum of the last one.
    pub(super) chain: u32,
    /// The sequence number of the next event.
    pub(super) next_seq: u64,
    /// The number of the next erasure.
    pub(super) next_erasure: u64,
}

/// The saved end of a log, as found on a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SavedEnd {
    /// There is none: the log was never closed, or only by an earlier version of Argus.
    Absent,
    At(LogEnd),
    /// The blob is damaged, for this reason.
    Damaged(String),
}

impl SavedEnd {
    /// The end, if it is known.
    pub(super) fn known(self) -> Option<LogEnd> {
        match self {
            Self::At(end) => Some(end),
            Self::Absent | Self::Damaged(_) => None,
        }
    }
}

impl LogEnd {
    /// Loads the saved end.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if the blob cannot be read, which says nothing about its content.
    pub(super) fn load<O: StorageReader>(medium: &O) -> Result<SavedEnd, StorageError> {
        let Some(blob) = medium.open(NAME)? else { return Ok(SavedEnd::Absent) };
        let bytes = blob.read(0..blob.len())?;
        Ok(Self::decode(&bytes).map_or_else(SavedEnd::Damaged, SavedEnd::At))
    }

    /// Saves this end durably. Replaces an earlier one.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: the earlier or the new end is saved. Both are true.
    pub(super) fn store<S: StorageWriter>(self, storage: &mut S) -> Result<(), StorageError> {
        let mut draft = storage.create(NAME)?;
        draft.write(&self.encode())?;
        let published = draft.finish()?;
        storage.adopt(published);
        Ok(())
    }

    /// Whether there were events or erasures between a position in the log and this end.
    pub(super) fn is_ahead_of(&self, position: LogPosition) -> bool {
        self.next_seq > position.next_seq || self.next_erasure > position.next_erasure
    }

    /// A durability mark at this offset, which proves as much as this end does.
    pub(super) fn as_mark(self) -> RecordHeader {
        RecordHeader::mark(self.offset, self.offset, self.next_seq, 0, self.chain)
    }

    fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.next_seq.to_le_bytes());
        bytes.extend_from_slice(&self.next_erasure.to_le_bytes());
        let crc = Crc32c::of(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (covered, crc) = bytes.split_at_checked(bytes.len().saturating_sub(4)).unwrap_or_default();
        if !covered.starts_with(MAGIC) || covered.len() < BYTES_1 {
            return Err("it is not a log-end blob".to_string());
        }
        if Crc32c::of(covered) != u32_at(crc, 0, 0) {
            return Err("its checksum is wrong".to_string());
        }
        let next_erasure = match (u32_at(covered, 8, 0), covered.len()) {
            (1, BYTES_1) => 1,
            (VERSION, BYTES) => u64_at(covered, 32, 0),
            (version, _) => return Err(format!("its version, {version}, is unknown")),
        };
        let (chain, offset, next_seq) = (u32_at(covered, 12, 0), u64_at(covered, 16, 0), u64_at(covered, 24, 0));
        Ok(Self { offset, chain, next_seq, next_erasure })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn an_end_of_version_1_is_read() {
        let end = LogEnd { offset: 700, chain: 9, next_seq: 5, next_erasure: 1 };
        let mut bytes = end.encode()[..BYTES_1].to_vec();
        bytes[8] = 1;
        let crc = Crc32c::of(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        assert_eq!(LogEnd::decode(&bytes), Ok(end));
    }

    #[test]
    fn an_end_round_trips_and_every_flipped_bit_is_detected() {
        let end = LogEnd { offset: u64::MAX - 7, chain: 9, next_seq: 1 << 40, next_erasure: 3 };
        let mut storage = MemoryStorage::default();
        assert_eq!(LogEnd::load(&storage), Ok(SavedEnd::Absent));
        end.store(&mut storage).unwrap();
        assert_eq!(LogEnd::load(&storage), Ok(SavedEnd::At(end)));
        let bytes = end.encode();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            storage.insert(NAME, changed.into());
            assert!(matches!(LogEnd::load(&storage), Ok(SavedEnd::Damaged(_))), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(LogEnd::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(LogEnd::decode(&[&bytes[..], b"0"].concat()).is_err());
    }
}
