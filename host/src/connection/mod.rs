//! One connection, as its reader, its writer, its requests and whoever watches the time share it.

mod head_bytes;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::Clock;
use crate::settings::Settings;

pub(crate) use state::{CloseReason, ConnectionState, HeadError, Writing};

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
