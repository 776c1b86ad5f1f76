use std::fmt;
use std::mem;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::lock;

/// How much may wait to be committed.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Batches.
    pub batches_max: usize,
    /// Bytes of them. A batch that is larger is taken if nothing else waits.
    pub bytes_max: usize,
}

/// Why a batch was not taken. It is not stored and will not be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// Too much waits already.
    #[error("the commit queue is full")]
    QueueFull,
    /// The repository accepts nothing more.
    #[error("{0}")]
    Latched(String),
    /// The server is at its end.
    #[error("nothing more is committed")]
    Stopped,
}

/// A bounded queue that is taken all at once, by a thread that sleeps meanwhile or by anybody else.
pub(super) struct Queue<T> {
    limits: QueueLimits,
    state: Mutex<State<T>>,
    wake: Condvar,
    closing: Condvar,
}

struct State<T> {
    /// In the order of arrival.
    items: Vec<T>,
    bytes: usize,
    /// Somebody has undertaken to have the items taken.
    attended: bool,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(limits: QueueLimits) -> Self {
        let state = State { items: Vec::new(), bytes: 0, attended: false, closed: false };
        Self { limits, state: Mutex::new(state), wake: Condvar::new(), closing: Condvar::new() }
    }

    /// Adds an item of so many bytes; `true` if it is now for the caller to have the queue taken.
    pub(super) fn push(&self, item: T, bytes: usize) -> Result<bool, SubmitError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(SubmitError::Stopped);
        }
        let limits = &self.limits;
        let full = state.items.len() >= limits.batches_max || state.bytes.saturating_add(bytes) > limits.bytes_max;
        if full && !state.items.is_empty() {
            return Err(SubmitError::QueueFull);
        }
        state.items.push(item);
        state.bytes += bytes;
        Ok(!mem::replace(&mut state.attended, true))
    }

    /// Takes everything. Whoever pushes next has to attend to the queue again.
    pub(super) fn take(&self) -> Vec<T> {
        let mut state = lock(&self.state);
        state.bytes = 0;
        state.attended = false;
        // About as many will follow. A list that grew anew each time would be moved about under the lock.
        let room = state.items.len();
        mem::replace(&mut state.items, Vec::with_capacity(room))
    }

    /// Sleeps until there is something to take; `false` when there never will be.
    pub(super) fn wait(&self) -> bool {
        let state = lock(&self.state);
        let idle = |state: &mut State<T>| state.items.is_empty() && !state.closed;
        let state = self.wake.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        !state.items.is_empty()
    }

    /// Sleeps for as long, or until nothing more is taken; `true` in that case.
    pub(super) fn closes_within(&self, timeout: Duration) -> bool {
        let open = |state: &mut State<T>| !state.closed;
        let waited = self.closing.wait_timeout_while(lock(&self.state), timeout, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Wakes the thread that sleeps in [`wait`](Self::wait).
    pub(super) fn call(&self) {
        self.wake.notify_one();
    }

    /// Takes nothing more. What waits is still to be taken.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_all();
        self.closing.notify_all();
    }

    /// Items that wait, and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.items.len(), state.bytes)
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("limits", &self.limits).field("size", &self.size()).finish_non_exhaustive()
    }
}
