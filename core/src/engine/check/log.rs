//! Reads a whole log, across damaged parts.

use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use super::super::log_end::LogEnd;
use super::super::reading::{Evidence, FoundHeader, Record, Tail, Window, find_headers, record_at};
use crate::damage::Affected;
use crate::log::{HEADER_BYTES, LogPosition, RecordHeader};
use crate::storage::{StorageError, StorageReader};

/// Reads a log as recovery does, and continues after damage.
///
/// After an offset without an intact record, records are found by their headers. One counts if a later record says that
/// everything before it was durable; from there on, the chain has to hold again. What follows an offset that no record
/// says was durable is a torn tail, even if it is intact: it was never acknowledged.
pub(in crate::engine) struct LogWalk<'a, O> {
    log: &'a O,
    window: Window,
    at: u64,
    end: u64,
    /// The expected chain of the next record; `None` if unknown.
    chain: Option<u32>,
    next_seq: u64,
    /// Whether the first record, or damage in its place, was passed. Before, log may be missing because it was trimmed.
    is_begun: bool,
    /// A known position before any record that was found, which the medium may no longer have.
    origin: Option<LogPosition>,
    /// Where the log ended when it was closed, if known.
    closed_at: Option<LogEnd>,
    /// The headers after the first offset without an intact record.
    behind: Option<Headers>,
    /// Offset of the last intact record.
    good: Option<u64>,
    /// The sequence number after the events that are known to have existed…
    known: u64,
    /// …and after those that may have existed, and when the last of them was committed, in milliseconds since the Unix
    /// epoch.
    seen: u64,
    millis: i64,
}

/// The next item of a log.
pub(in crate::engine) enum LogItem {
    /// An intact record.
    Record(Record),
    /// Bytes that were durable and are no intact record.
    Damage(Hole),
    /// The end of the log.
    End {
        /// Its offset.
        offset: u64,
        /// What follows it, at least.
        tail: Tail,
        /// If the tail has headers, the first and the last sequence number that it may have had.
        seqs: Option<(u64, u64)>,
    },
}

/// A damaged part of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Hole {
    pub(in crate::engine) offset: u64,
    pub(in crate::engine) end: u64,
    /// The first and the last sequence number in it, if it had any. The last is `u64::MAX` if unknown.
    pub(in crate::engine) seqs: Option<(u64, u64)>,
    /// Whether it had all numbers in between, and not only some.
    pub(in crate::engine) is_exact: bool,
}

impl Hole {
    /// The events that it had.
    pub(in crate::engine) fn affected(&self) -> Affected {
        let Some((first, last)) = self.seqs else { return Affected::Nothing };
        if self.is_exact { Affected::all(first, last) } else { Affected::between(first, last) }
    }
}

/// The events that are affected where a log lacks an intact record that `evidence` says was there. The record would
/// have this chain and end before `end`. Every caller that refuses such a log names the same events as `check`.
pub(in crate::engine) fn affected_at<O: StorageReader>(
    log: &O,
    place: LogPosition,
    chain: u32,
    end: u64,
    closed_at: Option<LogEnd>,
    evidence: Evidence,
) -> Result<Affected, StorageError> {
    let mut walk = LogWalk::new(log, place.offset..end, chain, place.next_seq, closed_at);
    loop {
        match walk.next()? {
            // The record is intact by now: an engine writes to the log.
            LogItem::Record(_) => {}
            LogItem::Damage(hole) => return Ok(hole.affected()),
            LogItem::End { .. } => {
                return Ok(Affected::between(place.next_seq, evidence.next_seq().saturating_sub(1)));
            }
        }
    }
}

/// What is known of all events that were ever in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct LogSummary {
    /// The sequence number after the last event that is known to have existed…
    pub(in crate::engine) known: u64,
    /// …or that may have existed in an unreadable record.
    pub(in crate::engine) seen: u64,
    /// When the last of them was committed, in milliseconds since the Unix epoch.
    pub(in crate::engine) millis: i64,
}

/// Headers in the log.
struct Headers {
    /// Headers that were written where they are, with their offsets.
    whole: Vec<(u64, RecordHeader)>,
    /// The last offset with content that is left from another part of the log.
    stale: Option<u64>,
}

impl<'a, O: StorageReader> LogWalk<'a, O> {
    /// Reads a range of the log, whose first record has this chain and this first sequence number. `closed_at` is where
    /// the log ended when it was closed, if known, and counts like a durability mark there.
    pub(in crate::engine) fn new(
        log: &'a O,
        range: Range<u64>,
        chain: u32,
        next_seq: u64,
        closed_at: Option<LogEnd>,
    ) -> Self {
        let origin = LogPosition { offset: range.start, next_seq };
        Self { chain: Some(chain), is_begun: true, ..Self::from_anywhere(log, range, Some(origin), closed_at) }
    }

