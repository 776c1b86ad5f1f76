//! One connection, shared by its reader, its writer, its requests and its timer.

mod head_bytes;
mod idleness;
mod presence;
mod stall;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::Clock;
use crate::settings::Settings;

pub(crate) use idleness::IdleSince;
pub(crate) use state::ConnectionState;

/// Longest request line and header fields together, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header fields. hyper has room for this many without an allocation per request.
pub(crate) const HEAD_FIELDS_MAX: usize = 100;

/// A connection's state, and the clock that times its events.
#[derive(Debug)]
pub(crate) struct Connection {
    clock: Clock,
    state: Mutex<ConnectionState>,
}

/// Why a connection is closed at its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// No request came within the keep-alive timeout.
    Idle,
    /// A head did not arrive within the header timeout.
    SlowHead,
    /// The client took nothing of an answer within the write timeout.
    WriteStalled,
    /// The request was answered, and the client had enough time to stop sending.
    Lingered,
    /// Another connection needs its place.
    Evicted,
    /// The client is gone.
    ClientGone,
}

/// What the server is writing to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// hyper's own answer to a malformed head. An answer of the service replaces it.
    HyperError,
    /// An answer whose head says where it ends.
    Whole,
    /// An answer whose end is marked by its last chunk, or by the end of the connection. Until its end is written, the
    /// connection must end in a reset.
    Streamed,
}

/// Why a head was refused before it reached the service. The connection ends then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// It did not arrive within the header timeout.
    Late,
    /// It is longer than [`HEAD_BYTES_MAX`], has more fields than [`HEAD_FIELDS_MAX`], or declares a body length that
    /// hyper cannot represent.
    TooLarge,
    /// It is not HTTP/1.1.
    Malformed,
}

impl Connection {
    /// A connection opened now.
    pub(crate) fn open(settings: &Settings, clock: Clock) -> Self {
        let state = Mutex::new(ConnectionState::new(settings, clock.now()));
        Self { clock, state }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Locks the state. Must not be held during calls that lock it too.
    pub(crate) fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
