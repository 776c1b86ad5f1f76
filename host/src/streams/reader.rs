//! One reader of a live stream, for any way to send its events.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use argus_core::api::{Notice, READ_BUDGET, Refusal, Stream, Transport};
use argus_core::subscribe::{Found, Live, Message, ReaderId, Subscription};

use crate::answers::Admitted;
use crate::clock;
use crate::gate::HeldKey;
use crate::lifecycle::DrainWatch;
use crate::memory::LARGE_CONNECTIONS;
use crate::metrics::{OpenStream, StreamEnd};
use crate::node::Node;
use crate::reply_body::BrokenOff;
use crate::runtime::Runtime;
use crate::watch::panic_message;

/// About how many bytes of events a reader takes at a time.
const BATCH_BYTES: usize = 64 * 1024;

/// The same if there are more connections than may be large.
const SMALL_BATCH_BYTES: usize = 4 * 1024;

/// How long the first step of a history computes, at normal priority. Most clients that resume are up to date by then.
const FIRST_SLICE: Duration = Duration::from_millis(2);

/// How long further steps compute, in the background.
const SLICE: Duration = Duration::from_millis(10);

/// One reader of a live stream. It keeps nothing for a client that does not take its events: it is polled when there is
/// room for more.
pub struct StreamReader<R> {
    node: Arc<Node>,
    runtime: R,
    reader: ReaderId,
    state: State,
    drain: DrainWatch,
    /// `None` if everything is open.
    key: Option<HeldKey>,
    /// The sequence number of the last event handed out, or where the stream began.
    sent: u64,
    events: u64,
    begun: Instant,
    peer: SocketAddr,
    transport: Transport,
    end: StreamEnd,
    _open: OpenStream,
}

/// What a reader hands out.
#[derive(Debug)]
pub enum StreamItem {
    /// Events, at least one: about as many as fit into a piece of an answer.
    Messages(Vec<Message>),
    /// Something to tell the client. After all but [`Notice::Gap`], the stream ends.
    Notice(Notice),
}

type Admitting = Pin<Box<dyn Future<Output = Admitted> + Send>>;
type Advancing = Pin<Box<dyn Future<Output = Advanced> + Send>>;
/// The subscription, how many erasures it knew of, and what it has found.
type Advanced = (Box<Subscription>, Option<u64>, Result<Poll<(Found, Vec<Message>)>, BrokenOff>);

enum State {
    /// Live, or about to begin its history.
    Ready(Box<Subscription>),
    /// Waits for a share of the memory for answers, which a history needs.
    Admitting(Box<Subscription>, Admitting),
    /// In history, until the client takes more. The share has the subscription, and may suspend it.
    Parked(Arc<Admitted>),
    /// In history, computing on a thread that may block.
    Advancing(Arc<Admitted>, Advancing),
    Over,
}

impl<R: Runtime> StreamReader<R> {
    /// A reader for a request with this key, if keys are needed. `last_seq` is the number in the head of the answer.
    pub(crate) fn open(
        node: &Arc<Node>,
        runtime: R,
        stream: Stream,
        last_seq: u64,
        peer: SocketAddr,
        key: Option<HeldKey>,
    ) -> Self {
        let transport = stream.transport();
        let reader = node.streams.open();
        let subscription = Subscription::new(reader, stream.into_filter(), last_seq);
        Self {
            runtime,
            reader,
            sent: subscription.position(),
            state: State::Ready(Box::new(subscription)),
            drain: DrainWatch::new(Arc::clone(&node.lifecycle)),
            key,
            events: 0,
            begun: node.clock.now(),
            peer,
            transport,
            end: StreamEnd::Client,
            _open: node.metrics.streams().opens(transport),
            node: Arc::clone(node),
        }
    }

