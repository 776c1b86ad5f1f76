//! Time that passes when a test says so.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use futures_channel::oneshot;

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
/// once, by whoever asks for it, unless it is held back.
#[derive(Clone)]
pub(crate) struct ManualRuntime {
    time: Arc<ManualTime>,
    work: Arc<Mutex<Work>>,
}

#[derive(Default)]
struct Work {
    /// How often there was any.
    count: usize,
    is_held: bool,
    held: Vec<Box<dyn FnOnce() + Send>>,
}

impl ManualRuntime {
    pub(crate) fn new(time: &Arc<ManualTime>) -> Self {
        Self { time: Arc::clone(time), work: Arc::default() }
    }

    /// How often work was to be done where it may block.
    pub(crate) fn unblocked(&self) -> usize {
        self.work().count
    }

    /// From now on work that may block waits for [`release`](Self::release), as if all threads were at something.
    pub(crate) fn hold(&self) {
        self.work().is_held = true;
    }

    /// Does what was held back.
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
        // Nobody may be waiting any more.
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
