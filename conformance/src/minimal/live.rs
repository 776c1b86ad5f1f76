//! One live stream: its reader, and what is written to its client.

use std::io;
use std::sync::PoisonError;
use std::task::Poll;
use std::time::{Duration, Instant};

use argus_core::api::{Notice, Reply, SSE_HEARTBEAT, SSE_OPENING, Transport, write_sse_messages, write_sse_notice};
use argus_core::auth::Key;
use argus_core::query::Filter;
use argus_core::repository::Reader;
use argus_core::subscribe::{Found, Live, Message, Subscription};

use crate::clock::moment;
use crate::head::ReceivedHead;
use crate::hub::Streams;
use crate::presence::{Next, Presence};
use crate::reply_head::{Ids, begin_unknown_length, end_unknown_length, framed};
use crate::server::Server;
use crate::stream::Stream;

/// Events to examine at a time.
const BUDGET: u32 = 1024;
/// About how many bytes of events are written at a time.
const BATCH_BYTES: usize = 64 * 1024;
/// How often a stream without events checks for a drain, and whether its client is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// One stream, counted until it is dropped.
pub(crate) struct Open<'s> {
    streams: &'s Streams,
    transport: Transport,
    subscription: Subscription,
    /// The sequence number of the last event sent, or where the stream began.
    sent: u64,
    /// The key of the request, if keys are needed.
    key: Option<Key>,
    reason: &'static str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.streams.change(|shared| {
            shared.hub.close(self.subscription.reader());
            shared.counts.closed(self.transport, self.reason);
        });
    }
}

/// Writes a live stream: in chunks, or to HTTP/1.0 up to the end of the connection. The connection is not used again.
pub(crate) fn write_live(
    server: &Server,
    stream: &mut Stream,
    reply: &Reply,
    (open, sent): (Open<'_>, &mut u64),
    ids: &Ids,
    head: &ReceivedHead,
) -> io::Result<()> {
    let chunked = begin_unknown_length(stream, reply, ids, head.http_10, false)?;
    let next = if chunked { Next::ChunkSize } else { Next::Content };
    serve(server, stream, open, next, |stream, piece| {
        *sent += piece.len() as u64;
        stream.write(&framed(chunked, piece))
    })?;
    end_unknown_length(stream, chunked)
}

/// Writes the events of a stream until the client leaves or the stream ends. `write` frames a piece of the body.
fn serve(
    server: &Server,
    stream: &mut Stream,
    mut open: Open<'_>,
    next: Next,
    mut write: impl FnMut(&mut Stream, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    write(stream, SSE_OPENING)?;
    let (mut presence, mut sent_at) = (Presence::new(), Instant::now());
    loop {
        let (mut batch, mut bytes) = (Vec::new(), Vec::new());
        let notice = open.next(server, &mut batch)?;
        write_sse_messages(&batch, &mut bytes);
        notice.into_iter().for_each(|notice| write_sse_notice(notice, &mut bytes));
        if bytes.is_empty() && sent_at.elapsed() >= server.settings.stream_heartbeat {
            bytes.extend_from_slice(SSE_HEARTBEAT);
        }
        if bytes.is_empty() {
            presence.look(stream, next)?;
        } else {
            write(stream, &bytes)?;
            (presence, sent_at) = (Presence::new(), Instant::now());
        }
        match notice {
            Some(Notice::Slow { .. } | Notice::Drain { .. } | Notice::Revoked { .. }) => return Ok(()),
            Some(Notice::Gap { .. }) | None => {}
        }
    }
}

impl<'s> Open<'s> {
    /// Begins a stream. `last_seq` is the number in the head of the answer.
    pub(crate) fn new(
        streams: &'s Streams,
        transport: Transport,
        filter: Filter,
        last_seq: u64,
        key: Option<Key>,
    ) -> Self {
        let mut shared = streams.lock();
        shared.counts.opened(transport);
        let subscription = Subscription::new(shared.hub.open(), filter, last_seq);
        Self { streams, transport, sent: subscription.position(), subscription, key, reason: "client" }
    }

    /// The sequence number of the last event sent, or where the stream began.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes the next events, and what the client has to be told after them; waits a moment if there is nothing.
    ///
    /// # Errors
    ///
    /// Stored events could not be read.
    pub(crate) fn next(&mut self, server: &Server, batch: &mut Vec<Message>) -> io::Result<Option<Notice>> {
        if server.is_draining() {
            self.reason = "drain";
            return Ok(Some(Notice::Drain { after_seq: self.sent }));
        }
        if self.key.as_ref().is_some_and(|key| !server.gate.still_has(key)) {
            self.reason = "revoked";
            return Ok(Some(Notice::Revoked { after_seq: self.sent }));
        }
        let notice = self.advance(server, batch)?;
        if let Some(last) = batch.last() {
            self.sent = last.seq;
            self.streams.lock().counts.sent += batch.len() as u64;
        }
        Ok(notice)
    }

    fn advance(&mut self, server: &Server, batch: &mut Vec<Message>) -> io::Result<Option<Notice>> {
        let Self { streams, subscription, sent, reason, .. } = self;
        if subscription.is_in_history() {
            let reader = server.committer.reader();
            let found = subscription.poll_history(&reader, BUDGET, BATCH_BYTES, batch);
            if server.committer.reader().erasures() > reader.erasures() {
                // What was found may be erased by now.
                batch.clear();
                subscription.rewind(*sent);
                return Ok(None);
            }
            // Holds nothing while the client is busy with the events.
            if !batch.is_empty() {
                drop(subscription.suspend());
            }
            return match found {
                Ok(Poll::Ready(Found::Gap { first_seq })) => {
                    *sent = first_seq.saturating_sub(1);
                    Ok(Some(Notice::Gap { first_seq }))
                }
                Ok(Poll::Ready(Found::Messages | Found::End) | Poll::Pending) => Ok(None),
                Err(error) => {
                    *reason = "error";
                    Err(io::Error::other(error))
                }
            };
        }
        let mut shared = streams.lock();
        if let Reader::Current(snapshot) = server.committer.reader() {
            // Those who wait look for themselves soon.
            shared.hub.see_erasures(&*snapshot, &mut Vec::new());
        }
        let live = subscription.poll_live(&mut shared.hub, moment().uptime, BATCH_BYTES, batch);
        let discarded = shared.hub.take_discarded();
        // Waits with the same lock, so that no message comes in between. What was discarded is dropped without it.
        match live {
            Live::Messages | Live::History | Live::Slow => drop(shared),
            Live::Wait => {
                drop(streams.fed.wait_timeout(shared, LOOK_INTERVAL).unwrap_or_else(PoisonError::into_inner));
            }
        }
        drop(discarded);
        match live {
            Live::Messages | Live::History | Live::Wait => Ok(None),
            Live::Slow => {
                *reason = "slow";
                Ok(Some(Notice::Slow { after_seq: *sent }))
            }
        }
    }
}
