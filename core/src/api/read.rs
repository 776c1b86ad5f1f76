//! Requests that read: one state machine, whatever the route.

use alloc::boxed::Box;
use core::mem;
use core::task::Poll;
use core::time::Duration;

use super::Route;
use super::lookup::Lookup;
use super::read_step::ReadStep;
use super::search::{Search, SearchRun};
use crate::clock::Moment;
use crate::repository::{ReadError, Reader, ScanRun};

/// A good budget for [`ReadRun::poll`]: some 100 microseconds of work where events lie in memory.
pub const READ_BUDGET: u32 = 4096;

/// A request that reads, and whose parameters are in order.
#[derive(Debug)]
pub struct Read {
    question: Question,
    /// How long it may take.
    time: Duration,
}

/// What is asked. A new read route is one more variant.
#[derive(Debug)]
pub(super) enum Question {
    Search(Box<Search>),
    Lookup(Lookup),
}

/// A read under way. May be dropped at any point.
///
/// An answer shows one moment: the snapshot that its first [`poll`](Self::poll) took. It does not hold on to that
/// snapshot. Stored events never change, so a run that is [suspended](Self::suspend), or whose snapshot was replaced a
/// second ago, goes on in a new snapshot behind the last event that it gave, without the events that are newer than the
/// first snapshot. Events that retention has removed meanwhile are missing from then on.
#[derive(Debug)]
pub struct ReadRun {
    state: State,
    /// The uptime at which it began.
    begun: Duration,
    time: Duration,
}

#[derive(Debug)]
enum State {
    /// No snapshot was taken yet.
    Asked(Question),
    Searching(Box<SearchRun>),
    Over,
}

impl Read {
    pub(super) fn new(question: Question, time: Duration) -> Self {
        Self { question, time }
    }

    /// The route, for [`Api::refuse`](super::Api::refuse).
    #[must_use]
    pub fn route(&self) -> Route {
        match &self.question {
            Question::Search(_) => Route::Events,
            Question::Lookup(_) => Route::Event,
        }
    }

    /// Whether its answer may be so long that it is streamed. The others take little memory.
    #[must_use]
    pub fn may_stream(&self) -> bool {
        match &self.question {
            Question::Search(_) => true,
            Question::Lookup(_) => false,
        }
    }

    /// Begins at this moment; from here on the time counts that the read [may take](super::Limits::read_time). Does
    /// nothing that may wait.
    #[must_use]
    pub fn begin(self, now: Moment) -> ReadRun {
        ReadRun { state: State::Asked(self.question), begun: now.uptime, time: self.time }
    }
}

impl ReadRun {
    /// Examines about `budget` events at most. [`Poll::Pending`] means "call again"; nobody is woken. May wait for the
    /// storage, so that it is to be called where that is allowed. `reader` is the repository's current one, which the
    /// run asks for a snapshot when it needs one.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: before [`ReadStep::Start`] the host sends [`Api::refuse`](super::Api::refuse) with
    /// [`Refusal::Unreadable`](super::Refusal::Unreadable); after it, it cuts the connection, so that nobody takes a
    /// part for the whole. The run is of no further use.
    pub fn poll(&mut self, reader: &Reader, now: Moment, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        match mem::replace(&mut self.state, State::Over) {
            State::Asked(Question::Lookup(lookup)) => {
                let reply = lookup.reply(&*reader.take()?)?;
                Ok(Poll::Ready(ReadStep::Whole(reply)))
            }
            State::Asked(Question::Search(search)) => {
                // The other half is for the way to the client.
                let page_due = self.begun.saturating_add(self.time / 2);
                let run = search.begin(reader.take()?, page_due, now.uptime)?;
                self.search(Box::new(run), reader, now.uptime, budget)
            }
            State::Searching(run) => self.search(run, reader, now.uptime, budget),
            State::Over => Ok(Poll::Ready(ReadStep::Done)),
        }
    }

    /// Lets go of the snapshot and of all that was read from it, once the head is known; the next [`poll`](Self::poll)
    /// goes on in a new snapshot. For a run whose client does not take what it is given. What it lets go is handed out,
    /// so that the caller can drop it where that may take its time.
    pub fn suspend(&mut self) -> Option<Box<dyn ScanRun>> {
        match &mut self.state {
            State::Searching(run) => run.suspend(),
            State::Asked(_) | State::Over => None,
        }
    }

    /// Bytes of memory that the run holds. Cheap.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Searching(run) => run.held_bytes(),
            State::Asked(_) | State::Over => 0,
        }
    }

    fn search(
        &mut self,
        mut run: Box<SearchRun>,
        reader: &Reader,
        uptime: Duration,
        budget: u32,
    ) -> Result<Poll<ReadStep>, ReadError> {
        let step = run.poll(reader, uptime, budget)?;
        self.state = match step {
            Poll::Ready(ReadStep::Whole(_) | ReadStep::Done) => State::Over,
            Poll::Ready(ReadStep::Start(_) | ReadStep::Chunk(_)) | Poll::Pending => State::Searching(run),
        };
        Ok(step)
    }
}
