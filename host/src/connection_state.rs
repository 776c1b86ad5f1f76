//! What a connection is doing, and how long it may go on doing so.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::eviction::{IdleSince, Idleness};
use crate::settings::Settings;

/// How long a client is listened to at most that was answered before it had sent all of its body. Many clients read
/// only when they have sent everything; were the connection closed before, the kernel's reset would overtake the
/// answer.
const LINGER: Duration = Duration::from_secs(120);

/// How long such a client may send nothing before the connection is closed.
const LINGER_PAUSE: Duration = Duration::from_secs(5);

/// How long such a client is listened to while the server drains, which is not to wait for it.
const LINGER_DRAINING: Duration = Duration::from_secs(5);

/// What such a client may send beyond the longest body, in bytes: a head, and the framing of chunks.
const LINGER_EXTRA_BYTES: usize = 1 << 20;

/// For so long a connection is not closed for another that was opened, or has got an answer, just now: its next request
/// may be on its way.
const RECENT: Duration = Duration::from_millis(100);

/// Longest request line and header fields together, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header fields: as many as hyper has room for, unless it is to allocate it for each request.
pub(crate) const HEAD_FIELDS_MAX: usize = 100;

/// Where one connection stands. Shared by its reader, its writer, its requests and whoever watches the time.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    head_timeout: Duration,
    keep_alive_timeout: Duration,
    write_timeout: Duration,
    linger_bytes_max: usize,
    inner: Mutex<Inner>,
}

/// What a connection has done for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// Nothing.
    Idle,
    /// Sending a head.
    Head,
    /// Taking nothing of an answer.
    Write,
    /// Sending what nobody reads.
    Linger,
    /// Holding a place that another connection needs.
    Evicted,
}

/// What is on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// What hyper answers to a head that never became a request. It is replaced by an answer of ours.
    HyperError,
    /// An answer whose end its head tells.
    Whole,
    /// An answer whose end only its last byte tells, or the end of the connection. Until that has been written, the
    /// connection must not be closed in good order.
    Streamed,
}

/// Why a head was not answered by the service, and the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    /// It did not arrive in time.
    Late,
    /// It is longer than [`HEAD_BYTES_MAX`], has more fields than [`HEAD_FIELDS_MAX`], or announces a body longer than
    /// hyper can count.
    TooLarge,
    /// It is not HTTP/1.1.
    Malformed,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    /// Bytes of a head have come that were not read yet.
    head_waits: bool,
    /// Since when the server drains, if it does.
    draining: Option<Instant>,
    /// When it is to end for another connection, if it is idle still.
    eviction: Option<Instant>,
    stall: Option<Stall>,
    streaming: Streaming,
    /// A request began since everything was last written.
    answering: bool,
    /// The last request's body was not read to its end.
    body_unread: bool,
    /// A request's body ended early, or in the middle of its framing.
    body_broken: bool,
    fault: Option<HeadFault>,
    head: RawHead,
}

#[derive(Debug)]
enum Phase {
    /// No byte of the next request has come.
    Idle(Instant),
    /// Some of its head has come.
    Head(Instant),
    /// It is being answered; the request keeps its own time.
    Busy,
    /// The last answer is out since `begun`; the client sent something at `heard`.
    Lingering { begun: Instant, heard: Instant },
}

/// An answer of unknown length on its way.
#[derive(Debug)]
enum Streaming {
    /// There is none, or all of it is written.
    Nothing,
    /// More of it is to come.
    UnderWay,
    /// Its end was handed over, and may not be written yet.
    Ended,
}

/// The client's socket has no room for more.
#[derive(Debug)]
struct Stall {
    since: Instant,
    /// Bytes that the client's system had acknowledged then.
    acknowledged: Option<u64>,
}

/// What came from the first byte of a head on.
#[derive(Debug, Default)]
struct RawHead {
    bytes: Vec<u8>,
    /// Whether the bytes begin with a head that no request was made of yet. A pipelined one that came together with the
    /// one before is not found here.
    fresh: bool,
}

