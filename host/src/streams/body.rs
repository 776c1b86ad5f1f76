//! Server-Sent Events as the body of an answer.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use argus_core::api::{SSE_HEARTBEAT, SSE_OPENING, write_sse_messages, write_sse_notice};
use bytes::Bytes;

use super::{StreamItem, StreamReader};
use crate::clock::Clock;
use crate::reply_body::{BrokenOff, EventBody, PollChunk};
use crate::runtime::Runtime;
use crate::timer::Timer;

/// Writes what a reader hands out, and a heartbeat when that is nothing for a while.
struct ServerSentEvents<R> {
    reader: StreamReader<R>,
    timer: Timer<R>,
    clock: Clock,
    heartbeat: Duration,
    /// When something was sent last; `None` before the first piece.
    sent_at: Option<Instant>,
}

/// The events of a reader as Server-Sent Events, with a heartbeat after so much silence.
pub(crate) fn server_sent_events<R: Runtime>(
    reader: StreamReader<R>,
    runtime: R,
    clock: Clock,
    heartbeat: Duration,
) -> EventBody {
    let timer = Timer::new(runtime, clock.clone());
    EventBody::new(ServerSentEvents { reader, timer, clock, heartbeat, sent_at: None })
}

impl<R: Runtime> PollChunk for ServerSentEvents<R> {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let now = self.clock.now();
        let Some(sent_at) = self.sent_at.replace(now) else {
            // At once, so that the client knows that the stream has begun.
            return Poll::Ready(Some(Ok(Bytes::from_static(SSE_OPENING))));
        };
        let mut chunk = Vec::new();
        match self.reader.poll_next(cx) {
            Poll::Ready(Some(Ok(StreamItem::Messages(messages)))) => write_sse_messages(&messages, &mut chunk),
            Poll::Ready(Some(Ok(StreamItem::Notice(notice)))) => write_sse_notice(notice, &mut chunk),
            Poll::Ready(Some(Err(broken))) => return Poll::Ready(Some(Err(broken))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending if self.timer.poll_deadline(cx, sent_at + self.heartbeat).is_ready() => {
                return Poll::Ready(Some(Ok(Bytes::from_static(SSE_HEARTBEAT))));
            }
            Poll::Pending => {
                self.sent_at = Some(sent_at);
                return Poll::Pending;
            }
        }
        Poll::Ready(Some(Ok(chunk.into())))
    }
}
