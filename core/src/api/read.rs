//! Requests that read: one state machine for all routes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::task::Poll;
use core::time::Duration;

use super::compress::{Encoder, Negotiated};
use super::erased_count::ErasedCount;
use super::inquiry::Inquiry;
use super::inquiry_run::InquiryRun;
use super::lookup::Lookup;
use super::read_step::ReadStep;
use super::search::Search;
use super::search_run::SearchRun;
use super::{Draft, Limits, Refusal, Route};
use crate::clock::Moment;
use crate::repository::{AnalysisPart, ReadError, Reader};

/// A good budget for [`ReadRun::poll`]: some 100 microseconds of work where events lie in memory.
pub const READ_BUDGET: u32 = 4096;

/// A request that reads, with valid parameters.
#[derive(Debug)]
pub struct Read {
    question: Question,
    allowance: Allowance,
    negotiated: Negotiated,
}

/// What a read may take: see [`Limits`].
#[derive(Clone, Copy, Debug)]
struct Allowance {
    time: Duration,
    query_time: Option<Duration>,
    scan_bytes: Option<u64>,
}

/// What is requested. A new read route is a new variant.
#[derive(Debug)]
pub(super) enum Question {
    Search(Box<Search>),
    Lookup(Lookup),
    /// How many events were erased.
    Erased(Box<ErasedCount>),
    Inquiry(Box<Inquiry>),
}

/// A running read. May be dropped at any time.
///
/// An answer shows one moment: the snapshot that the first [`poll`](Self::poll) took. The run need not keep that
/// snapshot, because stored events never change: a run that was [suspended](Self::suspend), or whose snapshot was
/// replaced a second ago, goes on in a new snapshot after the last event that it sent, and skips events newer than the
/// first snapshot. Events that retention has removed in the meantime are missing.
#[derive(Debug)]
pub struct ReadRun {
    state: State,
    /// The uptime at which the read began.
    begun: Duration,
    allowance: Allowance,
    /// How long the run has computed.
    computed: Duration,
    negotiated: Negotiated,
    /// The encoder of a streamed body, if it has a content coding.
    encoder: Option<Encoder>,
}

/// A part of a read, which another thread can work on at the same time.
pub struct ReadPart(Box<dyn AnalysisPart>);

#[derive(Debug)]
enum State {
    /// No snapshot was taken yet, or the events of an earlier one are counted.
    Asked(Question),
    Searching(Box<SearchRun>),
    Inquiring(Box<InquiryRun>),
    Over,
}

impl Read {
    pub(super) fn new(question: Question, limits: &Limits, negotiated: Negotiated) -> Self {
        let Limits { read_time: time, query_time, scan_bytes_max: scan_bytes, .. } = *limits;
        Self { question, allowance: Allowance { time, query_time, scan_bytes }, negotiated }
    }

    /// The route, for [`Api::refuse`](super::Api::refuse).
    #[must_use]
    pub fn route(&self) -> Route {
        match &self.question {
            Question::Search(_) | Question::Erased(_) => Route::Events,
            Question::Lookup(_) => Route::Event,
            Question::Inquiry(inquiry) => inquiry.route,
        }
    }

    /// Whether the answer may be streamed. Other answers take little memory.
    #[must_use]
    pub fn may_stream(&self) -> bool {
        match &self.question {
            Question::Search(_) | Question::Inquiry(_) => true,
            Question::Lookup(_) | Question::Erased(_) => false,
        }
    }

    /// Starts the read, and the time that it [may take](super::Limits::read_time). Never waits.
    #[must_use]
    pub fn begin(self, now: Moment) -> ReadRun {
        let Self { question, allowance, negotiated } = self;
        ReadRun {
            state: State::Asked(question),
            begun: now.uptime,
            allowance,
            computed: Duration::ZERO,
            negotiated,
            encoder: None,
        }
    }
}

impl ReadRun {
    /// Examines about `budget` events at most. [`Poll::Pending`] means "call again"; nobody is woken. May wait for the
    /// storage, so call it on a thread that may block. `reader` is the repository's current reader, from which the run
    /// takes a snapshot when it needs one.
    ///
    /// # Errors
    ///
    /// [`ReadError`]. Before [`ReadStep::Start`], the host sends the reply of [`Api::refuse`](super::Api::refuse) for
    /// [`Refusal::Unreadable`](super::Refusal::Unreadable). After it, the host resets the connection, so that the
    /// client does not take a part for the whole. The run is over.
    pub fn poll(&mut self, reader: &Reader, now: Moment, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        self.poll_plain(reader, now, budget).map(|step| step.map(|step| self.coded(step)))
    }