    /// The next item; `None` at the end of the stream. Poll it only when there is room for more: whatever it hands out
    /// counts as sent. Cheap while the reader is live.
    ///
    /// # Errors
    ///
    /// [`BrokenOff`]: stored events could not be read. The client must not take that for the end of the stream: reset
    /// the connection.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<StreamItem, BrokenOff>>> {
        if matches!(self.state, State::Over) {
            return Poll::Ready(None);
        }
        if self.drain.has_begun(cx) {
            return Poll::Ready(Some(Ok(self.finish(StreamEnd::Drain, Notice::Drain { after_seq: self.sent }))));
        }
        // Whoever is woken with something to send, or to show that the connection is alive, comes by here.
        if self.key.as_mut().is_some_and(|key| !key.is_valid(clock::now())) {
            return Poll::Ready(Some(Ok(self.finish(StreamEnd::Revoked, Notice::Revoked { after_seq: self.sent }))));
        }
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Ready(subscription) if subscription.is_in_history() => {
                    let node = Arc::clone(&self.node);
                    let admitting = Box::pin(async move { node.answers.admit().await });
                    self.state = State::Admitting(subscription, admitting);
                }
                State::Ready(mut subscription) => {
                    let mut batch = Vec::new();
                    let live = self.take(&mut subscription, cx, &mut batch);
                    self.state = State::Ready(subscription);
                    match live {
                        Live::Messages => return Poll::Ready(Some(Ok(self.hand_out(batch)))),
                        Live::Wait => return Poll::Pending,
                        Live::History => {}
                        Live::Slow => {
                            let notice = Notice::Slow { after_seq: self.sent };
                            return Poll::Ready(Some(Ok(self.finish(StreamEnd::Slow, notice))));
                        }
                    }
                }
                State::Admitting(subscription, mut admitting) => {
                    let Poll::Ready(admitted) = admitting.as_mut().poll(cx) else {
                        self.state = State::Admitting(subscription, admitting);
                        return Poll::Pending;
                    };
                    let admitted = Arc::new(admitted);
                    let advancing = self.advance(subscription, &admitted, FIRST_SLICE);
                    self.state = State::Advancing(admitted, advancing);
                }
                State::Parked(admitted) => {
                    let subscription = admitted.take_stream().expect("a parked subscription is taken once");
                    let advancing = self.advance(subscription, &admitted, SLICE);
                    self.state = State::Advancing(admitted, advancing);
                }
                State::Advancing(admitted, mut advancing) => {
                    let Poll::Ready((mut subscription, erasures, mut step)) = advancing.as_mut().poll(cx) else {
                        self.state = State::Advancing(admitted, advancing);
                        return Poll::Pending;
                    };
                    if self.node.committer.reader().erasures() > erasures {
                        // What it has found may be erased by now.
                        subscription.rewind(self.sent);
                        step = step.map(|_| Poll::Pending);
                    }
                    if let Some(item) = self.advanced(admitted, subscription, step) {
                        return Poll::Ready(Some(item));
                    }
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }

    fn take(&self, subscription: &mut Subscription, cx: &mut Context<'_>, batch: &mut Vec<Message>) -> Live {
        let newest = || self.node.committer.reader();
        self.node.streams.take(subscription, newest, cx, self.batch_bytes(), batch)
    }

    /// The sequence number of the last event handed out, or where the stream began.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Goes on after a step of the history. `None` if there is nothing to hand out yet.
    fn advanced(
        &mut self,
        admitted: Arc<Admitted>,
        subscription: Box<Subscription>,
        step: Result<Poll<(Found, Vec<Message>)>, BrokenOff>,
    ) -> Option<Result<StreamItem, BrokenOff>> {
        let item = match step {
            Err(broken) => {
                self.end = StreamEnd::Error;
                return Some(Err(broken));
            }
            Ok(Poll::Pending) => {
                let advancing = self.advance(subscription, &admitted, SLICE);
                self.state = State::Advancing(admitted, advancing);
                return None;
            }
            Ok(Poll::Ready((Found::Messages, batch))) => Some(self.hand_out(batch)),
            Ok(Poll::Ready((Found::Gap { first_seq }, _))) => {
                self.sent = first_seq.saturating_sub(1);
                Some(StreamItem::Notice(Notice::Gap { first_seq }))
            }
            Ok(Poll::Ready((Found::End, _))) => None,
        };
        self.state = if subscription.is_in_history() {
            admitted.park(subscription);
            State::Parked(admitted)
        } else {
            // Live readers share their messages, and need no part of the memory for answers.
            State::Ready(subscription)
        };
        item.map(Ok)
    }

