//! The bounded queue of batches that wait to be committed.

use std::fmt;
use std::mem;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use argus_core::repository::Failure;
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
    /// The repository accepts nothing at present.
    #[error(transparent)]
    Failure(Failure),
    /// The server is at its end.
    #[error("nothing more is committed")]
    Stopped,
}

/// Why the thread that takes the queue does not sleep any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// There is something to take.
    Filled,
    /// There never will be anything.
    Closed,
    /// The time is up, or somebody has [alerted](Queue::alert) it.
    Called,
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
    /// How many were taken last.
    taken_last: usize,
    /// How many the thread in [`gather`](Queue::gather) wants to be woken for; 0 if there is none.
    wanted: usize,
    /// Somebody wants the thread that waits to look at something else.
    alerted: bool,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(limits: QueueLimits) -> Self {
        let state = State {
            items: Vec::new(),
            bytes: 0,
            attended: false,
            taken_last: 0,
            wanted: 0,
            alerted: false,
            closed: false,
        };
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
        if state.items.len() == state.wanted {
            self.wake.notify_one();
        }
        Ok(!mem::replace(&mut state.attended, true))
    }

    /// Takes everything. Whoever pushes next has to attend to the queue again.
    pub(super) fn take(&self) -> Vec<T> {
        let mut state = lock(&self.state);
        state.bytes = 0;
        state.attended = false;
        state.taken_last = state.items.len();
        // About as many will follow. A list that grew anew each time would be moved about under the lock.
        let room = state.taken_last;
        mem::replace(&mut state.items, Vec::with_capacity(room))
    }

    /// Sleeps until there is half of what was taken last, for as long as `patience` at most; whether there is anything
    /// to take then.
    ///
    /// Those whose items were taken last are likely to be back soon. Whoever takes the first of them alone makes all
    /// others wait for a whole round.
    pub(super) fn gather(&self, patience: Duration) -> bool {
        let mut state = lock(&self.state);
        state.wanted = (state.taken_last / 2).max(1);
        let is_gathering = |state: &mut State<T>| state.items.len() < state.wanted && !state.closed;
        let waited = self.wake.wait_timeout_while(state, patience, is_gathering);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wanted = 0;
        !state.items.is_empty()
    }

    /// Sleeps until there is something to take, or for as long as `patience` at most.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Waited {
        let is_idle = |state: &mut State<T>| state.items.is_empty() && !state.alerted && !state.closed;
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
        state.alerted = false;
        if state.closed { Waited::Closed } else { Waited::Called }
    }

    /// Wakes the thread that [waits](Self::wait), or will, though there may be nothing to take.
    pub(super) fn alert(&self) {
        lock(&self.state).alerted = true;
        self.wake.notify_one();
    }

    /// Sleeps for as long, or until nothing more is taken; `true` in that case.
    pub(super) fn closes_within(&self, timeout: Duration) -> bool {
        let open = |state: &mut State<T>| !state.closed;
        let waited = self.closing.wait_timeout_while(lock(&self.state), timeout, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    /// Wakes the thread that sleeps in [`wait`](Self::wait). The one in [`gather`](Self::gather) wakes by itself.
    pub(super) fn call(&self) {
        if lock(&self.state).wanted == 0 {
            self.wake.notify_one();
        }
    }

    /// Takes nothing more. What waits is still to be taken.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_all();
        self.closing.notify_all();
    }

    /// Whether nothing more is taken.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.state).closed
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

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Longer than any test takes.
    const FOREVER: Duration = Duration::from_secs(3600);

    /// A queue of which so many items were taken last.
    fn after(taken_last: usize) -> Queue<usize> {
        let queue = Queue::new(QueueLimits { batches_max: 100, bytes_max: 100 });
        for item in 0..taken_last {
            assert_eq!(queue.push(item, 1), Ok(item == 0));
        }
        assert_eq!(queue.take().len(), taken_last);
        queue
    }

    #[test]
    fn half_of_what_was_taken_last_is_waited_for() {
        let queue = after(6);
        thread::scope(|threads| {
            let waiting = threads.spawn(|| (queue.gather(FOREVER), queue.take()));
            assert_eq!(queue.push(1, 1), Ok(true));
            queue.call();
            for item in 2..=3 {
                assert_eq!(queue.push(item, 1), Ok(false));
                queue.call();
            }
            assert_eq!(waiting.join().expect("it does not panic"), (true, vec![1, 2, 3]));
        });
    }

    #[test]
    fn one_item_is_enough_if_no_more_than_that_was_usual_or_patience_ends() {
        for (taken_last, patience) in [(0, FOREVER), (1, FOREVER), (3, FOREVER), (6, Duration::ZERO)] {
            let queue = after(taken_last);
            assert_eq!(queue.push(1, 1), Ok(true));
            assert!(queue.gather(patience));
            assert_eq!(queue.take(), [1]);
            assert!(!queue.gather(Duration::ZERO));
        }
    }

    #[test]
    fn the_first_item_after_a_time_is_enough_once_somebody_calls() {
        let queue = after(6);
        thread::scope(|threads| {
            let waiting = threads.spawn(|| (queue.wait(None), queue.take()));
            assert_eq!(queue.push(1, 1), Ok(true));
            queue.call();
            assert_eq!(waiting.join().expect("it does not panic"), (Waited::Filled, vec![1]));
        });
    }

    #[test]
    fn an_alert_wakes_once_and_is_not_missed_by_whoever_comes_late() {
        let queue = after(1);
        queue.alert();
        assert_eq!(queue.wait(None), Waited::Called);
        assert_eq!(queue.wait(Some(Duration::ZERO)), Waited::Called, "the time is up");
        thread::scope(|threads| {
            let waiting = threads.spawn(|| queue.wait(None));
            queue.alert();
            assert_eq!(waiting.join().expect("it does not panic"), Waited::Called);
        });
        // What is to be taken comes first.
        queue.alert();
        assert_eq!(queue.push(1, 1), Ok(true));
        assert_eq!(queue.wait(None), Waited::Filled);
    }

    #[test]
    fn nobody_is_waited_for_at_the_end() {
        let queue = after(6);
        thread::scope(|threads| {
            let waiting =
                threads.spawn(|| (queue.gather(FOREVER), queue.take(), queue.gather(FOREVER), queue.wait(None)));
            assert_eq!(queue.push(1, 1), Ok(true));
            queue.call();
            queue.close();
            assert_eq!(waiting.join().expect("it does not panic"), (true, vec![1], false, Waited::Closed));
        });
        assert_eq!(queue.push(2, 1), Err(SubmitError::Stopped));
    }
}
