//! The body of an answer on its way into hyper.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::connection_state::ConnectionState;
use crate::reply_body::ReplyBody;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An answer's body, ours or the framework's; when it is dropped the answer is complete.
#[derive(Debug)]
pub(crate) struct WireBody<B> {
    source: Source<B>,
    state: Arc<ConnectionState>,
}

#[derive(Debug)]
pub(crate) enum Source<B> {
    /// Straight from the service.
    Own(ReplyBody),
    /// As the framework gave it back.
    Framework(B),
}

impl<B> WireBody<B> {
    pub(crate) fn new(source: Source<B>, state: Arc<ConnectionState>) -> Self {
        Self { source, state }
    }
}

impl<B> Drop for WireBody<B> {
    fn drop(&mut self) {
        self.state.answer_ends();
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
        match &mut self.source {
            Source::Own(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Source::Framework(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(body) => body.is_end_stream(),
            Source::Framework(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(body) => body.size_hint(),
            Source::Framework(body) => body.size_hint(),
        }
    }
}
