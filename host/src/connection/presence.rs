//! Detects whether a client that waits for an answer is still there.
//!
//! TCP reports that a client will send no more, but not whether it still reads: a client that has closed only its
//! sending half looks like one that is gone. If the client is gone, its system answers with a reset, but only when
//! something is sent to it. So a client that has closed its sending half is probed with single bytes that every answer
//! begins with: the start of the status line, or zeros before the size of the next chunk, which RFC 9112, section 7.1,
//! permits. To the client, these bytes look like a slow answer.

use std::time::{Duration, Instant};

use crate::socket::TcpState;

/// How often the client is checked.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The first bytes of every answer, in HTTP/1.0 and HTTP/1.1.
pub(super) const ANSWER_START: &[u8] = b"HTTP/1.";

/// Most zeros before a chunk's size. With the eight digits of a chunk below 4 GiB they stay within the sixteen digits
/// that clients accept.
const ZEROS_MAX: usize = 7;

/// What is written next, if everything before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The first byte of an answer.
    Answer,
    /// The size of a chunk.
    ChunkSize,
    /// Anything else, or unknown.
    Other,
}

/// Checks whether the client of a request is still there.
#[derive(Debug, Default)]
pub(super) struct Presence {
    next_check: Option<Instant>,
    next_probe: Option<Instant>,
    /// Bytes of the next write that were already sent as probes.
    sent: usize,
}

impl Presence {
    /// Starts checking the client.
    pub(super) fn watch(&mut self, now: Instant) {
        self.next_check = Some(now + CHECK_INTERVAL);
        self.next_probe = None;
    }

    /// Stops checking: the request is done.
    pub(super) fn end(&mut self) {
        self.next_check = None;
    }

    /// When the client is checked next, if it is.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }

    /// Bytes of the next write that were already sent as probes.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// The write that the probes belong to was made.
    pub(super) fn written(&mut self) {
        self.sent = 0;
        self.next_probe = None;
    }

    /// Checks the client. If the time of the next check stays the same, the client is gone and its connection has to be
    /// closed. Returns a byte to send as a probe, if one is due.
    pub(super) fn check(&mut self, now: Instant, tcp: Option<TcpState>, next: Next) -> Option<u8> {
        match tcp {
            Some(TcpState::Closed) => None,
            // The system does not support this, now or later.
            None => {
                self.next_check = None;
                None
            }
            Some(TcpState::Open) => {
                self.next_check = Some(now + CHECK_INTERVAL);
                None
            }
            Some(TcpState::HalfClosed) => {
                self.next_check = Some(now + CHECK_INTERVAL);
                let is_due = self.next_probe.is_none_or(|at| at <= now);
                if is_due { self.probe(next) } else { None }
            }
        }
    }

    /// The probe was sent. The delay to the next one doubles, so that few bytes last for a long time. A client that
    /// leaves right after a probe is detected by the next one.
    pub(super) fn sent_one(&mut self, now: Instant) {
        self.sent += 1;
        self.next_probe = Some(now + CHECK_INTERVAL * (1 << self.sent.min(16)));
    }

    fn probe(&self, next: Next) -> Option<u8> {
        match next {
            Next::Answer => ANSWER_START.get(self.sent).copied(),
            Next::ChunkSize => (self.sent < ZEROS_MAX).then_some(b'0'),
            Next::Other => None,
        }
    }
}