    /// The step in the content coding of the answer.
    fn coded(&mut self, step: ReadStep) -> ReadStep {
        match step {
            ReadStep::Whole(Draft(reply)) => ReadStep::Whole(self.negotiated.code(reply).into()),
            ReadStep::Start(Draft(mut head)) => {
                self.encoder = self.negotiated.begin(&mut head);
                ReadStep::Start(head.into())
            }
            ReadStep::Chunk(chunk) => match &mut self.encoder {
                Some(encoder) => ReadStep::Chunk(encoder.encode(&chunk)),
                None => ReadStep::Chunk(chunk),
            },
            ReadStep::Stopped(refusal) => ReadStep::Stopped(refusal),
            // The next poll returns `Done` again.
            ReadStep::Done => {
                self.encoder.take().map_or(ReadStep::Done, |encoder| ReadStep::Chunk(encoder.encode_last(&[])))
            }
        }
    }

    /// As [`poll`](Self::poll), without a content coding.
    fn poll_plain(&mut self, reader: &Reader, now: Moment, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        match mem::replace(&mut self.state, State::Over) {
            State::Asked(Question::Lookup(lookup)) => {
                let reply = lookup.reply(&*reader.take()?)?;
                Ok(Poll::Ready(ReadStep::Whole(reply.into())))
            }
            State::Asked(Question::Erased(mut count)) => Ok(match count.poll(budget)? {
                Poll::Ready(reply) => Poll::Ready(ReadStep::Whole(reply.into())),
                Poll::Pending => {
                    self.state = State::Asked(Question::Erased(count));
                    Poll::Pending
                }
            }),
            State::Asked(Question::Search(search)) => {
                // The other half of the time is for sending the page.
                let page_due = self.begun.saturating_add(self.allowance.time / 2);
                let run = SearchRun::begin(*search, reader.take()?, page_due, now.uptime)?;
                self.search(Box::new(run), reader, now.uptime, budget)
            }
            State::Asked(Question::Inquiry(inquiry)) => {
                let run = InquiryRun::begin(*inquiry, reader, now.uptime, seed(now))?;
                self.inquire(Box::new(run), reader, now.uptime, budget)
            }
            State::Inquiring(run) => {
                if let Some(refusal) = self.exceeded_by(run.scanned_bytes()).filter(|_| run.is_computing()) {
                    return Ok(Poll::Ready(ReadStep::Stopped(refusal)));
                }
                self.inquire(run, reader, now.uptime, budget)
            }
            State::Searching(mut run) => {
                if let Some(refusal) = self.exceeded(&run) {
                    return Ok(Poll::Ready(ReadStep::Stopped(refusal)));
                }
                if self.is_half_spent(&run) {
                    run.end_page_now();
                }
                self.search(run, reader, now.uptime, budget)
            }
            State::Over => Ok(Poll::Ready(ReadStep::Done)),
        }
    }

    /// Adds time that calls of [`poll`](Self::poll) took, which [`Limits::query_time`] limits. The run cannot tell it
    /// from the time that it waits for the client.
    pub fn spend(&mut self, computed: Duration) {
        self.computed = self.computed.saturating_add(computed);
    }

    /// The limit that the run exceeds, if it does. A page ends early instead, if it can. Sending a page is not limited:
    /// it is as long as the events that were asked for, and those are read once.
    fn exceeded(&self, run: &SearchRun) -> Option<Refusal> {
        if run.is_page_chosen() || run.may_end_early() { None } else { self.exceeded_by(run.scanned_bytes()) }
    }

    /// The limit that a run exceeds that has read this number of bytes.
    fn exceeded_by(&self, scanned_bytes: u64) -> Option<Refusal> {
        let Allowance { query_time, scan_bytes, .. } = self.allowance;
        if query_time.is_some_and(|most| self.computed > most) {
            Some(Refusal::QueryTime)
        } else {
            scan_bytes.is_some_and(|most| scanned_bytes > most).then_some(Refusal::QueryBytes)
        }
    }

    /// Whether half of a limit is used up. The other half is for sending a page.
    fn is_half_spent(&self, run: &SearchRun) -> bool {
        let Allowance { query_time, scan_bytes, .. } = self.allowance;
        query_time.is_some_and(|most| self.computed > most / 2)
            || scan_bytes.is_some_and(|most| run.scanned_bytes() > most / 2)
    }

