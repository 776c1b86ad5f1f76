//! Whether a client that waits for an answer is still connected.
//!
//! A client that has closed its half may still read, or be gone. It is sent the first bytes of the answer one at a
//! time; the system of a client that is gone answers with a reset.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::stream::{Stream, TcpState};

/// How often to check.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// The most bytes sent ahead. The time between them doubles, so they last for a minute.
const PROBES_MAX: u32 = 7;

/// What is sent to the client next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// The start of an answer.
    Answer,
    /// The size of a chunk, which may have leading zeros (RFC 9112, section 7.1).
    ChunkSize,
    /// Content that is not known yet.
    Content,
}

#[derive(Debug)]
pub(crate) struct Presence {
    next_look: Instant,
    next_probe: Option<Instant>,
    probes: u32,
}

impl Presence {
    /// For a client that starts to wait.
    pub(crate) fn new() -> Self {
        Self { next_look: Instant::now() + LOOK_INTERVAL, next_probe: None, probes: 0 }
    }

    /// Call this regularly while the client waits.
    ///
    /// # Errors
    ///
    /// The client is gone.
    pub(crate) fn look(&mut self, stream: &mut Stream, next: Next) -> io::Result<()> {
        let now = Instant::now();
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + LOOK_INTERVAL;
        match stream.tcp_state()? {
            TcpState::Open => Ok(()),
            TcpState::Closed => Err(ErrorKind::ConnectionReset.into()),
            TcpState::HalfClosed if self.probes == PROBES_MAX || self.next_probe.is_some_and(|at| now < at) => Ok(()),
            TcpState::HalfClosed => {
                match next {
                    Next::Answer => stream.write_answer_ahead()?,
                    Next::ChunkSize => stream.write(b"0")?,
                    Next::Content => return Ok(()),
                }
                self.probes += 1;
                self.next_probe = Some(now + LOOK_INTERVAL * (1 << self.probes));
                Ok(())
            }
        }
    }
}
