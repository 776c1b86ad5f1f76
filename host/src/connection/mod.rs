//! One connection, as its reader, its writer, its requests and whoever watches the time share it.

mod head_bytes;
mod idleness;
mod presence;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::Clock;
use crate::settings::Settings;

pub(crate) use idleness::IdleSince;
pub(crate) use state::ConnectionState;

/// Longest request line and header fields together, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header fields: as many as hyper has room for, unless it is to allocate it for each request.
pub(crate) const HEAD_FIELDS_MAX: usize = 100;

/// A connection's state, and the clock that its events are told by.
#[derive(Debug)]
pub(crate) struct Connection {
    clock: Clock,
    state: Mutex<ConnectionState>,
}

/// Why a connection is closed when its deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// No request came within the keep-alive timeout.
    Idle,
    /// A head did not arrive within its timeout.
    SlowHead,
    /// The client took nothing of an answer within the write timeout.
    WriteStalled,
    /// The client has been answered, and sent what nobody reads for long enough.
    Lingered,
    /// Another connection needs its place.
    Evicted,
    /// Nobody waits for the answer any more.
    ClientGone,
}

/// What is on its way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// What hyper answers to a head that never became a request. It is replaced by an answer of ours.
    HyperError,
    /// An answer whose end its head tells.
    Whole,
    /// An answer whose end only its last byte tells, or the end of the connection. Until that has been written, the
    /// connection must not be closed in good order.
    Streamed,
}

/// Why a head was not answered by the service, and the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// It did not arrive in time.
    Late,
    /// It is longer than [`HEAD_BYTES_MAX`], has more fields than
    /// [`HEAD_FIELDS_MAX`], or announces a body longer than hyper can count.
    TooLarge,
    /// It is not HTTP/1.1.
    Malformed,
}

impl Connection {
    /// A connection that is opened now.
    pub(crate) fn open(settings: &Settings, clock: Clock) -> Self {
        let state = Mutex::new(ConnectionState::new(settings, clock.now()));
        Self { clock, state }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The state, locked. Not to be held while anything else is called that may ask for it.
    pub(crate) fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
