//! Requests that read: one state machine, whatever the route.

use alloc::boxed::Box;
use core::mem;
use core::task::Poll;
use core::time::Duration;

use bytes::Bytes;

use super::lookup::Lookup;
use super::search::{Search, SearchRun};
use super::{Reply, Route};
use crate::clock::Moment;
use crate::repository::{ReadError, Reader};

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
#[derive(Debug)]
pub struct ReadRun {
    state: State,
    /// The uptime at which it began.
    begun: Duration,
    time: Duration,
}

/// What a step of a read gave.
#[derive(Debug)]
pub enum ReadStep {
    /// The whole answer. The run is over.
    Whole(Reply),
    /// The head of a streamed answer (its body is empty); chunks follow.
    Start(Reply),
    /// The next piece of the body, at most about 64 KiB plus one event.
    Chunk(Bytes),
    /// The body is complete. The run is over.
    Done,
}

#[derive(Debug)]
enum State {
    /// No snapshot was taken yet.
    Asked(Question, Reader),
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

    /// Begins at this moment; from here on the time counts that the read [may take](super::Limits::read_time). Does
    /// nothing that may wait: a [shared](Reader::Shared) reader is asked in the first [`poll`](ReadRun::poll).
    #[must_use]
    pub fn begin(self, reader: Reader, now: Moment) -> ReadRun {
        ReadRun { state: State::Asked(self.question, reader), begun: now.uptime, time: self.time }
    }
}

impl ReadRun {
    /// Examines about `budget` events at most. [`Poll::Pending`] means "call again"; nobody is woken. May wait for the
    /// storage, so that it is to be called where that is allowed.
    ///
    /// # Errors
    ///
    /// [`ReadError`]: before [`ReadStep::Start`] the host sends [`Api::refuse`](super::Api::refuse) with
    /// [`Refusal::Unreadable`](super::Refusal::Unreadable); after it, it cuts the connection, so that nobody takes a
    /// part for the whole. The run is of no further use.
    pub fn poll(&mut self, now: Moment, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        match mem::replace(&mut self.state, State::Over) {
            State::Asked(Question::Lookup(lookup), reader) => {
                let reply = lookup.reply(&*reader.take()?)?;
                Ok(Poll::Ready(ReadStep::Whole(reply)))
            }
            State::Asked(Question::Search(search), reader) => {
                // The other half is for the way to the client.
                let page_due = self.begun.saturating_add(self.time / 2);
                let run = search.begin(reader.take()?, page_due, now.uptime)?;
                self.search(Box::new(run), now.uptime, budget)
            }
            State::Searching(run) => self.search(run, now.uptime, budget),
            State::Over => Ok(Poll::Ready(ReadStep::Done)),
        }
    }

    fn search(&mut self, mut run: Box<SearchRun>, uptime: Duration, budget: u32) -> Result<Poll<ReadStep>, ReadError> {
        let step = run.poll(uptime, budget)?;
        self.state = match step {
            Poll::Ready(ReadStep::Whole(_) | ReadStep::Done) => State::Over,
            Poll::Ready(ReadStep::Start(_) | ReadStep::Chunk(_)) | Poll::Pending => State::Searching(run),
        };
        Ok(step)
    }
}
