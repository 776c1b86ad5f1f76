//! Eviction: which connection is closed when there is no room for another.
//!
//! An idle connection costs little, so it stays open until the limit on connections is reached. Then the accept loop
//! picks the connection that has been idle longest and wakes its task, which checks that it is still idle and closes
//! it. This costs each request two atomic loads; connections are compared only when the limit is reached.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use event_listener::Event;
use futures_util::task::AtomicWaker;

use crate::connection::{Connection, IdleSince};

/// The open connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<Open>,
    /// Whether an accepted connection waits for room.
    is_wanted: AtomicBool,
    /// The number of the connection being evicted, or [`NONE`].
    evicting: AtomicU64,
}

/// No connection has this number.
const NONE: u64 = 0;

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

/// A connection's entry in the registry; dropping it removes the connection.
#[derive(Debug)]
pub(crate) struct Registration {
    connections: Arc<Connections>,
    number: u64,
    entry: Arc<Entry>,
    registered: Option<Waker>,
}

/// Dropping this says that no accepted connection waits for room any more.
#[derive(Debug)]
pub(crate) struct RoomWanted<'a>(&'a Connections);

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

    /// Until the result is dropped, an accepted connection waits for room, and connections that become idle notify the
    /// accept loop.
    pub(crate) fn want_room(&self) -> RoomWanted<'_> {
        self.is_wanted.store(true, Ordering::SeqCst);
        RoomWanted(self)
    }

    /// Starts to evict the connection that has been idle longest, unless an eviction is under way.
    pub(crate) fn evict_idlest(&self) {
        let open = self.lock();
        if self.evicting.load(Ordering::SeqCst) != NONE {
            return;
        }
        let idlest = open.by_number.iter().filter_map(|(number, entry)| Some((entry.idleness()?, number, entry)));
        let Some((_, number, entry)) = idlest.min_by_key(|(idle_since, ..)| *idle_since) else { return };
        // Under the lock, so that the connection is still registered.
        self.evicting.store(*number, Ordering::SeqCst);
        let waker = entry.waker.take();
        drop(open);
        // Without the lock: an executor may drop the task, and the connection with it, instead of waking it.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How many connections were answered and only wait until their clients stop sending.
    pub(crate) fn lingering(&self) -> usize {
        self.lock().by_number.values().filter(|entry| entry.connection.state().is_lingering()).count()
    }

    /// Ends the eviction of this connection, if it is the one being evicted, so that another can be chosen.
    fn finish_eviction(&self, number: u64) {
        // A different number means that another connection is being evicted.
        let _ = self.evicting.compare_exchange(number, NONE, Ordering::SeqCst, Ordering::SeqCst);
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
    /// Evicts the connection, if it was chosen and is still idle. Call it after each poll of the connection, which
    /// reads its input: if a request has arrived meanwhile, the connection stays, and `room` is notified so that
    /// another one is chosen.
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
            // The eviction consumed the waker.
            self.entry.waker.register(cx.waker());
            self.connections.finish_eviction(self.number);
        }
        if is_evicting != is_idle {
            room.notify(usize::MAX);
        }
    }
}

