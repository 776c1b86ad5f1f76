//! What a repository consists of, in a blob of two copies.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ARGUSMAN` |
//! | 4 | version, 1 |
//! | 4 | number of segments s |
//! | 8 | generation: one more than that of the manifest before |
//! | 16 | seed of the repository |
//! | 8 | offset in the log of the first record that is in no segment |
//! | 4 | the chain of that record: CRC-32C of the head before, 0 if there was none |
//! | 4 | zero |
//! | 8, 8 s | sequence numbers: of the first event of all, and of the last one of each segment, ascending |
//! | 4 | CRC-32C of all bytes before |
//!
//! All integers are little-endian. The copies, `manifest-a` and `manifest-b`, are written one after the other, each replacing its
//! predecessor as a whole, and nothing that the old manifest needs is given up before both are durable. So either copy alone
//! is enough, and a damaged one is made good from the other.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use bytes::Bytes;

use super::{OpenError, Seed};
use crate::checksum::Crc32c;
use crate::column::{u32_at, u64_at};
use crate::storage::{Draft, Original, Published, Storage, StorageError};

/// Names of the copies, in the order of writing.
pub(super) const NAMES: [&str; 2] = ["manifest-a", "manifest-b"];

const MAGIC: &[u8; 8] = b"ARGUSMAN";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 64;

/// What a repository consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) generation: u64,
    pub(super) seed: Seed,
    /// Where replay begins.
    pub(super) log_start: u64,
    /// The chain of the record there.
    pub(super) chain: u32,
    /// The first sequence number that is retained.
    pub(super) first_seq: u64,
    /// Where each segment ends; the next one begins behind it.
    pub(super) last_seqs: Vec<u64>,
}

/// A manifest as it was found.
pub(super) struct Found {
    pub(super) manifest: Manifest,
    /// Whether a copy is missing, damaged or old, and has to be written anew.
    pub(super) to_be_repaired: bool,
}

impl Manifest {
    /// That of an empty repository.
    pub(super) fn new(seed: Seed) -> Self {
        Self { generation: 1, seed, log_start: 0, chain: 0, first_seq: 1, last_seqs: Vec::new() }
    }

    /// The first and the last sequence number of each segment.
    pub(super) fn segments(&self) -> impl Iterator<Item = (u64, u64)> {
        let firsts = core::iter::once(self.first_seq).chain(self.last_seqs.iter().map(|last| last + 1));
        firsts.zip(self.last_seqs.iter().copied())
    }

    /// The first sequence number that is in no segment.
    pub(super) fn next_seq(&self) -> u64 {
        self.last_seqs.last().map_or(self.first_seq, |last| last + 1)
    }

    /// Drafts for both copies.
    pub(super) fn drafts<S: Storage>(storage: &mut S) -> Result<Vec<alloc::boxed::Box<dyn Draft>>, StorageError> {
        NAMES.into_iter().map(|name| storage.create(name)).collect()
    }

    /// Writes both copies, one after the other. When this returns, both are durable.
    pub(super) fn publish(&self, drafts: Vec<alloc::boxed::Box<dyn Draft>>) -> Result<Vec<Published>, StorageError> {
        let bytes = self.encode();
        drafts
            .into_iter()
            .map(|mut draft| {
                draft.write(&bytes)?;
                draft.finish()
            })
            .collect()
    }

    /// Writes both copies and takes them in.
    pub(super) fn store<S: Storage>(&self, storage: &mut S) -> Result<(), StorageError> {
        let drafts = Self::drafts(storage)?;
        for published in self.publish(drafts)? {
            storage.adopt(published);
        }
        Ok(())
    }

