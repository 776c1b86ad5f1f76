//! The executor: Tokio for tasks, sockets, timers and work that takes long.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::panic;
use std::time::Duration;

use argus_host::runtime::Runtime;
use tokio::runtime::{Builder, Handle};

/// A handle to the executor.
#[derive(Clone, Debug)]
pub struct Tokio {
    handle: Handle,
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
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads.get())
        .thread_name("argus-tokio")
        .enable_io()
        .enable_time()
        .build()?;
    let main = runtime.spawn(main(Tokio { handle: runtime.handle().clone() }));
    // On a worker and not on this thread, which is no worker and would hand each accepted connection over to one.
    let output = runtime.block_on(main).unwrap_or_else(|ended| panic::resume_unwind(ended.into_panic()));
    // Work on threads that may block is not waited for: it may be a search that nobody wants any more.
    runtime.shutdown_background();
    Ok(output)
}

impl Tokio {
    /// Starts a task that runs for as long as it likes. A panic in it ends it and nothing else. When the executor has ended, the task is
    /// dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }
}

impl Runtime for Tokio {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        // The timer belongs to the executor that the future is polled on, which is this one.
        let _guard = self.handle.enter();
        tokio::time::sleep(duration)
    }

    fn unblock<T, F>(&self, task: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let running = self.handle.spawn_blocking(task);
        async move {
            match running.await {
                Ok(output) => output,
                Err(ended) => match ended.try_into_panic() {
                    Ok(panic) => panic::resume_unwind(panic),
                    // Only the end of the executor cancels a task, and then nobody polls this any more.
                    Err(_cancelled) => std::future::pending().await,
                },
            }
        }
    }
}
