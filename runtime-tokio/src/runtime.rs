//! The executor: Tokio for tasks, sockets and timers, and the host's own threads for long work.
//!
//! Each worker thread has an executor, sockets and timers of its own, and a task stays on its worker. Work stealing
//! would let one thread start a request and another finish it and free its memory, and threads would wake each other to
//! look for work. That costs more than it gains, since no task computes for long.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use argus_host::lifecycle::Lifecycle;
use argus_host::placement::{Placement, lower_priority};
use argus_host::pool::Pool;
use argus_host::runtime::Runtime;
use argus_host::watch;
use event_listener::Event;
use tokio::runtime::{Builder, Handle};
use tokio::time::Instant;

/// A handle to the executor.
#[derive(Clone, Debug)]
pub struct Tokio {
    workers: Arc<[Worker]>,
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
pub fn block_on<F>(threads: NonZeroUsize, main: impl FnOnce(Tokio) -> F) -> io::Result<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let workers = Workers::start(threads, &Lifecycle::new(usize::MAX, Duration::ZERO))?;
    let (sender, output) = mpsc::channel();
    let main = main(workers.handle());
    workers.begin(async move { drop(sender.send(main.await)) });
    // The calling thread only waits, so every task is on a worker.
    Ok(output.recv().unwrap_or_else(|_| panic!("the main task panicked")))
}

impl Tokio {
    /// Starts a task of any length on the worker with the fewest tasks. A panic ends only the task. When the executor
    /// ends, the task is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load()) {
            worker.spawn(task);
        }
    }
}

impl Runtime for Tokio {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let deadline = Instant::now() + duration;
        // Started by its first poll, so that it belongs to the worker that waits for it.
        async move { tokio::time::sleep_until(deadline).await }
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
    handle: Handle,
    /// Cloned into every running task of this worker, to count them.
    held: Arc<()>,
}

impl Worker {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Boxed, since an async block has space for the captured task and again for the awaited one, which is large.
        let (task, held) = (Box::pin(task), Arc::clone(&self.held));
        drop(self.handle.spawn(async move {
            task.await;
            drop(held);
        }));
    }

    /// The approximate number of tasks: others may start or end meanwhile.
    fn load(&self) -> usize {
        Arc::strong_count(&self.held)
    }
}

/// The executor. Dropping it ends the workers and drops their tasks.
#[derive(Debug)]
pub struct Workers {
    tokio: Tokio,
    stop: Arc<Stop>,
    placement: Placement,
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
        let placement = Placement::new(threads);
        let unpinned = placement.clone();
        let blocking = Arc::new(Pool::start("argus-blocking", move || unpinned.unpin())?);
        let unpinned = placement.clone();
        let prepare = move || {
            unpinned.unpin();
            lower_priority();
        };
        let background = Arc::new(Pool::start("argus-scan", prepare)?);
        let tokio = Tokio { workers: Arc::default(), blocking, background };
        let mut started = Self { tokio, stop: Arc::default(), placement, threads: Vec::with_capacity(threads.get()) };
        let workers = (0..threads.get()).map(|index| started.start_worker(index, lifecycle));
        started.tokio.workers = workers.collect::<io::Result<_>>()?;
        Ok(started)
    }

    /// A handle to the executor.
    #[must_use]
    pub fn handle(&self) -> Tokio {
        self.tokio.clone()
    }

    /// Starts the first task, on the first worker. It does not count as load.
    pub fn begin(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(first) = self.tokio.workers.first() {
            drop(first.handle.spawn(task));
        }
    }

    /// Runs `begin` with sockets and timers belonging to the first worker.
    pub fn enter<T>(&self, begin: impl FnOnce() -> T) -> T {
        let _entered = self.tokio.workers.first().map(|first| first.handle.enter());
        begin()
    }

    fn start_worker(&mut self, index: usize, lifecycle: &Arc<Lifecycle>) -> io::Result<Worker> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let worker = Worker { handle: runtime.handle().clone(), held: Arc::default() };
        let (placement, stopped) = (self.placement.clone(), self.stop.event.listen());
        let (stop, lifecycle) = (Arc::clone(&self.stop), Arc::clone(lifecycle));
        let run = move || {
            placement.pin(index);
            // When it ends, also by a panic, its tasks are dropped.
            runtime.block_on(stopped);
        };
        let thread = watch::spawn(
            &format!("argus-tokio-{index}"),
            run,
            move || stop.is_wanted.load(Ordering::Acquire),
            move |reason| lifecycle.fail(reason),
        )?;
        self.threads.push(thread);
        Ok(worker)
    }
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
    use std::future::pending;
    use std::pin::pin;
    use std::task::{Context, Wake};
    use std::thread;

    use argus_host::lifecycle::Drained;
    use futures_util::FutureExt as _;

    use super::*;

    /// Two workers, each with a task that ends when the server drains, and reports that.
    fn busy_workers() -> (Workers, Arc<Lifecycle>, mpsc::Receiver<()>) {
        let lifecycle = Lifecycle::new(2, Duration::from_secs(3600));
        let workers = Workers::start(NonZeroUsize::new(2).unwrap(), &lifecycle).unwrap();
        let (report, reports) = mpsc::channel();
        for _ in 0..2 {
            let permit = lifecycle.permit().now_or_never().unwrap();
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
        assert!(reason.starts_with("the thread argus-tokio-") && reason.contains("has ended"), "{reason}");
        drop(workers);
        assert_eq!(reports.iter().count(), 1, "the task on the other worker has ended by itself");
    }

    #[test]
    fn a_worker_that_panics_drops_its_tasks_and_makes_the_others_drain() {
        /// A waker that panics, for a timer.
        struct Trap;

        impl Wake for Trap {
            fn wake(self: Arc<Self>) {
                panic!("as told");
            }
        }

        let (workers, lifecycle, reports) = busy_workers();
        workers.handle().spawn(async {
            let timer = pin!(tokio::time::sleep(Duration::from_millis(1)));
            let _pending = timer.poll(&mut Context::from_waker(&Arc::new(Trap).into()));
            pending::<()>().await;
        });
        assert_eq!(lifecycle.drained(), Drained::Clean);
        let reason = lifecycle.failure().unwrap();
        assert!(reason.ends_with("has panicked: as told"), "{reason}");
        drop(workers);
        assert_eq!(reports.iter().count(), 1, "the task on the other worker has ended by itself");
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
                        tokio::task::yield_now().await;
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
                        Err(_) => tokio::task::yield_now().await,
                    }
                };
                assert!(stays);
                *places.entry(place).or_insert(0) += 1;
            }
            places
        });
        let mut shares: Vec<i32> = places.unwrap().into_values().collect();
        shares.sort_unstable();
        // The main task does not count.
        assert_eq!(shares, [9, 10, 10]);
    }
}
