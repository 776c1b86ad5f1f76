//! Reads a log from end to end, damaged parts included.

use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use super::super::log_end::LogEnd;
use super::super::reading::{Claim, FoundHead, Record, Tail, Window, find_heads, record_at};
use crate::damage::Concerned;
use crate::log::{HEAD_BYTES, Place, RecordHead};
use crate::storage::{StorageError, StorageReader};

/// Goes through a log as recovery does, and on behind what is damaged.
///
/// Behind a place without a good record, records are found by their heads. One of them is taken if another says that
/// all before it was durable; from there on each has to follow the one before again. What lies behind a place that
/// nobody says was durable is the torn end of the log, whole or not: nobody was told that it is there.
pub(in crate::engine) struct LogWalk<'a, O> {
    log: &'a O,
    window: Window,
    at: u64,
    end: u64,
    /// What the next record has to say of the one before; `None` if that is not known.
    chain: Option<u32>,
    next_seq: u64,
    /// Whether the log was given up, or is lost, up to here.
    is_begun: bool,
    /// A place that is known of the log before any record was found, whether or not it is still there.
    origin: Option<Place>,
    /// Where it ended when it was closed, if that is known.
    closed_at: Option<LogEnd>,
    /// What was found behind the first place without a good record.
    behind: Option<Heads>,
    /// Where the last good record begins.
    good: Option<u64>,
    /// The sequence number behind the events that are known to have been…
    known: u64,
    /// …and behind those that may have been, and when the last of them was committed, in milliseconds since the Unix
    /// epoch.
    seen: u64,
    millis: i64,
}

/// What follows in a log.
pub(in crate::engine) enum Piece {
    /// A good record.
    Record(Record),
    /// Something that was durable and is no record any more.
    Damage(Hole),
    /// The end.
    End {
        /// Where it is.
        offset: u64,
        /// What there is behind it, at least.
        tail: Tail,
        /// If there are heads in that, the first and the last sequence number that may have been in it.
        seqs: Option<(u64, u64)>,
    },
}

/// A damaged part of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Hole {
    pub(in crate::engine) offset: u64,
    pub(in crate::engine) end: u64,
    /// The first and the last sequence number that were in it, if there were any. The last is `u64::MAX` if it is
    /// unknown.
    pub(in crate::engine) seqs: Option<(u64, u64)>,
    /// Whether all numbers between were in it, and not only some.
    pub(in crate::engine) is_exact: bool,
}

impl Hole {
    /// The events that were in it.
    pub(in crate::engine) fn concerned(&self) -> Concerned {
        let Some((first, last)) = self.seqs else { return Concerned::Nothing };
        if self.is_exact { Concerned::all(first, last) } else { Concerned::between(first, last) }
    }
}

/// The events that are concerned where a log has no good record, though `claim` says that there was one. The record
/// would have this chain, and would be found before `end`. Whoever refuses such a log names them as `check` does.
pub(in crate::engine) fn concerned_at<O: StorageReader>(
    log: &O,
    place: Place,
    chain: u32,
    end: u64,
    closed_at: Option<LogEnd>,
    claim: Claim,
) -> Result<Concerned, StorageError> {
    let mut walk = LogWalk::new(log, place.offset..end, chain, place.next_seq, closed_at);
    loop {
        match walk.next()? {
            // It has become good since then: somebody writes to the log.
            Piece::Record(_) => {}
            Piece::Damage(hole) => return Ok(hole.concerned()),
            Piece::End { .. } => return Ok(Concerned::between(place.next_seq, claim.next_seq().saturating_sub(1))),
        }
    }
}

/// What is known of the events that were ever in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct After {
    /// Behind the highest sequence number of an event that is known to have been…
    pub(in crate::engine) known: u64,
    /// …or that may have been, in a record that cannot be read.
    pub(in crate::engine) seen: u64,
    /// When the last of them was committed, in milliseconds since the Unix epoch.
    pub(in crate::engine) millis: i64,
}

/// Heads in the log.
struct Heads {
    /// Those that were written where they stand.
    whole: Vec<(u64, RecordHead)>,
    /// The last place where something stands that another part of the log has left.
    stale: Option<u64>,
}

impl<'a, O: StorageReader> LogWalk<'a, O> {
    /// Through a part of the log. The first record has this chain, and its first sequence number is `next_seq`.
    /// `closed_at` is where the log ended when it was closed, if that is known: as good as a record there, which says
    /// that all before it was durable.
    pub(in crate::engine) fn new(
        log: &'a O,
        range: Range<u64>,
        chain: u32,
        next_seq: u64,
        closed_at: Option<LogEnd>,
    ) -> Self {
        let origin = Place { offset: range.start, next_seq };
        Self { chain: Some(chain), is_begun: true, ..Self::from_anywhere(log, range, Some(origin), closed_at) }
    }

