//! Waits for what the server or another process does.

use std::thread;
use std::time::{Duration, Instant};

/// How long to wait until a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait before looking again.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Waits until this is there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "there is never {what}");
        pause(LOOK_INTERVAL);
    }
}

/// Lets time pass.
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}
