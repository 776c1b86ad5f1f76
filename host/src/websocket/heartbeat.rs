//! Pings, and clients that answer none.

use std::time::{Duration, Instant};

/// What a ping without content takes on the wire at most, in bytes: 2 as it is, 24 as a record of TLS 1.3, and 31 as
/// one of TLS 1.2. No slow client takes so few bytes of messages in an interval.
const PING_BYTES_MAX: u64 = 31;

/// When to send a ping, and when the client is given up. It reads no clock and touches no socket.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    next: Instant,
    /// There is a ping without an answer.
    unanswered: Option<Unanswered>,
}

#[derive(Debug)]
struct Unanswered {
    /// Bytes that the client's system had acknowledged when the last interval began; `None` if the system does not
    /// report it.
    acknowledged: Option<u64>,
}

/// What to do at the end of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Send a ping.
    Ping,
    /// Wait for another interval.
    Wait,
    /// Give the client up.
    Lost,
}

impl Heartbeat {
    /// Starts the first interval.
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, next: now + interval, unanswered: None }
    }

    /// When the interval ends.
    pub(super) fn deadline(&self) -> Instant {
        self.next
    }

    /// A pong has arrived.
    pub(super) fn pong(&mut self) {
        self.unanswered = None;
    }

    /// The interval has ended. `acknowledged` is [`Socket::acknowledged`](crate::socket::Socket::acknowledged).
    ///
    /// A ping waits in the buffers of the system behind the messages before it. While a slow client still takes
    /// messages, it may not have seen the ping.
    pub(super) fn beat(&mut self, now: Instant, acknowledged: Option<u64>) -> Beat {
        self.next = now + self.interval;
        match &mut self.unanswered {
            None => {
                self.unanswered = Some(Unanswered { acknowledged });
                Beat::Ping
            }
            Some(unanswered) => match (acknowledged, unanswered.acknowledged) {
                (Some(now), Some(before)) if now > before + PING_BYTES_MAX => {
                    unanswered.acknowledged = acknowledged;
                    Beat::Wait
                }
                (Some(_), Some(_)) | (None, _) | (_, None) => Beat::Lost,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_that_answers_gets_a_ping_every_interval() {
        let begun = Instant::now();
        let mut heartbeat = Heartbeat::new(15 * SECOND, begun);
        for beat in 1..5 {
            let now = begun + beat * 15 * SECOND;
            assert_eq!(heartbeat.deadline(), now);
            assert_eq!(heartbeat.beat(now, Some(100)), Beat::Ping);
            heartbeat.pong();
            heartbeat.pong();
        }
    }

    #[test]
    fn a_client_that_answers_no_ping_is_lost_after_the_second_interval() {
        // The system of a client that hangs acknowledges the ping itself, which may be encrypted.
        let acknowledged = [100, 102, 124, 131].map(|after| (Some(100), Some(after)));
        for (before, after) in acknowledged.into_iter().chain([(None, None)]) {
            let begun = Instant::now();
            let mut heartbeat = Heartbeat::new(SECOND, begun);
            assert_eq!(heartbeat.beat(begun + SECOND, before), Beat::Ping);
            assert_eq!(heartbeat.beat(begun + 2 * SECOND, after), Beat::Lost);
        }
    }

    #[test]
    fn a_client_that_still_takes_messages_has_not_seen_the_ping() {
        let now = Instant::now();
        let mut heartbeat = Heartbeat::new(SECOND, now);
        assert_eq!(heartbeat.beat(now, Some(100)), Beat::Ping);
        assert_eq!(heartbeat.beat(now, Some(132)), Beat::Wait);
        assert_eq!(heartbeat.beat(now, Some(200)), Beat::Wait);
        assert_eq!(heartbeat.beat(now, Some(231)), Beat::Lost);
    }
}
