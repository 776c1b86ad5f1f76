//! The body of an answer: complete, or streamed as fast as the client reads it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use argus_core::api::{ReadRun, ReadStep, Refusal};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

use crate::answers::Admitted;
use crate::metrics::InFlight;

/// The body of an answer. It is `Send`, `Sync` and `Unpin`, and holds at most one chunk of a streamed answer.
#[derive(Debug)]
pub struct ReplyBody {
    content: Content,
    /// The request is in flight until its whole answer was sent.
    _in_flight: Option<InFlight>,
}

/// Why a body was aborted. The connection is reset without the final chunk, so that a partial answer is never mistaken
/// for a complete one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the answer broke off: {reason}")]
pub struct BrokenOff {
    /// Why, for the log.
    pub reason: String,
    /// The answer if nothing was sent yet.
    pub refusal: Refusal,
}

impl BrokenOff {
    /// A query exceeds a limit.
    pub(crate) fn stopped(refusal: Refusal) -> Self {
        Self { reason: "the query exceeds what it may take".to_owned(), refusal }
    }
}

/// A read after a step, and the result of the step.
pub(crate) type Advanced = (ReadRun, Result<Poll<ReadStep>, BrokenOff>);
/// Computes the next step of a read on a thread that may block, and accounts for its memory there.
pub(crate) type Advance = Box<dyn Fn(ReadRun) -> Advancing + Send>;
pub(crate) type Advancing = Pin<Box<dyn Future<Output = Advanced> + Send>>;

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    // Frameworks require `Sync`, though nobody shares the body. The mutex provides it, and is never locked.
    Streamed(Box<Mutex<Streamed>>),
    Events(EventBody),
}

/// A body that does not know its end. A trait, so that bodies do not depend on the executor.
pub(crate) trait PollChunk: Send {
    /// The next piece of the body; `None` at its end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>>;
}

/// The body of a live stream. The mutex is for `Sync`, as above.
pub(crate) struct EventBody(Box<Mutex<dyn PollChunk>>);

struct Streamed {
    /// Has the read while it is parked.
    admitted: Arc<Admitted>,
    advance: Advance,
    state: State,
}

enum State {
    Parked,
    Advancing(Advancing),
    Over,
}

impl ReplyBody {
    pub(crate) fn whole(bytes: Bytes, in_flight: Option<InFlight>) -> Self {
        Self { content: Content::Whole(bytes), _in_flight: in_flight }
    }

    /// The body of an answer whose read is parked.
    pub(crate) fn streamed(admitted: Arc<Admitted>, advance: Advance, in_flight: InFlight) -> Self {
        let streamed = Streamed { admitted, advance, state: State::Parked };
        Self { content: Content::Streamed(Box::new(Mutex::new(streamed))), _in_flight: Some(in_flight) }
    }

    /// The body of a live stream.
    pub(crate) fn events(events: EventBody, in_flight: InFlight) -> Self {
        Self { content: Content::Events(events), _in_flight: Some(in_flight) }
    }

