//! Reads log records, for recovery, backups and checks, and whole blobs.

use alloc::format;
use alloc::string::String;
use core::ops::{ControlFlow, Range};
use core::{fmt, iter};

use bytes::Bytes;

use super::erasure::StoredErasure;
use super::log_end::LogEnd;
use crate::log::{BODY_HEADER_BYTES, Body, HEADER_BYTES, LogPosition, RecordHeader, find_header};
use crate::segment::Rows;
use crate::storage::{Blob, StorageError, StorageReader};

/// How much of the log or a blob is read at a time.
pub(super) const WINDOW_BYTES: usize = 1 << 20;

/// All bytes of a blob, in chunks of at most [`WINDOW_BYTES`].
pub(super) fn chunks(blob: &dyn Blob) -> impl Iterator<Item = Result<Bytes, StorageError>> {
    let len = blob.len();
    (0..len).step_by(WINDOW_BYTES).map(move |start| blob.read(start..len.min(start + WINDOW_BYTES as u64)))
}

/// Buffers part of the log, because records may be many and short.
#[derive(Default)]
pub(super) struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    /// Up to `len` bytes of the log from `offset`; fewer only at its end.
    pub(super) fn read<O: StorageReader>(&mut self, log: &O, offset: u64, len: usize) -> Result<Bytes, StorageError> {
        let index = offset.checked_sub(self.start).and_then(|index| usize::try_from(index).ok());
        if let Some(from) = index
            && let Some(end) = from.checked_add(len).filter(|&end| end <= self.bytes.len())
        {
            return Ok(self.bytes.slice(from..end));
        }
        self.bytes = log.read_log(offset, len.max(WINDOW_BYTES))?;
        self.start = offset;
        Ok(self.bytes.slice(..len.min(self.bytes.len())))
    }
}

/// An intact record. The caller checks whether it follows the one before.
pub(super) struct Record {
    pub(super) header: RecordHeader,
    /// The checksum of its header.
    pub(super) crc: u32,
    pub(super) content: Content,
}

/// The content of a record.
pub(super) enum Content {
    /// Nothing: it is a durability mark.
    Mark,
    /// At least one event.
    Events(Rows),
    Erasure(StoredErasure),
    /// The next events have numbers from this one on.
    Skip(u64),
    /// Something that this version does not know.
    Unknown,
}

/// The reason for an error: this record cannot be read.
pub(super) const UNKNOWN_RECORD: &str =
    "a record there has an unknown kind: a later version of Argus has written it; use that version";

/// The reason for an error: the log should begin at an offset outside of this range, which is all that is readable.
pub(super) fn out_of_range(readable: &Range<u64>) -> String {
    format!("the medium has only bytes {readable:?} of the log")
}

/// The intact record that was written at this offset, if there is one.
pub(super) fn record_at<O: StorageReader>(
    log: &O,
    window: &mut Window,
    offset: u64,
) -> Result<Option<Record>, StorageError> {
    let Some((header, crc)) = RecordHeader::decode(&window.read(log, offset, HEADER_BYTES)?) else { return Ok(None) };
    if header.offset != offset {
        return Ok(None);
    }
    let Ok(body_len) = usize::try_from(header.body_len()) else { return Ok(None) };
    let body = window.read(log, offset + HEADER_BYTES as u64, body_len)?;
    if !header.matches_body(&body) {
        return Ok(None);
    }
    let content = header.decode_body(&body).map(|body| match body {
        Body::Mark => Content::Mark,
        Body::Events(rows) => Content::Events(rows),
        Body::Erasure(number, text) => {
            StoredErasure::in_record(&header, number, &text).map_or(Content::Unknown, Content::Erasure)
        }
        Body::Skip(next_seq) => Content::Skip(next_seq),
        Body::Unknown => Content::Unknown,
    });
    Ok(content.map(|content| Record { header, crc, content }))
}

/// The result of searching the log after its last intact record.
#[derive(Default)]
pub(super) struct Ahead {
    /// Evidence that a record is missing there.
    pub(super) evidence: Option<Evidence>,
    /// Whether a header from another part of the log was found: the space was reused.
    pub(super) is_stale: bool,
}

/// Evidence that the log was durable beyond an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// A later record: its offset and its first sequence number.
    Record(u64, u64),
    /// Where the log ended when it was closed.
    End(LogEnd),
}

impl Evidence {
    /// A lower bound of the sequence number of the first event after the gap.
    pub(super) fn next_seq(self) -> u64 {
        match self {
            Self::Record(_, next_seq) => next_seq,
            Self::End(end) => end.next_seq,
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(at, _) => write!(f, "the record at offset {at} says that the log was durable here"),
            Self::End(end) => {
                write!(f, "there is no intact record, but the log ended at offset {} when it was closed", end.offset)
            }
        }
    }
}

