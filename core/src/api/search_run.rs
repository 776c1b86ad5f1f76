//! `GET /events`: a scan, answered piece by piece.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::num::NonZeroU32;
use core::task::Poll;
use core::time::Duration;

use bytes::Bytes;

use super::held_snapshot::HeldSnapshot;
use super::read_step::ReadStep;
use super::search::{ORDER_WARNING, Search};
use super::{Reply, Route};
use crate::query::{Position, Scan};
use crate::repository::{Flow, ReadError, Reader, ScanHead, ScanRun, Snapshot};

/// A chunk is sent when it has this many bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// If nothing was sent for this long, the available part of a streamed answer is sent.
const SEND_AFTER: Duration = Duration::from_millis(20);

/// A running search.
pub(super) struct SearchRun {
    search: Search,
    /// `None` while the run is suspended.
    scan: Option<Running>,
    /// The last sequence number of the first snapshot; later events are not part of the answer.
    last_seq: u64,
    /// All events up to here were examined, and the matching ones are in the body. `None` if no event was examined yet,
    /// or if the run cannot tell.
    position: Option<Position>,
    /// Whether it was suspended before.
    is_continued: bool,
    /// How far the page was chosen when the run was suspended, until its end is known.
    chosen: Option<Chosen>,
    /// The end of the page, if there is a next one.
    page_end: Option<Position>,
    /// The uptime at which the page ends even if it is not full.
    page_due: Duration,
    /// If the page ended before it was full: all events up to here were examined.
    scanned_to: Option<Position>,
    /// Bytes of stored events that earlier scans of this run have read.
    scanned_before: u64,
    phase: Phase,
    /// The part of the body that was not sent yet.
    buffer: Vec<u8>,
    /// Whether an event has been written.
    any: bool,
    /// The uptime at which something was sent last, or the search began.
    sent_at: Duration,
}

/// A page that is being chosen.
#[derive(Clone, Copy)]
struct Chosen {
    /// Everything up to here was examined.
    reached: Position,
    /// The last event so far.
    last: Option<Position>,
    /// How many more events belong to the page. If none, it remains to be seen whether there is a next page.
    left: u32,
}

/// A scan and its snapshot.
struct Running {
    run: Box<dyn ScanRun>,
    has_head: bool,
    snapshot: HeldSnapshot,
    /// The position of the run when the scan began.
    from: Option<Position>,
}

/// The phase of a run.
enum Phase {
    /// The head is not known.
    Head,
    /// The body may still turn out to be small.
    First(Reply),
    /// The head was sent.
    Streaming,
    /// The answer is complete.
    Done,
}

impl SearchRun {
    /// Begins the scan on a snapshot. May wait.
    pub(super) fn begin(
        search: Search,
        snapshot: Arc<dyn Snapshot>,
        page_due: Duration,
        uptime: Duration,
    ) -> Result<Self, ReadError> {
        let last_seq = snapshot.last_seq();
        let scan = Running::begin(snapshot, &search.scan, None, uptime)?;
        let mut buffer = Vec::new();
        search.format.open(&mut buffer);
        Ok(Self {
            search,
            scan: Some(scan),
            last_seq,
            position: None,
            is_continued: false,
            chosen: None,
            page_end: None,
            page_due,
            scanned_to: None,
            scanned_before: 0,
            phase: Phase::Head,
            buffer,
            any: false,
            sent_at: uptime,
        })
    }

    /// As [`ReadRun::poll`](super::ReadRun::poll).
    pub(super) fn poll(&mut self, reader: &Reader, uptime: Duration, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        if self.is_outdated(reader, uptime) {
            drop(self.suspend());
        }
        let mut running = match self.scan.take() {
            Some(running) => running,
            None => Running::begin(reader.take()?, &self.remaining_scan(), self.position(), uptime)?,
        };
        let step = self.advance(&mut running, uptime, budget);
        // A scan that has chosen only the end of the page cannot yield all of it. The next one does.
        let is_head_known = !matches!(self.phase, Phase::Head);
        if !is_head_known || self.chosen.take().is_none() {
            self.scan = Some(running);
        } else {
            self.scanned_before = self.scanned_before.saturating_add(running.run.scanned_bytes());
        }
        step
    }

