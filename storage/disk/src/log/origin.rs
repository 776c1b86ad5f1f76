//! Finds out from its records where in the log a file belongs.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use argus_core::engine::{HEADER_SEEN_BYTES, written_offsets};

/// Bytes read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The start offsets that the record headers in a file imply. A header contains its offset in the log. That offset
/// minus the header's offset in the file is the start of the file. A recycled file may also have old headers, which
/// imply a lower start. A file in the middle of a long record has no header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origins(BTreeSet<u64>);

impl Origins {
    /// Adds the headers in bytes at offset `within` of the file.
    pub(super) fn take(&mut self, within: u64, bytes: &[u8], file_bytes: u64) {
        for (at, offset) in written_offsets(bytes) {
            let start = offset.checked_sub(within + at as u64).filter(|start| start.is_multiple_of(file_bytes));
            self.0.extend(start);
        }
    }

    /// Whether a header implies this start offset.
    pub(super) fn has(&self, start: u64) -> bool {
        self.0.contains(&start)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The start offsets, highest first.
    pub(super) fn descending(&self) -> impl Iterator<Item = u64> {
        self.0.iter().rev().copied()
    }

    /// The start offset that the first header in a file implies, if there is one. The current records of a file come
    /// before old ones.
    pub(super) fn first(file: &File, len: u64, file_bytes: u64) -> std::io::Result<Option<u64>> {
        let mut piece = vec![0; PIECE_BYTES + HEADER_SEEN_BYTES];
        let mut at = 0;
        while at < len {
            let now = usize::try_from(len - at).unwrap_or(usize::MAX).min(piece.len());
            let bytes = piece.get_mut(..now).unwrap_or_default();
            file.read_exact_at(bytes, at)?;
            let mut found = Self::default();
            found.take(at, bytes, file_bytes);
            // In a recycled file, old records come after the current ones.
            if let Some(highest) = found.descending().next() {
                return Ok(Some(highest));
            }
            at += PIECE_BYTES as u64;
        }
        Ok(None)
    }
}
