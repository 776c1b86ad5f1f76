//! What this crate needs of an executor.

use std::future::Future;
use std::time::Duration;

/// An executor, as far as the shared part of a host has to know it: a handle that is cheap to clone.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A future that resolves once `duration` has passed, and not before. Dropping it gives up the wait.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Runs `task` on a thread that may block or compute for long, never on a worker of the executor. The task is begun
    /// whether or not anybody waits for the future, and dropping that does not stop it.
    ///
    /// # Panics
    ///
    /// The future panics with the payload of `task` if that panicked.
    fn unblock<T, F>(&self, task: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;

    /// The same for a piece of work that goes on for long, such as a scan of all events: the thread
    /// [gives way](crate::placement::give_way) to all others of the server, where the runtime has such threads.
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