    /// As [`ReadRun::suspend`](super::ReadRun::suspend).
    pub(super) fn suspend(&mut self) -> Option<Box<dyn Send>> {
        let running = self.scan.as_ref()?;
        match &self.phase {
            Phase::Head => {
                let (count, last) = running.run.chosen()?;
                let before = self.chosen;
                let limit = before.map_or(self.search.scan.limit.map(NonZeroU32::get), |chosen| Some(chosen.left))?;
                self.chosen = Some(Chosen {
                    reached: running.run.reached()?,
                    last: last.or(before.and_then(|chosen| chosen.last)),
                    left: limit.saturating_sub(count),
                });
            }
            Phase::First(_) | Phase::Streaming | Phase::Done => self.position = self.reached(running),
        }
        self.is_continued = true;
        self.scanned_before = self.scanned_bytes();
        self.scan.take().map(|running| -> Box<dyn Send> { Box::new(running.run) })
    }

    /// Bytes of stored events that the run has read.
    pub(super) fn scanned_bytes(&self) -> u64 {
        let current = self.scan.as_ref().map_or(0, |running| running.run.scanned_bytes());
        self.scanned_before.saturating_add(current)
    }

    /// Whether the query has a limit, and the events of the page are known.
    pub(super) fn is_page_chosen(&self) -> bool {
        self.search.scan.limit.is_some() && !matches!(self.phase, Phase::Head)
    }

    /// Whether the query has a limit, and its page may still end before it is full. It cannot if no event was examined
    /// when it should have ended.
    pub(super) fn may_end_early(&self) -> bool {
        let was_asked = self.page_due.is_zero();
        self.search.scan.limit.is_some()
            && matches!(self.phase, Phase::Head)
            && (!was_asked || self.scanned_to.is_some())
    }

    /// Ends the page with the next call of [`poll`](Self::poll), even if it is not full.
    pub(super) fn end_page_now(&mut self) {
        self.page_due = Duration::ZERO;
    }

    /// As [`ReadRun::held_bytes`](super::ReadRun::held_bytes).
    pub(super) fn held_bytes(&self) -> usize {
        let scan = self.scan.as_ref().map_or(0, |running| running.run.held_bytes());
        size_of::<Self>() + self.buffer.capacity() + scan
    }

    /// As [`ReadRun::is_starting`](super::ReadRun::is_starting).
    pub(super) fn is_starting(&self) -> bool {
        self.is_continued && self.scan.as_ref().is_none_or(|running| self.reached(running) == running.from)
    }

    fn reached(&self, running: &Running) -> Option<Position> {
        running.run.reached().or(self.position())
    }

    /// Where the next scan begins.
    fn position(&self) -> Option<Position> {
        self.chosen.map_or(self.position, |chosen| Some(chosen.reached))
    }

    /// Whether the snapshot was replaced and has been held for too long. A scan that is starting keeps it: the next one
    /// would start over, perhaps without end.
    fn is_outdated(&self, reader: &Reader, uptime: Duration) -> bool {
        !self.is_starting() && self.scan.as_ref().is_some_and(|running| running.snapshot.is_outdated(reader, uptime))
    }

    /// The part of the scan that a suspended run has not sent.
    fn remaining_scan(&self) -> Scan {
        let scan = &self.search.scan;
        Scan {
            from: self.position().or(scan.from),
            // Once the page is chosen, its end is fixed.
            limit: self.chosen.map(|chosen| NonZeroU32::new(chosen.left).unwrap_or(NonZeroU32::MIN)),
            to: self.page_end,
            up_to_seq: Some(self.last_seq),
            ..scan.clone()
        }
    }

    fn advance(&mut self, running: &mut Running, uptime: Duration, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        if !running.has_head {
            let Poll::Ready(head) = self.poll_head(&mut *running.run, budget)? else {
                if matches!(self.phase, Phase::Head) && uptime >= self.page_due {
                    self.scanned_to = running.run.end_page();
                }
                return Ok(Poll::Pending);
            };
            running.has_head = true;
            if matches!(self.phase, Phase::Head) {
                self.page_end = head.next;
                let reply = self.reply(head);
                if self.search.head_only {
                    self.phase = Phase::Done;
                    return Ok(Poll::Ready(ReadStep::Whole(reply.into())));
                }
                self.phase = Phase::First(reply);
                if self.chosen.is_some() {
                    return Ok(Poll::Pending);
                }
            }
        }
        match mem::replace(&mut self.phase, Phase::Done) {
            Phase::First(reply) => self.first(&mut *running.run, reply, uptime, budget),
            Phase::Streaming => self.stream(&mut *running.run, uptime, budget),
            Phase::Head | Phase::Done => Ok(Poll::Ready(ReadStep::Done)),
        }
    }

