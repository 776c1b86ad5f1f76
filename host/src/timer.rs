//! One timer for many deadlines in a row.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::runtime::Runtime;

/// Waits for deadlines, one after the other, with as few sleeps of the executor as possible.
///
/// Almost every deadline of a busy connection is replaced by a later one before it comes. Arming and disarming the
/// executor's timer for each would cost a good part of a small request; so a sleep that was begun is left to run out,
/// and only then it turns out that the deadline has moved.
pub struct Timer<R> {
    runtime: R,
    armed: Option<Armed>,
}

struct Armed {
    fires: Instant,
    sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<R: Runtime> Timer<R> {
    /// A timer that waits for nothing yet.
    pub fn new(runtime: R) -> Self {
        Self { runtime, armed: None }
    }

    /// Ready once `deadline` has passed. While pending, the task is woken at the deadline, or earlier for nothing.
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
                    let now = Instant::now();
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
