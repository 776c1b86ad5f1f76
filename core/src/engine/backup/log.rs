//! Copies the log of a repository record by record.

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::ops::Range;

use super::super::check::affected_at;
use super::super::log_end::LogEnd;
use super::super::manifest::Manifest;
use super::super::open_error::log_damaged;
use super::super::reading::{WINDOW_BYTES, Window, scan_ahead};
use super::{BackupError, unreadable};
use crate::checksum::Crc32c;
use crate::column::u32_at;
use crate::log::{HEADER_BYTES, LogPosition, RecordHeader};
use crate::storage::{StorageError, StorageReader, StorageWriter};

/// Copies intact records, checking each on the way.
pub(super) struct LogCopy<'a, O, T> {
    source: &'a O,
    target: &'a mut T,
    window: Window,
    /// The end of the log when the backup began.
    bound: u64,
    /// Where the log ended when it was closed, if known.
    closed_at: Option<LogEnd>,
    /// The offset after the last copied record.
    end: u64,
    /// The header checksum of the last copied record.
    chain: u32,
    /// The sequence number of the next event.
    next_seq: u64,
    /// The number of the next erasure.
    next_erasure: u64,
    /// The commit time of the last copied record, in milliseconds since the Unix epoch.
    millis: i64,
    /// Whether the last copied record is a durability mark for everything before it.
    is_marked: bool,
    /// The target has the log up to this offset…
    written: u64,
    /// …and these bytes are still to be written to it.
    buffer: Vec<u8>,
}

/// Why copying stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The next record reaches beyond the bound.
    Bound,
    /// There is no intact record.
    NoRecord,
}

impl<'a, O: StorageReader, T: StorageWriter> LogCopy<'a, O, T> {
    /// Copies from `manifest.log_start` to `bound` at most.
    pub(super) fn new(
        source: &'a O,
        target: &'a mut T,
        manifest: &Manifest,
        bound: u64,
        closed_at: Option<LogEnd>,
    ) -> Self {
        Self {
            source,
            target,
            window: Window::default(),
            bound,
            closed_at,
            end: manifest.log_start,
            chain: manifest.chain,
            next_seq: manifest.next_seq,
            next_erasure: manifest.next_erasure,
            millis: manifest.last_millis,
            is_marked: true,
            written: manifest.log_start,
            buffer: Vec::new(),
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Copies all records.
    ///
    /// # Errors
    ///
    /// [`BackupError`], also if a durable record is damaged and stays so when it is read again.
    pub(super) fn run(&mut self) -> Result<StopReason, BackupError> {
        loop {
            let reason = self.copy_records()?;
            let Self { end: offset, next_seq, next_erasure, .. } = *self;
            let position = LogPosition { offset, next_seq, next_erasure };
            // A record that reaches beyond the bound may be incomplete, unless the log was closed after it.
            let is_missing = self.closed_at.is_some_and(|closed| closed.is_ahead_of(position));
            let evidence = match reason {
                StopReason::Bound if !is_missing => None,
                StopReason::Bound | StopReason::NoRecord => {
                    scan_ahead(self.source, position, self.bound, self.closed_at).map_err(unreadable)?.evidence
                }
            };
            let Some(evidence) = evidence else { return Ok(reason) };
            // Read again: the engine may have completed the record since.
            let before = self.end;
            self.window = Window::default();
            self.copy_record()?;
            if self.end == before {
                let place = format!("the log at offset {}", self.end);
                let affected = affected_at(self.source, position, self.chain, self.bound, self.closed_at, evidence);
                let affected = affected.map_err(unreadable)?;
                return Err(log_damaged(place, self.end, &evidence.to_string(), affected).into());
            }
        }
    }

    /// Makes the target durable and appends a durability mark, without which damage to the last record would look like
    /// a torn tail. Returns the end of the target's log.
    pub(super) fn finish(mut self) -> Result<LogEnd, StorageError> {
        self.flush()?;
        self.target.sync()?;
        if !self.is_marked {
            let (mark, crc) = RecordHeader::mark(self.end, self.end, self.next_seq, self.millis, self.chain).encode();
            self.target.append(&[&mark])?;
            self.target.sync()?;
            (self.end, self.chain) = (self.end + mark.len() as u64, crc);
        }
        let Self { end: offset, chain, next_seq, next_erasure, .. } = self;
        Ok(LogEnd { offset, chain, next_seq, next_erasure })
    }

    fn copy_records(&mut self) -> Result<StopReason, BackupError> {
        loop {
            if let Some(reason) = self.copy_record()? {
                return Ok(reason);
            }
        }
    }

    /// Copies the next record, or returns why there is none.
    fn copy_record(&mut self) -> Result<Option<StopReason>, BackupError> {
        let start = self.end;
        let body_at = start.saturating_add(HEADER_BYTES as u64);
        if body_at > self.bound {
            return Ok(Some(StopReason::Bound));
        }
        let bytes = self.window.read(self.source, start, HEADER_BYTES).map_err(unreadable)?;
        let Some((header, crc)) = RecordHeader::decode(&bytes) else { return Ok(Some(StopReason::NoRecord)) };
        if header.offset != start || header.chain != self.chain || header.first_seq != self.next_seq {
            return Ok(Some(StopReason::NoRecord));
        }
        let end = body_at.saturating_add(header.body_len());
        if end > self.bound {
            return Ok(Some(StopReason::Bound));
        }
        self.put(&bytes)?;
        let Some(next_seq) = self.copy_body(&header, body_at..end)? else {
            self.undo_to(start)?;
            return Ok(Some(StopReason::NoRecord));
        };
        (self.end, self.chain, self.next_seq, self.millis) = (end, crc, next_seq, header.millis);
        self.is_marked = header.is_mark() && header.durable == start;
        Ok(None)
    }

    /// Copies the body of a record. Returns the next sequence number, or `None` if it does not match the header.
    fn copy_body(&mut self, header: &RecordHeader, range: Range<u64>) -> Result<Option<u64>, BackupError> {
        let mut crc = Crc32c::new();
        let (mut next_seq, mut erasure) = (header.first_seq, None);
        let mut at = range.start;
        while at < range.end {
            let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let piece = self.window.read(self.source, at, len).map_err(unreadable)?;
            if piece.len() < len {
                return Ok(None);
            }
            if at == range.start {
                erasure = header.erasure_number(&piece);
                // The index of a batch begins with its number of rows, which is not 0.
                let events: u64 = piece.get(..4).map_or(0, |rows| u32_at(rows, 0, 0).into());
                let skip_target = header.skip_target(&piece);
                if events == 0 && erasure.is_none() && skip_target.is_none() {
                    return Ok(None);
                }
                next_seq = skip_target.unwrap_or(header.first_seq + events);
            }
            crc.update(&piece);
            self.put(&piece)?;
            at += len as u64;
        }
        if crc.finish() != header.body_crc {
            return Ok(None);
        }
        self.next_erasure = erasure.map_or(self.next_erasure, |number| number + 1);
        Ok(Some(next_seq))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WINDOW_BYTES { self.flush().map_err(BackupError::Target) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        self.target.append(&[&self.buffer])?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Removes the bytes after `end` from the buffer and the target.
    fn undo_to(&mut self, end: u64) -> Result<(), BackupError> {
        match end.checked_sub(self.written).and_then(|kept| usize::try_from(kept).ok()) {
            Some(kept) => self.buffer.truncate(kept),
            None => {
                self.target.truncate(end).map_err(BackupError::Target)?;
                self.written = end;
                self.buffer.clear();
            }
        }
        Ok(())
    }
}
