//! Threads whose end does not go unnoticed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

/// Starts a thread. If it panics or ends early, it calls `on_death` with the reason.
pub(crate) fn spawn(
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
    may_end: impl FnOnce() -> bool + Send + 'static,
    on_death: impl FnOnce(String) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(move || match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) if may_end() => {}
        Ok(()) => on_death(format!("the thread {name} has ended")),
        Err(_) => on_death(format!("the thread {name} has panicked")),
    })
}