    /// The newest copy that is whole, if there is any copy at all.
    pub(super) fn load<O: Original>(medium: &O) -> Result<Option<Found>, OpenError> {
        let mut copies = Vec::new();
        let mut damaged = None;
        for name in NAMES {
            let Some(blob) = medium.blob(name)? else { continue };
            match Self::decode(&blob.read(0..blob.len())?) {
                Ok(manifest) => copies.push(manifest),
                Err(reason) => damaged = Some(OpenError::Damaged { place: name.to_string(), reason }),
            }
        }
        let all_agree = copies.len() == NAMES.len() && copies.first() == copies.last();
        match copies.into_iter().max_by_key(|manifest| manifest.generation) {
            Some(manifest) => Ok(Some(Found { manifest, to_be_repaired: !all_agree })),
            None => damaged.map_or(Ok(None), Err),
        }
    }

    fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.last_seqs.len() * 8 + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.last_seqs.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.seed.0.to_le_bytes());
        bytes.extend_from_slice(&self.log_start.to_le_bytes());
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.first_seq.to_le_bytes());
        bytes.extend(self.last_seqs.iter().flat_map(|last| last.to_le_bytes()));
        let crc = Crc32c::of(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.into()
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (covered, crc) = bytes.split_at_checked(bytes.len().saturating_sub(4)).unwrap_or_default();
        if covered.len() < HEAD_BYTES || !covered.starts_with(MAGIC) {
            return Err("not a manifest".to_string());
        }
        if Crc32c::of(covered) != u32_at(crc, 0, 0) {
            return Err("its checksum is wrong".to_string());
        }
        let version = u32_at(covered, 8, 0);
        if version != VERSION {
            return Err(format!("its version, {version}, is unknown"));
        }
        let count = u32_at(covered, 12, 0) as usize;
        if (covered.len() - HEAD_BYTES) / 8 != count || !(covered.len() - HEAD_BYTES).is_multiple_of(8) {
            return Err("its length is wrong".to_string());
        }
        let manifest = Self {
            generation: u64_at(covered, 16, 0),
            seed: Seed(u128::from(u64_at(covered, 24, 0)) | (u128::from(u64_at(covered, 32, 0)) << 64)),
            log_start: u64_at(covered, 40, 0),
            chain: u32_at(covered, 48, 0),
            first_seq: u64_at(covered, 56, 0),
            last_seqs: (0..count).map(|index| u64_at(covered, HEAD_BYTES, index)).collect(),
        };
        if manifest.segments().any(|(first, last)| first > last) {
            return Err("its segments are out of order".to_string());
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use alloc::vec;

    use super::*;
    use crate::storage::MemoryStorage;

    fn manifest() -> Manifest {
        Manifest {
            generation: 7,
            seed: Seed(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
            log_start: 4096,
            chain: 17,
            first_seq: 3,
            last_seqs: vec![9, 10, 500],
        }
    }

    #[test]
    fn a_manifest_survives_and_every_changed_bit_is_noticed() {
        let bytes = manifest().encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest()));
        assert_eq!(manifest().segments().collect::<Vec<_>>(), [(3, 9), (10, 10), (11, 500)]);
        assert_eq!(manifest().next_seq(), 501);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&changed).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn either_copy_is_enough_and_the_newer_one_counts() {
        let mut storage = MemoryStorage::default();
        assert!(Manifest::load(&storage).unwrap().is_none());
        manifest().store(&mut storage).unwrap();
        assert!(!Manifest::load(&storage).unwrap().unwrap().to_be_repaired);
        let newer = Manifest { generation: 8, last_seqs: vec![9, 500], ..manifest() };
        for (index, name) in NAMES.into_iter().enumerate() {
            let mut torn = storage.clone();
            torn.insert(name, newer.encode());
            let found = Manifest::load(&torn).unwrap().unwrap();
            assert_eq!((found.manifest, found.to_be_repaired), (newer.clone(), true));
            torn.insert(name, Bytes::from_static(b"rotten"));
            let found = Manifest::load(&torn).unwrap().unwrap();
            assert_eq!((found.manifest, found.to_be_repaired), (manifest(), true));
            torn.insert(NAMES[1 - index], Bytes::new());
            assert!(matches!(Manifest::load(&torn), Err(OpenError::Damaged { .. })));
        }
    }
}
