//! Reads a whole log, across damaged ranges.

use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use super::super::log_end::LogEnd;
use super::super::reading::{Content, Evidence, FoundHeader, Record, Tail, Window, find_headers, record_at};
use crate::damage::Affected;
use crate::log::{HEADER_BYTES, LogPosition, RecordHeader, events_max_in};
use crate::storage::{StorageError, StorageReader};

/// Reads a log as recovery does, and continues after damage.
///
/// After an offset without an intact record, it finds records by their headers. A record counts if a later one says
/// that the log before it was durable; the records after it must be chained to it. Bytes at the end are a torn tail
/// unless a record says that they were durable. Even an intact record there was never acknowledged.
pub(in crate::engine) struct LogWalk<'a, O> {
    log: &'a O,
    window: Window,
    at: u64,
    end: u64,
    /// The expected chain of the next record; `None` if unknown.
    chain: Option<u32>,
    next_seq: u64,
    /// The number of the next erasure.
    next_erasure: u64,
    /// Whether erasures are missing.
    misses_erasures: bool,
    /// Whether there may have been more erasures after the last known one, in a damaged range.
    may_have_more_erasures: bool,
    /// Where the last damaged range ends.
    damaged_to: u64,
    /// Whether the first record, or damage in its place, was read. Before it, the log may have been trimmed.
    is_begun: bool,
    /// A known position at or before the first record. The medium may no longer have its bytes.
    origin: Option<LogPosition>,
    /// Where the log ended when it was closed, if known.
    closed_at: Option<LogEnd>,
    /// The headers after the first offset without an intact record, once they were searched.
    headers_after: Option<Headers>,
    /// The offset of the last intact record.
    last_intact: Option<u64>,
    /// The sequence number after the last event that is known to have existed…
    next_known_seq: u64,
    /// …and after the last event that may have existed.
    next_possible_seq: u64,
    /// The latest commit time in a header, in milliseconds since the Unix epoch.
    millis: i64,
}

/// The next item of a log.
pub(in crate::engine) enum LogItem {
    /// An intact record.
    Record(Record),
    /// Bytes that were durable, but are not intact records.
    Damage(DamagedRange),
    /// The end of the log.
    End {
        /// Its offset.
        offset: u64,
        /// The bytes after it.
        tail: Tail,
        /// If the tail has headers, the first and the last sequence number that its records may have had.
        seqs: Option<(u64, u64)>,
    },
}

/// A damaged range of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct DamagedRange {
    pub(in crate::engine) offset: u64,
    pub(in crate::engine) end: u64,
    /// The first and the last sequence number of its events; `None` if it had no events. The last is `u64::MAX` if
    /// unknown.
    pub(in crate::engine) seqs: Option<(u64, u64)>,
    /// Whether it had all events from the first to the last, apart from skipped numbers: the record that skips them is
    /// damaged, too. Otherwise it is unknown how many it had.
    pub(in crate::engine) is_exact: bool,
}

impl DamagedRange {
    /// Its events.
    pub(in crate::engine) fn affected(&self) -> Affected {
        let Some((first, last)) = self.seqs else { return Affected::Nothing };
        if self.is_exact { Affected::all(first, last) } else { Affected::between(first, last) }
    }
}

/// The events that are affected if `evidence` proves that a record at `position` was durable, but it is not intact.
/// `chain` is the chain that the record must have; `end` is the end of the readable log. So each caller that refuses a
/// damaged log names the same events as `check` does.
pub(in crate::engine) fn affected_at<O: StorageReader>(
    log: &O,
    position: LogPosition,
    chain: u32,
    end: u64,
    closed_at: Option<LogEnd>,
    evidence: Evidence,
) -> Result<Affected, StorageError> {
    let mut walk = LogWalk::new(log, end, chain, position, closed_at);
    loop {
        match walk.next()? {
            // An engine has completed the record in the meantime.
            LogItem::Record(_) => {}
            LogItem::Damage(damaged) => return Ok(damaged.affected()),
            LogItem::End { .. } => {
                return Ok(Affected::between(position.next_seq, evidence.next_seq().saturating_sub(1)));
            }
        }
    }
}

/// What a log shows of all events that were ever in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct LogSummary {
    /// The sequence number after the last event that is known to have existed…
    pub(in crate::engine) next_known_seq: u64,
    /// …and after the last event that may have existed, in an unreadable record.
    pub(in crate::engine) next_possible_seq: u64,
    /// The latest commit time in a header, in milliseconds since the Unix epoch.
    pub(in crate::engine) millis: i64,
    /// Whether there were erasures in damaged ranges, or may have been.
    pub(in crate::engine) may_miss_erasures: bool,
}