impl Drop for RoomWanted<'_> {
    fn drop(&mut self) {
        self.0.is_wanted.store(false, Ordering::SeqCst);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.lock().by_number.remove(&self.number);
        // Only after removal, so that it cannot be chosen again.
        self.connections.finish_eviction(self.number);
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

    /// A connection and its registration.
    struct Registered {
        connection: Arc<Connection>,
        registration: Registration,
    }

    impl Registered {
        fn open(registry: &Arc<Connections>, time: &Arc<ManualTime>) -> Self {
            let settings = Settings::read("test", ["test"]).unwrap();
            let connection = Arc::new(Connection::open(&settings, time.clock()));
            Self { registration: registry.register(Arc::clone(&connection)), connection }
        }

        fn is_evicted(&mut self) -> bool {
            self.eviction().is_some()
        }

        /// When the connection is closed for another one, if it is.
        fn eviction(&mut self) -> Option<Instant> {
            let waker = Arc::new(Quiet).into();
            self.registration.check(&mut Context::from_waker(&waker), &Event::new());
            let deadline = self.connection.state().deadline();
            deadline.filter(|(_, reason)| *reason == CloseReason::Evicted).map(|(at, _)| at)
        }
    }

    /// `N` connections, all idle for more than a moment, the first one longest.
    fn idle<const N: usize>(registry: &Arc<Connections>, time: &Arc<ManualTime>) -> Vec<Registered> {
        let open = |_| {
            let registered = Registered::open(registry, time);
            time.advance(Duration::from_secs(1));
            registered
        };
        (0..N).map(open).collect()
    }

    fn evicted(connections: &mut [Registered]) -> Vec<usize> {
        let evicted = connections.iter_mut().enumerate().filter_map(|(index, one)| one.is_evicted().then_some(index));
        evicted.collect()
    }

    #[test]
    fn the_connection_idle_longest_is_evicted_and_one_at_a_time() {
        let (registry, time) = (Arc::<Connections>::default(), ManualTime::new());
        let mut connections = idle::<3>(&registry, &time);
        assert_eq!(evicted(&mut connections), [0; 0]);
        let _wanted = registry.want_room();
        for _ in 0..2 {
            registry.evict_idlest();
            assert_eq!(evicted(&mut connections), [0]);
        }
        drop(connections.remove(0));
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [0]);
    }

    #[test]
    fn a_new_connection_is_evicted_last() {
        let (registry, time) = (Arc::<Connections>::default(), ManualTime::new());
        let mut connections = idle::<2>(&registry, &time);
        connections.insert(0, Registered::open(&registry, &time));
        let opened = time.now();
        connections.get(1).unwrap().connection.state().head_bytes_arrived(opened, b"GET");
        connections.get(2).unwrap().connection.state().linger_begins(opened);
        let _wanted = registry.want_room();
        for _ in 0..2 {
            registry.evict_idlest();
            assert_eq!(evicted(&mut connections), [1]);
            drop(connections.remove(1));
        }
        registry.evict_idlest();
        let eviction = connections.get_mut(0).unwrap().eviction();
        assert_eq!(eviction, Some(opened + Duration::from_millis(100)), "it stays for 100 ms");
    }

    #[test]
    fn a_connection_may_be_dropped_by_its_own_wake() {
        /// A waker that drops the connection instead of waking it.
        struct Trap(Mutex<Option<Registered>>);

        impl Wake for Trap {
            fn wake(self: Arc<Self>) {
                drop(self.0.lock().unwrap().take());
            }
        }

        let (registry, time) = (Arc::<Connections>::default(), ManualTime::new());
        let _wanted = registry.want_room();
        let mut dropped = idle::<1>(&registry, &time).remove(0);
        let mut next = [Registered::open(&registry, &time)];
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
    fn half_a_head_is_evicted_after_idle_connections_and_a_request_never() {
        let (registry, time) = (Arc::<Connections>::default(), ManualTime::new());
        let mut connections = idle::<4>(&registry, &time);
        let now = time.now();
        let connection = |index: usize| Arc::clone(&connections.get(index).unwrap().connection);
        let [in_head, busy, unsent, idle] = [0, 1, 2, 3].map(connection);
        in_head.state().head_bytes_arrived(now, b"GET");
        busy.state().request_begins();
        unsent.state().request_begins();
        unsent.state().answer_ends(now);
        let _wanted = registry.want_room();
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [3]);
        // A request arrives before the task learns of the eviction.
        idle.state().request_begins();
        assert_eq!(evicted(&mut connections), [0; 0]);
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [0]);
        in_head.state().request_begins();
        assert_eq!(evicted(&mut connections), [0; 0]);
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [0; 0], "a connection with an unsent answer is not idle");
        unsent.state().flushed(now);
        registry.evict_idlest();
        assert_eq!(evicted(&mut connections), [2]);
    }
}
