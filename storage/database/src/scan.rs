//! A running scan.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use argus_core::event::Event;
use argus_core::query::{Conditions, Evaluation, Position, Scan};
use argus_core::repository::{Flow, ReadError, ScanHead, ScanRun};

use crate::bounds::Bounds;
use crate::source::{Row, Source};

/// The most rows that one statement examines.
const ROWS_MAX: usize = 4_096;

/// The fewest.
const ROWS_MIN: usize = 16;

/// The rows of the first page of unknown size.
const ROWS_FIRST: usize = 128;

/// The bytes that the rows of a page should have.
const PAGE_BYTES: usize = 1024 * 1024;

/// The most bytes of chosen events that are kept until they are sent. Those beyond are read twice.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A row and whether it matches; `None` if there are no more rows.
type Examined<R> = Poll<Option<(R, bool)>>;

/// A scan over a snapshot. Each poll asks the server at most once, for a page of rows.
pub struct Run<S: Source> {
    store: Arc<S::Store>,
    scan: Scan,
    /// The last sequence number of the snapshot.
    last_seq: u64,
    source: S,
    conditions: Conditions,
    /// Rows that were read and not examined yet.
    rows: VecDeque<S::Row>,
    /// The memory of these and of those that are kept, in bytes.
    row_bytes: usize,
    /// How many rows the next page has.
    page_rows: usize,
    /// Where the rows that were read end.
    read_to: Option<Position>,
    /// All events up to here were examined.
    examined_to: Option<Position>,
    /// The events to send, if their number is limited.
    chosen: Option<Chosen<S>>,
    scanned_bytes: u64,
}

/// The events of a limited scan. They are chosen before the first one is sent, since the head of the answer tells where
/// the next page begins.
struct Chosen<S: Source> {
    limit: u32,
    count: u32,
    /// The position of the last one.
    last: Option<Position>,
    is_complete: bool,
    /// The next page begins after this position.
    next: Option<Position>,
    /// The first of them, until they are sent.
    kept: VecDeque<S::Row>,
    kept_bytes: usize,
    /// The last one that was kept, if there was no memory for all.
    kept_to: Option<Position>,
    /// Reads those that were not kept.
    rest: Option<Box<Run<S>>>,
    /// All up to here were sent.
    sent_to: Option<Position>,
}

impl<S: Source> Run<S> {
    /// Starts a scan in a snapshot with this last sequence number.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn new(store: Arc<S::Store>, scan: &Scan, last_seq: u64) -> Result<Self, ReadError> {
        let source = S::of(&store, scan, Bounds::of(scan, last_seq))?;
        let chosen = scan.limit.map(|limit| Chosen::new(limit.get()));
        // One more row than the limit shows whether there is another page.
        let wanted = match &chosen {
            Some(chosen) if scan.filter.payload.is_empty() => chosen.limit as usize + 1,
            Some(_) | None => ROWS_FIRST,
        };
        Ok(Self {
            store,
            conditions: Conditions::compile(&scan.filter.payload),
            scan: scan.clone(),
            last_seq,
            source,
            rows: VecDeque::new(),
            row_bytes: 0,
            page_rows: wanted.clamp(ROWS_MIN, ROWS_FIRST),
            read_to: None,
            examined_to: None,
            chosen,
            scanned_bytes: 0,
        })
    }

    /// Reads the next page of rows.
    fn read(&mut self) -> Result<(), ReadError> {
        let (rows, read_to) = self.source.page(&self.store, u32::try_from(self.page_rows).unwrap_or(u32::MAX))?;
        let bytes: usize = rows.iter().map(Row::bytes).sum();
        self.scanned_bytes += bytes as u64;
        self.row_bytes += bytes;
        // As many as have the bytes of a page, if they are like these, but not many more than before.
        let fitting = (self.page_rows * PAGE_BYTES).checked_div(bytes).unwrap_or(ROWS_MAX);
        self.page_rows = fitting.min(8 * self.page_rows).clamp(ROWS_MIN, ROWS_MAX);
        self.rows.extend(rows);
        self.read_to = read_to.or(self.read_to);
        if self.rows.is_empty() {
            self.examined_to = self.read_to;
        }
        Ok(())
    }

    /// The next row, and whether it matches. Reads a page if there is no row and `may_read` is set, and then clears it.
    /// `Pending` if it may not read; `None` if there are no more rows.
    fn examine(&mut self, may_read: &mut bool, left: &mut u32) -> Result<Examined<S::Row>, ReadError> {
        while self.rows.is_empty() {
            if self.source.is_complete() {
                return Ok(Poll::Ready(None));
            }
            if !std::mem::replace(may_read, false) {
                return Ok(Poll::Pending);
            }
            self.read()?;
        }
        let Some(row) = self.rows.pop_front() else { return Ok(Poll::Pending) };
        self.row_bytes -= row.bytes();
        self.examined_to = if self.rows.is_empty() { self.read_to } else { Some(row.position()) };
        let Evaluation { matches, cost } = match self.conditions.is_empty() {
            true => Evaluation { matches: true, cost: 0 },
            false => self.conditions.evaluate(row.payload()?),
        };
        *left = left.saturating_sub(cost.saturating_add(1));
        Ok(Poll::Ready(Some((row, matches))))
    }

    /// Reads the chosen events that were not kept.
    fn rest(&self, chosen: &Chosen<S>) -> Result<Option<Box<Self>>, ReadError> {
        if chosen.kept_to.is_none() {
            return Ok(None);
        }
        let rest = Scan { from: chosen.kept_to, to: chosen.last, limit: None, ..self.scan.clone() };
        Self::new(Arc::clone(&self.store), &rest, self.last_seq).map(|run| Some(Box::new(run)))
    }

    /// Sends chosen events.
    fn send(
        &mut self,
        chosen: &mut Chosen<S>,
        budget: u32,
        sink: &mut dyn FnMut(Event<'_>) -> Flow,
    ) -> Result<Poll<()>, ReadError> {
        for _ in 0..budget.max(1) {
            let Some(row) = chosen.kept.pop_front() else { break };
            self.row_bytes -= row.bytes();
            chosen.sent_to = Some(row.position());
            if sink(row.event()?) == Flow::Stop {
                return Ok(Poll::Pending);
            }
        }
        if !chosen.kept.is_empty() {
            return Ok(Poll::Pending);
        }
        if chosen.rest.is_none() {
            chosen.rest = self.rest(chosen)?;
            chosen.kept_to = None;
        }
        let Some(rest) = &mut chosen.rest else { return Ok(Poll::Ready(())) };
        rest.poll_events(budget, &mut |event| {
            chosen.sent_to = Some(Position { timestamp: event.timestamp, seq: event.seq });
            sink(event)
        })
    }
}

