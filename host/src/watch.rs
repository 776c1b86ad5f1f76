//! Watches threads and tasks, so that none ends unnoticed.
//!
//! All threads and tasks that a server needs are started here: the commit and maintenance threads, the workers,
//! the signal thread, the log thread, and the accept loop. If one panics or ends too early, it calls back: requests
//! that wait for it are answered, and the process ends ([`Lifecycle::fail`](crate::lifecycle::Lifecycle::fail)).

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

use futures_util::FutureExt as _;

/// Starts a thread. If it panics, or ends before `may_end` allows it, its last act is to call `on_death` with the
/// reason.
///
/// # Errors
///
/// When the system refuses to start a thread; `on_death` is not called.
pub fn spawn(
    name: &str,
    body: impl FnOnce() + Send + 'static,
    may_end: impl FnOnce() -> bool + Send + 'static,
    on_death: impl FnOnce(String) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let title = name.to_owned();
    // The body shares data only through locks that recover from a panic.
    let watched = move || match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) if may_end() => {}
        Ok(()) => on_death(format!("the thread {title} has ended unexpectedly")),
        Err(panic) => on_death(format!("the thread {title} has panicked: {}", panic_message(panic.as_ref()))),
    };
    Builder::new().name(name.to_owned()).spawn(watched)
}

/// Runs a task. If it panics, or ends before `may_end` allows it, calls `on_death` with the reason.
///
/// A task that is dropped reports nothing. This happens when the executor ends, whose threads are watched too.
pub async fn task(
    name: &str,
    body: impl Future<Output = ()>,
    may_end: impl FnOnce() -> bool,
    on_death: impl FnOnce(String),
) {
    match AssertUnwindSafe(body).catch_unwind().await {
        Ok(()) if may_end() => {}
        Ok(()) => on_death(format!("{name} has ended unexpectedly")),
        Err(panic) => on_death(format!("{name} has panicked: {}", panic_message(panic.as_ref()))),
    }
}

/// The message of a panic.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::{pending, ready};
    use std::sync::mpsc::channel;

    use super::*;

    /// The reason that a thread reports, if it reports one.
    fn reported(body: impl FnOnce() + Send + 'static, may_end: bool) -> Option<String> {
        let (sender, deaths) = channel();
        spawn("argus-test", body, move || may_end, move |reason| sender.send(reason).unwrap()).unwrap();
        deaths.recv().ok()
    }

    #[test]
    fn a_thread_that_ends_too_early_is_reported() {
        assert_eq!(reported(|| (), true), None);
        assert_eq!(reported(|| (), false).unwrap(), "the thread argus-test has ended unexpectedly");
        for may_end in [false, true] {
            let reason = reported(|| panic!("as told"), may_end);
            assert_eq!(reason.unwrap(), "the thread argus-test has panicked: as told");
        }
    }

    #[test]
    fn a_task_that_ends_too_early_is_reported() {
        let reported = |body: &mut (dyn Future<Output = ()> + Unpin), may_end: bool| {
            let mut reported = None;
            let ended = task("the loop", body, || may_end, |reason| reported = Some(reason)).now_or_never();
            (ended.is_some(), reported)
        };
        assert_eq!(reported(&mut ready(()), true), (true, None));
        assert_eq!(reported(&mut pending(), true), (false, None));
        assert_eq!(reported(&mut ready(()), false).1.unwrap(), "the loop has ended unexpectedly");
        let mut panicking = Box::pin(async { panic!("as told") });
        assert_eq!(reported(&mut panicking, true).1.unwrap(), "the loop has panicked: as told");
    }
}
