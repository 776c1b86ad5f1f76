//! The commit thread: the one writer of the repository.
//!
//! Any thread [submits](Committer::submit) a batch and waits for its receipt without blocking. The commit thread takes everything
//! that has queued up, commits it as one group, publishes the new snapshot, and only then answers, so that whoever has an answer
//! sees what it counts. What was submitted is committed whether or not anybody still waits for it.

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use argus_core::batch::Batch;
use argus_core::repository::{CommitError, Housekeeping, Receipt, Repository, Snapshot};
use futures_channel::oneshot;
use thiserror::Error;

use crate::clock;
use crate::metrics::Metrics;

/// How much may wait for the commit thread.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Batches.
    pub batches_max: usize,
    /// Bytes of them. A batch that is larger is taken if nothing else waits.
    pub bytes_max: usize,
}

/// The way to the commit thread, and to what it published last.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A submitted batch: resolves when it is committed, or will not be.
#[derive(Debug)]
pub struct PendingCommit(oneshot::Receiver<Outcome>);

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
    #[error("the commit thread has stopped")]
    Stopped,
}

type Outcome = Result<Receipt, CommitError>;

struct Shared {
    limits: QueueLimits,
    queue: Mutex<Queue>,
    wake: Condvar,
    snapshot: Mutex<Arc<dyn Snapshot>>,
    latched: OnceLock<String>,
    metrics: Arc<Metrics>,
}

/// What waits, in the order of arrival; the batch and its waiter lie at the same index.
#[derive(Default)]
struct Queue {
    batches: Vec<Batch>,
    waiters: Vec<oneshot::Sender<Outcome>>,
    bytes: usize,
    /// The thread waits on the condition variable; to signal it costs a system call, to look here costs nothing.
    asleep: bool,
    stopping: bool,
}

impl Committer {
    /// Starts the commit thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(repository: Box<dyn Repository>, limits: QueueLimits, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            limits,
            queue: Mutex::default(),
            wake: Condvar::new(),
            snapshot: Mutex::new(repository.snapshot()),
            latched: OnceLock::new(),
            metrics,
        });
        let writer = Writer { shared: Arc::clone(&shared), repository, debt: 0, pending: true };
        let thread = thread::Builder::new().name("argus-commit".to_owned()).spawn(|| writer.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Queues a batch to be committed. Never waits.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: the batch was not taken.
    pub fn submit(&self, batch: Batch) -> Result<PendingCommit, SubmitError> {
        if let Some(reason) = self.latched() {
            return Err(SubmitError::Latched(reason.to_owned()));
        }
        let bytes = batch.bytes();
        let (waiter, pending) = oneshot::channel();
        let mut queue = lock(&self.shared.queue);
        if queue.stopping {
            // The thread also stops after a panic, which latches; whoever came between the two is told so.
            return Err(self.latched().map_or(SubmitError::Stopped, |reason| SubmitError::Latched(reason.to_owned())));
        }
        let limits = &self.shared.limits;
        let full = queue.batches.len() >= limits.batches_max || queue.bytes.saturating_add(bytes) > limits.bytes_max;
        if full && !queue.batches.is_empty() {
            return Err(SubmitError::QueueFull);
        }
        queue.batches.push(batch);
        queue.waiters.push(waiter);
        queue.bytes += bytes;
        let asleep = mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.shared.wake.notify_one();
        }
        Ok(PendingCommit(pending))
    }

    /// The last published snapshot: everything that was acknowledged before this call, and perhaps more.
    #[must_use]
    pub fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::clone(&lock(&self.shared.snapshot))
    }

    /// Why the repository accepts nothing more, if so.
    #[must_use]
    pub fn latched(&self) -> Option<&str> {
        self.shared.latched.get().map(String::as_str)
    }

    /// Batches that wait, and their bytes.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        let queue = lock(&self.shared.queue);
        (queue.batches.len(), queue.bytes)
    }

    /// Takes nothing more, commits what waits, and ends the thread. Blocks until then; later calls return at once.
    pub fn shutdown(&self) {
        lock(&self.shared.queue).stopping = true;
        self.shared.wake.notify_one();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            // The loop catches panics of the repository; one of its own was reported by the panic hook.
            tracing::error!("the commit thread did not end as it should");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Future for PendingCommit {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| {
            // The sender is dropped without a word only while the thread unwinds.
            outcome.unwrap_or_else(|_| Err(CommitError::Latched("the commit thread ended".to_owned())))
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).field("latched", &self.latched).finish_non_exhaustive()
    }
}

/// Events' worth of housekeeping that is done at a time, so that commits are not held up for long.
const HOUSEKEEPING_STEP: u32 = 16_384;
/// Housekeeping that each committed event calls for, in events' worth: an event is merged about this often in its life. Under load
/// that leaves no idle time it is paid between commits, so that it never falls behind.
const HOUSEKEEPING_PER_EVENT: u64 = 8;

