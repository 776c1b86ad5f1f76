//! Where the log ended when the repository was closed, in a blob of its own.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ARGUSEND` |
//! | 4 | version, 1 |
//! | 4 | chain: CRC-32C of the last head before the end, as the next record has it |
//! | 8 | offset in the log of its end |
//! | 8 | sequence number of the first event behind it |
//! | 4 | CRC-32C of the 32 bytes before |
//!
//! All integers are little-endian. The blob is written when all of the log is durable. A log only grows, so what it
//! says stays true, whatever comes later: the log reaches at least so far, or was given up beyond. Without it nothing
//! else is wrong; a log that has lost its last records then looks like one that never had them.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::checksum::Crc32c;
use crate::column::{u32_at, u64_at};
use crate::log::RecordHead;
use crate::storage::{StorageError, StorageReader, StorageWriter};

/// The name of the blob.
pub(super) const NAME: &str = "log-end";

const MAGIC: &[u8; 8] = b"ARGUSEND";
const VERSION: u32 = 1;
const BYTES: usize = 36;

/// Where a log ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogEnd {
    pub(super) offset: u64,
    /// What a record that follows says of the one before.
    pub(super) chain: u32,
    /// The sequence number of the first event that follows.
    pub(super) next_seq: u64,
}

/// What a medium says of the end of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// Nothing: it was never closed, or by a version that noted nothing.
    Nowhere,
    At(LogEnd),
    /// It was noted, and the note is not as it was written, for this reason.
    Damaged(String),
}

impl Noted {
    /// The end, if it is known.
    pub(super) fn known(self) -> Option<LogEnd> {
        match self {
            Self::At(end) => Some(end),
            Self::Nowhere | Self::Damaged(_) => None,
        }
    }
}

impl LogEnd {
    /// What a medium says.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: that it cannot be read may pass, and says neither that it is not there nor that it is damaged.
    pub(super) fn load<O: StorageReader>(medium: &O) -> Result<Noted, StorageError> {
        let Some(blob) = medium.open(NAME)? else { return Ok(Noted::Nowhere) };
        let bytes = blob.read(0..blob.len())?;
        Ok(Self::decode(&bytes).map_or_else(Noted::Damaged, Noted::At))
    }

    /// Writes it down, durably, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// [`StorageError`]: the earlier one is there or this one, and both are true.
    pub(super) fn store<S: StorageWriter>(self, storage: &mut S) -> Result<(), StorageError> {
        let mut draft = storage.create(NAME)?;
        draft.write(&self.encode())?;
        let published = draft.finish()?;
        storage.adopt(published);
        Ok(())
    }

    /// As a record at this place would say it: all before it was durable.
    pub(super) fn as_mark(self) -> RecordHead {
        RecordHead::mark(self.offset, self.offset, self.next_seq, 0, self.chain)
    }

    fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&self.next_seq.to_le_bytes());
        let crc = Crc32c::of(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (covered, crc) = bytes.split_at_checked(bytes.len().saturating_sub(4)).unwrap_or_default();
        if !covered.starts_with(MAGIC) || covered.len() < BYTES - 4 {
            return Err("it does not say where the log ended".to_string());
        }
        if Crc32c::of(covered) != u32_at(crc, 0, 0) {
            return Err("its checksum is wrong".to_string());
        }
        let version = u32_at(covered, 8, 0);
        if version != VERSION || bytes.len() != BYTES {
            return Err(format!("its version, {version}, is unknown"));
        }
        Ok(Self { chain: u32_at(covered, 12, 0), offset: u64_at(covered, 16, 0), next_seq: u64_at(covered, 24, 0) })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn an_end_survives_and_every_changed_bit_is_noticed() {
        let end = LogEnd { offset: u64::MAX - 7, chain: 9, next_seq: 1 << 40 };
        let mut storage = MemoryStorage::default();
        assert_eq!(LogEnd::load(&storage), Ok(Noted::Nowhere));
        end.store(&mut storage).unwrap();
        assert_eq!(LogEnd::load(&storage), Ok(Noted::At(end)));
        let bytes = end.encode();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            storage.insert(NAME, changed.into());
            assert!(matches!(LogEnd::load(&storage), Ok(Noted::Damaged(_))), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(LogEnd::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(LogEnd::decode(&[&bytes[..], b"0"].concat()).is_err());
    }
}
