//! Who gives way when there is no room for another connection.
//!
//! Whoever holds a connection open without a request costs nothing but its place; when places run out, that is what is wanted. The accept loop
//! asks the connection that has waited longest to close. A request costs one atomic load for it, and nobody looks at other connections before
//! all places are taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use event_listener::Event;
use futures_util::task::AtomicWaker;

use crate::connection_state::ConnectionState;

/// How little is lost with a connection that is closed. The least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Idleness {
    /// It has no request under way, and every answer is out.
    BetweenRequests,
    /// Some of a head has come.
    InHead,
    /// It was answered, and goes on sending what nobody reads.
    Lingering,
    /// It was opened a moment ago, and its first request may be on its way.
    New,
}

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    members: Mutex<Members>,
    /// Somebody waits for a place.
    is_wanted: AtomicBool,
    /// The number of the one that was asked to close and has not said no, or [`NOBODY`].
    asked: AtomicU64,
}

/// The number of no connection.
const NOBODY: u64 = 0;

#[derive(Debug, Default)]
struct Members {
    last: u64,
    by_number: BTreeMap<u64, Arc<Member>>,
}

#[derive(Debug)]
struct Member {
    state: Arc<ConnectionState>,
    waker: AtomicWaker,
}

/// A connection among the others, until it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    crowd: Arc<Crowd>,
    number: u64,
    member: Arc<Member>,
    registered: Option<Waker>,
}

/// That somebody waits for a place.
#[derive(Debug)]
pub(crate) struct Wanted<'a>(&'a Crowd);

impl Crowd {
    pub(crate) fn join(self: &Arc<Self>, state: Arc<ConnectionState>) -> Membership {
        let member = Arc::new(Member { state, waker: AtomicWaker::new() });
        let mut members = self.lock();
        members.last += 1;
        let number = members.last;
        members.by_number.insert(number, Arc::clone(&member));
        drop(members);
        Membership { crowd: Arc::clone(self), number, member, registered: None }
    }

