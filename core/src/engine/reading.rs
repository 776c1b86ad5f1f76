//! The log as it is read: by recovery, and by who makes a copy, and by who checks.

use core::ops::{ControlFlow, Range};

use bytes::Bytes;

use crate::log::{HEAD_BYTES, RecordHead, find_head};
use crate::segment::Rows;
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

/// A record as it lies in the log. Whether it follows the one before is for the reader to see.
pub(super) struct Record {
    pub(super) head: RecordHead,
    /// The checksum of its head.
    pub(super) crc: u32,
    /// Its events; `None` in a mark.
    pub(super) rows: Option<Rows>,
}

/// The record at this offset, if there is a whole one that was written there. `is_trusted` takes its events whatever their checksum says,
/// which is a bug for tests to find.
pub(super) fn record_at<O: Original>(
    log: &O,
    window: &mut Window,
    offset: u64,
    is_trusted: bool,
) -> Result<Option<Record>, StorageError> {
    let Some((head, crc)) = RecordHead::decode(&window.read(log, offset, HEAD_BYTES)?) else { return Ok(None) };
    if head.offset != offset {
        return Ok(None);
    }
    if head.is_mark() {
        return Ok(Some(Record { head, crc, rows: None }));
    }
    let Ok(body_len) = usize::try_from(head.body_len()) else { return Ok(None) };
    let body = window.read(log, offset + HEAD_BYTES as u64, body_len)?;
    if !head.vouches_for(&body) && !is_trusted {
        return Ok(None);
    }
    Ok(head.decode_body(&body).map(|rows| Record { head, crc, rows: Some(rows) }))
}

/// What there is behind the last record.
#[derive(Default)]
pub(super) struct Behind {
    /// The first record that says that what is missing was durable: its place, and its first sequence number.
    pub(super) claim: Option<(u64, u64)>,
    /// Another part of the log has lain here before.
    pub(super) is_stale: bool,
}

/// Looks for heads behind `offset`, where there is no record, and before `end`: whole ones, whose offset is where they stand, or is not.
///
/// This tells damage from the end of the log.
pub(super) fn look_behind<O: Original>(log: &O, offset: u64, end: u64) -> Result<Behind, StorageError> {
    let mut behind = Behind::default();
    find_heads(log, offset..end, |at, head| {
        behind.is_stale |= head.offset != at;
        if head.offset == at && head.durable > offset {
            behind.claim = Some((at, head.first_seq));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(behind)
}

/// Hands over every whole head in a part of the log, with the offset at which it stands, until it is told to stop.
pub(super) fn find_heads<O: Original>(
    log: &O,
    range: Range<u64>,
    mut sink: impl FnMut(u64, RecordHead) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let Range { start: mut window_at, end } = range;
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
                && sink(at, head).is_break()
            {
                return Ok(());
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
    Ok(())
}

/// How much there is at the end of the log of a record that was not written to its end; of a long one perhaps less. Where another part of the
/// log has lain, nothing else than the head of such a record tells it from what was left there.
pub(super) fn torn_bytes<O: Original>(log: &O, offset: u64, is_stale: bool) -> Result<u64, StorageError> {
    let bytes = log.log_at(offset, WINDOW_BYTES)?;
    let begun = RecordHead::decode(&bytes).filter(|(head, _)| head.offset == offset);
    let most = match begun {
        Some((head, _)) => HEAD_BYTES as u64 + head.body_len(),
        None if is_stale => 0,
        None => u64::MAX,
    };
    Ok(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| most.min(last as u64 + 1)))
}