    /// Reads stored events on a thread that may block, and accounts for the memory there.
    fn advance(&self, mut subscription: Box<Subscription>, admitted: &Arc<Admitted>, slice: Duration) -> Advancing {
        let (node, admitted) = (Arc::clone(&self.node), Arc::clone(admitted));
        let bytes_max = self.batch_bytes();
        let task = move || {
            let begun = Instant::now();
            let (reader, mut batch) = (node.committer.reader(), Vec::new());
            let step = loop {
                let poll = || subscription.poll_history(&reader, READ_BUDGET, bytes_max, &mut batch);
                match catch_unwind(AssertUnwindSafe(poll)) {
                    Ok(Ok(Poll::Pending)) if begun.elapsed() < slice => {}
                    Ok(Ok(Poll::Pending)) => break Ok(Poll::Pending),
                    Ok(Ok(Poll::Ready(found))) => break Ok(Poll::Ready((found, batch))),
                    Ok(Err(error)) => {
                        node.warnings.unreadable(&error);
                        break Err(BrokenOff { reason: error.to_string(), refusal: Refusal::Unreadable(error) });
                    }
                    Err(panic) => {
                        let reason = format!("panic: {}", panic_message(panic.as_ref()));
                        tracing::error!(reason, "a stream failed");
                        break Err(BrokenOff { reason, refusal: Refusal::Internal });
                    }
                }
            };
            let bytes = match &step {
                Ok(Poll::Ready((_, batch))) => batch.iter().map(|message| message.json.len()).sum(),
                Ok(Poll::Pending) | Err(_) => 0,
            };
            admitted.account(&mut *subscription, bytes);
            (subscription, reader.erasures(), step)
        };
        if slice == FIRST_SLICE {
            Box::pin(self.runtime.unblock(task))
        } else {
            Box::pin(self.runtime.run_in_background(task))
        }
    }

    fn hand_out(&mut self, batch: Vec<Message>) -> StreamItem {
        if let Some(last) = batch.last() {
            self.sent = last.seq;
        }
        self.events += batch.len() as u64;
        self.node.metrics.streams().sent(batch.len());
        StreamItem::Messages(batch)
    }

    fn finish(&mut self, end: StreamEnd, notice: Notice) -> StreamItem {
        self.state = State::Over;
        self.end = end;
        StreamItem::Notice(notice)
    }

    /// What a reader takes at a time. A client that stops reading leaves its connection with about that much.
    fn batch_bytes(&self) -> usize {
        if self.node.lifecycle.connections() <= LARGE_CONNECTIONS { BATCH_BYTES } else { SMALL_BATCH_BYTES }
    }
}

impl<R> Drop for StreamReader<R> {
    fn drop(&mut self) {
        self.node.streams.close(self.reader);
        self.node.metrics.streams().ended(self.end);
        tracing::debug!(
            peer = %self.peer,
            transport = self.transport.as_str(),
            seconds = (self.node.clock.now() - self.begun).as_secs(),
            events = self.events,
            last_seq = self.sent,
            reason = self.end.as_str(),
            "a stream has ended"
        );
    }
}

impl<R> fmt::Debug for StreamReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Ready(_) => "ready",
            State::Admitting(..) => "admitting",
            State::Parked(_) => "parked",
            State::Advancing(..) => "advancing",
            State::Over => "over",
        };
        f.debug_struct("StreamReader")
            .field("reader", &self.reader)
            .field("state", &state)
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}