    /// Somebody waits for a place until this is dropped. Meanwhile, connections that fall idle say so.
    pub(crate) fn want(&self) -> Wanted<'_> {
        self.is_wanted.store(true, Ordering::SeqCst);
        Wanted(self)
    }

    /// Asks the connection that is idle, and has been for longest, to close, unless one was asked already and is still there.
    pub(crate) fn ask(&self) {
        let members = self.lock();
        if self.asked.load(Ordering::SeqCst) != NOBODY {
            return;
        }
        let idlest =
            members.by_number.iter().filter_map(|(number, member)| Some((member.state.idle_since()?, number, member)));
        let Some((_, number, member)) = idlest.min_by_key(|(idle_since, ..)| *idle_since) else { return };
        // Under the lock, so that it is still among them.
        self.asked.store(*number, Ordering::SeqCst);
        let waker = member.waker.take();
        drop(members);
        // Without the lock: an executor may drop the connection instead of waking it.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How many were answered, and only wait for their clients to notice.
    pub(crate) fn lingering(&self) -> usize {
        self.lock().by_number.values().filter(|member| member.state.is_lingering()).count()
    }

    /// Lets another connection be asked, if it was this one.
    fn release(&self, number: u64) {
        // That it was another one is no failure.
        let _ = self.asked.compare_exchange(number, NOBODY, Ordering::SeqCst, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Tells the connection's state if it is to end for another. To be called whenever the connection was looked after, behind what has arrived:
    /// one that has got a request meanwhile stays, and `room` is notified so that another one is asked.
    pub(crate) fn look(&mut self, cx: &mut Context<'_>, room: &Event) {
        if !self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.registered = Some(cx.waker().clone());
            self.member.waker.register(cx.waker());
        }
        let is_asked = || self.crowd.asked.load(Ordering::SeqCst) == self.number;
        if !self.crowd.is_wanted.load(Ordering::SeqCst) && !is_asked() {
            return;
        }
        let was_asked = is_asked();
        let is_idle = if was_asked { self.member.state.evict() } else { self.member.state.idle_since().is_some() };
        if was_asked && !is_idle {
            // Asking has used the waker up.
            self.member.waker.register(cx.waker());
            self.crowd.release(self.number);
        }
        if was_asked != is_idle {
            room.notify(usize::MAX);
        }
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.is_wanted.store(false, Ordering::SeqCst);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.crowd.lock().by_number.remove(&self.number);
        // Behind it, so that it cannot be asked again.
        self.crowd.release(self.number);
    }
}

/// What a connection is at, since when. The earliest and idlest is the least.
pub(crate) type IdleSince = (Idleness, Instant);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::task::Wake;
    use std::time::Duration;

    use super::*;
    use crate::connection_state::Lapse;
    use crate::settings::Settings;

    struct Quiet;

    impl Wake for Quiet {
        fn wake(self: Arc<Self>) {}
    }

    /// A connection, and what looks after it.
    struct Connection {
        state: Arc<ConnectionState>,
        membership: Membership,
    }

    impl Connection {
        fn open(crowd: &Arc<Crowd>) -> Self {
            let state = Arc::new(ConnectionState::new(&Settings::read("test", ["test"]).unwrap()));
            Self { membership: crowd.join(Arc::clone(&state)), state }
        }

        /// Of a client that has had its first answer.
        fn open_for_long(crowd: &Arc<Crowd>) -> Self {
            let connection = Self::open(crowd);
            connection.state.request_begins();
            connection.state.answer_ends();
            connection.state.flushed();
            connection
        }

        fn gives_way(&mut self) -> bool {
            let waker = Arc::new(Quiet).into();
            self.membership.look(&mut Context::from_waker(&waker), &Event::new());
            self.state.deadline().is_some_and(|(_, lapse)| lapse == Lapse::Crowd)
        }

        fn gives_way_now(&mut self) -> bool {
            self.gives_way() && self.state.deadline().is_some_and(|(at, _)| at <= Instant::now())
        }
    }

    fn who_gives_way(connections: &mut [Connection]) -> Vec<usize> {
        let asked = connections.iter_mut().enumerate().filter_map(|(index, one)| one.gives_way().then_some(index));
        asked.collect()
    }

    #[test]
    fn the_one_idle_longest_gives_way_and_one_at_a_time() {
        let crowd = Arc::<Crowd>::default();
        let mut connections: Vec<Connection> = (0..3).map(|_| Connection::open_for_long(&crowd)).collect();
        assert_eq!(who_gives_way(&mut connections), [0; 0]);
        let _wanted = crowd.want();
        for _ in 0..2 {
            crowd.ask();
            assert_eq!(who_gives_way(&mut connections), [0]);
        }
        drop(connections.remove(0));
        crowd.ask();
        assert_eq!(who_gives_way(&mut connections), [0]);
    }

    #[test]
    fn a_new_one_goes_last() {
        let crowd = Arc::<Crowd>::default();
        let settings = Settings::read("test", ["test"]).unwrap();
        // It stays new for as long as this test lasts.
        let state = Arc::new(ConnectionState::opened(&settings, Instant::now() + Duration::from_secs(3600)));
        let new = Connection { membership: crowd.join(Arc::clone(&state)), state };
        let mut connections = vec![new, Connection::open_for_long(&crowd), Connection::open_for_long(&crowd)];
        connections.get(1).unwrap().state.head_bytes_arrived(b"GET");
        connections.get(2).unwrap().state.linger_begins();
        let _wanted = crowd.want();
        for _ in 0..2 {
            crowd.ask();
            assert_eq!(who_gives_way(&mut connections), [1]);
            drop(connections.remove(1));
        }
        crowd.ask();
        assert!(!connections.get_mut(0).unwrap().gives_way_now(), "it has a moment left");
        assert_eq!(who_gives_way(&mut connections), [0]);
    }

    #[test]
    fn one_that_its_executor_drops_instead_of_waking_it_is_gone() {
        /// What drops a connection when it is to wake it.
        struct Trap(Mutex<Option<Connection>>);

        impl Wake for Trap {
            fn wake(self: Arc<Self>) {
                drop(self.0.lock().unwrap().take());
            }
        }

        let crowd = Arc::<Crowd>::default();
        let _wanted = crowd.want();
        let mut dropped = Connection::open_for_long(&crowd);
        let mut next = [Connection::open(&crowd)];
        let trap = Arc::new(Trap(Mutex::default()));
        let waker = Arc::clone(&trap).into();
        dropped.membership.look(&mut Context::from_waker(&waker), &Event::new());
        *trap.0.lock().unwrap() = Some(dropped);
        crowd.ask();
        assert!(trap.0.lock().unwrap().is_none());
        crowd.ask();
        assert_eq!(who_gives_way(&mut next), [0]);
    }

    #[test]
    fn half_a_head_gives_way_after_the_idle_and_a_request_never() {
        let crowd = Arc::<Crowd>::default();
        let mut connections: Vec<Connection> = (0..4).map(|_| Connection::open_for_long(&crowd)).collect();
        let state = |index: usize| Arc::clone(&connections.get(index).unwrap().state);
        let [in_head, busy, unsent, idle] = [0, 1, 2, 3].map(state);
        in_head.head_bytes_arrived(b"GET");
        busy.request_begins();
        unsent.request_begins();
        unsent.answer_ends();
        let _wanted = crowd.want();
        crowd.ask();
        assert_eq!(who_gives_way(&mut connections), [3]);
        // It has got a request before it has heard of that.
        idle.request_begins();
        assert_eq!(who_gives_way(&mut connections), [0; 0]);
        crowd.ask();
        assert_eq!(who_gives_way(&mut connections), [0]);
        in_head.request_begins();
        assert_eq!(who_gives_way(&mut connections), [0; 0]);
        crowd.ask();
        assert_eq!(who_gives_way(&mut connections), [0; 0], "answers that are not out are not idle");
        unsent.flushed();
        crowd.ask();
        assert_eq!(who_gives_way(&mut connections), [2]);
    }
}
