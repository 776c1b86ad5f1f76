//! Threads for work that blocks or computes for long and must not run on an executor's workers.
//!
//! The pool starts threads as they are needed, up to a limit, and keeps at least one. If the system refuses a thread,
//! work waits for an existing one. (The executors have thread pools too. But if the system refuses a thread, Tokio
//! panics in the caller, and smol's crate `blocking` retries forever with a lock held.)

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder};
use std::time::Duration;

use futures_channel::oneshot;

use crate::log_limit::LogLimit;

/// How long an idle thread waits for work before it ends, unless it is the last.
const IDLE: Duration = Duration::from_secs(10);

/// Most threads of a pool. More would hardly compute or read faster, and the memory of a read is bounded only while it
/// is not on a thread.
pub(crate) const THREADS_MAX: usize = 32;

/// A pool of threads. Dropping it drops work that has not begun, and does not wait for work that has.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    threads_max: usize,
    prepare: Box<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
    filled: Condvar,
    /// Limits log lines about threads that the system refused.
    refusals: LogLimit,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    closed: bool,
}

impl Pool {
    /// Starts the first of up to 32 threads with this name. Each calls `prepare`, which must not panic, before its
    /// first work.
    ///
    /// # Errors
    ///
    /// When the system refuses to start a thread.
    pub fn start(name: &'static str, prepare: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        Self::with_limit(name, THREADS_MAX, prepare)
    }

    fn with_limit(
        name: &'static str,
        threads_max: usize,
        prepare: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            name,
            threads_max,
            prepare: Box::new(prepare),
            state: Mutex::default(),
            filled: Condvar::new(),
            refusals: LogLimit::default(),
        });
        shared.start_thread(&mut shared.lock())?;
        Ok(Self { shared })
    }

    /// Runs `task` on a thread of the pool, even if the future is dropped.
    ///
    /// # Panics
    ///
    /// The future panics with the payload of `task` if that panicked.
    pub fn run<T, F>(&self, task: F) -> impl Future<Output = T> + Send + use<T, F>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel::<thread::Result<T>>();
        self.shared.take(Box::new(move || {
            // The future may have been dropped.
            drop(sender.send(catch_unwind(AssertUnwindSafe(task))));
        }));
        async move {
            match receiver.await {
                Ok(Ok(output)) => output,
                Ok(Err(panic)) => resume_unwind(panic),
                // A task is dropped only with the pool; this future is dropped too.
                Err(_dropped) => pending().await,
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let dropped = std::mem::take(&mut state.jobs);
        drop(state);
        self.shared.filled.notify_all();
        drop(dropped);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, job: Job) {
        let mut state = self.lock();
        state.jobs.push_back(job);
        if state.jobs.len() > state.idle && state.threads < self.threads_max {
            // Without another thread, the job waits for an existing one.
            if let Err(error) = self.start_thread(&mut state)
                && let Some(suppressed) = self.refusals.due()
            {
                let (name, threads) = (self.name, state.threads);
                tracing::warn!(
                    %error, name, threads, suppressed,
                    "the system refused to start another thread; work waits for the existing ones"
                );
            }
        }
        drop(state);
        self.filled.notify_one();
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let shared = Arc::clone(self);
        Builder::new().name(self.name.to_owned()).spawn(move || shared.work())?;
        state.threads += 1;
        Ok(())
    }

    /// The body of a thread.
    fn work(&self) {
        (self.prepare)();
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The job catches panics of its task. This catches those of wakers, and of results dropped unread. The
                // panic hook logs them, and the thread lives on for other work.
                let _panicked = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            if state.closed {
                return;
            }
            state.idle += 1;
            let is_idle = |state: &mut State| state.jobs.is_empty() && !state.closed;
            let waited = self.filled.wait_timeout_while(state, IDLE, is_idle).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            state.idle -= 1;
            if waited.1.timed_out() && state.jobs.is_empty() && state.threads > 1 {
                state.threads -= 1;
                return;
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("name", &self.name)
            .field("threads_max", &self.threads_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::cell::Cell;
    use std::sync::Barrier;

    use futures_util::FutureExt as _;

    use super::*;

    fn pool(threads_max: usize) -> Pool {
        Pool::with_limit("argus-test", threads_max, || ()).unwrap()
    }

    /// Waits for a future that makes progress without being polled.
    fn wait<T>(future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        loop {
            match future.as_mut().now_or_never() {
                Some(output) => return output,
                None => thread::yield_now(),
            }
        }
    }

    #[test]
    fn threads_are_started_as_needed() {
        let pool = pool(4);
        let barrier = Arc::new(Barrier::new(4));
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let barrier = Arc::clone(&barrier);
                pool.run(move || {
                    barrier.wait();
                    number
                })
            })
            .collect();
        assert_eq!(tasks.into_iter().map(wait).sum::<usize>(), 6);
    }

    #[test]
    fn every_thread_is_prepared_once() {
        thread_local!(static PREPARED: Cell<u32> = const { Cell::new(0) });
        let prepare = || PREPARED.set(PREPARED.get() + 1);
        let pool = Pool::with_limit("argus-test", 2, prepare).unwrap();
        let barrier = Arc::new(Barrier::new(2));
        for _ in 0..3 {
            let tasks = [(); 2].map(|()| {
                let barrier = Arc::clone(&barrier);
                pool.run(move || {
                    barrier.wait();
                    PREPARED.get()
                })
            });
            assert_eq!(tasks.map(wait), [1, 1]);
        }
    }

    #[test]
    fn work_without_a_thread_waits_for_one() {
        let pool = pool(1);
        let gate = Arc::new(Barrier::new(2));
        let opened = Arc::clone(&gate);
        let first = pool.run(move || {
            opened.wait();
        });
        let others: Vec<_> = (0..10).map(|number| pool.run(move || number)).collect();
        gate.wait();
        wait(first);
        assert_eq!(others.into_iter().map(wait).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_is_passed_to_the_caller() {
        let pool = pool(1);
        let caught = catch_unwind(AssertUnwindSafe(|| wait(pool.run(|| -> usize { panic!("as told") }))));
        assert_eq!(*caught.unwrap_err().downcast_ref::<&str>().unwrap(), "as told");
        assert_eq!(wait(pool.run(|| 7)), 7);
    }

    #[test]
    fn a_result_that_panics_on_drop_does_not_end_its_thread() {
        struct Trap;

        impl Drop for Trap {
            fn drop(&mut self) {
                panic!("as told");
            }
        }

        let pool = pool(1);
        let gate = Arc::new(Barrier::new(2));
        let opened = Arc::clone(&gate);
        drop(pool.run(move || {
            opened.wait();
            Trap
        }));
        // The receiver is gone, so the thread drops the result.
        gate.wait();
        assert_eq!(wait(pool.run(|| 7)), 7);
    }

    #[test]
    fn dropping_the_pool_drops_queued_work() {
        let pool = pool(1);
        let [begun, gate] = [(); 2].map(|()| Arc::new(Barrier::new(2)));
        let (begins, opened) = (Arc::clone(&begun), Arc::clone(&gate));
        let first = pool.run(move || {
            begins.wait();
            opened.wait();
        });
        begun.wait();
        let held = Arc::new(());
        let weak = Arc::downgrade(&held);
        let second = pool.run(move || drop(held));
        drop(pool);
        assert!(weak.upgrade().is_none());
        gate.wait();
        wait(first);
        assert!(second.now_or_never().is_none());
    }
}
