//! What a connection is doing, and how long it may go on doing so.

use std::mem;
use std::time::{Duration, Instant};

use super::head_bytes::HeadBytes;
use super::idleness::{IdleSince, Idleness};
use super::presence::{ANSWER_START, Next, Presence};
use super::{CloseReason, HeadError, Writing};
use crate::settings::Settings;
use crate::socket::TcpState;

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
    presence: Presence,
    output: Output,
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
    /// More of it is to come, in chunks or up to the end of the connection.
    UnderWay { chunked: bool },
    /// Its end was handed over, and may not be written yet.
    Ended,
}

/// How far what was written has come since the last request began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// Nothing was written.
    Nothing,
    /// What was written may not be all that there is to write.
    Partial,
    /// Everything was written that there was.
    Complete,
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
            presence: Presence::default(),
            output: Output::Nothing,
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
        self.output = Output::Nothing;
    }

    /// The request is worth doing only for somebody who takes the answer: from now on it is looked whether the client
    /// is still there, until the answer is complete.
    pub(crate) fn watch_client(&mut self, now: Instant) {
        self.presence.watch(now);
    }

    /// What came from the first byte of the head on that is under way or has just become a request, as it was sent, and
    /// perhaps what follows it. Nothing if the head was pipelined. To be asked once a request.
    pub(crate) fn take_raw_head(&mut self) -> Option<Vec<u8>> {
        self.head.take()
    }

    /// An answer is complete.
    pub(crate) fn answer_ends(&mut self, now: Instant) {
        self.phase = Phase::Idle(now);
        self.presence.end();
        self.head.end();
    }

    /// An answer begins whose length nobody knows: in chunks, or up to the end of the connection.
    pub(crate) fn streaming_begins(&mut self, chunked: bool) {
        self.streaming = Streaming::UnderWay { chunked };
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
        if let Output::Partial = self.output {
            self.output = Output::Complete;
        }
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
            Streaming::UnderWay { .. } | Streaming::Ended => Writing::Streamed,
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

    /// Bytes could be written, or an error was met.
    pub(crate) fn write_moves(&mut self) {
        self.stall = None;
        self.output = Output::Partial;
        self.presence.written();
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

    /// What the client was sent already of the answer that is about to be written. It is to be left out.
    pub(crate) fn sent_ahead(&self) -> &'static [u8] {
        match self.output {
            Output::Nothing => ANSWER_START.get(..self.presence.sent()).unwrap_or_default(),
            // Zeros, which do not change the size that follows them.
            Output::Partial | Output::Complete => &[],
        }
    }

    /// Looks whether the client is still there, by what the system tells: [`Socket::tcp_state`]. Gives a byte that is
    /// to be sent to find out more; [`probe_sent`](Self::probe_sent) follows if that could be done.
    ///
    /// [`Socket::tcp_state`]: crate::socket::Socket::tcp_state
    pub(crate) fn look_at_client(&mut self, now: Instant, tcp: Option<TcpState>) -> Option<u8> {
        let next = match (self.output, &self.streaming) {
            _ if self.stall.is_some() => Next::Other,
            (Output::Nothing, _) => Next::Answer,
            (Output::Complete, Streaming::UnderWay { chunked: true }) => Next::ChunkSize,
            (Output::Partial | Output::Complete, _) => Next::Other,
        };
        self.presence.look(now, tcp, next)
    }

    /// The byte that [`look_at_client`](Self::look_at_client) gave was sent.
    pub(crate) fn probe_sent(&mut self, now: Instant) {
        self.presence.sent_one(now);
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

    /// When the connection is to be closed, and why. Before it is closed for [`CloseReason::WriteStalled`],
    /// [`CloseReason::Evicted`] or [`CloseReason::ClientGone`], the socket has to be looked at, which may put the
    /// deadline off.
    pub(crate) fn deadline(&self) -> Option<(Instant, CloseReason)> {
        let write = self.stall.as_ref().map(|stall| (stall.since + self.write_timeout, CloseReason::WriteStalled));
        let eviction = self.eviction.filter(|_| self.idle_since().is_some()).map(|at| (at, CloseReason::Evicted));
        let look = self.presence.next_look().map(|at| (at, CloseReason::ClientGone));
        [self.phase_deadline(), write, eviction, look].into_iter().flatten().min_by_key(|(at, _)| *at)
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
