//! The executor: Tokio for tasks, sockets, timers and work that takes long.
//!
//! Each worker thread has an executor of its own with its own sockets and timers, and a task stays with the worker that it was given to.
//! Threads could take each other's tasks as well, but then a request is begun by one thread and ended by another, and so is the memory that
//! it takes; and they wake each other to look for work, which costs more than sharing gains as long as no task computes for long.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::panic;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use argus_host::placement::Placement;
use argus_host::runtime::Runtime;
use event_listener::Event;
use tokio::runtime::{Builder, Handle};
use tokio::time::Instant;

/// A handle to the executor.
#[derive(Clone, Debug)]
pub struct Tokio {
    workers: Arc<[Worker]>,
    placement: Placement,
}

/// Runs `main` and what it spawns on `threads` worker threads. When `main` has finished, its result is returned and tasks that still
/// run are dropped.
///
/// # Errors
///
/// A thread could not be started; nothing has run.
pub fn block_on<F>(threads: NonZeroUsize, main: impl FnOnce(Tokio) -> F) -> io::Result<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let placement = Placement::new(threads);
    let mut started = Threads { stop: Event::new(), threads: Vec::new() };
    let first = started.start(0, &placement)?;
    let handle = first.handle.clone();
    let others = (1..threads.get()).map(|index| started.start(index, &placement));
    let workers = std::iter::once(Ok(first)).chain(others).collect::<io::Result<_>>()?;
    let main = handle.spawn(main(Tokio { workers, placement }));
    // The calling thread only waits, so that every task is on a worker.
    let output = handle.block_on(main).unwrap_or_else(|ended| panic::resume_unwind(ended.into_panic()));
    drop(started);
    Ok(output)
}

impl Tokio {
    /// Starts a task that runs for as long as it likes, on the worker that has the fewest. A panic in it ends it and nothing else. When
    /// the executor has ended, the task is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(worker) = self.workers.iter().min_by_key(|worker| worker.load()) {
            worker.spawn(task);
        }
    }
}

impl Runtime for Tokio {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let deadline = Instant::now() + duration;
        // Begun by its first poll, so that it belongs to the worker that waits for it.
        async move { tokio::time::sleep_until(deadline).await }
    }

    fn unblock<T, F>(&self, task: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let placement = self.placement.clone();
        // All workers share the threads of the first.
        let running = self.workers.first().map(|first| {
            first.handle.spawn_blocking(move || {
                placement.roam();
                task()
            })
        });
        async move {
            match running {
                Some(running) => match running.await {
                    Ok(output) => output,
                    Err(ended) => match ended.try_into_panic() {
                        Ok(panic) => panic::resume_unwind(panic),
                        // Only the end of the executor cancels a task, and then nobody polls this any more.
                        Err(_cancelled) => std::future::pending().await,
                    },
                },
                None => std::future::pending().await,
            }
        }
    }
}

/// One thread, and the tasks that were given to it.
#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// Held by every task that was given to this worker and has not ended.
    held: Arc<()>,
}

impl Worker {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // An async block has room for what it captures and, once more, for what it awaits; a connection is large.
        let (task, held) = (Box::pin(task), Arc::clone(&self.held));
        drop(self.handle.spawn(async move {
            task.await;
            drop(held);
        }));
    }

    /// How many tasks there are, more or less: others may come and go at this moment.
    fn load(&self) -> usize {
        Arc::strong_count(&self.held)
    }
}

/// The worker threads; dropping this ends them.
#[derive(Debug)]
struct Threads {
    stop: Event,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(&mut self, index: usize, placement: &Placement) -> io::Result<Worker> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let worker = Worker { handle: runtime.handle().clone(), held: Arc::default() };
        let (placement, stopped) = (placement.clone(), self.stop.listen());
        let thread = thread::Builder::new().name(format!("argus-tokio-{index}")).spawn(move || {
            placement.settle(index);
            runtime.block_on(stopped);
            // Work on threads that may block is not waited for: it may be a search that nobody wants any more.
            runtime.shutdown_background();
        })?;
        self.threads.push(thread);
        Ok(worker)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.notify(usize::MAX);
        for worker in self.threads.drain(..) {
            // A worker catches the panics of its tasks, and has nothing of its own to panic about.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn tasks_are_shared_out_evenly_and_stay_where_they_are() {
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
        // The main task is not shared out.
        assert_eq!(shares, [9, 10, 10]);
    }
}