impl<S: Source> ScanRun for Run<S> {
    fn poll_head(&mut self, budget: u32) -> Result<Poll<ScanHead>, ReadError> {
        let Some(mut chosen) = self.chosen.take() else { return Ok(Poll::Ready(ScanHead { next: None })) };
        let (mut left, mut may_read) = (budget.max(1), true);
        while !chosen.is_complete && left > 0 {
            match self.examine(&mut may_read, &mut left)? {
                Poll::Pending => break,
                Poll::Ready(None) => chosen.is_complete = true,
                Poll::Ready(Some((_, true))) if chosen.count == chosen.limit => chosen.end(chosen.last),
                Poll::Ready(Some((row, true))) => self.row_bytes += chosen.take(row),
                Poll::Ready(Some((_, false))) => {}
            }
        }
        if chosen.is_complete {
            self.rows.clear();
            self.row_bytes = chosen.kept_bytes;
        }
        let head = if chosen.is_complete { Poll::Ready(ScanHead { next: chosen.next }) } else { Poll::Pending };
        self.chosen = Some(chosen);
        Ok(head)
    }

    fn end_page(&mut self) -> Option<Position> {
        let chosen = self.chosen.as_mut().filter(|chosen| !chosen.is_complete)?;
        let examined_to = self.examined_to?;
        chosen.end(Some(examined_to));
        Some(examined_to)
    }

    fn chosen(&self) -> Option<(u32, Option<Position>)> {
        self.chosen.as_ref().map(|chosen| (chosen.count, chosen.last))
    }

    fn reached(&self) -> Option<Position> {
        match &self.chosen {
            Some(chosen) if chosen.is_complete => chosen.sent_to,
            Some(_) | None => self.examined_to,
        }
    }

    fn held_bytes(&self) -> usize {
        let rest = self.chosen.as_ref().and_then(|chosen| chosen.rest.as_ref());
        size_of::<Self>() + self.row_bytes + self.source.bytes() + rest.map_or(0, |rest| rest.held_bytes())
    }

    fn scanned_bytes(&self) -> u64 {
        let rest = self.chosen.as_ref().and_then(|chosen| chosen.rest.as_ref());
        self.scanned_bytes + rest.map_or(0, |rest| rest.scanned_bytes())
    }

    fn poll_events(&mut self, budget: u32, sink: &mut dyn FnMut(Event<'_>) -> Flow) -> Result<Poll<()>, ReadError> {
        if let Some(mut chosen) = self.chosen.take() {
            let sent = self.send(&mut chosen, budget, sink);
            self.chosen = Some(chosen);
            return sent;
        }
        let (mut left, mut may_read) = (budget.max(1), true);
        while left > 0 {
            match self.examine(&mut may_read, &mut left)? {
                Poll::Pending => break,
                Poll::Ready(None) => return Ok(Poll::Ready(())),
                Poll::Ready(Some((row, true))) => {
                    if sink(row.event()?) == Flow::Stop {
                        break;
                    }
                }
                Poll::Ready(Some((_, false))) => {}
            }
        }
        Ok(Poll::Pending)
    }
}

impl<S: Source> fmt::Debug for Run<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("scan", &self.scan).finish_non_exhaustive()
    }
}

impl<S: Source> Chosen<S> {
    fn new(limit: u32) -> Self {
        Self {
            limit,
            count: 0,
            last: None,
            is_complete: false,
            next: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
            kept_to: None,
            rest: None,
            sent_to: None,
        }
    }

    /// Chooses another event, and keeps it if there is memory for it. Returns the memory that it takes.
    fn take(&mut self, row: S::Row) -> usize {
        self.count += 1;
        self.last = Some(row.position());
        let bytes = row.bytes();
        let has_room = self.kept.is_empty() || self.kept_bytes + bytes <= KEPT_BYTES_MAX;
        match self.kept_to {
            None if has_room => {
                self.kept.push_back(row);
                self.kept_bytes += bytes;
                return bytes;
            }
            None => self.kept_to = self.kept.back().map(Row::position),
            Some(_) => {}
        }
        0
    }

    /// No more events are chosen.
    fn end(&mut self, next: Option<Position>) {
        (self.is_complete, self.next) = (true, next);
    }
}
