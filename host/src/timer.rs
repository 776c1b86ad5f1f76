//! A timer for a series of deadlines.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::clock::Clock;
use crate::runtime::Runtime;

/// Waits for one deadline after another, with few sleeps of the executor.
///
/// On a busy connection, almost every deadline is replaced by a later one before it passes. Arming and disarming the
/// executor's timer each time would take much of the time of a small request. So a sleep runs to its end, and only then
/// the current deadline is checked.
pub struct Timer<R> {
    runtime: R,
    clock: Clock,
    armed: Option<Armed>,
}

struct Armed {
    fires: Instant,
    sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<R: Runtime> Timer<R> {
    /// A timer without a deadline.
    pub fn new(runtime: R, clock: Clock) -> Self {
        Self { runtime, clock, armed: None }
    }

    /// Ready once `deadline` has passed. Until then, the task is woken at the deadline; spurious wake-ups may come
    /// earlier.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        loop {
            match &mut self.armed {
                Some(armed) if armed.fires <= deadline => {
                    if armed.sleep.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.armed = None;
                }
                Some(_) | None => {
                    let now = self.clock.now();
                    if now >= deadline {
                        return Poll::Ready(());
                    }
                    let sleep = Box::pin(self.runtime.sleep(deadline - now));
                    self.armed = Some(Armed { fires: deadline, sleep });
                }
            }
        }
    }
}

impl<R> fmt::Debug for Timer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("fires", &self.armed.as_ref().map(|armed| armed.fires)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;
    use crate::testing::{ManualRuntime, ManualTime};

    const SECOND: Duration = Duration::from_secs(1);

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_deadline_is_ready_at_its_time_and_not_before() {
        let time = ManualTime::new();
        let mut timer = Timer::new(ManualRuntime::new(&time), time.clock());
        let wakes = Arc::<Wakes>::default();
        let waker = Arc::clone(&wakes).into();
        let mut cx = Context::from_waker(&waker);
        let begun = time.now();
        let mut is_ready = |seconds| timer.poll_deadline(&mut cx, begun + seconds * SECOND).is_ready();
        assert!(is_ready(0));
        assert!(!is_ready(10));
        time.advance(4 * SECOND);
        // A later deadline keeps the current sleep, an earlier one replaces it.
        assert!(!is_ready(20));
        assert!(!is_ready(5));
        time.advance(SECOND);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(is_ready(5) && !is_ready(20));
        time.advance(15 * SECOND);
        assert!(is_ready(20));
    }
}
