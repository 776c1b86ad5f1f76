//! The executor: async-executor for tasks, async-io for sockets and timers, and the host's own threads for long work.
//!
//! Each worker thread has an executor of its own, and a task stays on its worker. Work stealing would let one thread
//! start a request and another finish it and free its memory; threads would wait for the locks of each other's
//! allocator. That costs more than it gains, since no task computes for long.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use argus_host::lifecycle::Lifecycle;
use argus_host::placement::lower_priority;
use argus_host::pool::Pool;
use argus_host::runtime::Runtime;
use argus_host::watch::{self, panic_message};
use async_executor::Executor;
use event_listener::Event;

/// A handle to the executor.
#[derive(Clone, Debug)]
pub struct Smol {
    workers: Arc<[Arc<Worker>]>,
    blocking: Arc<Pool>,
    background: Arc<Pool>,
}

/// Runs `main` and the tasks that it spawns on `threads` worker threads. When `main` has finished, its result is
/// returned and the other tasks are dropped.
///
/// # Errors
///
/// A thread could not be started; nothing was run.
///
/// # Panics
///
/// `main` panicked.
pub fn block_on<F>(threads: NonZeroUsize, main: impl FnOnce(Smol) -> F) -> io::Result<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let workers = Workers::start(threads, &Lifecycle::new(usize::MAX, Duration::ZERO))?;
    let (sender, output) = mpsc::channel();
    let main = main(workers.handle());
    workers.begin(async move { drop(sender.send(main.await)) });
    // The calling thread only waits. If it polled sockets, it would receive most events, and every request would change
    // threads.
    Ok(output.recv().unwrap_or_else(|_| panic!("the main task panicked")))
}

impl Smol {
    /// Starts a task of any length on the worker with the fewest tasks. A panic ends only the task. When the executor
    /// ends, the task is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load()) {
            worker.spawn(task);
        }
    }
}

impl Runtime for Smol {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let timer = smol::Timer::after(duration);
        async move {
            timer.await;
        }
    }

    fn unblock<T, F>(&self, task: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.blocking.run(task)
    }

    fn run_in_background<T, F>(&self, task: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.background.run(task)
    }
}

/// A thread and its tasks.
#[derive(Debug)]
struct Worker {
    /// `None` once the thread has ended, so that its tasks are dropped. Tasks hold handles to their workers, so
    /// nothing else would drop them.
    executor: Mutex<Option<Arc<Executor<'static>>>>,
    /// Cloned into every running task of this worker, to count them.
    held: Arc<()>,
}

impl Default for Worker {
    fn default() -> Self {
        Self { executor: Mutex::new(Some(Arc::default())), held: Arc::default() }
    }
}

