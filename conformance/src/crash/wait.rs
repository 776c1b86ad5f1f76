//! Waiting for time to pass, or for something to become so.

use std::thread;
use std::time::Duration;

/// How long a fault is waited for, in steps of [`STEP`].
const STEPS: u32 = 300;
/// Between two looks at whether it is there.
pub(crate) const STEP: Duration = Duration::from_millis(10);

/// Lets time pass, where nothing but the clock says when it is enough.
pub(crate) fn wait(time: Duration) {
    thread::sleep(time);
}

/// Waits until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    for _ in 0..STEPS {
        if is_so()? {
            return Ok(());
        }
        wait(STEP);
    }
    Err(format!("{what} was waited for in vain, for {:?}", STEP * STEPS))
}
