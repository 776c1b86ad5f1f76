//! The state of the server: serving or draining, its open connections, and its end.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use event_listener::{Event, EventListener, Listener as _};
use futures_util::future::{Either, select};

use crate::address_limit::AddressPlace;
use crate::connection::Connection;
use crate::eviction::{Connections, Registration};

/// The state of one server. It starts serving; [`drain`](Self::drain) is irreversible.
#[derive(Debug)]
pub struct Lifecycle {
    connections_max: AtomicUsize,
    drain_timeout: Duration,
    draining: AtomicBool,
    /// Why the server has failed, if it has.
    failure: OnceLock<String>,
    /// When the drain times out.
    drain_deadline: OnceLock<Instant>,
    drain_begun: Event,
    connections: AtomicUsize,
    /// Notified when there may be room for another connection.
    connection_closed: Event,
    /// The open connections, any of which may be evicted when idle.
    open: Arc<Connections>,
}

/// The right to hold one connection; returned on drop.
#[derive(Debug)]
pub struct ConnectionPermit {
    lifecycle: Arc<Lifecycle>,
    /// Counts the connection of its address.
    place: Option<AddressPlace>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Clean,
    /// The drain timed out; this many connections still had a request under way and are cut.
    Cut(usize),
}

impl Lifecycle {
    /// A server that serves.
    #[must_use]
    pub fn new(connections_max: usize, drain_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            connections_max: connections_max.into(),
            drain_timeout,
            draining: AtomicBool::new(false),
            failure: OnceLock::new(),
            drain_deadline: OnceLock::new(),
            drain_begun: Event::new(),
            connections: AtomicUsize::new(0),
            connection_closed: Event::new(),
            open: Arc::default(),
        })
    }

    /// Whether the server drains and refuses new requests.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Starts to drain; later calls have no effect.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use argus_host::lifecycle::Lifecycle;
    ///
    /// let lifecycle = Lifecycle::new(100, Duration::from_secs(30));
    /// assert!(!lifecycle.is_draining());
    /// lifecycle.drain();
    /// assert!(lifecycle.is_draining());
    /// ```
    pub fn drain(&self) {
        self.drain_deadline.get_or_init(|| Instant::now() + self.drain_timeout);
        self.draining.store(true, Ordering::Release);
        self.drain_begun.notify(usize::MAX);
    }

    /// Starts to drain because an essential part of the server has failed. The first reason is kept.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use argus_host::lifecycle::Lifecycle;
    ///
    /// let lifecycle = Lifecycle::new(100, Duration::from_secs(30));
    /// lifecycle.fail("the commit thread has died".to_owned());
    /// lifecycle.fail("and so has another".to_owned());
    /// assert_eq!(lifecycle.failure(), Some("the commit thread has died"));
    /// assert!(lifecycle.is_draining());
    /// ```
    pub fn fail(&self, reason: String) {
        tracing::error!(reason, "the server has failed; draining");
        self.failure.get_or_init(|| reason);
        self.drain();
    }

    /// Why the server has failed, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Resolves when draining begins, or immediately if it has begun.
    pub async fn draining(&self) {
        wait_until(&self.drain_begun, || self.is_draining().then_some(())).await;
    }

    /// Limits the number of connections from now on. Connections above the limit stay open until another one needs a
    /// permit.
    pub fn limit_connections(&self, most: usize) {
        self.connections_max.store(most.max(1), Ordering::Release);
    }

    /// Blocks for at most `time`, until draining begins. Returns whether it has begun.
    pub(crate) fn drains_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let listener = self.drain_begun.listen();
        self.is_draining() || listener.wait_deadline(deadline).is_some()
    }

    /// Waits until there is room for one more connection, which was already accepted. If there is none, the connection
    /// that has been idle longest is closed. While none is idle, the host accepts no more, so that clients wait in the
    /// kernel's backlog instead of being refused. Callers are not served in order, which suffices for a single accept
    /// loop.
    pub async fn permit(self: &Arc<Self>) -> ConnectionPermit {
        let take = || {
            let most = self.connections_max.load(Ordering::Acquire);
            let taken = self.connections.fetch_update(Ordering::AcqRel, Ordering::Acquire, |connections| {
                (connections < most).then_some(connections + 1)
            });
            taken.ok()
        };
        if take().is_none() {
            // Set before looking for an idle connection, so that one that becomes idle later notifies this task.
            let _wanted = self.open.want_room();
            wait_until(&self.connection_closed, || {
                let taken = take();
                if taken.is_none() {
                    self.open.evict_idlest();
                }
                taken
            })
            .await;
        }
        ConnectionPermit { lifecycle: Arc::clone(self), place: None }
    }

    /// Notified when there may be room for another connection.
    pub(crate) fn room(&self) -> &Event {
        &self.connection_closed
    }

    /// Open connections, counted in permits.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// Blocks until all permits are returned, or until the drain times out. A connection that was answered, and whose
    /// client still sends a body, does not count as cut. Works without the executor, whose workers may have died.
    pub fn drained(&self) -> Drained {
        while !self.is_draining() {
            let listener = self.drain_begun.listen();
            if !self.is_draining() {
                listener.wait();
            }
        }
        let deadline = *self.drain_deadline.get_or_init(Instant::now);
        while self.connections() > 0 {
            let listener = self.connection_closed.listen();
            if self.connections() > 0 && listener.wait_deadline(deadline).is_none() {
                break;
            }
        }
        match self.connections().saturating_sub(self.open.lingering()) {
            0 => Drained::Clean,
            connections => Drained::Cut(connections),
        }
    }
}

