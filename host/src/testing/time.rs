//! Time that passes when a test says so.

use std::future::{Future, poll_fn, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::runtime::Runtime;

/// A clock that stands still until it is moved, and those who wait for it.
#[derive(Debug)]
pub(crate) struct ManualTime(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    now: Instant,
    sleepers: Vec<(Instant, Waker)>,
}

impl ManualTime {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Inner { now: Instant::now(), sleepers: Vec::new() })))
    }

    pub(crate) fn now(&self) -> Instant {
        self.lock().now
    }

    /// Lets time pass, and wakes whoever has waited for it.
    pub(crate) fn advance(&self, duration: Duration) {
        let mut inner = self.lock();
        inner.now += duration;
        let now = inner.now;
        let due: Vec<_> = inner.sleepers.extract_if(.., |(until, _)| *until <= now).collect();
        drop(inner);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// This time as the production code sees it.
    pub(crate) fn clock(self: &Arc<Self>) -> Clock {
        Clock { manual: Some(Arc::clone(self)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An executor's time and threads, for tests: sleeps end when the time is moved, and work that may block is done at
/// once, by whoever asks for it.
#[derive(Clone, Debug)]
pub(crate) struct ManualRuntime(pub(crate) Arc<ManualTime>);

impl Runtime for ManualRuntime {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let time = Arc::clone(&self.0);
        let until = time.now() + duration;
        poll_fn(move |cx| {
            let mut inner = time.lock();
            if inner.now >= until {
                return Poll::Ready(());
            }
            inner.sleepers.push((until, cx.waker().clone()));
            Poll::Pending
        })
    }

    fn unblock<T, F>(&self, task: F) -> impl Future<Output = T> + Send + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        ready(task())
    }
}
