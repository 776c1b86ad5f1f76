//! The state machine of one connection: its phase, and its deadline.

use std::mem;
use std::time::{Duration, Instant};

use super::head_bytes::HeadBytes;
use super::idleness::{IdleSince, Idleness};
use super::presence::{ANSWER_START, Next, Presence};
use super::stall::WriteStall;
use super::{CloseReason, HeadError, Writing};
use crate::settings::Settings;
use crate::socket::TcpState;

/// How long the server reads from a client that was answered before it had sent its whole body. Many clients read only
/// after sending everything; if the connection were closed at once, the kernel's reset would overtake the answer.
const LINGER: Duration = Duration::from_secs(120);

/// How long such a client may pause before the connection is closed.
const LINGER_PAUSE: Duration = Duration::from_secs(5);

/// How long the server reads from such a client while it drains.
const LINGER_DRAINING: Duration = Duration::from_secs(5);

/// What such a client may send beyond the longest body, in bytes: a head, and the framing of chunks.
const LINGER_EXTRA_BYTES: usize = 1 << 20;

/// How long a connection is safe from eviction after it was opened or answered: its next request may be on its way.
const RECENT: Duration = Duration::from_millis(100);

/// One connection as a state machine. Callers report what happens and when; the state says when the connection has to
/// be closed. It reads no clock and touches no socket.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    head_timeout: Duration,
    keep_alive_timeout: Duration,
    write_timeout: Duration,
    linger_bytes_max: usize,
    phase: Phase,
    /// Bytes of a head have arrived that were not read yet.
    has_unread_head: bool,
    /// When the server began to drain, if it has.
    draining: Option<Instant>,
    /// When the connection is evicted, if it is still idle then.
    eviction: Option<Instant>,
    stall: Option<WriteStall>,
    presence: Presence,
    output: Output,
    streaming: Streaming,
    /// The answer is a live stream.
    live: bool,
    /// A request has begun since everything was last written.
    answering: bool,
    /// The last answer is 101, and its protocol has not begun.
    is_upgrading: bool,
    /// The last request's body was not read to its end.
    body_unread: bool,
    /// A request's body ended early, or in the middle of its framing.
    body_broken: bool,
    /// Bytes that have arrived and cannot be decrypted before more have.
    undecrypted: usize,
    head_error: Option<HeadError>,
    head_bytes_max: usize,
    head: HeadBytes,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Waiting since then for the first byte of the next request.
    Idle(Instant),
    /// Part of a head has arrived; its first byte arrived then.
    Head(Instant),
    /// A request is being answered, under its own timeout.
    Busy,
    /// The last answer was written at `since`; the client last sent something at `last_input`.
    Lingering { since: Instant, last_input: Instant },
}

/// An answer of unknown length.
#[derive(Debug)]
enum Streaming {
    /// There is none, or all of it was written.
    Nothing,
    /// More of it follows, in chunks or up to the end of the connection.
    UnderWay { chunked: bool },
    /// Its end was handed to hyper, and may not be written yet.
    Ended,
}

/// How much of the answer to the last request was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// Nothing was written.
    Nothing,
    /// There may be more to write.
    Partial,
    /// Everything handed over so far was written.
    Complete,
}

impl ConnectionState {
    /// A connection opened at `now`.
    pub(crate) fn new(settings: &Settings, now: Instant) -> Self {
        Self {
            head_timeout: settings.header_timeout,
            keep_alive_timeout: settings.keep_alive_timeout,
            write_timeout: settings.write_timeout,
            linger_bytes_max: settings.max_body_bytes.saturating_add(LINGER_EXTRA_BYTES),
            phase: Phase::Idle(now),
            has_unread_head: false,
            draining: None,
            eviction: None,
            stall: None,
            presence: Presence::default(),
            output: Output::Nothing,
            streaming: Streaming::Nothing,
            live: false,
            answering: false,
            is_upgrading: false,
            body_unread: false,
            body_broken: false,
            undecrypted: 0,
            head_error: None,
            head_bytes_max: settings.shell.max_head_bytes,
            head: HeadBytes::new(settings.shell.max_head_bytes),
        }
    }