    /// The bytes, if the answer is complete and none of it was sent.
    ///
    /// # Errors
    ///
    /// The body itself, if it is streamed.
    pub fn into_whole(self) -> Result<Bytes, Self> {
        let Self { content, _in_flight } = self;
        match content {
            Content::Whole(bytes) => Ok(bytes),
            content @ (Content::Streamed(_) | Content::Events(_)) => Err(Self { content, _in_flight }),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let piece = match &mut self.content {
            Content::Whole(bytes) if bytes.is_empty() => None,
            Content::Whole(bytes) => Some(Ok(std::mem::take(bytes))),
            Content::Streamed(streamed) => {
                ready!(streamed.get_mut().unwrap_or_else(PoisonError::into_inner).poll_chunk(cx))
            }
            Content::Events(EventBody(events)) => {
                ready!(events.get_mut().unwrap_or_else(PoisonError::into_inner).poll_chunk(cx))
            }
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Streamed(_) | Content::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Streamed(_) | Content::Events(_) => SizeHint::default(),
        }
    }
}

impl Streamed {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Parked => {
                    let run = self.admitted.take().expect("a body whose read is parked takes it once");
                    self.state = State::Advancing((self.advance)(run));
                }
                State::Advancing(mut advancing) => {
                    let Poll::Ready((run, step)) = advancing.as_mut().poll(cx) else {
                        self.state = State::Advancing(advancing);
                        return Poll::Pending;
                    };
                    match step {
                        Ok(Poll::Ready(ReadStep::Chunk(chunk))) if !chunk.is_empty() => {
                            self.admitted.park(run);
                            self.state = State::Parked;
                            return Poll::Ready(Some(Ok(chunk)));
                        }
                        Ok(Poll::Ready(ReadStep::Chunk(_)) | Poll::Pending) => {
                            self.state = State::Advancing((self.advance)(run));
                        }
                        Ok(Poll::Ready(ReadStep::Done)) => return Poll::Ready(None),
                        Ok(Poll::Ready(ReadStep::Stopped(refusal))) => {
                            return Poll::Ready(Some(Err(BrokenOff::stopped(refusal))));
                        }
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

impl EventBody {
    pub(crate) fn new(body: impl PollChunk + 'static) -> Self {
        Self(Box::new(Mutex::new(body)))
    }
}

impl fmt::Debug for EventBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBody").finish_non_exhaustive()
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Parked => "parked",
            State::Advancing(_) => "advancing",
            State::Over => "over",
        };
        f.debug_struct("Streamed").field("state", &state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::VecDeque;
    use std::future::ready;

    use argus_core::api::{Action, Draft, RequestHead, ServiceState};
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::clock;
    use crate::testing::Server;

    type Step = Result<Poll<ReadStep>, BrokenOff>;

    fn chunk(bytes: &'static str) -> Step {
        Ok(Poll::Ready(ReadStep::Chunk(Bytes::from_static(bytes.as_bytes()))))
    }

    fn broken() -> BrokenOff {
        BrokenOff { reason: "as told".to_owned(), refusal: Refusal::Internal }
    }

    /// A body whose run takes these steps.
    fn streamed(server: &Server, steps: Vec<Step>) -> ReplyBody {
        let headers = [("host", b"x".as_slice())];
        let head = RequestHead { method: "GET", target: "/events", headers: &headers, http_10: false, peer: None };
        let Action::Read(read) = server.node.api.handle_request(&head, &ServiceState::default()).0 else {
            panic!("GET /events reads")
        };
        let run = read.begin(clock::moment());
        let admitted = Arc::new(server.node.answers.admit().now_or_never().unwrap());
        admitted.park(run);
        let steps = Mutex::new(VecDeque::from(steps));
        let advance: Advance = Box::new(move |run| Box::pin(ready((run, steps.lock().unwrap().pop_front().unwrap()))));
        ReplyBody::streamed(admitted, advance, server.node.metrics.request_begins())
    }

    /// The next piece, which is there already.
    fn next(body: &mut ReplyBody) -> Option<Result<Bytes, BrokenOff>> {
        let frame = body.frame().now_or_never().unwrap();
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()))
    }

    #[test]
    fn a_whole_body_is_one_piece_of_known_length() {
        let mut body = ReplyBody::whole(Bytes::from_static(b"[]"), None);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
        assert_eq!(next(&mut body), Some(Ok(Bytes::from_static(b"[]"))));
        assert!(body.is_end_stream());
        assert_eq!(next(&mut body), None);
        assert_eq!(ReplyBody::whole(Bytes::from_static(b"[]"), None).into_whole().unwrap(), "[]");
    }

    #[test]
    fn a_streamed_body_passes_over_what_is_no_piece() {
        let server = Server::start("");
        let steps = vec![Ok(Poll::Pending), chunk("a"), chunk(""), chunk("b"), Ok(Poll::Ready(ReadStep::Done))];
        let body = streamed(&server, steps);
        assert_eq!(body.size_hint().exact(), None);
        let mut body = body.into_whole().unwrap_err();
        assert_eq!(next(&mut body), Some(Ok(Bytes::from_static(b"a"))));
        assert_eq!(next(&mut body), Some(Ok(Bytes::from_static(b"b"))));
        assert_eq!(next(&mut body), None);
        assert_eq!(next(&mut body), None, "an end is for good");
    }

    #[test]
    fn a_body_that_breaks_off_says_so_once() {
        let server = Server::start("");
        let mut body = streamed(&server, vec![chunk("a"), Err(broken())]);
        assert_eq!(next(&mut body), Some(Ok(Bytes::from_static(b"a"))));
        assert_eq!(next(&mut body), Some(Err(broken())));
        assert_eq!(next(&mut body), None);
    }

    #[test]
    fn a_second_head_breaks_a_body_off() {
        let server = Server::start("");
        let second = |draft: Draft| [ReadStep::Whole(draft.clone()), ReadStep::Start(draft)];
        for step in second(server.node.api.refuse(argus_core::api::Route::Other, &Refusal::Internal)) {
            let mut body = streamed(&server, vec![chunk("a"), Ok(Poll::Ready(step))]);
            assert_eq!(next(&mut body), Some(Ok(Bytes::from_static(b"a"))));
            assert!(next(&mut body).unwrap().is_err());
        }
    }
}
