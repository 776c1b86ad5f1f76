//! The memory that running answers hold.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use argus_core::api::Refusal;

/// The memory counted for an answer until its actual memory is known, in bytes.
const FIRST_BYTES: usize = 128 * 1024;

/// The running answers. Each is suspended by its own thread before it waits for its client.
#[derive(Debug)]
pub(crate) struct Answers {
    bytes_max: usize,
    held: Mutex<Held>,
    changed: Condvar,
}

/// The memory that answers hold, in bytes, and their number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) bytes: usize,
    pub(crate) answers: usize,
}

/// The memory of one answer, returned when dropped.
#[derive(Debug)]
pub(crate) struct AnswerMemory {
    answers: Arc<Answers>,
    bytes: usize,
}

impl Answers {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, held: Mutex::default(), changed: Condvar::new() })
    }

    pub(crate) fn held(&self) -> Held {
        *self.lock()
    }

    /// Waits until there is memory for one more answer, at most until the deadline.
    pub(crate) fn admit(self: &Arc<Self>, deadline: Instant) -> Result<AnswerMemory, Refusal> {
        let mut held = self.lock();
        while held.bytes >= self.bytes_max {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refusal::AnswersFull);
            }
            held = self.changed.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        held.bytes += FIRST_BYTES;
        held.answers += 1;
        Ok(AnswerMemory { answers: Arc::clone(self), bytes: FIRST_BYTES })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AnswerMemory {
    /// Sets how much memory the answer holds now.
    pub(crate) fn set(&mut self, bytes: usize) {
        let mut held = self.answers.lock();
        held.bytes = held.bytes - self.bytes + bytes;
        self.bytes = bytes;
        drop(held);
        self.answers.changed.notify_one();
    }
}

impl Drop for AnswerMemory {
    fn drop(&mut self) {
        self.set(0);
        self.answers.lock().answers -= 1;
    }
}