    /// From the first record on, wherever it is and whatever came before. `origin` may be a place that is not there any
    /// more.
    pub(in crate::engine) fn from_anywhere(
        log: &'a O,
        range: Range<u64>,
        origin: Option<Place>,
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

    /// What the log says of the time behind it, when its end was found.
    pub(in crate::engine) fn after(&self) -> After {
        After { known: self.known, seen: self.seen, millis: self.millis }
    }

    /// What follows. Nothing follows the end.
    pub(in crate::engine) fn next(&mut self) -> Result<Piece, StorageError> {
        if self.is_begun
            && let Some(record) = self.record()?
        {
            return Ok(Piece::Record(record));
        }
        let durable = {
            let at = self.at;
            let heads = self.heads()?;
            heads.from(at).map(|&(_, head)| head.durable).max().filter(|&durable| durable > at)
        };
        let is_begun = core::mem::replace(&mut self.is_begun, true);
        let offset = self.at;
        let next_seq = self.next_seq;
        // A record at the place itself is not good, unless nothing was looked at so far.
        let behind = if is_begun { offset + 1 } else { offset };
        let next = self.heads()?.from(behind).find(|(_, head)| head.first_seq >= next_seq).copied();
        match (durable, next) {
            (Some(durable), Some((at, head))) if at <= durable || !is_begun => Ok(self.resume(offset, at, &head)),
            (Some(durable), next) => {
                // What was durable is gone; what came behind it was torn.
                (self.at, self.end) = (durable, durable);
                let last = next.map_or(u64::MAX, |(_, head)| head.first_seq.saturating_sub(1));
                let seqs = (next_seq <= last).then_some((next_seq, last));
                Ok(Piece::Damage(Hole { offset, end: durable, seqs, is_exact: false }))
            }
            (None, Some((at, head))) if !is_begun => Ok(self.resume(offset, at, &head)),
            (None, _) => {
                let heads = self.heads()?;
                let (last, is_stale) = (heads.whole.last().copied(), heads.stale.is_some_and(|at| at >= offset));
                // Each but the last ends where the next one says.
                if let Some((_, head)) = last.filter(|&(at, _)| self.good.is_none_or(|good| good < at)) {
                    self.seen = self.seen.max(head.first_seq.saturating_add(head.events_max()));
                }
                self.seen = self.seen.max(self.known);
                let is_mentioned = last.is_some_and(|(at, _)| at >= offset) && self.next_seq < self.seen;
                let seqs = is_mentioned.then(|| (self.next_seq, self.seen - 1));
                let is_closed = self.closed_at.is_some_and(|closed| closed.offset == offset);
                let tail = match offset < self.end {
                    true => Tail::at(self.log, offset, is_stale, is_closed)?,
                    false => Tail::default(),
                };
                Ok(Piece::End { offset, tail, seqs })
            }
        }
    }

    /// Goes on at the head at `at`, with a hole before it.
    fn resume(&mut self, offset: u64, at: u64, head: &RecordHead) -> Piece {
        let seqs = (self.next_seq < head.first_seq).then(|| (self.next_seq, head.first_seq - 1));
        (self.at, self.chain, self.next_seq) = (at, None, head.first_seq);
        self.known = self.known.max(head.first_seq);
        Piece::Damage(Hole { offset, end: at, seqs, is_exact: true })
    }

    /// The record that follows, if it is good.
    fn record(&mut self) -> Result<Option<Record>, StorageError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let Some(record) = record_at(self.log, &mut self.window, self.at)? else { return Ok(None) };
        let Record { head, crc, rows } = &record;
        if self.chain.is_some_and(|chain| chain != head.chain) || head.first_seq != self.next_seq {
            return Ok(None);
        }
        self.good = Some(self.at);
        self.at += HEAD_BYTES as u64 + head.body_len();
        self.chain = Some(*crc);
        self.next_seq += rows.as_ref().map_or(0, |rows| rows.len() as u64);
        self.known = self.known.max(self.next_seq);
        self.seen = self.seen.max(self.next_seq);
        self.millis = self.millis.max(head.millis);
        Ok(Some(record))
    }

    /// All heads behind the first place without a good record.
    fn heads(&mut self) -> Result<&Heads, StorageError> {
        if self.behind.is_none() {
            let mut heads = Heads { whole: Vec::new(), stale: None };
            let here = Place { offset: self.at, next_seq: self.next_seq };
            let place = if self.is_begun { Some(here) } else { self.origin };
            find_heads(self.log, self.at..self.end, place, |found| {
                match found {
                    FoundHead::Credible(at, head) => {
                        heads.whole.push((at, head));
                        self.millis = self.millis.max(head.millis);
                    }
                    FoundHead::Stale(at) => heads.stale = Some(at),
                }
                ControlFlow::Continue(())
            })?;
            if let Some(closed) =
                self.closed_at.filter(|closed| closed.offset > self.at && closed.next_seq > self.next_seq)
            {
                let before = heads.whole.partition_point(|&(at, _)| at < closed.offset);
                heads.whole.insert(before, (closed.offset, closed.as_mark()));
            }
            self.behind = Some(heads);
        }
        Ok(self.behind.get_or_insert(Heads { whole: Vec::new(), stale: None }))
    }
}

impl Heads {
    /// Those at or behind an offset.
    fn from(&self, offset: u64) -> impl Iterator<Item = &(u64, RecordHead)> {
        let before = self.whole.partition_point(|&(at, _)| at < offset);
        self.whole.iter().skip(before)
    }
}
