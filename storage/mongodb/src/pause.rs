//! Waits for what happens elsewhere.

use std::thread;
use std::time::Duration;

/// Pauses before something is tried again: no event tells when another process has ended its transaction, or when a
/// server can be reached again.
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}