/// Tells damage from a torn tail: searches for intact record headers from `position`, where there is no record, to
/// `end`. `closed_at` is where the log ended when it was closed, if known.
pub(super) fn scan_ahead<O: StorageReader>(
    log: &O,
    position: LogPosition,
    end: u64,
    closed_at: Option<LogEnd>,
) -> Result<Ahead, StorageError> {
    let mut ahead = Ahead::default();
    find_headers(log, position.offset..end, Some(position), |found| {
        match found {
            FoundHeader::Stale(_) => ahead.is_stale = true,
            FoundHeader::Credible(at, header) if header.durable > position.offset => {
                ahead.evidence = Some(Evidence::Record(at, header.first_seq));
                return ControlFlow::Break(());
            }
            FoundHeader::Credible(..) => {}
        }
        ControlFlow::Continue(())
    })?;
    // If only a durability mark is missing, nothing is lost.
    ahead.evidence = ahead.evidence.or(closed_at.filter(|closed| closed.is_ahead_of(position)).map(Evidence::End));
    Ok(ahead)
}

/// An intact record header among other bytes.
pub(super) enum FoundHeader {
    /// The offset, and a header that was written there.
    Credible(u64, RecordHeader),
    /// The offset of a header that was written to another part of the log, whose space was reused.
    Stale(u64),
}

/// Passes every intact header in `range` to `sink`, until `sink` breaks. `before` is a known position in the log before
/// the range, if there is one. Bytes of events that look like a header are skipped.
pub(super) fn find_headers<O: StorageReader>(
    log: &O,
    range: Range<u64>,
    before: Option<LogPosition>,
    mut sink: impl FnMut(FoundHeader) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let Range { start: mut window_at, end } = range;
    while window_at < end {
        let window = log.read_log(window_at, WINDOW_BYTES)?;
        let is_last = window.len() < WINDOW_BYTES;
        let mut rest = window.as_ref();
        while let Some(found) = find_header(rest) {
            let bytes = rest.get(found..).unwrap_or_default();
            let at = window_at + (window.len() - bytes.len()) as u64;
            // The next window has the whole header.
            if bytes.len() < HEADER_SEEN_BYTES && !is_last {
                break;
            }
            let header = RecordHeader::decode(bytes).map(|(header, _)| header);
            let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
            let found = match header {
                Some(header) if header.offset != at => Some(FoundHeader::Stale(at)),
                Some(header) if header.is_credible(at, body, before) => Some(FoundHeader::Credible(at, header)),
                Some(_) | None => None,
            };
            if found.is_some_and(|found| sink(found).is_break()) {
                return Ok(());
            }
            rest = bytes.get(1..).unwrap_or_default();
        }
        if is_last {
            break;
        }
        // A header may cross the end of the window.
        window_at += window.len().saturating_sub(HEADER_SEEN_BYTES - 1).max(1) as u64;
    }
    Ok(())
}

/// Finds out to which log offsets these bytes were written, by the record headers in them. Yields for each header its
/// index in `bytes` and the offset that it names.
///
/// A reused log file may still have old headers, which name lower offsets than the new ones.
pub fn written_offsets(bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let anywhere = Some(LogPosition { offset: 0, next_seq: 1, next_erasure: 1 });
    let mut at = 0;
    iter::from_fn(move || {
        loop {
            at += find_header(bytes.get(at..)?)?;
            let index = at;
            let found = bytes.get(index..)?;
            at += 1;
            let Some((header, _)) = RecordHeader::decode(found) else { continue };
            if header.is_credible(header.offset, found.get(HEADER_BYTES..)?, anywhere) {
                return Some((index, header.offset));
            }
        }
    })
}

/// [`written_offsets`] needs this many bytes from the start of a header.
pub const HEADER_SEEN_BYTES: usize = HEADER_BYTES + BODY_HEADER_BYTES;

/// The bytes that the medium has after the end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// How many bytes may belong to a record whose write was interrupted. At most [`WINDOW_BYTES`] are counted.
    pub(super) bytes: u64,
    /// The full length of that record, if its header is intact. Otherwise the bytes may be old content of the medium.
    pub(super) record: Option<u64>,
}

impl Tail {
    /// Examines the bytes after the end of a log. If another part of the log used the space before (`is_stale`), or the
    /// log was closed here (`is_closed`), only an intact header proves an interrupted record.
    pub(super) fn at<O: StorageReader>(
        log: &O,
        offset: u64,
        is_stale: bool,
        is_closed: bool,
    ) -> Result<Self, StorageError> {
        let bytes = log.read_log(offset, WINDOW_BYTES)?;
        let begun = RecordHeader::decode(&bytes).filter(|(header, _)| header.offset == offset);
        let record = begun.map(|(header, _)| HEADER_BYTES as u64 + header.body_len());
        let max = match record {
            Some(len) => len,
            None if is_stale || is_closed => 0,
            None => u64::MAX,
        };
        let bytes = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| max.min(last as u64 + 1));
        Ok(Self { bytes, record })
    }

    /// The range of the record that may have been started at `offset`, where the log ends; at least its header.
    pub(super) fn reach(self, offset: u64) -> Range<u64> {
        offset..offset.saturating_add(self.record.unwrap_or(HEADER_BYTES as u64))
    }
}

#[cfg(test)]
mod tests;
