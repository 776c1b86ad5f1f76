//! What a connection is doing, and how long it may go on doing so.

use std::mem;
use std::time::{Duration, Instant};

use super::head_bytes::HeadBytes;
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

/// One connection as a state machine: it is told what happens, and when, and says when the connection has to be closed.
/// It reads no clock and touches no socket.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    head_timeout: Duration,
    keep_alive_timeout: Duration,
    write_timeout: Duration,
    linger_bytes_max: usize,
    phase: Phase,
    /// Bytes of a head have come that were not read yet.
    head_waits: bool,
    /// Since when the server drains, if it does.
    draining: Option<Instant>,
    /// When it is to end for another connection, if it is idle still.
    eviction: Option<Instant>,
    stall: Option<WriteStall>,
    streaming: Streaming,
    /// A request began since everything was last written.
    answering: bool,
    /// The last request's body was not read to its end.
    body_unread: bool,
    /// A request's body ended early, or in the middle of its framing.
    body_broken: bool,
    head_error: Option<HeadError>,
    head: HeadBytes,
}

/// Why a connection is closed when its deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// No request came within the keep-alive timeout.
    Idle,
    /// A head did not arrive within its timeout.
    SlowHead,
    /// The client took nothing of an answer within the write timeout.
    WriteStalled,
    /// The client has been answered, and sent what nobody reads for long enough.
    Lingered,
    /// Another connection needs its place.
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
pub(crate) enum HeadError {
    /// It did not arrive in time.
    Late,
    /// It is longer than [`HEAD_BYTES_MAX`](super::HEAD_BYTES_MAX), has more fields than
    /// [`HEAD_FIELDS_MAX`](super::HEAD_FIELDS_MAX), or announces a body longer than hyper can count.
    TooLarge,
    /// It is not HTTP/1.1.
    Malformed,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No byte of the next request has come, since then.
    Idle(Instant),
    /// Some of its head has come, the first byte then.
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
struct WriteStall {
    since: Instant,
    /// Bytes that the client's system had acknowledged then.
    acknowledged: Option<u64>,
}

impl ConnectionState {
    /// A connection that is opened now.
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            head_timeout: settings.header_timeout,
            keep_alive_timeout: settings.keep_alive_timeout,
            write_timeout: settings.write_timeout,
            linger_bytes_max: settings.max_body_bytes.saturating_add(LINGER_EXTRA_BYTES),
            phase: Phase::Idle(now),
            head_waits: false,
            draining: None,
            eviction: None,
            stall: None,
            streaming: Streaming::Nothing,
            answering: false,
            body_unread: false,
            body_broken: false,
            head_error: None,
            head: HeadBytes::default(),
        }
    }

    /// Whether the next bytes belong to a head.
    pub(crate) fn expects_head(&self) -> bool {
        matches!(self.phase, Phase::Idle(_) | Phase::Head(_))
    }

    /// Whether a part of a head has come.
    pub(crate) fn in_head(&self) -> bool {
        matches!(self.phase, Phase::Head(_))
    }

    /// Bytes of a head have come, and perhaps of what follows it.
    pub(crate) fn head_bytes_arrived(&mut self, now: Instant, bytes: &[u8]) {
        if let Phase::Idle(_) = self.phase {
            self.phase = Phase::Head(now);
            self.head.begin();
        }
        self.head_waits = false;
        self.head.push(bytes);
    }

    /// Bytes that have come since the head began that is under way.
    pub(crate) fn head_bytes(&self) -> usize {
        if self.in_head() { self.head.len() } else { 0 }
    }

    /// Whether somebody who went away now would leave a request half sent or half answered.
    pub(crate) fn in_request(&self) -> bool {
        self.answering || self.in_head()
    }

    /// A head is complete.
    pub(crate) fn request_begins(&mut self) {
        self.phase = Phase::Busy;
        self.head_waits = false;
        self.answering = true;
    }

    /// What came from the first byte of the head on that is under way or has just become a request, as it was sent, and
    /// perhaps what follows it. Nothing if the head was pipelined. To be asked once a request.
    pub(crate) fn take_raw_head(&mut self) -> Option<Vec<u8>> {
        self.head.take()
    }

    /// An answer is complete.
    pub(crate) fn answer_ends(&mut self, now: Instant) {
        self.phase = Phase::Idle(now);
        self.head.end();
    }

    /// An answer begins whose length nobody knows.
    pub(crate) fn streaming_begins(&mut self) {
        self.streaming = Streaming::UnderWay;
    }

    /// The last of such an answer was handed over. Not to be called for one that breaks off.
    pub(crate) fn streaming_ends(&mut self) {
        self.streaming = Streaming::Ended;
    }

    /// Whether [`flushed`](Self::flushed) would change anything. Most flushes have nothing to write, and need no look
    /// at the clock.
    pub(crate) fn awaits_flush(&self) -> bool {
        self.answering || matches!(self.streaming, Streaming::Ended)
    }

    /// Everything was written that there was to write.
    pub(crate) fn flushed(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Busy => {}
            Phase::Idle(since) => {
                // The client may have taken its time to read.
                if mem::take(&mut self.answering) {
                    *since = now;
                }
            }
            Phase::Head(_) | Phase::Lingering { .. } => self.answering = false,
        }
        if let Streaming::Ended = self.streaming {
            self.streaming = Streaming::Nothing;
        }
    }

    /// What is being written, or would be.
    pub(crate) fn writing(&self) -> Writing {
        match self.streaming {
            Streaming::UnderWay | Streaming::Ended => Writing::Streamed,
            Streaming::Nothing if self.answering => Writing::Whole,
            Streaming::Nothing => Writing::HyperError,
        }
    }

    /// The last answer is out, and the client may still be sending.
    pub(crate) fn linger_begins(&mut self, now: Instant) {
        self.phase = Phase::Lingering { begun: now, heard: now };
    }

    /// The client is still sending.
    pub(crate) fn linger_hears(&mut self, now: Instant) {
        if let Phase::Lingering { heard, .. } = &mut self.phase {
            *heard = now;
        }
    }

    /// Whether the last answer is out, and the connection only waits for the client to notice.
    pub(crate) fn is_lingering(&self) -> bool {
        matches!(self.phase, Phase::Lingering { .. })
    }

    /// The server drains. Only the first call counts.
    pub(crate) fn drain_begins(&mut self, now: Instant) {
        self.draining.get_or_insert(now);
    }

    /// How many bytes that nobody reads a client may send before it is cut off.
    pub(crate) fn linger_bytes_max(&self) -> usize {
        self.linger_bytes_max
    }

    /// Bytes could be written.
    pub(crate) fn write_moves(&mut self) {
        self.stall = None;
    }

    /// There is no room for more bytes. `acknowledged` is asked only where this is news:
    /// [`Socket::acknowledged`](crate::socket::Socket::acknowledged).
    pub(crate) fn write_stalls(&mut self, now: Instant, acknowledged: impl FnOnce() -> Option<u64>) {
        self.stall.get_or_insert_with(|| WriteStall { since: now, acknowledged: acknowledged() });
    }

    /// Gives a client more time that has taken something since the last look. The system may say for long that there is
    /// no room, because it waits for a good part of a large buffer.
    pub(crate) fn look_at_stall(&mut self, now: Instant, acknowledged: Option<u64>) {
        if let Some(stall) = &mut self.stall
            && acknowledged > stall.acknowledged
        {
            *stall = WriteStall { since: now, acknowledged };
        }
    }

    /// Whether the client may be sending what nobody reads.
    pub(crate) fn is_unread(&self) -> bool {
        self.body_unread || self.head_error.is_some()
    }

    pub(crate) fn set_body_unread(&mut self, unread: bool) {
        self.body_unread = unread;
    }

    /// A request's body cannot be read to its end.
    pub(crate) fn body_breaks(&mut self) {
        self.body_broken = true;
    }

    /// Whether a request's body could not be read to its end.
    pub(crate) fn is_body_broken(&self) -> bool {
        self.body_broken
    }

    /// Notes why a head was not answered. The first reason counts.
    pub(crate) fn set_head_error(&mut self, error: HeadError) {
        self.head_error.get_or_insert(error);
    }

    pub(crate) fn head_error(&self) -> Option<HeadError> {
        self.head_error
    }

    /// When the connection is to be closed, and why. Before it is closed for [`CloseReason::WriteStalled`] or
    /// [`CloseReason::Evicted`], the socket has to be looked at, which may put the deadline off.
    pub(crate) fn deadline(&self) -> Option<(Instant, CloseReason)> {
        let write = self.stall.as_ref().map(|stall| (stall.since + self.write_timeout, CloseReason::WriteStalled));
        let eviction = self.eviction.filter(|_| self.idle_since().is_some()).map(|at| (at, CloseReason::Evicted));
        [self.phase_deadline(), write, eviction].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn phase_deadline(&self) -> Option<(Instant, CloseReason)> {
        match self.phase {
            // The rest of an answer is on its way; it is given the time that any write has.
            Phase::Idle(_) if self.answering => None,
            // So is a refusal.
            Phase::Idle(_) | Phase::Head(_) if self.head_error.is_some() => None,
            Phase::Idle(since) => Some((since + self.keep_alive_timeout, CloseReason::Idle)),
            Phase::Head(since) => Some((since + self.head_timeout, CloseReason::SlowHead)),
            Phase::Busy => None,
            Phase::Lingering { begun, heard } => {
                let draining = self.draining.map(|since| begun.max(since) + LINGER_DRAINING);
                let ends = [Some(begun + LINGER), Some(heard + LINGER_PAUSE), draining];
                ends.into_iter().flatten().min().map(|end| (end, CloseReason::Lingered))
            }
        }
    }

    /// What would be lost with it if it were closed for another connection at `now`, and since when it is so. `None` if
    /// that would break off a request.
    pub(crate) fn idleness(&self, now: Instant) -> Option<IdleSince> {
        let (idleness, since) = self.idle_since()?;
        let is_recent = idleness == Idleness::BetweenRequests && now.saturating_duration_since(since) < RECENT;
        Some((if is_recent { Idleness::Recent } else { idleness }, since))
    }

    /// Has it end for another connection, at once or when it has been idle for a moment, unless a request comes before.
    /// Whether it is idle; if not, it does not end.
    pub(crate) fn evict(&mut self, now: Instant) -> bool {
        self.eviction = self.idleness(now).map(|(idleness, since)| {
            let at = if idleness == Idleness::Recent { since + RECENT } else { now };
            self.eviction.map_or(at, |known| known.min(at))
        });
        self.eviction.is_some()
    }

    /// Spares a connection on which something has come that its task has not heard of yet. Of one that lingers nobody
    /// reads it.
    pub(crate) fn look_at_input(&mut self, has_input: bool) {
        self.head_waits = has_input && matches!(self.phase, Phase::Idle(_) | Phase::Head(_));
    }

    /// As [`idleness`](Self::idleness), whether or not its last answer was a moment ago.
    fn idle_since(&self) -> Option<IdleSince> {
        match self.phase {
            Phase::Idle(_) | Phase::Head(_) if self.answering || self.head_waits || self.head_error.is_some() => None,
            Phase::Idle(since) => Some((Idleness::BetweenRequests, since)),
            Phase::Head(since) => Some((Idleness::InHead, since)),
            Phase::Lingering { begun, .. } => Some((Idleness::Lingering, begun)),
            Phase::Busy => None,
        }
    }
}

#[cfg(test)]
mod tests;
