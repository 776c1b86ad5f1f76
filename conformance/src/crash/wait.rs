//! Waiting for a time or for a condition.

use std::thread;
use std::time::Duration;

/// How long to wait for a condition, in steps of [`STEP`].
const STEPS: u32 = 3_000;
/// The time between two checks.
pub(crate) const STEP: Duration = Duration::from_millis(10);

/// Waits for a time. No event would tell when to go on.
pub(crate) fn wait(time: Duration) {
    thread::sleep(time);
}

/// Waits until the condition holds. `what` names what is waited for.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    for _ in 0..STEPS {
        if is_so()? {
            return Ok(());
        }
        wait(STEP);
    }
    Err(format!("waited for {what} in vain, for {:?}", STEP * STEPS))
}
