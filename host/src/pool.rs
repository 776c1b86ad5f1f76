//! Threads for work that blocks or computes for long, which must not run on the workers of an executor.
//!
//! There are more of them while there is more to do, up to a limit, and at least one at all times. Where the system
//! gives no further thread, work waits for those that there are. (The executors bring threads of their own for such
//! work. Where the system gives none, Tokio panics in whoever asks, and smol's crate `blocking` tries for ever with a
//! lock held.)

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder};
use std::time::Duration;

use futures_channel::oneshot;

use crate::repeated::Repeated;

/// How long a thread waits for more work before it ends, unless it is the last.
const IDLE: Duration = Duration::from_secs(10);

/// Threads of one pool at most.
const THREADS_MAX: usize = 512;

/// The threads. Dropping this drops what has not begun; what has begun is not waited for.
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
    /// Threads that the system did not give.
    refusals: Repeated,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    closed: bool,
}

impl Pool {
    /// Starts the first of up to 512 threads of this name. Each calls `prepare`, which must not panic, before its first
    /// work.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
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
            refusals: Repeated::default(),
        });
        shared.start_thread(&mut shared.lock())?;
        Ok(Self { shared })
    }

    /// Runs `task` on one of the threads, whether or not anybody waits for the future.
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
            // Nobody may be waiting any more.
            drop(sender.send(catch_unwind(AssertUnwindSafe(task))));
        }));
        async move {
            match receiver.await {
                Ok(Ok(output)) => output,
                Ok(Err(panic)) => resume_unwind(panic),
                // Only the end of the pool drops a task, and then nobody polls this any more.
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
            // Without another thread it waits for one of those that there are.
            if let Err(error) = self.start_thread(&mut state)
                && let Some(suppressed) = self.refusals.due()
            {
                let (name, threads) = (self.name, state.threads);
                tracing::warn!(%error, name, threads, suppressed, "the system gives no further thread; work waits");
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

    /// A thread.
    fn work(&self) {
        (self.prepare)();
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The task's own panic is caught in the job. This is one of the waker of who waits, or of dropping a
                // result that nobody waits for. It is logged by the hook, and the thread is needed for others.
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

    /// Waits for a future that needs nobody to poll it meanwhile.
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
    fn there_are_as_many_threads_as_are_needed() {
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
    fn what_finds_no_thread_waits_for_one() {
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
    fn a_panic_is_its_callers() {
        let pool = pool(1);
        let caught = catch_unwind(AssertUnwindSafe(|| wait(pool.run(|| -> usize { panic!("as told") }))));
        assert_eq!(*caught.unwrap_err().downcast_ref::<&str>().unwrap(), "as told");
        assert_eq!(wait(pool.run(|| 7)), 7);
    }

    #[test]
    fn a_result_that_panics_when_it_is_dropped_costs_no_thread() {
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
        // Nobody waits for the result any more, so that the thread drops it.
        gate.wait();
        assert_eq!(wait(pool.run(|| 7)), 7);
    }

    #[test]
    fn the_end_drops_what_has_not_begun() {
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
