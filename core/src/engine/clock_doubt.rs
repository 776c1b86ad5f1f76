//! How long the wall clock has been in doubt, in a blob of its own.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ARGUSCLK` |
//! | 4 | version, 1 |
//! | 4 | zero |
//! | 8 | generation of the manifest that is written with it |
//! | 8 | the last wall time, nanoseconds since the Unix epoch, signed |
//! | 8 | for how long processes have seen the clock in doubt, nanoseconds, signed |
//! | 4 | CRC-32C of the 40 bytes before |
//!
//! All integers are little-endian. If the clock is in doubt when a manifest is written, the blob is written right
//! before it. It is obsolete once a manifest of a higher generation exists. If the blob is missing, the wait until the
//! clock is trusted starts again.

use alloc::vec::Vec;

use crate::checksum::Crc32c;
use crate::clock::DoubtState;
use crate::column::{i64_at, u32_at, u64_at};
use crate::storage::{StorageError, StorageReader};

/// The name of the blob.
pub(super) const NAME: &str = "clock-doubt";

const MAGIC: &[u8; 8] = b"ARGUSCLK";
const VERSION: u32 = 1;
const BYTES: usize = 44;

/// Loads the doubt, and the generation of the manifest that was written with it. A damaged or unreadable blob counts as
/// missing.
///
/// # Errors
///
/// [`StorageError::Full`] and [`StorageError::Unavailable`], which say nothing about the blob.
pub(super) fn load<O: StorageReader>(medium: &O) -> Result<Option<(u64, DoubtState)>, StorageError> {
    let read = || medium.open(NAME)?.map(|blob| blob.read(0..blob.len())).transpose();
    match read() {
        Ok(bytes) => Ok(bytes.and_then(|bytes| decode(&bytes))),
        Err(StorageError::Failed(_)) => Ok(None),
        Err(error @ (StorageError::Full(_) | StorageError::Unavailable(_))) => Err(error),
    }
}

/// The bytes of the blob.
pub(super) fn encode(state: DoubtState, generation: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&state.wall.to_le_bytes());
    bytes.extend_from_slice(&state.lasted.to_le_bytes());
    let crc = Crc32c::of(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(u64, DoubtState)> {
    let (covered, crc) = bytes.split_at_checked(BYTES - 4)?;
    let is_whole = crc.len() == 4 && Crc32c::of(covered) == u32_at(crc, 0, 0);
    let is_known = is_whole && covered.starts_with(MAGIC) && u32_at(covered, 8, 0) == VERSION;
    let state = || DoubtState { wall: i64_at(covered, 24, 0), lasted: i64_at(covered, 32, 0) };
    is_known.then(|| (u64_at(covered, 16, 0), state()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use crate::storage::MemoryStorage;

    #[test]
    fn a_doubt_round_trips_and_a_damaged_blob_counts_as_missing() {
        let state = DoubtState { wall: i64::MIN + 7, lasted: 1 << 40 };
        let mut storage = MemoryStorage::default();
        assert_eq!(load(&storage), Ok(None));
        let bytes = encode(state, 9);
        storage.insert(NAME, bytes.clone().into());
        assert_eq!(load(&storage), Ok(Some((9, state))));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&changed), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(decode(&[&bytes[..], b"0"].concat()), None);
    }
}
