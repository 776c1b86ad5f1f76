//! Whether a client that waits for an answer is still there.
//!
//! TCP tells that a client will send no more, and not whether it still reads: one that has closed its half looks like
//! one that is gone. The difference shows when it is sent something, which the system of one that is gone answers with
//! a reset. So a client that has closed its half and waits is sent, byte by byte, what its answer goes on with in any
//! case: the beginning of the status line, or zeros before the size of the next chunk, which RFC 9112 permits (section
//! 7.1). No client can tell these bytes from an answer that takes its time.

use std::time::{Duration, Instant};

use crate::socket::TcpState;

/// How often it is looked whether the client is still there.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What an answer begins with in either version.
pub(super) const ANSWER_START: &[u8] = b"HTTP/1.";

/// Most zeros before the size of a chunk. With the eight digits that a chunk below 4 GiB has they are still a size that
/// clients take, which count up to sixteen digits.
const ZEROS_MAX: usize = 7;

/// What comes next on the way to the client, if everything before it is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The first byte of an answer.
    Answer,
    /// The size of a chunk.
    ChunkSize,
    /// Something else, or it is not known.
    Other,
}

/// The client of a request that is worth doing only for somebody who takes the answer.
#[derive(Debug, Default)]
pub(super) struct Presence {
    next_look: Option<Instant>,
    next_probe: Option<Instant>,
    /// Bytes that were sent ahead of what comes next.
    sent: usize,
}

impl Presence {
    /// The work begins.
    pub(super) fn watch(&mut self, now: Instant) {
        self.next_look = Some(now + LOOK_INTERVAL);
        self.next_probe = None;
    }

    /// The work is over.
    pub(super) fn end(&mut self) {
        self.next_look = None;
    }

    /// When the client is to be looked for, if it is.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// Bytes that were sent ahead of what comes next.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// What comes next was written.
    pub(super) fn written(&mut self) {
        self.sent = 0;
        self.next_probe = None;
    }

    /// Looks for the client. Its connection has to be closed if the time of the next look is as it was. Gives the byte
    /// that is to be sent to find out more.
    pub(super) fn look(&mut self, now: Instant, tcp: Option<TcpState>, next: Next) -> Option<u8> {
        match tcp {
            Some(TcpState::Closed) => None,
            // The system tells nothing, now or later.
            None => {
                self.next_look = None;
                None
            }
            Some(TcpState::Open) => {
                self.next_look = Some(now + LOOK_INTERVAL);
                None
            }
            Some(TcpState::HalfClosed) => {
                self.next_look = Some(now + LOOK_INTERVAL);
                let is_due = self.next_probe.is_none_or(|at| at <= now);
                if is_due { self.probe(next) } else { None }
            }
        }
    }

    /// The byte was sent. Whoever goes away right behind it is found by the next one, for which the time doubles, so
    /// that few bytes are enough for long.
    pub(super) fn sent_one(&mut self, now: Instant) {
        self.sent += 1;
        self.next_probe = Some(now + LOOK_INTERVAL * (1 << self.sent.min(16)));
    }

    fn probe(&self, next: Next) -> Option<u8> {
        match next {
            Next::Answer => ANSWER_START.get(self.sent).copied(),
            Next::ChunkSize => (self.sent < ZEROS_MAX).then_some(b'0'),
            Next::Other => None,
        }
    }
}
