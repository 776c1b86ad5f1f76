//! Tells from its records where in the log a file belongs.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use argus_core::engine::{HEADER_SEEN_BYTES, written_offsets};

/// How much is read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Where files would begin whose heads of records stand where they say. A file has heads of its own place, and may have
/// some that it held in an earlier life, at a lower place; or none, in the midst of a long record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origins(BTreeSet<u64>);

impl Origins {
    /// Takes in bytes that stand at `within` in a file.
    pub(super) fn take(&mut self, within: u64, bytes: &[u8], file_bytes: u64) {
        for (at, offset) in written_offsets(bytes) {
            let start = offset.checked_sub(within + at as u64).filter(|start| start.is_multiple_of(file_bytes));
            self.0.extend(start);
        }
    }

    /// Whether something in the file was written at this place of the log.
    pub(super) fn has(&self, start: u64) -> bool {
        self.0.contains(&start)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The places, the highest first.
    pub(super) fn descending(&self) -> impl Iterator<Item = u64> {
        self.0.iter().rev().copied()
    }

    /// What the first head in a file says, if there is one. The first is that of the place where the file was written
    /// last, if that has any.
    pub(super) fn first(file: &File, len: u64, file_bytes: u64) -> std::io::Result<Option<u64>> {
        let mut piece = vec![0; PIECE_BYTES + HEADER_SEEN_BYTES];
        let mut at = 0;
        while at < len {
            let now = usize::try_from(len - at).unwrap_or(usize::MAX).min(piece.len());
            let bytes = piece.get_mut(..now).unwrap_or_default();
            file.read_exact_at(bytes, at)?;
            let mut found = Self::default();
            found.take(at, bytes, file_bytes);
            // A recycled file holds what it held before only behind what was written to it since.
            if let Some(highest) = found.descending().next() {
                return Ok(Some(highest));
            }
            at += PIECE_BYTES as u64;
        }
        Ok(None)
    }
}