/// Headers in the log.
struct Headers {
    /// Headers of this part of the log, with their offsets.
    credible: Vec<(u64, RecordHeader)>,
    /// The offset of the last header that was written to another part of the log.
    last_stale: Option<u64>,
}

impl<'a, O: StorageReader> LogWalk<'a, O> {
    /// Reads the log from this position to `end`. The first record has this chain. `closed_at` is where the log ended
    /// when it was closed, if known, and counts like a durability mark there.
    pub(in crate::engine) fn new(
        log: &'a O,
        end: u64,
        chain: u32,
        origin: LogPosition,
        closed_at: Option<LogEnd>,
    ) -> Self {
        let range = origin.offset..end;
        Self { chain: Some(chain), is_begun: true, ..Self::from_anywhere(log, range, Some(origin), closed_at) }
    }

    /// Reads from the first record in the range on, wherever that is. `origin` is a known position at or before it.
    pub(in crate::engine) fn from_anywhere(
        log: &'a O,
        range: Range<u64>,
        origin: Option<LogPosition>,
        closed_at: Option<LogEnd>,
    ) -> Self {
        let Range { start: at, end } = range;
        let next_seq = origin.map_or(1, |origin| origin.next_seq);
        let window = Window::default();
        Self {
            log,
            window,
            at,
            end,
            chain: None,
            next_seq,
            next_erasure: origin.map_or(1, |origin| origin.next_erasure),
            misses_erasures: false,
            may_have_more_erasures: false,
            damaged_to: 0,
            is_begun: false,
            origin,
            closed_at,
            headers_after: None,
            last_intact: None,
            next_known_seq: next_seq,
            next_possible_seq: next_seq,
            millis: 0,
        }
    }

    /// The summary. Call this after [`LogItem::End`].
    pub(in crate::engine) fn summary(&self) -> LogSummary {
        let Self { next_known_seq, next_possible_seq, millis, next_erasure, .. } = *self;
        // If the log was closed, it is known how many there were until then.
        let closed_with = self.closed_at.map_or(0, |closed| closed.next_erasure);
        let is_known =
            closed_with == next_erasure && self.closed_at.is_some_and(|closed| closed.offset >= self.damaged_to);
        let may_miss_erasures =
            self.misses_erasures || (self.may_have_more_erasures && !is_known) || closed_with > next_erasure;
        LogSummary { next_known_seq, next_possible_seq, millis, may_miss_erasures }
    }

    /// Takes into account that there may have been more records, of which nothing is left.
    pub(in crate::engine) fn doubt_erasures(&mut self) {
        (self.may_have_more_erasures, self.damaged_to) = (true, u64::MAX);
    }

    /// The next item. Do not call this after [`LogItem::End`].
    pub(in crate::engine) fn next(&mut self) -> Result<LogItem, StorageError> {
        let item = self.next_item()?;
        if let LogItem::Damage(damaged) = &item {
            (self.may_have_more_erasures, self.damaged_to) = (true, damaged.end);
        }
        Ok(item)
    }

    fn next_item(&mut self) -> Result<LogItem, StorageError> {
        if self.is_begun
            && let Some(record) = self.record()?
        {
            return Ok(LogItem::Record(record));
        }
        let durable = {
            let at = self.at;
            let headers = self.headers()?;
            headers.from(at).map(|&(_, header)| header.durable).max().filter(|&durable| durable > at)
        };
        let is_begun = core::mem::replace(&mut self.is_begun, true);
        let offset = self.at;
        let next_seq = self.next_seq;
        // At the beginning, the record at `offset` may be intact. Later it is not.
        let search_from = if is_begun { offset + 1 } else { offset };
        let next = self.headers()?.from(search_from).find(|(_, header)| header.first_seq >= next_seq).copied();
        match (durable, next) {
            (Some(durable), Some((at, header))) if at <= durable || !is_begun => Ok(self.resume(offset, at, &header)),
            (Some(durable), next) => {
                // The durable part is damaged up to its end, and a torn tail follows.
                (self.at, self.end) = (durable, durable);
                let last = next.map_or(u64::MAX, |(_, header)| header.first_seq.saturating_sub(1));
                let seqs = (next_seq <= last).then_some((next_seq, last));
                Ok(LogItem::Damage(DamagedRange { offset, end: durable, seqs, is_exact: false }))
            }
            (None, Some((at, header))) if !is_begun => Ok(self.resume(offset, at, &header)),
            (None, _) => self.end_at(offset),
        }
    }

