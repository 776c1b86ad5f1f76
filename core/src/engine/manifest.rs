//! The manifest: which segments a repository has, which erasures are not complete, and where its log begins, in two
//! copies.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ARGUSMAN` |
//! | 4 | version, 3 |
//! | 4 | number of segments s |
//! | 8 | generation: higher than that of the manifest before |
//! | 16 | seed of the repository |
//! | 8 | offset in the log of the first record that is in no segment |
//! | 4 | the chain of that record: CRC-32C of the header before, 0 if there is none |
//! | 4 | the trusted wall time when the manifest was written, in minutes since the Unix epoch; 0 if there was none |
//! | 8 | sequence number of the first event of that record |
//! | 8 | number of the next segment |
//! | 8 | time of the last commit before that record, milliseconds since the Unix epoch |
//! | 8 | number of the first erasure from that record on |
//! | 4 | number of erasures e |
//! | 4 | zero |
//! | 32 s | segments: number, first and last sequence number that it covers, last erasure of whose events it has none |
//! | … | erasures: number (8), last sequence number (8), time (8), length of the filter (4), filter |
//! | 4 | CRC-32C of all bytes before |
//!
//! All integers are little-endian. Segments ascend by sequence number. An erasure applies to events up to its last
//! sequence number; its time is when it was accepted, in milliseconds since the Unix epoch; its filter is JSON. In
//! version 2, the segments follow the time of the last commit, and take 24 bytes
//! without the number of an erasure: there were none.
//!
//! The copies, `manifest-a` and `manifest-b`, are written one after the other. Each
//! replaces its predecessor atomically, and nothing that the old manifest needs is deleted before both are durable. So
//! one copy is enough, and a copy that is damaged or unreadable is rewritten from the other.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use bytes::Bytes;

use super::erasure::StoredErasure;
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
const VERSION: u32 = 3;
const HEADER_BYTES: usize = 96;
const ENTRY_BYTES: usize = 32;
/// An erasure without its filter.
const ERASURE_BYTES: usize = 28;
/// The version without erasures, and its lengths.
const VERSION_2: u32 = 2;
const HEADER_BYTES_2: usize = 80;
const ENTRY_BYTES_2: usize = 24;
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
    /// The number of the first erasure whose record is in the log from `log_start` on, or of the next one.
    pub(super) next_erasure: u64,
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
    /// The erasures before `log_start` that are not complete, ascending by number.
    pub(super) erasures: Vec<StoredErasure>,
}

/// A segment in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentEntry {
    /// Its number, in the order of creation. It is part of the name and never reused.
    pub(super) number: u64,
    /// The first and the last sequence number that it covers. No other segment has an event in this range.
    pub(super) first: u64,
    pub(super) last: u64,
    /// It has no events of erasures up to this number.
    pub(super) erased_to: u64,
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
    /// Whether it has an earlier version.
    pub(super) is_old: bool,
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
            next_erasure: 1,
            next_number: 1,
            last_millis: 0,
            trusted_minutes: 0,
            doubt: None,
            segments: Vec::new(),
            erasures: Vec::new(),
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
        let (mut copies, mut is_old) = (Vec::new(), false);
        let (mut damaged, mut unreadable) = (None, None);
        for name in NAMES {
            let read = || medium.open(name)?.map(|blob| blob.read(0..blob.len())).transpose();
            match read() {
                Ok(None) => {}
                Ok(Some(bytes)) => match Self::decode(&bytes) {
                    Ok(manifest) => {
                        is_old |= u32_at(&bytes, 8, 0) != VERSION;
                        copies.push(manifest);
                    }
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
            Some(manifest) => Ok(Some(LoadedManifest { manifest, needs_repair: !all_agree, is_old })),
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
        bytes.extend_from_slice(&self.next_erasure.to_le_bytes());
        bytes.extend_from_slice(&(self.erasures.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let fields = self.segments.iter().flat_map(|entry| [entry.number, entry.first, entry.last, entry.erased_to]);
        bytes.extend(fields.flat_map(u64::to_le_bytes));
        for erasure in &self.erasures {
            let text = erasure.text();
            bytes.extend_from_slice(&erasure.number.to_le_bytes());
            bytes.extend_from_slice(&erasure.up_to_seq.to_le_bytes());
            bytes.extend_from_slice(&erasure.millis.to_le_bytes());
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        let crc = Crc32c::of(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (covered, crc) = bytes.split_at_checked(bytes.len().saturating_sub(4)).unwrap_or_default();
        if covered.len() < HEADER_BYTES_2 || !covered.starts_with(MAGIC) {
            return Err("not a manifest".to_string());
        }
        if Crc32c::of(covered) != u32_at(crc, 0, 0) {
            return Err("its checksum is wrong".to_string());
        }
        let (header_bytes, entry_bytes) = match u32_at(covered, 8, 0) {
            VERSION_2 => (HEADER_BYTES_2, ENTRY_BYTES_2),
            VERSION => (HEADER_BYTES, ENTRY_BYTES),
            version => return Err(format!("its version, {version}, is unknown")),
        };
        let count = u32_at(covered, 12, 0) as usize;
        let entries_end = count.checked_mul(entry_bytes).and_then(|bytes| bytes.checked_add(header_bytes));
        let wrong_length = || "its length is wrong".to_string();
        let mut rest = entries_end.and_then(|end| covered.get(end..)).ok_or_else(wrong_length)?;
        let (mut next_erasure, mut erasures) = (1, Vec::new());
        if header_bytes == HEADER_BYTES {
            next_erasure = u64_at(covered, 80, 0);
            for _ in 0..u32_at(covered, 88, 0) {
                erasures.push(take_erasure(&mut rest)?);
            }
        }
        if !rest.is_empty() {
            return Err(wrong_length());
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
            next_erasure,
            doubt: None,
            segments: (0..count)
                .map(|index| {
                    let at = |field| u64_at(covered, header_bytes + index * entry_bytes, field);
                    let erased_to = if entry_bytes == ENTRY_BYTES { at(3) } else { 0 };
                    SegmentEntry { number: at(0), first: at(1), last: at(2), erased_to }
                })
                .collect(),
            erasures,
        };
        let follow = |before: &StoredErasure, next: &StoredErasure| {
            before.number < next.number && before.up_to_seq <= next.up_to_seq
        };
        let last = manifest.erasures.last();
        if !manifest.erasures.is_sorted_by(follow)
            || last.is_some_and(|last| last.number >= next_erasure || last.up_to_seq >= manifest.next_seq)
        {
            return Err("its erasures are out of order".to_string());
        }
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

/// Takes an erasure off the beginning of these bytes.
fn take_erasure(rest: &mut &[u8]) -> Result<StoredErasure, String> {
    let too_short = || "its length is wrong".to_string();
    let (fields, after) = rest.split_at_checked(ERASURE_BYTES).ok_or_else(too_short)?;
    let (number, up_to_seq, millis) = (u64_at(fields, 0, 0), u64_at(fields, 8, 0), i64_at(fields, 16, 0));
    let (text, after) = after.split_at_checked(u32_at(fields, 24, 0) as usize).ok_or_else(too_short)?;
    *rest = after;
    match serde_json::from_slice(text) {
        Ok(filter) => Ok(StoredErasure { number, up_to_seq, millis, filter }),
        Err(_) => Err(format!("the filter of erasure {number} is unknown: a later version of Argus has written it")),
    }
}

#[cfg(test)]
mod tests;