    /// The head, as soon as it is known. A scan that goes on behind a full page need only find one event.
    fn poll_head(&self, run: &mut dyn ScanRun, budget: u32) -> Result<Poll<ScanHead>, ReadError> {
        let head = run.poll_head(budget)?;
        match self.chosen {
            Some(Chosen { left: 0, last, .. }) if run.chosen().is_some_and(|(count, _)| count > 0) => {
                Ok(Poll::Ready(ScanHead { next: last }))
            }
            Some(_) | None => Ok(head),
        }
    }

    fn reply(&self, head: ScanHead) -> Reply {
        let mut reply = Reply::new(Route::Events, 200, self.search.format.media_type(), Bytes::new())
            .with_header("vary", "accept")
            .with_header("argus-last-seq", self.last_seq.to_string());
        if let Some(next) = head.next {
            reply = reply.with_header("link", self.search.next_link(next));
        }
        if let Some(position) = self.scanned_to {
            reply = reply.with_header("argus-scanned-to", self.search.position_text(position));
        }
        if self.search.may_lose_events() {
            reply = reply.with_header("argus-warning", ORDER_WARNING);
        }
        reply
    }

    fn first(
        &mut self,
        run: &mut dyn ScanRun,
        mut reply: Reply,
        uptime: Duration,
        budget: u32,
    ) -> Result<Poll<ReadStep>, ReadError> {
        if self.fill(run, budget)?.is_ready() {
            reply.body = self.take();
            return Ok(Poll::Ready(ReadStep::Whole(reply.into())));
        }
        // A page is small, and its length is known when it is complete.
        let is_due = self.search.scan.limit.is_none() && self.is_due(uptime);
        if self.is_full() || is_due {
            self.sent_at = uptime;
            self.phase = Phase::Streaming;
            return Ok(Poll::Ready(ReadStep::Start(reply.into())));
        }
        self.phase = Phase::First(reply);
        Ok(Poll::Pending)
    }

    fn stream(&mut self, run: &mut dyn ScanRun, uptime: Duration, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        // The step that returned the head may have filled the buffer.
        if !self.is_full() && self.fill(run, budget)?.is_ready() {
            let rest = self.take();
            return Ok(Poll::Ready(if rest.is_empty() { ReadStep::Done } else { ReadStep::Chunk(rest) }));
        }
        self.phase = Phase::Streaming;
        if self.is_full() || (self.is_due(uptime) && !self.buffer.is_empty()) {
            self.sent_at = uptime;
            return Ok(Poll::Ready(ReadStep::Chunk(self.take())));
        }
        Ok(Poll::Pending)
    }

    /// Takes events from the scan until the chunk is full, the budget is used up or the scan ends, which also ends the
    /// body.
    fn fill(&mut self, run: &mut dyn ScanRun, budget: u32) -> Result<Poll<()>, ReadError> {
        let Self { search, buffer, any, position, .. } = self;
        let format = &mut search.format;
        let step = run.poll_events(budget, &mut |event| {
            format.write(&event, *any, buffer);
            *any = true;
            *position = Some(Position { timestamp: event.timestamp, seq: event.seq });
            if buffer.len() < CHUNK_BYTES { Flow::More } else { Flow::Stop }
        })?;
        if step.is_ready() {
            format.close(buffer);
        }
        Ok(step)
    }

    fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK_BYTES
    }

    fn is_due(&self, uptime: Duration) -> bool {
        uptime.saturating_sub(self.sent_at) >= SEND_AFTER
    }

    fn take(&mut self) -> Bytes {
        mem::take(&mut self.buffer).into()
    }
}

impl Running {
    fn begin(
        snapshot: Arc<dyn Snapshot>,
        scan: &Scan,
        from: Option<Position>,
        since: Duration,
    ) -> Result<Self, ReadError> {
        let held = HeldSnapshot::new(&snapshot, since);
        Ok(Self { run: snapshot.scan(scan)?, has_head: false, snapshot: held, from })
    }
}

impl fmt::Debug for SearchRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SearchRun").field("search", &self.search).finish_non_exhaustive()
    }
}