    /// Releases the snapshot and everything read from it; the next [`poll`](Self::poll) continues in a new snapshot.
    /// For a run whose client does not read, or when memory is short. Returns what it releases, so that the caller can
    /// drop it where that may take time; `None` if there is nothing, or if no event was examined yet for a page.
    pub fn suspend(&mut self) -> Option<Box<dyn Send>> {
        match &mut self.state {
            State::Searching(run) => run.suspend(),
            State::Inquiring(run) => run.suspend(),
            State::Asked(_) | State::Over => None,
        }
    }

    /// Whether it was suspended and has examined no event since. Suspended again and again in this state, it would
    /// start over without end.
    #[must_use]
    pub fn is_starting(&self) -> bool {
        match &self.state {
            State::Searching(run) => run.is_starting(),
            State::Inquiring(run) => run.is_starting(),
            State::Asked(_) | State::Over => false,
        }
    }

    /// The memory of the run in bytes. Cheap.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Searching(run) => run.held_bytes(),
            State::Inquiring(run) => run.held_bytes(),
            State::Asked(Question::Erased(count)) => count.held_bytes(),
            State::Asked(Question::Search(_) | Question::Lookup(_) | Question::Inquiry(_)) | State::Over => 0,
        }
    }

    /// Whether the run is answering a question about many events. What it knows so far takes memory that
    /// [`suspend`](Self::suspend) does not release.
    #[must_use]
    pub fn is_inquiring(&self) -> bool {
        match &self.state {
            State::Inquiring(run) => run.is_computing(),
            State::Asked(_) | State::Searching(_) | State::Over => false,
        }
    }

    /// Hands out up to `count` parts of the remaining work, for other threads: none if it is not worth it.
    /// [`join`](Self::join) must return each of them before the next call.
    pub fn split(&mut self, count: usize) -> Vec<ReadPart> {
        match &mut self.state {
            State::Inquiring(run) => run.split(count).into_iter().map(ReadPart).collect(),
            State::Asked(_) | State::Searching(_) | State::Over => Vec::new(),
        }
    }

    /// Takes back a part that [`split`](Self::split) has handed out, finished or not.
    pub fn join(&mut self, part: ReadPart) {
        match &mut self.state {
            State::Inquiring(run) => run.join(part.0),
            // It was stopped.
            State::Asked(_) | State::Searching(_) | State::Over => {}
        }
    }

    /// Whether all that remains is in parts that were handed out, so that to [`poll`](Self::poll) does nothing.
    #[must_use]
    pub fn awaits_parts(&self) -> bool {
        match &self.state {
            State::Inquiring(run) => run.awaits_parts(),
            State::Asked(_) | State::Searching(_) | State::Over => false,
        }
    }

    fn inquire(
        &mut self,
        mut run: Box<InquiryRun>,
        reader: &Reader,
        uptime: Duration,
        budget: u32,
    ) -> Result<Poll<ReadStep>, ReadError> {
        let step = run.poll(reader, uptime, budget)?;
        self.state = if is_last(&step) { State::Over } else { State::Inquiring(run) };
        Ok(step)
    }

    fn search(
        &mut self,
        mut run: Box<SearchRun>,
        reader: &Reader,
        uptime: Duration,
        budget: u32,
    ) -> Result<Poll<ReadStep>, ReadError> {
        let step = run.poll(reader, uptime, budget)?;
        self.state = if is_last(&step) { State::Over } else { State::Searching(run) };
        Ok(step)
    }
}

impl ReadPart {
    /// Examines about `budget` events at most, as [`ReadRun::poll`] does. Ready once none is left.
    ///
    /// # Errors
    ///
    /// [`ReadError`]. The read cannot be continued.
    pub fn poll(&mut self, budget: u32) -> Result<Poll<()>, ReadError> {
        self.0.poll(budget)
    }
}

impl fmt::Debug for ReadPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadPart")
    }
}

/// Whether nothing follows a step.
fn is_last(step: &Poll<ReadStep>) -> bool {
    match step {
        Poll::Ready(ReadStep::Whole(_) | ReadStep::Done | ReadStep::Stopped(_)) => true,
        Poll::Ready(ReadStep::Start(_) | ReadStep::Chunk(_)) | Poll::Pending => false,
    }
}

/// A seed that nobody knows who stores events: the exact time of the first poll.
fn seed(now: Moment) -> u64 {
    let uptime = now.uptime.as_nanos() as u64;
    (now.wall.as_nanos().cast_unsigned() ^ uptime.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