    /// The end of the log, at this offset.
    fn end_at(&mut self, offset: u64) -> Result<LogItem, StorageError> {
        let headers = self.headers()?;
        let last = headers.credible.last().copied();
        let is_stale = headers.last_stale.is_some_and(|at| at >= offset);
        // Only the number of events in the last record is unknown: the others end where the next one begins.
        if let Some((_, header)) = last.filter(|&(at, _)| self.last_intact.is_none_or(|intact| intact < at)) {
            let next_seq = header.first_seq.saturating_add(header.events_max());
            self.next_possible_seq = self.next_possible_seq.max(next_seq);
        }
        self.next_possible_seq = self.next_possible_seq.max(self.next_known_seq);
        let has_headers = last.is_some_and(|(at, _)| at >= offset);
        let may_have_events = has_headers && self.next_seq < self.next_possible_seq;
        let seqs = may_have_events.then(|| (self.next_seq, self.next_possible_seq - 1));
        let is_closed = self.closed_at.is_some_and(|closed| closed.offset == offset);
        let tail = if offset < self.end { Tail::at(self.log, offset, is_stale, is_closed)? } else { Tail::default() };
        Ok(LogItem::End { offset, tail, seqs })
    }

    /// Continues at the header at `at`. Returns the damaged range before it, from `offset` on.
    fn resume(&mut self, offset: u64, at: u64, header: &RecordHeader) -> LogItem {
        let seqs = (self.next_seq < header.first_seq).then(|| (self.next_seq, header.first_seq - 1));
        // If there was no space for so many events, most of these numbers were skipped.
        let is_exact = header.first_seq.saturating_sub(self.next_seq) <= events_max_in(at.saturating_sub(offset));
        (self.at, self.chain, self.next_seq) = (at, None, header.first_seq);
        self.next_known_seq = self.next_known_seq.max(header.first_seq);
        LogItem::Damage(DamagedRange { offset, end: at, seqs, is_exact })
    }

    /// The next record, if it is intact.
    fn record(&mut self) -> Result<Option<Record>, StorageError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let Some(record) = record_at(self.log, &mut self.window, self.at)? else { return Ok(None) };
        let Record { header, crc, content } = &record;
        if self.chain.is_some_and(|chain| chain != header.chain) || header.first_seq != self.next_seq {
            return Ok(None);
        }
        self.last_intact = Some(self.at);
        self.at += HEADER_BYTES as u64 + header.body_len();
        self.chain = Some(*crc);
        match content {
            Content::Mark => {}
            // Perhaps an erasure by a later version.
            Content::Unknown => self.misses_erasures = true,
            Content::Events(rows) => self.next_seq += rows.len() as u64,
            Content::Skip(next_seq) => self.next_seq = *next_seq,
            Content::Erasure(erasure) => {
                // The numbers have no gaps. Without a manifest, nothing is known of those before the first one.
                self.misses_erasures |= erasure.number > self.next_erasure;
                self.may_have_more_erasures = false;
                self.next_erasure = erasure.number + 1;
            }
        }
        self.next_known_seq = self.next_known_seq.max(self.next_seq);
        self.next_possible_seq = self.next_possible_seq.max(self.next_seq);
        self.millis = self.millis.max(header.millis);
        Ok(Some(record))
    }

    /// The headers after the first offset without an intact record. The first call searches the rest of the log.
    fn headers(&mut self) -> Result<&Headers, StorageError> {
        let headers = match self.headers_after.take() {
            Some(headers) => headers,
            None => self.search_headers()?,
        };
        Ok(self.headers_after.insert(headers))
    }

    fn search_headers(&mut self) -> Result<Headers, StorageError> {
        let mut headers = Headers { credible: Vec::new(), last_stale: None };
        let Self { at: offset, next_seq, next_erasure, .. } = *self;
        let here = LogPosition { offset, next_seq, next_erasure };
        let before = if self.is_begun { Some(here) } else { self.origin };
        find_headers(self.log, self.at..self.end, before, |found| {
            match found {
                FoundHeader::Credible(at, header) => {
                    headers.credible.push((at, header));
                    self.millis = self.millis.max(header.millis);
                }
                FoundHeader::Stale(at) => headers.last_stale = Some(at),
            }
            ControlFlow::Continue(())
        })?;
        let is_ahead = |closed: &LogEnd| closed.offset > offset && closed.is_ahead_of(here);
        if let Some(closed) = self.closed_at.filter(is_ahead) {
            let index = headers.credible.partition_point(|&(at, _)| at < closed.offset);
            headers.credible.insert(index, (closed.offset, closed.as_mark()));
        }
        Ok(headers)
    }
}

impl Headers {
    /// The credible headers at or after an offset.
    fn from(&self, offset: u64) -> impl Iterator<Item = &(u64, RecordHeader)> {
        let before = self.credible.partition_point(|&(at, _)| at < offset);
        self.credible.iter().skip(before)
    }
}
