//! A client that takes no more of its answer.

use std::time::{Duration, Instant};

/// How long a live stream may stall while the server drains. It has no end that would be worth waiting for.
const LIVE_DRAINING: Duration = Duration::from_secs(5);

/// The client's socket takes no more bytes.
#[derive(Debug)]
pub(super) struct WriteStall {
    since: Instant,
    /// Bytes that the client's system had acknowledged when the stall began.
    acknowledged: Option<u64>,
}

impl WriteStall {
    pub(super) fn new(now: Instant, acknowledged: Option<u64>) -> Self {
        Self { since: now, acknowledged }
    }

    /// Begins anew if the client has taken something.
    pub(super) fn check(&mut self, now: Instant, acknowledged: Option<u64>) {
        if acknowledged > self.acknowledged {
            *self = Self::new(now, acknowledged);
        }
    }

    /// When the connection has to be closed. `live_drain` is when the server began to drain, if the answer is a live
    /// stream.
    pub(super) fn deadline(&self, timeout: Duration, live_drain: Option<Instant>) -> Instant {
        let deadline = self.since + timeout;
        live_drain.map_or(deadline, |drain| deadline.min(self.since.max(drain) + LIVE_DRAINING))
    }
}