impl Worker {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Boxed, since an async block has space for the captured task and again for the awaited one, which is large.
        let (task, held) = (Box::pin(task), Arc::clone(&self.held));
        if let Some(executor) = &*self.executor() {
            let spawned = executor.spawn(async move {
                task.await;
                drop(held);
            });
            spawned.detach();
        }
    }

    /// The approximate number of tasks: others may start or end meanwhile.
    fn load(&self) -> usize {
        Arc::strong_count(&self.held)
    }

    /// The body of the thread.
    fn run(&self, stopped: impl Future<Output = ()>) {
        /// Drops the tasks, also when the thread panics.
        struct End<'a>(&'a Worker);

        impl Drop for End<'_> {
            fn drop(&mut self) {
                let executor = self.0.executor().take();
                drop(executor);
            }
        }

        let _end = End(self);
        let executor = self.executor().clone();
        if let Some(executor) = executor {
            smol::block_on(executor.run(stopped));
        }
    }

    fn executor(&self) -> MutexGuard<'_, Option<Arc<Executor<'static>>>> {
        self.executor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The executor. Dropping it ends the workers and drops their tasks.
#[derive(Debug)]
pub struct Workers {
    smol: Smol,
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    is_wanted: AtomicBool,
    event: Event,
}

impl Workers {
    /// Starts the worker threads. If one dies, its tasks are dropped and the server [fails](Lifecycle::fail); the
    /// others continue.
    ///
    /// # Errors
    ///
    /// A thread could not be started; nothing was run.
    pub fn start(threads: NonZeroUsize, lifecycle: &Arc<Lifecycle>) -> io::Result<Self> {
        start_reactor()?;
        let workers: Arc<[Arc<Worker>]> = (0..threads.get()).map(|_| Arc::default()).collect();
        let blocking = Arc::new(Pool::start("argus-blocking", || ())?);
        let background = Arc::new(Pool::start("argus-scan", lower_priority)?);
        let smol = Smol { workers: Arc::clone(&workers), blocking, background };
        let mut started = Self { smol, stop: Arc::default(), threads: Vec::with_capacity(threads.get()) };
        for (index, worker) in workers.iter().enumerate() {
            let stopped = started.stop.event.listen();
            started.start_worker(index, Arc::clone(worker), stopped, lifecycle)?;
        }
        Ok(started)
    }

    /// A handle to the executor.
    #[must_use]
    pub fn handle(&self) -> Smol {
        self.smol.clone()
    }

    /// Starts the first task, on the first worker.
    pub fn begin(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(first) = self.smol.workers.first() {
            first.spawn(task);
        }
    }

    /// Starts the thread of a worker. The thread ends when `stopped` resolves.
    fn start_worker(
        &mut self,
        index: usize,
        worker: Arc<Worker>,
        stopped: impl Future<Output = ()> + Send + 'static,
        lifecycle: &Arc<Lifecycle>,
    ) -> io::Result<()> {
        let (stop, lifecycle) = (Arc::clone(&self.stop), Arc::clone(lifecycle));
        let thread = watch::spawn(
            &format!("argus-smol-{index}"),
            move || worker.run(stopped),
            move || stop.is_wanted.load(Ordering::Acquire),
            move |reason| lifecycle.fail(reason),
        )?;
        self.threads.push(thread);
        Ok(())
    }
}

/// async-io starts a thread of its own on first use, and panics if it cannot. Starting it here makes that an error.
fn start_reactor() -> io::Result<()> {
    let started = panic::catch_unwind(|| smol::block_on(async {}));
    started.map_err(|panic| io::Error::other(panic_message(panic.as_ref()).to_owned()))
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.is_wanted.store(true, Ordering::Release);
        self.stop.event.notify(usize::MAX);
        for worker in self.threads.drain(..) {
            // A worker that died has already reported it.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashMap;
    use std::thread;

    use argus_host::lifecycle::Drained;
    use smol::future;

    use super::*;

    /// Two workers, each with a task that ends when the server drains, and reports that.
    fn busy_workers() -> (Workers, Arc<Lifecycle>, mpsc::Receiver<()>) {
        let lifecycle = Lifecycle::new(2, Duration::from_secs(3600));
        let workers = Workers::start(NonZeroUsize::new(2).unwrap(), &lifecycle).unwrap();
        let (report, reports) = mpsc::channel();
        for _ in 0..2 {
            let permit = future::block_on(lifecycle.permit());
            let (draining, report) = (Arc::clone(&lifecycle), report.clone());
            workers.handle().spawn(async move {
                draining.draining().await;
                report.send(()).unwrap();
                drop(permit);
            });
        }
        (workers, lifecycle, reports)
    }

    #[test]
    fn a_worker_that_ends_drops_its_tasks_and_makes_the_others_drain() {
        let (workers, lifecycle, reports) = busy_workers();
        workers.stop.event.notify(1);
        assert_eq!(lifecycle.drained(), Drained::Clean);
        let reason = lifecycle.failure().unwrap();
        assert!(reason.starts_with("the thread argus-smol-") && reason.contains("has ended"), "{reason}");
        drop(workers);
        assert_eq!(reports.iter().count(), 1, "the task on the other worker has ended by itself");
    }

    #[test]
    fn a_worker_that_panics_drops_its_tasks_and_makes_the_others_drain() {
        let (mut workers, lifecycle, reports) = busy_workers();
        let worker = Arc::<Worker>::default();
        // A panic of a task, or of a waker called by the reactor, does not reach the thread.
        let (held, dropped) = mpsc::channel::<()>();
        worker.spawn(async move {
            let _held = held;
            future::pending::<()>().await;
        });
        workers.start_worker(2, worker, async { panic!("as told") }, &lifecycle).unwrap();
        assert_eq!(lifecycle.drained(), Drained::Clean);
        assert_eq!(lifecycle.failure(), Some("the thread argus-smol-2 has panicked: as told"));
        assert!(dropped.recv().is_err(), "its task is dropped");
        drop(workers);
        assert_eq!(reports.iter().count(), 2, "the tasks on the other workers have ended by themselves");
    }

    #[test]
    fn a_task_that_panics_ends_alone() {
        let (workers, lifecycle, reports) = busy_workers();
        for _ in 0..2 {
            workers.handle().spawn(async { panic!("as told") });
        }
        for _ in 0..2 {
            let (ran, runs) = mpsc::channel();
            workers.handle().spawn(async move { ran.send(()).unwrap() });
            runs.recv().unwrap();
        }
        assert_eq!(lifecycle.failure(), None);
        lifecycle.drain();
        assert_eq!(lifecycle.drained(), Drained::Clean);
        drop(workers);
        assert_eq!(reports.iter().count(), 2);
    }

    #[test]
    fn tasks_are_distributed_evenly_and_stay_on_their_worker() {
        const TASKS: usize = 29;
        let (report, reports) = mpsc::channel();
        let mut places = HashMap::new();
        let places = block_on(NonZeroUsize::new(3).unwrap(), |runtime| async move {
            let all_begun = Arc::new(AtomicBool::new(false));
            for _ in 0..TASKS {
                let (report, all_begun) = (report.clone(), Arc::clone(&all_begun));
                runtime.spawn(async move {
                    let place = thread::current().id();
                    let mut stays = true;
                    while !all_begun.load(Ordering::Relaxed) {
                        future::yield_now().await;
                        stays &= thread::current().id() == place;
                    }
                    report.send((place, stays)).unwrap();
                });
            }
            all_begun.store(true, Ordering::Relaxed);
            for _ in 0..TASKS {
                let (place, stays) = loop {
                    match reports.try_recv() {
                        Ok(report) => break report,
                        Err(_) => future::yield_now().await,
                    }
                };
                assert!(stays);
                *places.entry(place).or_insert(0) += 1;
            }
            places
        });
        let mut shares: Vec<i32> = places.unwrap().into_values().collect();
        shares.sort_unstable();
        // The main task counts on its worker.
        assert_eq!(shares, [9, 10, 10]);
    }
}
