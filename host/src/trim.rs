//! Returning freed memory to the system.
//!
//! glibc's allocator keeps freed memory for good if it lies below memory in use: 5,000 connections with half a body
//! each leave some hundred megabytes. `malloc_trim` returns that, so it is called every few seconds. What stays is the
//! free end of each thread's heap, up to twice the largest block ever freed (`M_TRIM_THRESHOLD` in mallopt(3)). An
//! allocator that returns memory by itself (mimalloc) was measured: it took an eighth more CPU time for each small
//! request.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::lifecycle::Lifecycle;
use crate::watch;

/// How long freed memory may stay. Returning it takes milliseconds, during which the threads of one heap at a time wait
/// to allocate.
const INTERVAL: Duration = Duration::from_secs(5);

/// Starts the thread that returns freed memory until the drain begins.
///
/// # Errors
///
/// When the system refuses to start a thread.
pub(crate) fn start(lifecycle: &Arc<Lifecycle>) -> io::Result<()> {
    let [serving, ending, failing] = [(); 3].map(|()| Arc::clone(lifecycle));
    let trim = move || {
        while !serving.drains_within(INTERVAL) {
            return_freed_memory();
        }
    };
    watch::spawn("argus-trim", trim, move || ending.is_draining(), move |reason| failing.fail(reason)).map(drop)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "no maintained crate wraps this call")]
fn return_freed_memory() {
    // SAFETY: the call takes no pointer and is safe on any thread at any time (malloc_trim(3)); it frees nothing that
    // is in use.
    let _has_returned_any = unsafe { libc::malloc_trim(0) };
}

/// Other allocators have no such call, or need none.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn return_freed_memory() {}
