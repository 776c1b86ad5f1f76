//! The bounded queue of batches to be committed.

use std::fmt;
use std::mem;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use argus_core::repository::Failure;
use thiserror::Error;

use super::lock;

/// Limits of the queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Most batches.
    pub batches_max: usize,
    /// Most bytes of all batches. A larger batch is accepted if the queue is empty.
    pub bytes_max: usize,
}

/// Why a batch was not queued. It is not stored and will not be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// The queue is full.
    #[error("the commit queue is full")]
    QueueFull,
    /// The repository refuses commits.
    #[error(transparent)]
    Failure(Failure),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Stopped,
}

/// Why a wait for the queue has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// There are items.
    Filled,
    /// The queue is closed and empty.
    Closed,
    /// The wait timed out or was [interrupted](Queue::interrupt).
    Interrupted,
}

/// A bounded queue that is emptied all at once, by the thread that waits for it or by any other.
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
    /// A leader will empty the queue.
    has_leader: bool,
    /// How many items were taken last.
    taken_last: usize,
    /// How many items the thread in [`gather`](Queue::gather) waits for; 0 if none waits.
    wanted: usize,
    /// The waiting thread should return even if the queue is empty.
    interrupted: bool,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(limits: QueueLimits) -> Self {
        let state = State {
            items: Vec::new(),
            bytes: 0,
            has_leader: false,
            taken_last: 0,
            wanted: 0,
            interrupted: false,
            closed: false,
        };
        Self { limits, state: Mutex::new(state), wake: Condvar::new(), closing: Condvar::new() }
    }

    /// Adds an item of `bytes` bytes. Returns whether the caller is now the leader, which must see to it that the queue
    /// is emptied.
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
        if state.items.len() == state.wanted {
            self.wake.notify_one();
        }
        Ok(!mem::replace(&mut state.has_leader, true))
    }

    /// Takes all items. The next caller of `push` becomes the leader.
    pub(super) fn take(&self) -> Vec<T> {
        let mut state = lock(&self.state);
        state.bytes = 0;
        state.has_leader = false;
        state.taken_last = state.items.len();
        // About as many will follow. Growing the list step by step would copy it under the lock.
        let room = state.taken_last;
        mem::replace(&mut state.items, Vec::with_capacity(room))
    }

    /// Sleeps until the queue has half as many items as were taken last, or for at most `patience`. Returns whether
    /// there are any.
    ///
    /// Clients that just got their answers are likely to submit again soon. Taking only the first of their batches
    /// would make all others wait for another commit.
    pub(super) fn gather(&self, patience: Duration) -> bool {
        let mut state = lock(&self.state);
        state.wanted = (state.taken_last / 2).max(1);
        let is_gathering = |state: &mut State<T>| state.items.len() < state.wanted && !state.closed;
        let waited = self.wake.wait_timeout_while(state, patience, is_gathering);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wanted = 0;
        !state.items.is_empty()
    }

    /// Sleeps until there is an item, or for at most `patience`.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Waited {
        let is_idle = |state: &mut State<T>| state.items.is_empty() && !state.interrupted && !state.closed;
        let state = lock(&self.state);
        let mut state = match patience {
            None => self.wake.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = self.wake.wait_timeout_while(state, patience, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if !state.items.is_empty() {
            return Waited::Filled;
        }
        state.interrupted = false;
        if state.closed { Waited::Closed } else { Waited::Interrupted }
    }

    /// Wakes the thread in [`wait`](Self::wait), now or when it gets there, even if the queue is empty.
    pub(super) fn interrupt(&self) {
        lock(&self.state).interrupted = true;
        self.wake.notify_one();
    }

    /// Sleeps until the queue is closed, or for at most `timeout`. Returns whether it is closed.
    pub(super) fn closes_within(&self, timeout: Duration) -> bool {
        let open = |state: &mut State<T>| !state.closed;
        let waited = self.closing.wait_timeout_while(lock(&self.state), timeout, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Wakes the thread in [`wait`](Self::wait). The one in [`gather`](Self::gather) wakes by itself.
    pub(super) fn wake(&self) {
        if lock(&self.state).wanted == 0 {
            self.wake.notify_one();
        }
    }

    /// Refuses further items. Queued ones can still be taken.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_all();
        self.closing.notify_all();
    }

    /// Whether the queue refuses further items.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Queued items, and their bytes.
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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Longer than any test takes.
    const FOREVER: Duration = Duration::from_secs(3600);

    /// A queue whose last `take` returned `taken_last` items.
    fn after(taken_last: usize) -> Queue<usize> {
        let queue = Queue::new(QueueLimits { batches_max: 100, bytes_max: 100 });
        for item in 0..taken_last {
            assert_eq!(queue.push(item, 1), Ok(item == 0));
        }
        assert_eq!(queue.take().len(), taken_last);
        queue
    }

    #[test]
    fn gather_waits_for_half_as_many_items_as_were_taken_last() {
        let queue = after(6);
        thread::scope(|threads| {
            let waiting = threads.spawn(|| (queue.gather(FOREVER), queue.take()));
            assert_eq!(queue.push(1, 1), Ok(true));
            queue.wake();
            for item in 2..=3 {
                assert_eq!(queue.push(item, 1), Ok(false));
                queue.wake();
            }
            assert_eq!(waiting.join().expect("it does not panic"), (true, vec![1, 2, 3]));
        });
    }

    #[test]
    fn gather_returns_with_one_item_after_small_groups_or_a_timeout() {
        for (taken_last, patience) in [(0, FOREVER), (1, FOREVER), (3, FOREVER), (6, Duration::ZERO)] {
            let queue = after(taken_last);
            assert_eq!(queue.push(1, 1), Ok(true));
            assert!(queue.gather(patience));
            assert_eq!(queue.take(), [1]);
            assert!(!queue.gather(Duration::ZERO));
        }
    }

    #[test]
    fn wait_returns_with_the_first_item_once_woken() {
        let queue = after(6);
        thread::scope(|threads| {
            let waiting = threads.spawn(|| (queue.wait(None), queue.take()));
            assert_eq!(queue.push(1, 1), Ok(true));
            queue.wake();
            assert_eq!(waiting.join().expect("it does not panic"), (Waited::Filled, vec![1]));
        });
    }

    #[test]
    fn an_interrupt_wakes_once_even_if_it_comes_before_the_wait() {
        let queue = after(1);
        queue.interrupt();
        assert_eq!(queue.wait(None), Waited::Interrupted);
        assert_eq!(queue.wait(Some(Duration::ZERO)), Waited::Interrupted, "the time is up");
        thread::scope(|threads| {
            let waiting = threads.spawn(|| queue.wait(None));
            queue.interrupt();
            assert_eq!(waiting.join().expect("it does not panic"), Waited::Interrupted);
        });
        // Items come first.
        queue.interrupt();
        assert_eq!(queue.push(1, 1), Ok(true));
        assert_eq!(queue.wait(None), Waited::Filled);
    }

    #[test]
    fn a_closed_queue_does_not_wait() {
        let queue = after(6);
        thread::scope(|threads| {
            let waiting =
                threads.spawn(|| (queue.gather(FOREVER), queue.take(), queue.gather(FOREVER), queue.wait(None)));
            assert_eq!(queue.push(1, 1), Ok(true));
            queue.wake();
            queue.close();
            assert_eq!(waiting.join().expect("it does not panic"), (true, vec![1], false, Waited::Closed));
        });
        assert_eq!(queue.push(2, 1), Err(SubmitError::Stopped));
    }
}