/// The thread's side.
struct Writer {
    shared: Arc<Shared>,
    repository: Box<dyn Repository>,
    /// Housekeeping owed, in events' worth.
    debt: u64,
    /// Whether the repository has housekeeping to do.
    pending: bool,
}

impl Writer {
    fn run(mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            while let Some((batches, waiters)) = self.next_group() {
                self.commit(&batches, waiters);
            }
        }));
        if let Err(panic) = ended {
            self.latch(format!("the commit thread panicked: {}", panic_message(panic.as_ref())));
        }
        let left = mem::replace(&mut *lock(&self.shared.queue), Queue { stopping: true, ..Queue::default() });
        for waiter in left.waiters {
            // Only a panic leaves anything here, and then there is a reason.
            answer(waiter, Err(CommitError::Latched(self.shared.latched.get().cloned().unwrap_or_default())));
        }
    }

    /// Waits for something to commit and takes all of it; keeps house meanwhile. `None` when it is time to stop.
    fn next_group(&mut self) -> Option<(Vec<Batch>, Vec<oneshot::Sender<Outcome>>)> {
        loop {
            let shared = Arc::clone(&self.shared);
            let mut queue = lock(&shared.queue);
            while queue.batches.is_empty() && !self.pending {
                if queue.stopping {
                    return None;
                }
                queue.asleep = true;
                queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.asleep = false;
                // Whoever woke this thread is seldom alone. Letting the others run first gathers their batches into one group; taking the
                // first one at once would put this thread to sleep, and wake it, for nearly every batch.
                drop(queue);
                thread::yield_now();
                queue = lock(&shared.queue);
            }
            if !queue.batches.is_empty() && self.debt < u64::from(HOUSEKEEPING_STEP) {
                queue.bytes = 0;
                return Some((mem::take(&mut queue.batches), mem::take(&mut queue.waiters)));
            }
            if queue.batches.is_empty() && queue.stopping {
                return None;
            }
            drop(queue);
            self.keep_house();
        }
    }

    fn commit(&mut self, batches: &[Batch], waiters: Vec<oneshot::Sender<Outcome>>) {
        if let Some(reason) = self.shared.latched.get() {
            for waiter in waiters {
                answer(waiter, Err(CommitError::Latched(reason.clone())));
            }
            return;
        }
        let begun = Instant::now();
        match self.repository.commit(clock::now(), batches) {
            Ok(receipts) => {
                self.publish();
                let events = batches.iter().map(Batch::len).sum();
                self.shared.metrics.group_committed(&receipts, events, begun.elapsed());
                self.pending = true;
                self.debt += events as u64 * HOUSEKEEPING_PER_EVENT;
                for (waiter, receipt) in waiters.into_iter().zip(receipts) {
                    answer(waiter, Ok(receipt));
                }
            }
            Err(error) => {
                match &error {
                    CommitError::Full(reason) => tracing::warn!(reason, "the storage is full; nothing was stored"),
                    CommitError::Latched(reason) => self.latch(reason.clone()),
                }
                for waiter in waiters {
                    answer(waiter, Err(error.clone()));
                }
            }
        }
    }

    fn keep_house(&mut self) {
        match self.repository.maintain(HOUSEKEEPING_STEP) {
            Ok(Housekeeping::Idle) => (self.pending, self.debt) = (false, 0),
            Ok(Housekeeping::Pending) => self.debt = self.debt.saturating_sub(u64::from(HOUSEKEEPING_STEP)),
            Err(error) => {
                // Tried again after the next commit: what was readable stays readable, and a full disk may have room by then.
                (self.pending, self.debt) = (false, 0);
                match error {
                    CommitError::Full(reason) => tracing::warn!(reason, "no room for housekeeping"),
                    CommitError::Latched(reason) => self.latch(reason),
                }
            }
        }
        self.publish();
    }

    fn publish(&self) {
        let snapshot = self.repository.snapshot();
        // The old one is dropped outside the lock: it may be the last reference to a good deal of memory.
        let _old = mem::replace(&mut *lock(&self.shared.snapshot), snapshot);
    }

    fn latch(&self, reason: String) {
        tracing::error!(reason, "the storage has failed; nothing more is accepted, reads go on");
        // Only the first reason is kept: later ones follow from it.
        self.shared.latched.get_or_init(|| reason);
    }
}

/// Whoever waited may have gone away; what it submitted is committed all the same.
fn answer(waiter: oneshot::Sender<Outcome>, outcome: Outcome) {
    drop(waiter.send(outcome));
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// No invariant of ours spans a panic under a lock, so a poisoned one is as good as any.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
