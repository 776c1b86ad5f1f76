//! What a request asks for, done: the core is asked, the body read, the batch committed, the query run.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The body of an answer: whole, or computed piece by piece as fast as the client reads. `Send`, `Sync` and `Unpin`.
#[derive(Debug)]
pub struct ReplyBody {}

/// Why a body broke off: the connection is cut, so that nobody takes a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub struct BrokenOff(pub String);

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let _ = cx;
        todo!()
    }

    fn is_end_stream(&self) -> bool {
        todo!()
    }

    fn size_hint(&self) -> SizeHint {
        todo!()
    }
}