impl ConnectionState {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self::opened(settings, Instant::now())
    }

    pub(crate) fn opened(settings: &Settings, opened: Instant) -> Self {
        Self {
            head_timeout: settings.header_timeout,
            keep_alive_timeout: settings.keep_alive_timeout,
            write_timeout: settings.write_timeout,
            linger_bytes_max: settings.max_body_bytes.saturating_add(LINGER_EXTRA_BYTES),
            inner: Mutex::new(Inner {
                phase: Phase::Idle(opened),
                head_waits: false,
                draining: None,
                eviction: None,
                stall: None,
                streaming: Streaming::Nothing,
                answering: false,
                body_unread: false,
                body_broken: false,
                fault: None,
                head: RawHead::default(),
            }),
        }
    }

    /// Whether the next bytes belong to a head.
    pub(crate) fn expects_head(&self) -> bool {
        matches!(self.lock().phase, Phase::Idle(_) | Phase::Head(_))
    }

    /// Whether a part of a head has come.
    pub(crate) fn in_head(&self) -> bool {
        matches!(self.lock().phase, Phase::Head(_))
    }

    /// Bytes of a head have come, and perhaps of what follows it.
    pub(crate) fn head_bytes_arrived(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        if let Phase::Idle(_) = inner.phase {
            inner.phase = Phase::Head(Instant::now());
            inner.head.bytes.clear();
            inner.head.fresh = true;
        }
        inner.head_waits = false;
        if inner.head.bytes.len() < HEAD_BYTES_MAX {
            inner.head.bytes.extend_from_slice(bytes);
        }
    }

    /// Bytes that have come since the head began that is under way.
    pub(crate) fn head_bytes(&self) -> usize {
        let inner = self.lock();
        if matches!(inner.phase, Phase::Head(_)) { inner.head.bytes.len() } else { 0 }
    }

    /// Whether somebody who went away now would leave a request half sent or half answered.
    pub(crate) fn in_request(&self) -> bool {
        let inner = self.lock();
        inner.answering || matches!(inner.phase, Phase::Head(_))
    }

    /// A head is complete.
    pub(crate) fn request_begins(&self) {
        let mut inner = self.lock();
        inner.phase = Phase::Busy;
        inner.head_waits = false;
        inner.answering = true;
    }

    /// What came from the first byte of the head on that is under way or has just become a request, as it was sent, and
    /// perhaps what follows it. Nothing if the head was pipelined. To be asked once a request.
    pub(crate) fn take_raw_head(&self) -> Option<Vec<u8>> {
        let mut inner = self.lock();
        mem::take(&mut inner.head.fresh).then(|| inner.head.bytes.clone())
    }

    /// An answer is complete.
    pub(crate) fn answer_ends(&self) {
        let mut inner = self.lock();
        inner.phase = Phase::Idle(Instant::now());
        // Whatever hyper finds behind the request is another head, or none.
        inner.head.fresh = false;
    }

    /// An answer begins whose length nobody knows.
    pub(crate) fn streaming_begins(&self) {
        self.lock().streaming = Streaming::UnderWay;
    }

    /// The last of such an answer was handed over. Not to be called for one that breaks off.
    pub(crate) fn streaming_ends(&self) {
        self.lock().streaming = Streaming::Ended;
    }

    /// Everything was written that there was to write.
    pub(crate) fn flushed(&self) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        match &mut inner.phase {
            Phase::Busy => {}
            Phase::Idle(since) => {
                // The client may have taken its time to read.
                if mem::take(&mut inner.answering) {
                    *since = Instant::now();
                }
            }
            Phase::Head(_) | Phase::Lingering { .. } => inner.answering = false,
        }
        if let Streaming::Ended = inner.streaming {
            inner.streaming = Streaming::Nothing;
        }
    }

    /// What is being written, or would be.
    pub(crate) fn writing(&self) -> Writing {
        let inner = self.lock();
        match inner.streaming {
            Streaming::UnderWay | Streaming::Ended => Writing::Streamed,
            Streaming::Nothing if inner.answering => Writing::Whole,
            Streaming::Nothing => Writing::HyperError,
        }
    }

    /// The last answer is out, and the client may still be sending.
    pub(crate) fn linger_begins(&self) {
        let now = Instant::now();
        self.lock().phase = Phase::Lingering { begun: now, heard: now };
    }

    /// The client is still sending.
    pub(crate) fn linger_hears(&self) {
        if let Phase::Lingering { heard, .. } = &mut self.lock().phase {
            *heard = Instant::now();
        }
    }

    /// Whether the last answer is out, and the connection only waits for the client to notice.
    pub(crate) fn is_lingering(&self) -> bool {
        matches!(self.lock().phase, Phase::Lingering { .. })
    }

    /// The server drains.
    pub(crate) fn drain_begins(&self) {
        self.lock().draining.get_or_insert_with(Instant::now);
    }

    /// How many bytes that nobody reads a client may send before it is cut off.
    pub(crate) fn linger_bytes_max(&self) -> usize {
        self.linger_bytes_max
    }

    /// Bytes could be written.
    pub(crate) fn write_moves(&self) {
        self.lock().stall = None;
    }

    /// There is no room for more bytes. `acknowledged`: [`acknowledged`](crate::socket::acknowledged), asked where this
    /// is news.
    pub(crate) fn write_stalls(&self, acknowledged: impl FnOnce() -> Option<u64>) {
        let mut inner = self.lock();
        if inner.stall.is_none() {
            inner.stall = Some(Stall { since: Instant::now(), acknowledged: acknowledged() });
        }
    }

    /// Gives a client more time that has taken something since the last look. The system may say for long that there is
    /// no room, because it waits for a good part of a large buffer.
    pub(crate) fn look_at_stall(&self, acknowledged: Option<u64>) {
        if let Some(stall) = &mut self.lock().stall
            && acknowledged > stall.acknowledged
        {
            *stall = Stall { since: Instant::now(), acknowledged };
        }
    }

    /// Whether the client may be sending what nobody reads.
    pub(crate) fn unread(&self) -> bool {
        let inner = self.lock();
        inner.body_unread || inner.fault.is_some()
    }

    pub(crate) fn set_body_unread(&self, unread: bool) {
        self.lock().body_unread = unread;
    }

    /// A request's body cannot be read to its end.
    pub(crate) fn body_breaks(&self) {
        self.lock().body_broken = true;
    }

    /// Whether a request's body could not be read to its end.
    pub(crate) fn is_body_broken(&self) -> bool {
        self.lock().body_broken
    }

    /// Notes why a head was not answered. The first reason counts.
    pub(crate) fn set_fault(&self, fault: HeadFault) {
        self.lock().fault.get_or_insert(fault);
    }

    pub(crate) fn fault(&self) -> Option<HeadFault> {
        self.lock().fault
    }

    /// When the connection's patience ends, and with what.
    pub(crate) fn deadline(&self) -> Option<(Instant, Lapse)> {
        let inner = self.lock();
        let phase = match inner.phase {
            // The rest of an answer is on its way; it is given the time that any write has.
            Phase::Idle(_) if inner.answering => None,
            // So is a refusal.
            Phase::Idle(_) | Phase::Head(_) if inner.fault.is_some() => None,
            Phase::Idle(since) => Some((since + self.keep_alive_timeout, Lapse::Idle)),
            Phase::Head(since) => Some((since + self.head_timeout, Lapse::Head)),
            Phase::Busy => None,
            Phase::Lingering { begun, heard } => {
                let draining = inner.draining.map(|since| begun.max(since) + LINGER_DRAINING);
                let ends = [Some(begun + LINGER), Some(heard + LINGER_PAUSE), draining];
                ends.into_iter().flatten().min().map(|end| (end, Lapse::Linger))
            }
        };
        let write = inner.stall.as_ref().map(|stall| (stall.since + self.write_timeout, Lapse::Write));
        let eviction = inner.eviction.filter(|_| inner.idle_since().is_some()).map(|at| (at, Lapse::Evicted));
        [phase, write, eviction].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What it loses when it is closed for another connection, and since when it is so; nothing if that would break off
    /// a request.
    pub(crate) fn idle_since(&self) -> Option<IdleSince> {
        self.lock().idle_since()
    }

    /// Has it end for another connection, at once or when it has been idle for a moment, unless a request comes before.
    /// Whether it is idle; if not, it does not end.
    pub(crate) fn evict(&self) -> bool {
        let mut inner = self.lock();
        inner.eviction = inner.idle_since().map(|(idleness, since)| {
            let at = if idleness == Idleness::Recent { since + RECENT } else { Instant::now() };
            inner.eviction.map_or(at, |known| known.min(at))
        });
        inner.eviction.is_some()
    }

    /// Spares a connection on which something has come that its task has not heard of yet. Of one that lingers nobody
    /// reads it.
    pub(crate) fn look_at_input(&self, has_input: bool) {
        let mut inner = self.lock();
        inner.head_waits = has_input && matches!(inner.phase, Phase::Idle(_) | Phase::Head(_));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn idle_since(&self) -> Option<IdleSince> {
        match self.phase {
            Phase::Idle(_) | Phase::Head(_) if self.answering || self.head_waits || self.fault.is_some() => None,
            Phase::Idle(since) if since.elapsed() < RECENT => Some((Idleness::Recent, since)),
            Phase::Idle(since) => Some((Idleness::BetweenRequests, since)),
            Phase::Head(since) => Some((Idleness::InHead, since)),
            Phase::Lingering { begun, .. } => Some((Idleness::Lingering, begun)),
            Phase::Busy => None,
        }
    }
}

#[cfg(test)]
mod tests;
