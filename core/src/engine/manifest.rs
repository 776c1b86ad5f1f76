//! The manifest: which segments a repository has and where its log begins, in two copies.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ARGUSMAN` |
//! | 4 | version, 2 |
//! | 4 | number of segments s |
//! | 8 | generation: higher than that of the manifest before |
//! | 16 | seed of the repository |
//! | 8 | offset in the log of the first record that is in no segment |
//! | 4 | the chain of that record: CRC-32C of the header before, 0 if there is none |
//! | 4 | the trusted wall time when the manifest was written, in minutes since the Unix epoch; 0 if there was none |
//! | 8 | sequence number of the first event of that record |
//! | 8 | number of the next segment |
//! | 8 | time of the last commit before that record, milliseconds since the Unix epoch |
//! | 24 s | segments: number, first and last sequence number that it covers, ascending |
//! | 4 | CRC-32C of all bytes before |
//!
//! All integers are little-endian. The copies, `manifest-a` and `manifest-b`, are written one after the other. Each
//! replaces its predecessor atomically, and nothing that the old manifest needs is deleted before both are durable. So
//! one copy is enough, and a copy that is damaged or unreadable is rewritten from the other.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use bytes::Bytes;

use super::open_error::damaged;
use super::{OpenError, Seed, clock_doubt, log_end};
use crate::checksum::Crc32c;
use crate::clock::DoubtState;
use crate::column::{i64_at, u32_at, u64_at};
use crate::damage::Affected;
use crate::storage::{Draft, Published, StorageError, StorageReader, StorageWriter};

/// Names of the copies, in the order of writing.
pub(super) const NAMES: [&str; 2] = ["manifest-a", "manifest-b"];

const MAGIC: &[u8; 8] = b"ARGUSMAN";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 80;
const ENTRY_BYTES: usize = 24;
const SEGMENT_PREFIX: &str = "segment-";
const NANOS_PER_MILLI: i64 = 1_000_000;
const NANOS_PER_MINUTE: i64 = 60_000 * NANOS_PER_MILLI;

/// The segments of a repository, and where replay of its log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) generation: u64,
    pub(super) seed: Seed,
    /// Where replay begins.
    pub(super) log_start: u64,
    /// The chain of the record at `log_start`.
    pub(super) chain: u32,
    /// The sequence number after the last event that is, or was, in a sealed segment.
    pub(super) next_seq: u64,
    /// The number of the next segment. Every segment so far has a lower one.
    pub(super) next_number: u64,
    /// When the last event before `next_seq` was committed, in milliseconds since the Unix epoch.
    pub(super) last_millis: i64,
    /// The trusted wall time when the manifest was written, in minutes since the Unix epoch, rounded down; 0 if there
    /// was none. The time of the last commit is no substitute: it may come from a clock in doubt.
    pub(super) trusted_minutes: u32,
    /// The doubt about the clock, if any. It is stored in [a blob of its own](clock_doubt), which only the engine
    /// reads.
    pub(super) doubt: Option<DoubtState>,
    /// Ascending by sequence number. Events between two of them have expired.
    pub(super) segments: Vec<SegmentEntry>,
}

/// A segment in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentEntry {
    /// Its number, in the order of creation. It is part of the name and never reused.
    pub(super) number: u64,
    /// The first and the last sequence number that it covers. No other segment has an event in this range.
    pub(super) first: u64,
    pub(super) last: u64,
}

impl SegmentEntry {
    /// The name of its blob.
    pub(super) fn name(&self) -> String {
        segment_name(self.number)
    }

    /// The error for a missing blob.
    pub(super) fn missing(&self) -> OpenError {
        damaged(self.name(), "it is missing", Affected::between(self.first, self.last))
    }
}

/// Whether a repository uses blobs of this name. It leaves all other blobs alone.
#[must_use]
pub fn is_blob_name(name: &str) -> bool {
    NAMES.contains(&name) || [log_end::NAME, clock_doubt::NAME].contains(&name) || is_segment_name(name)
}

/// Whether this is exactly the name of a segment. `segment-000000000007.bak` is not.
pub(super) fn is_segment_name(name: &str) -> bool {
    segment_number(name).is_some_and(|number| segment_name(number) == name)
}

fn segment_name(number: u64) -> String {
    format!("{SEGMENT_PREFIX}{number:012}")
}

