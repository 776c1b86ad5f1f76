//! Time that passes only when a test says so.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use futures_channel::oneshot;

use crate::clock::Clock;
use crate::runtime::Runtime;

/// A clock that only the test advances, with the sleeps that wait for it.
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

    /// Lets time pass, and wakes the sleeps that end.
    pub(crate) fn advance(&self, duration: Duration) {
        let mut inner = self.lock();
        inner.now += duration;
        let now = inner.now;
        let due: Vec<_> = inner.sleepers.extract_if(.., |(until, _)| *until <= now).collect();
        drop(inner);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// This time, for production code.
    pub(crate) fn clock(self: &Arc<Self>) -> Clock {
        Clock { manual: Some(Arc::clone(self)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runtime for tests: sleeps end when the test moves the time, and the caller does blocking work at once, unless the
/// test holds it back.
#[derive(Clone)]
pub(crate) struct ManualRuntime {
    time: Arc<ManualTime>,
    work: Arc<Mutex<Work>>,
}

#[derive(Default)]
struct Work {
    /// How many pieces of blocking work there were.
    count: usize,
    is_held: bool,
    held: Vec<Box<dyn FnOnce() + Send>>,
}

impl ManualRuntime {
    pub(crate) fn new(time: &Arc<ManualTime>) -> Self {
        Self { time: Arc::clone(time), work: Arc::default() }
    }

    /// How many pieces of blocking work there were.
    pub(crate) fn unblocked(&self) -> usize {
        self.work().count
    }

    /// Holds back blocking work until [`release`](Self::release), as if all threads were busy.
    pub(crate) fn hold(&self) {
        self.work().is_held = true;
    }

    /// Does the work that was held back.
    pub(crate) fn release(&self) {
        let mut work = self.work();
        work.is_held = false;
        let held = std::mem::take(&mut work.held);
        drop(work);
        held.into_iter().for_each(|task| task());
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for ManualRuntime {
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let time = Arc::clone(&self.time);
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
        let (sender, receiver) = oneshot::channel();
        // The future may have been dropped.
        let task = move || drop(sender.send(task()));
        let mut work = self.work();
        work.count += 1;
        if work.is_held {
            work.held.push(Box::new(task));
        } else {
            drop(work);
            task();
        }
        async move { receiver.await.expect("held work is released before its runtime is dropped") }
    }
}

impl fmt::Debug for ManualRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualRuntime").field("time", &self.time).finish_non_exhaustive()
    }
}
