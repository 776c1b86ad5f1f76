//! A client that takes no more of its answer.

use std::time::{Duration, Instant};

/// How long a live stream may stall while the server drains. It has no end that would be worth waiting for.
const LIVE_DRAINING: Duration = Duration::from_secs(5);

/// How often it is checked within the timeout whether the client has taken something. Bytes are usually under way when
/// a stall begins. With a single check at the end, these would count as progress, and the timeout would start again.
const CHECKS: u32 = 8;

/// The client's socket takes no more bytes.
#[derive(Debug)]
pub(super) struct WriteStall {
    /// When the client was last seen to have taken something, or the stall began.
    since: Instant,
    /// When that was checked last.
    checked: Instant,
    /// Bytes that the client's system had acknowledged then.
    acknowledged: Option<u64>,
}

impl WriteStall {
    pub(super) fn new(now: Instant, acknowledged: Option<u64>) -> Self {
        Self { since: now, checked: now, acknowledged }
    }

    /// Begins anew if the client has taken something.
    pub(super) fn check(&mut self, now: Instant, acknowledged: Option<u64>) {
        self.checked = now;
        if acknowledged > self.acknowledged {
            *self = Self::new(now, acknowledged);
        }
    }

    /// When the next check is due. If the client has taken nothing until the last one, that is when the connection has
    /// to be closed. `live_drain` is when the server began to drain, if the answer is a live stream.
    pub(super) fn deadline(&self, timeout: Duration, live_drain: Option<Instant>) -> Instant {
        let next = |begun: Instant, time: Duration| (begun + time).min(self.checked.max(begun) + time / CHECKS);
        let deadline = next(self.since, timeout);
        live_drain.map_or(deadline, |drain| deadline.min(next(self.since.max(drain), LIVE_DRAINING)))
    }
}
