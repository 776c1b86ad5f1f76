//! The body of an answer on its way to hyper.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::connection::Connection;
use crate::reply_body::ReplyBody;
use crate::request_log::Record;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer, from the service or from the framework. Dropping it ends the answer, complete or not.
#[derive(Debug)]
pub(crate) struct WireBody<B> {
    body: AnswerBody<B>,
    connection: Arc<Connection>,
    progress: Progress,
    /// Logged when the body is dropped, complete or not.
    record: Option<Box<Record>>,
}

/// How far an answer's body was read.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// The head of the answer says how long the body is.
    KnownLength,
    /// Of unknown length, and not at its end.
    Streaming,
    /// Of unknown length, and complete.
    Streamed,
    /// Of unknown length, and ended early.
    BrokenOff,
}

#[derive(Debug)]
pub(crate) enum AnswerBody<B> {
    /// From the service.
    Service(ReplyBody),
    /// From the framework.
    Framework(B),
}

impl<B> WireBody<B>
where
    Self: Body,
{
    /// `chunked` says how a body of unknown length is sent: in chunks, or up to the end of the connection. `record` is
    /// told what is sent.
    pub(crate) fn new(
        body: AnswerBody<B>,
        connection: Arc<Connection>,
        chunked: bool,
        record: Option<Box<Record>>,
    ) -> Self {
        let mut body = Self { body, connection, progress: Progress::KnownLength, record };
        let is_empty = body.is_end_stream();
        body.record.iter_mut().for_each(|record| record.sent(0, is_empty));
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            body.progress = Progress::Streaming;
            body.connection.state().streaming_begins(chunked);
        }
        body
    }
}

impl<B> Drop for WireBody<B> {
    fn drop(&mut self) {
        let mut state = self.connection.state();
        match self.progress {
            // The client knows the length, or the connection must end in a reset.
            Progress::KnownLength | Progress::Streaming | Progress::BrokenOff => {}
            Progress::Streamed => state.streaming_ends(),
        }
        state.answer_ends(self.connection.now());
    }
}

impl<B> Body for WireBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match &mut self.body {
            AnswerBody::Service(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(Into::into)),
            AnswerBody::Framework(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(Into::into)),
        };
        let is_last = self.is_end_stream();
        if let Some(record) = &mut self.record {
            match &frame {
                None => record.sent(0, true),
                Some(Ok(frame)) => record.sent(frame.data_ref().map_or(0, Bytes::len), is_last),
                Some(Err(_)) => {}
            }
        }
        if self.progress == Progress::Streaming {
            self.progress = match &frame {
                None => Progress::Streamed,
                Some(Ok(_)) if is_last => Progress::Streamed,
                Some(Ok(_)) => Progress::Streaming,
                Some(Err(_)) => Progress::BrokenOff,
            };
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            AnswerBody::Service(body) => body.is_end_stream(),
            AnswerBody::Framework(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            AnswerBody::Service(body) => body.size_hint(),
            AnswerBody::Framework(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;
    use crate::clock::Clock;
    use crate::connection::Writing;
    use crate::settings::Settings;

    fn answering() -> Arc<Connection> {
        let connection = Connection::open(&Settings::read("test", ["test"]).unwrap(), Clock::default());
        connection.state().request_begins();
        Arc::new(connection)
    }

    fn streamed(pieces: Vec<io::Result<&'static [u8]>>) -> impl Body<Data = Bytes, Error = BoxError> + Unpin {
        let frames = pieces.into_iter().map(|piece| match piece {
            Ok(bytes) => Ok(Frame::data(Bytes::from_static(bytes))),
            Err(error) => Err(BoxError::from(error)),
        });
        StreamBody::new(stream::iter(frames))
    }

    /// What is being written after `frames` frames of a body were read, the body was dropped, and everything was
    /// flushed.
    fn written_after(frames: usize, body: impl Body<Data = Bytes, Error = BoxError> + Unpin) -> Writing {
        let connection = answering();
        let mut body = WireBody::new(AnswerBody::Framework(body), Arc::clone(&connection), true, None);
        for _ in 0..frames {
            let _ = futures_util::FutureExt::now_or_never(body.frame()).unwrap();
        }
        drop(body);
        let mut state = connection.state();
        state.flushed(connection.now());
        state.writing()
    }

    #[test]
    fn an_answer_of_unknown_length_completes_with_its_end() {
        assert_eq!(written_after(2, streamed(vec![Ok(b"a")])), Writing::HyperError);
        assert_eq!(
            written_after(1, streamed(vec![Ok(b"a")])),
            Writing::Streamed,
            "the body was dropped before its end"
        );
    }

    #[test]
    fn an_answer_that_fails_never_completes() {
        let failing = || streamed(vec![Ok(b"a"), Err(io::ErrorKind::Other.into())]);
        assert_eq!(written_after(2, failing()), Writing::Streamed);
        assert_eq!(written_after(3, failing()), Writing::Streamed, "an error ends the body, and does not complete it");
    }

    #[test]
    fn an_answer_of_known_length_needs_no_reset() {
        let whole = || Full::new(Bytes::from_static(b"a")).map_err(BoxError::from);
        assert_eq!(written_after(0, whole()), Writing::HyperError);
        assert_eq!(written_after(1, whole()), Writing::HyperError);
    }
}
