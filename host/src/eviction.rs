//! Eviction: which connection is closed when there is no room for another.
//!
//! Whoever holds a connection open without a request costs nothing but its place; when places run out, that is what is
//! wanted. The accept loop evicts the connection that has been idle longest: it tells that connection's task, which
//! looks whether it is idle still, and closes it. A request costs two atomic loads for it, and nobody looks at other
//! connections before all places are taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use event_listener::Event;
use futures_util::task::AtomicWaker;

use crate::connection::{Connection, IdleSince};

/// The registry of the connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<Open>,
    /// Somebody waits for a place.
    is_wanted: AtomicBool,
    /// The number of the one that is being evicted, or [`NOBODY`].
    evicting: AtomicU64,
}

/// The number of no connection.
const NOBODY: u64 = 0;

#[derive(Debug, Default)]
struct Open {
    last: u64,
    by_number: BTreeMap<u64, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    connection: Arc<Connection>,
    waker: AtomicWaker,
}

/// A connection in the registry, until it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    connections: Arc<Connections>,
    number: u64,
    entry: Arc<Entry>,
    registered: Option<Waker>,
}

/// That somebody waits for a place.
#[derive(Debug)]
pub(crate) struct Wanted<'a>(&'a Connections);

impl Connections {
    pub(crate) fn register(self: &Arc<Self>, connection: Arc<Connection>) -> Registration {
        let entry = Arc::new(Entry { connection, waker: AtomicWaker::new() });
        let mut open = self.lock();
        open.last += 1;
        let number = open.last;
        open.by_number.insert(number, Arc::clone(&entry));
        drop(open);
        Registration { connections: Arc::clone(self), number, entry, registered: None }
    }