/// The number of the segment whose blob has this name.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_prefix(SEGMENT_PREFIX)?.parse().ok()
}

/// A manifest as it was loaded.
pub(super) struct LoadedManifest {
    pub(super) manifest: Manifest,
    /// Whether a copy is missing, damaged, unreadable or older, and has to be rewritten.
    pub(super) needs_repair: bool,
}

impl Manifest {
    /// The manifest of an empty repository.
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            generation: 1,
            seed,
            log_start: 0,
            chain: 0,
            next_seq: 1,
            next_number: 1,
            last_millis: 0,
            trusted_minutes: 0,
            doubt: None,
            segments: Vec::new(),
        }
    }

    /// The last trusted wall time, in nanoseconds since the Unix epoch. Manifests of earlier versions do not have it;
    /// the time of the last commit takes its place.
    pub(super) fn trusted(&self) -> Option<i64> {
        match (self.trusted_minutes, self.last_millis) {
            (0, 0) => None,
            (0, millis) => Some(millis.saturating_mul(NANOS_PER_MILLI)),
            (minutes, _) => Some(i64::from(minutes).saturating_mul(NANOS_PER_MINUTE)),
        }
    }

    /// Sets the trusted wall time, in nanoseconds since the Unix epoch.
    pub(super) fn set_trusted(&mut self, nanos: i64) {
        // 0 means unknown, so times before 1970 are not stored.
        self.trusted_minutes = u32::try_from(nanos.div_euclid(NANOS_PER_MINUTE)).unwrap_or_default();
    }

    /// Creates drafts for both copies and, if the clock is in doubt, for the blob of the doubt.
    pub(super) fn drafts<S: StorageWriter>(&self, storage: &mut S) -> Result<Vec<Box<dyn Draft>>, StorageError> {
        let doubt = self.doubt.map(|_| clock_doubt::NAME);
        doubt.into_iter().chain(NAMES).map(|name| storage.create(name)).collect()
    }

    /// Writes the [`drafts`](Self::drafts) one after the other. All are durable on return.
    pub(super) fn publish(&self, drafts: Vec<Box<dyn Draft>>) -> Result<Vec<Published>, StorageError> {
        let bytes = self.encode();
        let doubt = self.doubt.map(|state| clock_doubt::encode(state, self.generation).into());
        let contents: Vec<Bytes> = doubt.into_iter().chain([bytes.clone(), bytes]).collect();
        assert_eq!(drafts.len(), contents.len(), "there is a draft for each blob that is written with a manifest");
        drafts
            .into_iter()
            .zip(contents)
            .map(|(mut draft, bytes)| {
                draft.write(&bytes)?;
                draft.finish()
            })
            .collect()
    }

    /// Writes both copies and adopts them.
    pub(super) fn store<S: StorageWriter>(&self, storage: &mut S) -> Result<(), StorageError> {
        let drafts = self.drafts(storage)?;
        for published in self.publish(drafts)? {
            storage.adopt(published);
        }
        Ok(())
    }

    /// The newest copy that is intact; `None` if there is no copy at all. An unreadable copy counts as damaged.
    ///
    /// # Errors
    ///
    /// [`StorageError::Failed`] if no copy is intact and one is unreadable, [`OpenError::Damaged`] if no copy is
    /// intact. [`StorageError::Full`] and [`StorageError::Unavailable`] say nothing about the copies.
    pub(super) fn load<O: StorageReader>(medium: &O) -> Result<Option<LoadedManifest>, OpenError> {
        let mut copies = Vec::new();
        let (mut damaged, mut unreadable) = (None, None);
        for name in NAMES {
            let read = || medium.open(name)?.map(|blob| blob.read(0..blob.len())).transpose();
            match read() {
                Ok(None) => {}
                Ok(Some(bytes)) => match Self::decode(&bytes) {
                    Ok(manifest) => copies.push(manifest),
                    Err(reason) => {
                        damaged = Some(OpenError::Damaged { place: name.to_string(), log_offset: None, reason });
                    }
                },
                Err(error @ StorageError::Failed(_)) => unreadable = Some(error.into()),
                Err(error @ (StorageError::Full(_) | StorageError::Unavailable(_))) => return Err(error.into()),
            }
        }
        let all_agree = copies.len() == NAMES.len() && copies.first() == copies.last();
        match copies.into_iter().max_by_key(|manifest| manifest.generation) {
            Some(manifest) => Ok(Some(LoadedManifest { manifest, needs_repair: !all_agree })),
            None => unreadable.or(damaged).map_or(Ok(None), Err),
        }
    }

    fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.segments.len() * ENTRY_BYTES + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.seed.0.to_le_bytes());
        bytes.extend_from_slice(&self.log_start.to_le_bytes());
        bytes.extend_from_slice(&self.chain.to_le_bytes());
        bytes.extend_from_slice(&self.trusted_minutes.to_le_bytes());
        bytes.extend_from_slice(&self.next_seq.to_le_bytes());
        bytes.extend_from_slice(&self.next_number.to_le_bytes());
        bytes.extend_from_slice(&self.last_millis.to_le_bytes());
        let fields = self.segments.iter().flat_map(|entry| [entry.number, entry.first, entry.last]);
        bytes.extend(fields.flat_map(u64::to_le_bytes));
        let crc = Crc32c::of(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (covered, crc) = bytes.split_at_checked(bytes.len().saturating_sub(4)).unwrap_or_default();
        if covered.len() < HEADER_BYTES || !covered.starts_with(MAGIC) {
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
        if count.checked_mul(ENTRY_BYTES) != Some(covered.len() - HEADER_BYTES) {
            return Err("its length is wrong".to_string());
        }
        let manifest = Self {
            generation: u64_at(covered, 16, 0),
            seed: Seed(u128::from(u64_at(covered, 24, 0)) | (u128::from(u64_at(covered, 32, 0)) << 64)),
            log_start: u64_at(covered, 40, 0),
            chain: u32_at(covered, 48, 0),
            trusted_minutes: u32_at(covered, 52, 0),
            next_seq: u64_at(covered, 56, 0),
            next_number: u64_at(covered, 64, 0),
            last_millis: i64_at(covered, 72, 0),
            doubt: None,
            segments: (0..count)
                .map(|index| {
                    let at = |field| u64_at(covered, HEADER_BYTES + index * ENTRY_BYTES, field);
                    SegmentEntry { number: at(0), first: at(1), last: at(2) }
                })
                .collect(),
        };
        let mut next = 1;
        for entry in &manifest.segments {
            if entry.first < next || entry.last < entry.first || entry.number >= manifest.next_number {
                return Err("its segments are out of order".to_string());
            }
            next = entry.last.saturating_add(1);
        }
        if next > manifest.next_seq {
            return Err("its segments go beyond its next sequence number".to_string());
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
            next_seq: 501,
            next_number: 8,
            last_millis: -1,
            trusted_minutes: 28_333_333,
            doubt: None,
            segments: vec![entry(3, 3, 9), entry(7, 10, 10), entry(5, 12, 500)],
        }
    }

    fn entry(number: u64, first: u64, last: u64) -> SegmentEntry {
        SegmentEntry { number, first, last }
    }

    #[test]
    fn a_manifest_round_trips_and_every_flipped_bit_is_detected() {
        let bytes = manifest().encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest()));
        let disorderly = Manifest { segments: vec![entry(1, 3, 9), entry(2, 9, 10)], ..manifest() };
        assert!(Manifest::decode(&disorderly.encode()).is_err());
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
    fn the_newest_intact_copy_is_loaded() {
        let mut storage = MemoryStorage::default();
        assert!(Manifest::load(&storage).unwrap().is_none());
        manifest().store(&mut storage).unwrap();
        assert!(!Manifest::load(&storage).unwrap().unwrap().needs_repair);
        let newer = Manifest { generation: 8, segments: vec![entry(7, 3, 500)], ..manifest() };
        for (index, name) in NAMES.into_iter().enumerate() {
            let mut changed = storage.clone();
            changed.insert(name, newer.encode());
            let found = Manifest::load(&changed).unwrap().unwrap();
            assert_eq!((found.manifest, found.needs_repair), (newer.clone(), true));
            changed.insert(name, Bytes::from_static(b"damaged"));
            let found = Manifest::load(&changed).unwrap().unwrap();
            assert_eq!((found.manifest, found.needs_repair), (manifest(), true));
            changed.insert(NAMES[1 - index], Bytes::new());
            assert!(matches!(Manifest::load(&changed), Err(OpenError::Damaged { .. })));
        }
    }
}
