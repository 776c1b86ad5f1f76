//! The executor: async-executor for tasks, async-io for sockets and timers, blocking for work that takes long.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use argus_host::runtime::Runtime;
use async_executor::Executor;
use event_listener::Event;
use futures_lite::future;

/// A handle to the executor.
///
/// Tasks hold handles, and the executor holds the tasks; a handle that kept the executor alive would keep it for ever.
#[derive(Clone, Debug)]
pub struct Smol {
    executor: Weak<Executor<'static>>,
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
    let executor = Arc::new(Executor::new());
    let workers = Workers::start(&executor, threads)?;
    let main = executor.spawn(main(Smol { executor: Arc::downgrade(&executor) }));
    // The calling thread only waits. Were it to poll sockets too, it would be the one that hears of most events, and every request would
    // change threads.
    let output = future::block_on(main);
    drop(workers);
    Ok(output)
}

impl Smol {
    /// Starts a task that runs for as long as it likes. A panic in it ends it and nothing else. When the executor has ended, the task is
    /// dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(executor) = self.executor.upgrade() {
            executor.spawn(task).detach();
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

/// The worker threads; dropping this ends them.
#[derive(Debug)]
struct Workers {
    stop: Event,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(executor: &Arc<Executor<'static>>, threads: NonZeroUsize) -> io::Result<Self> {
        let mut workers = Self { stop: Event::new(), threads: Vec::new() };
        for index in 0..threads.get() {
            let (executor, stopped) = (Arc::clone(executor), workers.stop.listen());
            let worker = thread::Builder::new()
                .name(format!("argus-smol-{index}"))
                .spawn(move || async_io::block_on(executor.run(stopped)))?;
            workers.threads.push(worker);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.notify(usize::MAX);
        for worker in self.threads.drain(..) {
            // A worker catches the panics of its tasks, and has nothing of its own to panic about.
            let _ = worker.join();
        }
    }
}