    /// Keys have to be agreed on before the first head, within the time for a head.
    pub(crate) fn handshake_begins(&mut self, now: Instant) {
        self.phase = Phase::Head(now);
    }

    /// The first head may arrive.
    pub(crate) fn handshake_ends(&mut self, now: Instant) {
        self.phase = Phase::Idle(now);
    }

    /// Whether the next bytes belong to a head.
    pub(crate) fn expects_head(&self) -> bool {
        matches!(self.phase, Phase::Idle(_) | Phase::Head(_))
    }

    /// Whether part of a head has arrived.
    pub(crate) fn in_head(&self) -> bool {
        matches!(self.phase, Phase::Head(_))
    }

    /// Bytes of a head have arrived, and perhaps of what follows it.
    pub(crate) fn head_bytes_arrived(&mut self, now: Instant, bytes: &[u8]) {
        if let Phase::Idle(_) = self.phase {
            self.phase = Phase::Head(now);
            self.head.begin();
        }
        self.has_unread_head = false;
        self.head.push(bytes);
    }

    /// Bytes that have arrived since the current head began; 0 if there is none.
    pub(crate) fn head_bytes(&self) -> usize {
        if self.in_head() { self.head.len() } else { 0 }
    }

    /// Longest head, in bytes.
    pub(crate) fn head_bytes_max(&self) -> usize {
        self.head_bytes_max
    }

    /// Whether a client that leaves now would leave a request half sent or half answered.
    pub(crate) fn in_request(&self) -> bool {
        self.answering || self.in_head()
    }

    /// A head is complete.
    pub(crate) fn request_begins(&mut self) {
        self.phase = Phase::Busy;
        self.has_unread_head = false;
        self.answering = true;
        self.live = false;
        self.output = Output::Nothing;
    }

    /// From now until the answer is complete, the client is checked: the request is dropped if the client is gone.
    pub(crate) fn watch_client(&mut self, now: Instant) {
        self.presence.watch(now);
    }

    /// The bytes as they were sent, from the first byte of the current head (or the one that has just become a
    /// request). More than the head may follow. `None` if the head was pipelined. Call this once per request.
    pub(crate) fn take_raw_head(&mut self) -> Option<Vec<u8>> {
        self.head.take()
    }

    /// An answer is complete.
    pub(crate) fn answer_ends(&mut self, now: Instant) {
        self.phase = Phase::Idle(now);
        self.presence.end();
        self.head.end();
    }

    /// The next answer is 101: after it, the byte stream is not closed, but has another protocol.
    pub(crate) fn upgrade_is_answered(&mut self) {
        self.is_upgrading = true;
    }

    /// Whether the last answer is 101, and its protocol has not begun.
    pub(crate) fn is_upgrading(&self) -> bool {
        self.is_upgrading
    }

    /// The answer 101 is written. From here on, the connection has another protocol, with timeouts of its own
    /// beside the write timeout.
    pub(crate) fn upgrade_begins(&mut self) {
        self.is_upgrading = false;
        self.phase = Phase::Busy;
        self.answering = true;
    }

    /// An answer of unknown length begins: in chunks, or up to the end of the connection.
    pub(crate) fn streaming_begins(&mut self, chunked: bool) {
        self.streaming = Streaming::UnderWay { chunked };
    }

    /// The answer to the current request is a live stream, which ends when the server drains.
    pub(crate) fn live_begins(&mut self) {
        self.live = true;
    }

    /// The end of such an answer was handed to hyper. Must not be called for one that breaks off.
    pub(crate) fn streaming_ends(&mut self) {
        self.streaming = Streaming::Ended;
    }

    /// Whether [`flushed`](Self::flushed) would change anything. Most flushes have nothing to write, and this saves
    /// them reading the clock.
    pub(crate) fn awaits_flush(&self) -> bool {
        self.answering || matches!(self.streaming, Streaming::Ended)
    }

