//! The body of an answer: whole, or computed piece by piece as fast as the client takes it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use argus_core::api::{ReadRun, ReadStep, Refusal};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

use crate::metrics::InFlight;

/// The body of an answer. `Send`, `Sync` and `Unpin`, and it holds at most one piece of a streamed answer.
#[derive(Debug)]
pub struct ReplyBody {
    content: Content,
    /// The request is in flight until the last of its answer was taken.
    _in_flight: Option<InFlight>,
}

/// Why a body broke off. The connection is cut without the final chunk, so that nobody takes a part for the whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the answer broke off: {reason}")]
pub struct BrokenOff {
    /// Why, for the log.
    pub reason: String,
    /// What is answered if nothing was sent yet.
    pub refusal: Refusal,
}

/// A read between two of its pieces, or what went wrong with it.
pub(crate) type Advanced = (ReadRun, Result<Poll<ReadStep>, BrokenOff>);
/// Computes the next piece of a read where that may take its time.
pub(crate) type Advance = Box<dyn Fn(ReadRun) -> Advancing + Send>;
pub(crate) type Advancing = Pin<Box<dyn Future<Output = Advanced> + Send>>;

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    // The mutex is never locked, only borrowed through: it makes `Sync` what frameworks want to be so and nobody
    // shares.
    Streamed(Box<Mutex<Streamed>>),
}

struct Streamed {
    advance: Advance,
    state: State,
}

enum State {
    Resting(ReadRun),
    Advancing(Advancing),
    Over,
}

impl ReplyBody {
    pub(crate) fn whole(bytes: Bytes, in_flight: Option<InFlight>) -> Self {
        Self { content: Content::Whole(bytes), _in_flight: in_flight }
    }

    pub(crate) fn streamed(run: ReadRun, advance: Advance, in_flight: InFlight) -> Self {
        let streamed = Streamed { advance, state: State::Resting(run) };
        Self { content: Content::Streamed(Box::new(Mutex::new(streamed))), _in_flight: Some(in_flight) }
    }

    /// The bytes, if the answer is whole and none of it was taken; else the body as it was.
    ///
    /// # Errors
    ///
    /// The body itself, if it is streamed.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        match self.content {
            Content::Whole(bytes) => Ok(bytes),
            content @ Content::Streamed(_) => Err(Self { content, _in_flight: self._in_flight }),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Streamed(streamed) => streamed
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .poll_chunk(cx)
                .map(|chunk| Some(chunk?.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Streamed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Streamed(_) => SizeHint::default(),
        }
    }
}

impl Streamed {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Resting(run) => self.state = State::Advancing((self.advance)(run)),
                State::Advancing(mut advancing) => {
                    let Poll::Ready((run, step)) = advancing.as_mut().poll(cx) else {
                        self.state = State::Advancing(advancing);
                        return Poll::Pending;
                    };
                    match step {
                        Ok(Poll::Ready(ReadStep::Chunk(chunk))) if !chunk.is_empty() => {
                            self.state = State::Resting(run);
                            return Poll::Ready(Some(Ok(chunk)));
                        }
                        Ok(Poll::Ready(ReadStep::Chunk(_)) | Poll::Pending) => self.state = State::Resting(run),
                        Ok(Poll::Ready(ReadStep::Done)) => return Poll::Ready(None),
                        Ok(Poll::Ready(ReadStep::Whole(_) | ReadStep::Start(_))) => {
                            let reason = "a second head in the middle of an answer".to_owned();
                            let misstep = BrokenOff { reason, refusal: Refusal::Internal };
                            return Poll::Ready(Some(Err(misstep)));
                        }
                        Err(broken) => return Poll::Ready(Some(Err(broken))),
                    }
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Resting(_) => "resting",
            State::Advancing(_) => "advancing",
            State::Over => "over",
        };
        f.debug_struct("Streamed").field("state", &state).finish_non_exhaustive()
    }
}
