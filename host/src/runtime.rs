//! What this crate needs of an executor.

use std::future::Future;
use std::time::Duration;

/// A handle to an executor, cheap to clone.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A future that resolves once `duration` has passed, not before. Drop it to stop waiting.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Runs `task` on a thread that may block or compute for long, never on a worker of the executor. The task runs
    /// even if the future is dropped.
    ///
    /// # Panics
    ///
    /// The future panics with the payload of `task` if that panicked.
    fn unblock<T, F>(&self, task: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;

    /// Like [`unblock`](Self::unblock), for long work such as a scan of all events: where the runtime has background
    /// threads, the task runs on one with a [lower priority](crate::placement::lower_priority) than all others.
    ///
    /// # Panics
    ///
    /// As for [`unblock`](Self::unblock).
    fn run_in_background<T, F>(&self, task: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.unblock(task)
    }
}
