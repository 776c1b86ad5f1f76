//! The contents of a medium, and media in memory with changed contents.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use argus_core::storage::{BackupTarget as _, MemoryStorage, StorageError, StorageReader, StorageWriter as _};
use bytes::Bytes;

/// Everything that can be read from a medium.
#[derive(Clone, PartialEq, Eq)]
pub struct Contents {
    /// The range of offsets of the log.
    pub range: Range<u64>,
    /// The log.
    pub log: Bytes,
    /// The blobs by name.
    pub blobs: BTreeMap<String, Bytes>,
}

impl Contents {
    /// Reads all of a medium.
    ///
    /// # Errors
    ///
    /// The medium's first error.
    pub fn read(medium: &impl StorageReader) -> Result<Self, StorageError> {
        let range = medium.log_range()?;
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let log = medium.read_log(range.start, len)?;
        let mut blobs = BTreeMap::new();
        for name in medium.list()? {
            if let Some(blob) = medium.open(&name)? {
                blobs.insert(name, blob.read(0..blob.len())?);
            }
        }
        Ok(Self { range, log, blobs })
    }

    /// Whether both are the same, except that one may still have some discarded log.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        let start = self.range.start.max(other.range.start);
        let since = |contents: &Self| {
            let discarded = usize::try_from(start - contents.range.start).unwrap_or(usize::MAX);
            contents.log.get(discarded..).map(<[u8]>::to_vec)
        };
        self.range.end == other.range.end && self.blobs == other.blobs && since(self) == since(other)
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blobs: BTreeMap<&str, usize> = self.blobs.iter().map(|(name, content)| (&**name, content.len())).collect();
        f.debug_struct("Contents").field("range", &self.range).field("blobs", &blobs).finish_non_exhaustive()
    }
}

/// The contents of a blob.
///
/// # Panics
///
/// If there is no blob of this name.
#[must_use]
pub fn blob(medium: &MemoryStorage, name: &str) -> Bytes {
    let blob = medium.open(name).expect(NEVER_FAILS).expect("the caller names a blob of this medium");
    blob.read(0..blob.len()).expect(NEVER_FAILS)
}

/// The names of all segments, the oldest first.
#[must_use]
pub fn segments(medium: &MemoryStorage) -> Vec<String> {
    let names = medium.list().expect(NEVER_FAILS).into_iter();
    names.filter(|name| name.starts_with("segment-")).collect()
}

/// The same medium with another log, which starts at the same offset.
#[must_use]
pub fn with_log(medium: &MemoryStorage, log: &[u8]) -> MemoryStorage {
    let mut changed = MemoryStorage::default();
    changed.begin(medium.log_range().expect(NEVER_FAILS).start).expect(NEVER_FAILS);
    for name in medium.list().expect(NEVER_FAILS) {
        changed.insert(&name, blob(medium, &name));
    }
    changed.append(&[log]).expect(NEVER_FAILS);
    changed
}

/// The same medium with another content of a blob.
#[must_use]
pub fn with_blob(medium: &MemoryStorage, name: &str, content: Vec<u8>) -> MemoryStorage {
    let mut changed = medium.clone();
    changed.insert(name, content.into());
    changed
}

/// The same bytes with one bit flipped.
///
/// # Panics
///
/// If `bit` is beyond the last one.
#[must_use]
pub fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    *flipped.get_mut(bit / 8).expect("the caller names a bit of these bytes") ^= 1 << (bit % 8);
    flipped
}

const NEVER_FAILS: &str = "a medium in memory never fails";