    /// Everything handed over so far is written.
    pub(crate) fn flushed(&mut self, now: Instant) {
        if let Output::Partial = self.output {
            self.output = Output::Complete;
        }
        match &mut self.phase {
            Phase::Busy => {}
            Phase::Idle(since) => {
                // The client may have been slow to read.
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

    /// What is being written, or would be written next.
    pub(crate) fn writing(&self) -> Writing {
        match self.streaming {
            Streaming::UnderWay { .. } | Streaming::Ended => Writing::Streamed,
            Streaming::Nothing if self.answering => Writing::Whole,
            Streaming::Nothing => Writing::HyperError,
        }
    }

    /// The last answer is written; the client may still be sending.
    pub(crate) fn linger_begins(&mut self, now: Instant) {
        self.phase = Phase::Lingering { since: now, last_input: now };
    }

    /// The client still sends.
    pub(crate) fn linger_receives(&mut self, now: Instant) {
        if let Phase::Lingering { last_input, .. } = &mut self.phase {
            *last_input = now;
        }
    }

    /// Whether the last answer is written, and the connection only waits for the client to notice.
    pub(crate) fn is_lingering(&self) -> bool {
        matches!(self.phase, Phase::Lingering { .. })
    }

    /// The server drains. Only the first call has an effect.
    pub(crate) fn drain_begins(&mut self, now: Instant) {
        self.draining.get_or_insert(now);
    }

    /// How many bytes a lingering client may send before it is cut off.
    pub(crate) fn linger_bytes_max(&self) -> usize {
        self.linger_bytes_max
    }

    /// Bytes were written, or the write failed.
    pub(crate) fn write_progresses(&mut self) {
        self.stall = None;
        self.output = Output::Partial;
        self.presence.written();
    }

    /// The socket has taken everything that was written, which may take longer than the writes.
    pub(crate) fn flush_progresses(&mut self) {
        self.stall = None;
    }

    /// The socket takes no more bytes. `acknowledged` is called only at the beginning of a stall; it is
    /// [`Socket::acknowledged`](crate::socket::Socket::acknowledged).
    pub(crate) fn write_stalls(&mut self, now: Instant, acknowledged: impl FnOnce() -> Option<u64>) {
        self.stall.get_or_insert_with(|| WriteStall::new(now, acknowledged()));
    }

    /// Restarts the write timeout if the client has taken something since the last check. The system may report a full
    /// buffer for a long time, because it waits until a large part of it is free.
    pub(crate) fn check_stall(&mut self, now: Instant, acknowledged: Option<u64>) {
        self.stall.iter_mut().for_each(|stall| stall.check(now, acknowledged));
    }

    /// The start of the next answer that was already sent to the client as probes. It must not be sent again.
    pub(crate) fn sent_ahead(&self) -> &'static [u8] {
        match self.output {
            Output::Nothing => ANSWER_START.get(..self.presence.sent()).unwrap_or_default(),
            // Zeros, which do not change the size that follows.
            Output::Partial | Output::Complete => &[],
        }
    }

    /// Checks whether the client is still there, by what the system reports: [`Socket::tcp_state`]. Returns a byte to
    /// send as a probe, if one is due. Call [`probe_sent`](Self::probe_sent) once it is sent.
    ///
    /// [`Socket::tcp_state`]: crate::socket::Socket::tcp_state
    pub(crate) fn check_client(&mut self, now: Instant, tcp: Option<TcpState>) -> Option<u8> {
        let next = match (self.output, &self.streaming) {
            _ if self.stall.is_some() => Next::Other,
            (Output::Nothing, _) => Next::Answer,
            (Output::Complete, Streaming::UnderWay { chunked: true }) => Next::ChunkSize,
            (Output::Partial | Output::Complete, _) => Next::Other,
        };
        self.presence.check(now, tcp, next)
    }

    /// The byte from [`check_client`](Self::check_client) was sent.
    pub(crate) fn probe_sent(&mut self, now: Instant) {
        self.presence.sent_one(now);
    }

    /// Whether the client may be sending bytes that the server does not read.
    pub(crate) fn is_unread(&self) -> bool {
        self.body_unread || self.head_error.is_some()
    }

    pub(crate) fn set_body_unread(&mut self, unread: bool) {
        self.body_unread = unread;
    }

    /// This many bytes have arrived that cannot be decrypted yet, because the rest of their record is missing.
    pub(crate) fn set_undecrypted(&mut self, bytes: usize) {
        self.undecrypted = bytes;
    }

    /// Bytes that have arrived and cannot be decrypted yet.
    pub(crate) fn undecrypted(&self) -> usize {
        self.undecrypted
    }

    /// A request's body cannot be read to its end.
    pub(crate) fn body_breaks(&mut self) {
        self.body_broken = true;
    }

    /// Whether a request's body could not be read to its end.
    pub(crate) fn is_body_broken(&self) -> bool {
        self.body_broken
    }

    /// Records why a head was refused. The first reason is kept.
    pub(crate) fn set_head_error(&mut self, error: HeadError) {
        self.head_error.get_or_insert(error);
    }

    pub(crate) fn head_error(&self) -> Option<HeadError> {
        self.head_error
    }

    /// When the connection has to be closed, and why. Before closing it for [`CloseReason::WriteStalled`],
    /// [`CloseReason::Evicted`] or [`CloseReason::ClientGone`], check the socket, which may postpone the deadline.
    pub(crate) fn deadline(&self) -> Option<(Instant, CloseReason)> {
        let live_drain = self.draining.filter(|_| self.live);
        let write = self.stall.as_ref().map(|stall| stall.deadline(self.write_timeout, live_drain));
        let write = write.map(|at| (at, CloseReason::WriteStalled));
        let eviction = self.eviction.filter(|_| self.idle_since().is_some()).map(|at| (at, CloseReason::Evicted));
        let check = self.presence.next_check().map(|at| (at, CloseReason::ClientGone));
        [self.phase_deadline(), write, eviction, check].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn phase_deadline(&self) -> Option<(Instant, CloseReason)> {
        match self.phase {
            // The rest of an answer is being written, under the write timeout.
            Phase::Idle(_) if self.answering => None,
            // So is a refusal.
            Phase::Idle(_) | Phase::Head(_) if self.head_error.is_some() => None,
            Phase::Idle(since) => Some((since + self.keep_alive_timeout, CloseReason::Idle)),
            Phase::Head(since) => Some((since + self.head_timeout, CloseReason::SlowHead)),
            Phase::Busy => None,
            Phase::Lingering { since, last_input } => {
                let draining = self.draining.map(|draining| since.max(draining) + LINGER_DRAINING);
                let ends = [Some(since + LINGER), Some(last_input + LINGER_PAUSE), draining];
                ends.into_iter().flatten().min().map(|end| (end, CloseReason::Lingered))
            }
        }
    }

    /// How idle the connection is at `now`, and since when. `None` if closing it would break off a request.
    pub(crate) fn idleness(&self, now: Instant) -> Option<IdleSince> {
        let (idleness, since) = self.idle_since()?;
        let is_recent = idleness == Idleness::BetweenRequests && now.saturating_duration_since(since) < RECENT;
        Some((if is_recent { Idleness::Recent } else { idleness }, since))
    }

    /// Evicts the connection, now or when it has been idle for [`RECENT`], unless a request arrives before. Returns
    /// whether it is idle; if it is not, it stays open.
    pub(crate) fn evict(&mut self, now: Instant) -> bool {
        self.eviction = self.idleness(now).map(|(idleness, since)| {
            let at = if idleness == Idleness::Recent { since + RECENT } else { now };
            self.eviction.map_or(at, |known| known.min(at))
        });
        self.eviction.is_some()
    }

    /// Records whether the socket has unread input, which saves the connection from eviction. Input on a lingering
    /// connection does not count.
    pub(crate) fn check_input(&mut self, has_input: bool) {
        self.has_unread_head = has_input && matches!(self.phase, Phase::Idle(_) | Phase::Head(_));
    }

    /// Like [`idleness`](Self::idleness), but does not distinguish [`Idleness::Recent`].
    fn idle_since(&self) -> Option<IdleSince> {
        match self.phase {
            Phase::Idle(_) | Phase::Head(_) if self.answering || self.has_unread_head || self.head_error.is_some() => {
                None
            }
            Phase::Idle(since) => Some((Idleness::BetweenRequests, since)),
            Phase::Head(since) => Some((Idleness::InHead, since)),
            Phase::Lingering { since, .. } => Some((Idleness::Lingering, since)),
            Phase::Busy => None,
        }
    }
}

#[cfg(test)]
mod tests;