    /// Reads from the first record on, wherever it is. `origin` may be a position that the medium no longer has.
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
            is_begun: false,
            origin,
            closed_at,
            behind: None,
            good: None,
            known: next_seq,
            seen: next_seq,
            millis: 0,
        }
    }

    /// The summary, once the end was found.
    pub(in crate::engine) fn after(&self) -> LogSummary {
        LogSummary { known: self.known, seen: self.seen, millis: self.millis }
    }

    /// The next item. Not to be called after [`LogItem::End`].
    pub(in crate::engine) fn next(&mut self) -> Result<LogItem, StorageError> {
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
        // The record at `offset` itself is not intact, unless nothing was read so far.
        let behind = if is_begun { offset + 1 } else { offset };
        let next = self.headers()?.from(behind).find(|(_, header)| header.first_seq >= next_seq).copied();
        match (durable, next) {
            (Some(durable), Some((at, header))) if at <= durable || !is_begun => Ok(self.resume(offset, at, &header)),
            (Some(durable), next) => {
                // The durable part is lost, and what follows it was torn.
                (self.at, self.end) = (durable, durable);
                let last = next.map_or(u64::MAX, |(_, header)| header.first_seq.saturating_sub(1));
                let seqs = (next_seq <= last).then_some((next_seq, last));
                Ok(LogItem::Damage(Hole { offset, end: durable, seqs, is_exact: false }))
            }
            (None, Some((at, header))) if !is_begun => Ok(self.resume(offset, at, &header)),
            (None, _) => {
                let headers = self.headers()?;
                let (last, is_stale) = (headers.whole.last().copied(), headers.stale.is_some_and(|at| at >= offset));
                // Each record but the last ends where the next one says.
                if let Some((_, header)) = last.filter(|&(at, _)| self.good.is_none_or(|good| good < at)) {
                    self.seen = self.seen.max(header.first_seq.saturating_add(header.events_max()));
                }
                self.seen = self.seen.max(self.known);
                let is_mentioned = last.is_some_and(|(at, _)| at >= offset) && self.next_seq < self.seen;
                let seqs = is_mentioned.then(|| (self.next_seq, self.seen - 1));
                let is_closed = self.closed_at.is_some_and(|closed| closed.offset == offset);
                let tail = match offset < self.end {
                    true => Tail::at(self.log, offset, is_stale, is_closed)?,
                    false => Tail::default(),
                };
                Ok(LogItem::End { offset, tail, seqs })
            }
        }
    }

    /// Continues at the header at `at`, after a hole.
    fn resume(&mut self, offset: u64, at: u64, header: &RecordHeader) -> LogItem {
        let seqs = (self.next_seq < header.first_seq).then(|| (self.next_seq, header.first_seq - 1));
        (self.at, self.chain, self.next_seq) = (at, None, header.first_seq);
        self.known = self.known.max(header.first_seq);
        LogItem::Damage(Hole { offset, end: at, seqs, is_exact: true })
    }

    /// The next record, if it is intact.
    fn record(&mut self) -> Result<Option<Record>, StorageError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let Some(record) = record_at(self.log, &mut self.window, self.at)? else { return Ok(None) };
        let Record { header, crc, rows } = &record;
        if self.chain.is_some_and(|chain| chain != header.chain) || header.first_seq != self.next_seq {
            return Ok(None);
        }
        self.good = Some(self.at);
        self.at += HEADER_BYTES as u64 + header.body_len();
        self.chain = Some(*crc);
        self.next_seq += rows.as_ref().map_or(0, |rows| rows.len() as u64);
        self.known = self.known.max(self.next_seq);
        self.seen = self.seen.max(self.next_seq);
        self.millis = self.millis.max(header.millis);
        Ok(Some(record))
    }

    /// All headers after the first offset without an intact record.
    fn headers(&mut self) -> Result<&Headers, StorageError> {
        if self.behind.is_none() {
            let mut headers = Headers { whole: Vec::new(), stale: None };
            let here = LogPosition { offset: self.at, next_seq: self.next_seq };
            let place = if self.is_begun { Some(here) } else { self.origin };
            find_headers(self.log, self.at..self.end, place, |found| {
                match found {
                    FoundHeader::Credible(at, header) => {
                        headers.whole.push((at, header));
                        self.millis = self.millis.max(header.millis);
                    }
                    FoundHeader::Stale(at) => headers.stale = Some(at),
                }
                ControlFlow::Continue(())
            })?;
            if let Some(closed) =
                self.closed_at.filter(|closed| closed.offset > self.at && closed.next_seq > self.next_seq)
            {
                let before = headers.whole.partition_point(|&(at, _)| at < closed.offset);
                headers.whole.insert(before, (closed.offset, closed.as_mark()));
            }
            self.behind = Some(headers);
        }
        Ok(self.behind.get_or_insert(Headers { whole: Vec::new(), stale: None }))
    }
}

impl Headers {
    /// Headers at or after an offset.
    fn from(&self, offset: u64) -> impl Iterator<Item = &(u64, RecordHeader)> {
        let before = self.whole.partition_point(|&(at, _)| at < offset);
        self.whole.iter().skip(before)
    }
}