/// Checks repeatedly whether draining has begun; a check costs one atomic load as long as it has not.
#[derive(Debug)]
pub(crate) struct DrainWatch {
    lifecycle: Arc<Lifecycle>,
    listener: EventListener,
    registered: Option<Waker>,
}

impl DrainWatch {
    pub(crate) fn new(lifecycle: Arc<Lifecycle>) -> Self {
        let listener = lifecycle.drain_begun.listen();
        Self { lifecycle, listener, registered: None }
    }

    /// Whether draining has begun; if not, the task is woken when it does.
    pub(crate) fn has_begun(&mut self, cx: &mut Context<'_>) -> bool {
        if self.lifecycle.is_draining() {
            return true;
        }
        if !self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.registered = Some(cx.waker().clone());
            return Pin::new(&mut self.listener).poll(cx).is_ready();
        }
        false
    }
}

impl ConnectionPermit {
    /// The same permit, which also holds a place among the connections of its address.
    pub(crate) fn with_place(self, place: Option<AddressPlace>) -> Self {
        let mut permit = self;
        permit.place = place;
        permit
    }

    /// Registers a connection, so that it can be evicted when idle.
    pub(crate) fn register(&self, connection: &Arc<Connection>) -> Registration {
        self.lifecycle.open.register(Arc::clone(connection))
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.lifecycle.connections.fetch_sub(1, Ordering::AcqRel);
        self.lifecycle.connection_closed.notify(usize::MAX);
    }
}

/// Listens before it looks, so that no notification between the two is missed. Looks once per wake-up.
async fn wait_until<T>(event: &Event, mut look: impl FnMut() -> Option<T>) -> T {
    if let Some(found) = look() {
        return found;
    }
    loop {
        let listener = event.listen();
        if let Some(found) = look() {
            return found;
        }
        listener.await;
    }
}

/// Waits for the future or the start of the drain, whichever comes first; `None` for the drain.
pub async fn unless_draining<F: Future>(lifecycle: &Lifecycle, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(lifecycle.draining())).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::{pending, ready};
    use std::thread;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::clock::Clock;
    use crate::settings::Settings;

    #[test]
    fn permits_are_limited_and_returned() {
        let lifecycle = Lifecycle::new(2, Duration::from_secs(1));
        let first = lifecycle.permit().now_or_never().unwrap();
        let _second = lifecycle.permit().now_or_never().unwrap();
        let mut third = Box::pin(lifecycle.permit());
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        let _third = third.now_or_never().unwrap();
        assert_eq!(lifecycle.connections(), 2);
    }

    #[test]
    fn a_drain_waits_for_the_last_connection() {
        let lifecycle = Lifecycle::new(2, Duration::from_secs(3600));
        let [first, second] = [(); 2].map(|()| lifecycle.permit().now_or_never().unwrap());
        thread::scope(|threads| {
            let drained = threads.spawn(|| lifecycle.drained());
            drop(first);
            lifecycle.drain();
            assert!(lifecycle.draining().now_or_never().is_some());
            assert!(!drained.is_finished(), "a connection is open");
            drop(second);
            assert_eq!(drained.join().unwrap(), Drained::Clean);
        });
    }

    #[test]
    fn a_drain_times_out() {
        let lifecycle = Lifecycle::new(2, Duration::from_millis(1));
        let _permit = lifecycle.permit().now_or_never().unwrap();
        lifecycle.drain();
        assert_eq!(lifecycle.drained(), Drained::Cut(1));
    }

    #[test]
    fn an_answered_client_that_keeps_sending_does_not_count_as_cut() {
        let lifecycle = Lifecycle::new(2, Duration::from_millis(1));
        let permits = [(); 2].map(|()| lifecycle.permit().now_or_never().unwrap());
        let settings = Settings::read("test", ["test"]).unwrap();
        let connections = [(); 2].map(|()| Arc::new(Connection::open(&settings, Clock::default())));
        let _registrations: Vec<_> =
            permits.iter().zip(&connections).map(|(permit, connection)| permit.register(connection)).collect();
        let [answered, busy] = connections;
        answered.state().linger_begins(answered.now());
        busy.state().request_begins();
        lifecycle.drain();
        assert_eq!(lifecycle.drained(), Drained::Cut(1));
        busy.state().linger_begins(busy.now());
        assert_eq!(lifecycle.drained(), Drained::Clean);
    }

    #[test]
    fn a_failed_server_drains_and_keeps_the_first_reason() {
        let lifecycle = Lifecycle::new(2, Duration::from_secs(3600));
        assert_eq!(lifecycle.failure(), None);
        lifecycle.fail("a thread is gone".to_owned());
        lifecycle.fail("so is another".to_owned());
        assert!(lifecycle.is_draining());
        assert_eq!(lifecycle.failure(), Some("a thread is gone"));
        assert_eq!(lifecycle.drained(), Drained::Clean);
    }

    #[test]
    fn unless_draining_ends_when_the_drain_begins() {
        let lifecycle = Lifecycle::new(2, Duration::from_secs(1));
        assert_eq!(unless_draining(&lifecycle, ready(1)).now_or_never(), Some(Some(1)));
        let mut waiting = Box::pin(unless_draining(&lifecycle, pending::<()>()));
        assert!(waiting.as_mut().now_or_never().is_none());
        lifecycle.drain();
        assert_eq!(waiting.now_or_never(), Some(None));
    }
}
