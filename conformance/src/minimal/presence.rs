//! Whether a client that waits for an answer is still there.
//!
//! One that has closed its half of the connection may be reading, or be gone. It is sent what comes next in any case, a
//! byte at a time; the system of one that is gone answers with a reset.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::stream::{Stream, TcpState};

/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes that are sent ahead at most. The time between two of them doubles, so they last for a minute.
const PROBES_MAX: u32 = 7;

/// What comes next on the way to the client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// The first byte of an answer.
    Answer,
    /// The size of a chunk, which zeros may precede (RFC 9112, section 7.1).
    ChunkSize,
    /// Bytes of which nobody knows yet what they will be.
    Content,
}

#[derive(Debug)]
pub(crate) struct Presence {
    next_look: Instant,
    next_probe: Option<Instant>,
    probes: u32,
}

impl Presence {
    /// Of a client that is about to wait.
    pub(crate) fn new() -> Self {
        Self { next_look: Instant::now() + LOOK_INTERVAL, next_probe: None, probes: 0 }
    }

    /// To be called now and then while the client waits.
    ///
    /// # Errors
    ///
    /// It is gone.
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