    /// Somebody waits for a place until this is dropped. Meanwhile, connections that fall idle say so.
    pub(crate) fn want(&self) -> Wanted<'_> {
        self.is_wanted.store(true, Ordering::SeqCst);
        Wanted(self)
    }

    /// Begins to evict the connection that is idle, and has been for longest, unless one is being evicted already.
    pub(crate) fn evict_idlest(&self) {
        let open = self.lock();
        if self.evicting.load(Ordering::SeqCst) != NOBODY {
            return;
        }
        let idlest = open.by_number.iter().filter_map(|(number, entry)| Some((entry.idleness()?, number, entry)));
        let Some((_, number, entry)) = idlest.min_by_key(|(idle_since, ..)| *idle_since) else { return };
        // Under the lock, so that it is still among them.
        self.evicting.store(*number, Ordering::SeqCst);
        let waker = entry.waker.take();
        drop(open);
        // Without the lock: an executor may drop the connection instead of waking it.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How many were answered, and only wait for their clients to notice.
    pub(crate) fn lingering(&self) -> usize {
        self.lock().by_number.values().filter(|entry| entry.connection.state().is_lingering()).count()
    }

    /// Lets another connection be evicted, if it was this one.
    fn spare(&self, number: u64) {
        // That it was another one is no failure.
        let _ = self.evicting.compare_exchange(number, NOBODY, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn idleness(&self) -> Option<IdleSince> {
        self.connection.state().idleness(self.connection.now())
    }

    fn evict(&self) -> bool {
        self.connection.state().evict(self.connection.now())
    }
}

impl Registration {
    /// Tells the connection's state if it is to end for another. To be called whenever the connection was looked after,
    /// behind what has arrived: one that has got a request meanwhile stays, and `room` is notified so that another one
    /// is evicted.
    pub(crate) fn check(&mut self, cx: &mut Context<'_>, room: &Event) {
        if !self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.registered = Some(cx.waker().clone());
            self.entry.waker.register(cx.waker());
        }
        let is_evicting = || self.connections.evicting.load(Ordering::SeqCst) == self.number;
        if !self.connections.is_wanted.load(Ordering::SeqCst) && !is_evicting() {
            return;
        }
        let is_evicting = is_evicting();
        let is_idle = if is_evicting { self.entry.evict() } else { self.entry.idleness().is_some() };
        if is_evicting && !is_idle {
            // It was used up to tell this task.
            self.entry.waker.register(cx.waker());
            self.connections.spare(self.number);
        }
        if is_evicting != is_idle {
            room.notify(usize::MAX);
        }
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.is_wanted.store(false, Ordering::SeqCst);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.lock().by_number.remove(&self.number);
        // Behind it, so that it cannot be chosen again.
        self.connections.spare(self.number);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::task::Wake;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::connection::CloseReason;
    use crate::settings::Settings;
    use crate::testing::ManualTime;

    struct Quiet;

    impl Wake for Quiet {
        fn wake(self: Arc<Self>) {}
    }

    /// A connection, and what looks after it.
    struct Guarded {
        connection: Arc<Connection>,
        registration: Registration,
    }

    impl Guarded {
        fn open(registry: &Arc<Connections>, time: &Arc<ManualTime>) -> Self {
            let settings = Settings::read("test", ["test"]).unwrap();
            let connection = Arc::new(Connection::open(&settings, time.clock()));
            Self { registration: registry.register(Arc::clone(&connection)), connection }
        }

        fn is_evicted(&mut self) -> bool {
            self.eviction().is_some()
        }

        /// When it ends for another, if it does.
        fn eviction(&mut self) -> Option<Instant> {
            let waker = Arc::new(Quiet).into();
            self.registration.check(&mut Context::from_waker(&waker), &Event::new());
            let deadline = self.connection.state().deadline();
            deadline.filter(|(_, reason)| *reason == CloseReason::Evicted).map(|(at, _)| at)
        }
    }

    /// So many connections, the first one idle longest and all of them for more than a moment.
    fn idle<const N: usize>(registry: &Arc<Connections>, time: &Arc<ManualTime>) -> Vec<Guarded> {
        let open = |_| {
            let guarded = Guarded::open(registry, time);
            time.advance(Duration::from_secs(1));
            guarded
        };
        (0..N).map(open).collect()
    }

    fn evicted(connections: &mut [Guarded]) -> Vec<usize> {
        let evicted = connections.iter_mut().enumerate().filter_map(|(index, one)| one.is_evicted().then_some(index));
        evicted.collect()
    }

    #[test]
    fn the_one_idle_longest_is_evicted_and_one_at_a_time() {
        let (registry, time) = (Arc::<Connections>::default(), ManualTime::new());
        let mut connections = idle::<3>(&registry, &time);
        assert_eq!(evicted(&mut connections), [0; 0]);
        let _wanted = registry.want();
        for _ in 0..2 {
            registry.evict_idlest();
            assert_eq!(evicted(&mut connections), [0]);
        }
        drop(connections.remove(0));
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [0]);
    }

    #[test]
    fn one_that_was_just_opened_goes_last() {
        let (registry, time) = (Arc::<Connections>::default(), ManualTime::new());
        let mut connections = idle::<2>(&registry, &time);
        connections.insert(0, Guarded::open(&registry, &time));
        let opened = time.now();
        connections.get(1).unwrap().connection.state().head_bytes_arrived(opened, b"GET");
        connections.get(2).unwrap().connection.state().linger_begins(opened);
        let _wanted = registry.want();
        for _ in 0..2 {
            registry.evict_idlest();
            assert_eq!(evicted(&mut connections), [1]);
            drop(connections.remove(1));
        }
        registry.evict_idlest();
        let eviction = connections.get_mut(0).unwrap().eviction();
        assert_eq!(eviction, Some(opened + Duration::from_millis(100)), "it has a moment left");
    }

    #[test]
    fn one_that_its_executor_drops_instead_of_waking_it_is_gone() {
        /// What drops a connection when it is to wake it.
        struct Trap(Mutex<Option<Guarded>>);

        impl Wake for Trap {
            fn wake(self: Arc<Self>) {
                drop(self.0.lock().unwrap().take());
            }
        }

        let (registry, time) = (Arc::<Connections>::default(), ManualTime::new());
        let _wanted = registry.want();
        let mut dropped = idle::<1>(&registry, &time).remove(0);
        let mut next = [Guarded::open(&registry, &time)];
        let trap = Arc::new(Trap(Mutex::default()));
        let waker = Arc::clone(&trap).into();
        dropped.registration.check(&mut Context::from_waker(&waker), &Event::new());
        *trap.0.lock().unwrap() = Some(dropped);
        registry.evict_idlest();
        assert!(trap.0.lock().unwrap().is_none());
        registry.evict_idlest();
        assert_eq!(evicted(&mut next), [0]);
    }

    #[test]
    fn half_a_head_is_evicted_after_the_idle_and_a_request_never() {
        let (registry, time) = (Arc::<Connections>::default(), ManualTime::new());
        let mut connections = idle::<4>(&registry, &time);
        let now = time.now();
        let connection = |index: usize| Arc::clone(&connections.get(index).unwrap().connection);
        let [in_head, busy, unsent, idle] = [0, 1, 2, 3].map(connection);
        in_head.state().head_bytes_arrived(now, b"GET");
        busy.state().request_begins();
        unsent.state().request_begins();
        unsent.state().answer_ends(now);
        let _wanted = registry.want();
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [3]);
        // It has got a request before it has heard of that.
        idle.state().request_begins();
        assert_eq!(evicted(&mut connections), [0; 0]);
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [0]);
        in_head.state().request_begins();
        assert_eq!(evicted(&mut connections), [0; 0]);
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [0; 0], "answers that are not out are not idle");
        unsent.state().flushed(now);
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [2]);
    }
}
