//! The log as it is read: by recovery, and by who makes a copy.

use bytes::Bytes;

use crate::log::{HEAD_BYTES, RecordHead, find_head};
use crate::storage::{Original, StorageError};

/// How much of the log is read at a time.
pub(super) const WINDOW_BYTES: usize = 1 << 20;

/// A stretch of the log, read at once: most records are short, and there may be many.
#[derive(Default)]
pub(super) struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    /// Up to `len` bytes of the log from `offset`; fewer only at its end.
    pub(super) fn read<O: Original>(&mut self, log: &O, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let inside = offset.checked_sub(self.start).and_then(|behind| usize::try_from(behind).ok());
        if let Some(from) = inside
            && let Some(end) = from.checked_add(len).filter(|&end| end <= self.bytes.len())
        {
            return Ok(self.bytes.slice(from..end));
        }
        self.bytes = log.log_at(offset, len.max(WINDOW_BYTES))?;
        self.start = offset;
        Ok(self.bytes.slice(..len.min(self.bytes.len())))
    }
}

/// The first record behind `offset`, before `end`, that says that what is there was durable: its place, and its first sequence number.
///
/// Where there is no good record, this tells damage from the end of the log.
pub(super) fn find_claim<O: Original>(log: &O, offset: u64, end: u64) -> Result<Option<(u64, u64)>, StorageError> {
    let mut window_at = offset;
    while window_at < end {
        let window = log.log_at(window_at, WINDOW_BYTES)?;
        let mut rest = window.as_ref();
        while let Some(found) = find_head(rest) {
            let bytes = rest.get(found..).unwrap_or_default();
            let at = window_at + (window.len() - bytes.len()) as u64;
            if bytes.len() < HEAD_BYTES && at + (HEAD_BYTES as u64) <= end {
                break;
            }
            if let Some((head, _)) = RecordHead::decode(bytes)
                && head.offset == at
                && head.durable > offset
            {
                return Ok(Some((at, head.first_seq)));
            }
            rest = bytes.get(1..).unwrap_or_default();
        }
        // A head may lie across the end of the window.
        let step = window.len().saturating_sub(HEAD_BYTES - 1).max(1);
        if window.len() < WINDOW_BYTES {
            break;
        }
        window_at += step as u64;
    }
    Ok(None)
}
