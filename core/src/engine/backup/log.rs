//! Copies the log of a repository, record by record.

use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::ops::Range;

use super::super::check::concerned_at;
use super::super::log_end::LogEnd;
use super::super::manifest::Manifest;
use super::super::open_error::log_damaged;
use super::super::reading::{WINDOW_BYTES, Window, look_behind};
use super::{BackupError, unreadable};
use crate::checksum::Crc32c;
use crate::column::u32_at;
use crate::log::{HEAD_BYTES, Place, RecordHead};
use crate::storage::{StorageError, StorageReader, StorageWriter};

/// Copies whole good records, each of which is checked on its way.
pub(super) struct LogCopy<'a, O, T> {
    source: &'a O,
    target: &'a mut T,
    window: Window,
    /// What lies behind was no part of the log when the copying began.
    bound: u64,
    /// Where it ended when it was closed, if that is known.
    closed_at: Option<LogEnd>,
    /// Behind the last record that was copied.
    end: u64,
    /// The checksum of that record's head.
    chain: u32,
    /// The first sequence number behind it.
    next_seq: u64,
    /// The time of its commit.
    millis: i64,
    /// Whether it says that all before it was durable, and has nothing itself that could be lost.
    is_mark: bool,
    /// The copy has the log up to here…
    written: u64,
    /// …and is yet to be given this.
    buffer: Vec<u8>,
}

/// Why there was no further record to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// What follows reaches beyond what the log was when the copying began.
    Bound,
    /// What follows is no whole good record.
    NoRecord,
}

impl<'a, O: StorageReader, T: StorageWriter> LogCopy<'a, O, T> {
    /// From where the manifest says that the log begins to `bound`, at most.
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
            millis: manifest.last_millis,
            is_mark: true,
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

    /// Copies all that there is.
    ///
    /// # Errors
    ///
    /// Also if a place has no good record though it was durable, and though it was looked at again after a record
    /// behind it had said so.
    pub(super) fn run(&mut self) -> Result<End, BackupError> {
        loop {
            let end = self.copy_records()?;
            let place = Place { offset: self.end, next_seq: self.next_seq };
            // What is beyond the bound may not have been written; where the log was closed, it was.
            let is_missing = self.closed_at.is_some_and(|closed| closed.next_seq > self.next_seq);
            let claim = match end {
                End::Bound if !is_missing => None,
                End::Bound | End::NoRecord => {
                    look_behind(self.source, place, self.bound, self.closed_at).map_err(unreadable)?.claim
                }
            };
            let Some(claim) = claim else { return Ok(end) };
            // It may have been written since it was read.
            let before = self.end;
            self.window = Window::default();
            self.copy_record()?;
            if self.end == before {
                let named = format!("the log at offset {}", self.end);
                let concerned = concerned_at(self.source, place, self.chain, self.bound, self.closed_at, claim);
                let concerned = concerned.map_err(unreadable)?;
                return Err(log_damaged(named, self.end, &claim.to_string(), concerned).into());
            }
        }
    }

    /// Makes the copy durable, and lets a mark say so behind it: without one, damage to the last record would be taken
    /// for a commit that was interrupted. Gives the end of the copy.
    pub(super) fn finish(mut self) -> Result<LogEnd, StorageError> {
        self.flush()?;
        self.target.sync()?;
        if !self.is_mark {
            let (mark, crc) = RecordHead::mark(self.end, self.end, self.next_seq, self.millis, self.chain).encode();
            self.target.append(&[&mark])?;
            self.target.sync()?;
            (self.end, self.chain) = (self.end + mark.len() as u64, crc);
        }
        Ok(LogEnd { offset: self.end, chain: self.chain, next_seq: self.next_seq })
    }

    fn copy_records(&mut self) -> Result<End, BackupError> {
        loop {
            if let Some(end) = self.copy_record()? {
                return Ok(end);
            }
        }
    }

    /// Copies the next record; or says why not.
    fn copy_record(&mut self) -> Result<Option<End>, BackupError> {
        let start = self.end;
        let body_at = start.saturating_add(HEAD_BYTES as u64);
        if body_at > self.bound {
            return Ok(Some(End::Bound));
        }
        let bytes = self.window.read(self.source, start, HEAD_BYTES).map_err(unreadable)?;
        let Some((head, crc)) = RecordHead::decode(&bytes) else { return Ok(Some(End::NoRecord)) };
        if head.offset != start || head.chain != self.chain || head.first_seq != self.next_seq {
            return Ok(Some(End::NoRecord));
        }
        let end = body_at.saturating_add(head.body_len());
        if end > self.bound {
            return Ok(Some(End::Bound));
        }
        self.put(&bytes)?;
        let Some(events) = self.copy_body(&head, body_at..end)? else {
            self.take_back(start)?;
            return Ok(Some(End::NoRecord));
        };
        (self.end, self.chain, self.next_seq, self.millis) = (end, crc, head.first_seq + events, head.millis);
        self.is_mark = head.is_mark() && head.durable == start;
        Ok(None)
    }

    /// Copies what follows a head; gives the number of events in it, if it is what the head says.
    fn copy_body(&mut self, head: &RecordHead, range: Range<u64>) -> Result<Option<u64>, BackupError> {
        let mut crc = Crc32c::new();
        let mut events = 0;
        let mut at = range.start;
        while at < range.end {
            let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let piece = self.window.read(self.source, at, len).map_err(unreadable)?;
            if piece.len() < len {
                return Ok(None);
            }
            // An index begins with the number of its rows, and no record with a body has none.
            if at == range.start {
                let Some(rows) = piece.get(..4).map(|rows| u32_at(rows, 0, 0)).filter(|&rows| rows > 0) else {
                    return Ok(None);
                };
                events = u64::from(rows);
            }
            crc.update(&piece);
            self.put(&piece)?;
            at += len as u64;
        }
        Ok(Some(events).filter(|_| crc.finish() == head.body_crc))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WINDOW_BYTES { self.flush().map_err(BackupError::Copy) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        self.target.append(&[&self.buffer])?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Takes back what was put behind `end`.
    fn take_back(&mut self, end: u64) -> Result<(), BackupError> {
        match end.checked_sub(self.written).and_then(|kept| usize::try_from(kept).ok()) {
            Some(kept) => self.buffer.truncate(kept),
            None => {
                self.target.truncate(end).map_err(BackupError::Copy)?;
                self.written = end;
                self.buffer.clear();
            }
        }
        Ok(())
    }
}
