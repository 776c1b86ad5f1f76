//! The executor: async-executor for tasks, async-io for sockets and timers, blocking for work that takes long.
//!
//! Each worker thread has an executor of its own, and a task stays with the worker that it was given to. Threads could take each other's
//! tasks as well, but then a request is begun by one thread and ended by another, and so is the memory that it takes: the threads wait
//! for the locks of each other's allocator, which costs more than sharing gains as long as no task computes for long.

use std::future::Future;
use std::io;
use std::iter;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use argus_host::runtime::Runtime;
use async_executor::{Executor, Task};
use event_listener::Event;
use futures_lite::future;

/// A handle to the executor.
///
/// Tasks hold handles, and the workers hold the tasks; a handle that kept the workers alive would keep them for ever.
#[derive(Clone, Debug)]
pub struct Smol {
    workers: Weak<[Arc<Worker>]>,
}

/// Runs `main` and what it spawns on `threads` worker threads. When `main` has finished, its result is returned and tasks that still
/// run are dropped.
///
/// # Errors
///
/// A thread could not be started; nothing has run.
pub fn block_on<F>(threads: NonZeroUsize, main: impl FnOnce(Smol) -> F) -> io::Result<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let first = Arc::new(Worker::default());
    let others = (1..threads.get()).map(|_| Arc::default());
    let workers: Arc<[Arc<Worker>]> = iter::once(Arc::clone(&first)).chain(others).collect();
    let threads = Threads::start(&workers)?;
    let main = first.spawn(main(Smol { workers: Arc::downgrade(&workers) }));
    // The calling thread only waits. Were it to poll sockets too, it would be the one that hears of most events, and every request would
    // change threads.
    let output = future::block_on(main);
    drop(threads);
    Ok(output)
}

impl Smol {
    /// Starts a task that runs for as long as it likes, on the worker that has the fewest. A panic in it ends it and nothing else. When
    /// the executor has ended, the task is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let workers = self.workers.upgrade();
        if let Some(worker) = workers.iter().flat_map(|workers| workers.iter()).min_by_key(|worker| worker.load()) {
            worker.spawn(task).detach();
        }
    }
}

impl Runtime for Smol {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let timer = async_io::Timer::after(duration);
        async move {
            timer.await;
        }
    }

    fn unblock<T, F>(&self, task: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        blocking::unblock(task)
    }
}

/// The tasks of one thread.
#[derive(Debug, Default)]
struct Worker {
    executor: Executor<'static>,
    /// Held by every task that was given to this worker and has not ended.
    held: Arc<()>,
}

impl Worker {
    fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
        // An async block has room for what it captures and, once more, for what it awaits; a connection is large.
        let (task, held) = (Box::pin(task), Arc::clone(&self.held));
        self.executor.spawn(async move {
            let output = task.await;
            drop(held);
            output
        })
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
    fn start(workers: &[Arc<Worker>]) -> io::Result<Self> {
        let mut started = Self { stop: Event::new(), threads: Vec::new() };
        for (index, worker) in workers.iter().enumerate() {
            let (worker, stopped) = (Arc::clone(worker), started.stop.listen());
            let thread = thread::Builder::new()
                .name(format!("argus-smol-{index}"))
                .spawn(move || async_io::block_on(worker.executor.run(stopped)))?;
            started.threads.push(thread);
        }
        Ok(started)
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
        // One of the workers has the main task as well.
        assert_eq!(shares, [9, 10, 10]);
    }
}
