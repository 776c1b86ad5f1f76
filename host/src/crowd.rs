//! Who gives way when there is no room for another connection.
//!
//! Whoever holds a connection open without a request costs nothing but its place; when places run out, that is what is wanted. The accept loop
//! asks the connection that has waited longest to close. A request costs one atomic load for it, and nobody looks at other connections before
//! all places are taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
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
}

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    members: Mutex<Members>,
    /// Somebody waits for a place.
    is_wanted: AtomicBool,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    by_number: BTreeMap<u64, Arc<Member>>,
}

#[derive(Debug)]
struct Member {
    state: Arc<ConnectionState>,
    is_asked: AtomicBool,
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
        let member = Arc::new(Member { state, is_asked: AtomicBool::new(false), waker: AtomicWaker::new() });
        let mut members = self.lock();
        let number = members.next;
        members.next += 1;
        members.by_number.insert(number, Arc::clone(&member));
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
        if members.by_number.values().any(|member| member.is_asked.load(Ordering::SeqCst)) {
            return;
        }
        let idlest = members.by_number.values().filter_map(|member| Some((member.state.idle_since()?, member)));
        if let Some((_, member)) = idlest.min_by_key(|(idle_since, _)| *idle_since) {
            member.is_asked.store(true, Ordering::SeqCst);
            member.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// Whether the connection shall close for another. To be asked whenever the connection was looked after, behind what has arrived: one that
    /// has got a request meanwhile stays, and `room` is notified so that another one is asked.
    pub(crate) fn gives_way(&mut self, cx: &mut Context<'_>, room: &Event) -> bool {
        if !self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.registered = Some(cx.waker().clone());
            self.member.waker.register(cx.waker());
        }
        if !self.crowd.is_wanted.load(Ordering::SeqCst) && !self.member.is_asked.load(Ordering::SeqCst) {
            return false;
        }
        let is_idle = self.member.state.idle_since().is_some();
        let was_asked = self.member.is_asked.load(Ordering::SeqCst);
        if was_asked && !is_idle {
            // Asking has used the waker up.
            self.member.waker.register(cx.waker());
            self.member.is_asked.store(false, Ordering::SeqCst);
        }
        if was_asked != is_idle {
            room.notify(usize::MAX);
        }
        was_asked && is_idle
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
    }
}

/// What a connection is at, since when. The earliest and idlest is the least.
pub(crate) type IdleSince = (Idleness, Instant);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::task::Wake;

    use super::*;
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

        fn gives_way(&mut self) -> bool {
            let waker = Arc::new(Quiet).into();
            self.membership.gives_way(&mut Context::from_waker(&waker), &Event::new())
        }
    }

    fn who_gives_way(connections: &mut [Connection]) -> Vec<usize> {
        let asked = connections.iter_mut().enumerate().filter_map(|(index, one)| one.gives_way().then_some(index));
        asked.collect()
    }

    #[test]
    fn the_one_idle_longest_gives_way_and_one_at_a_time() {
        let crowd = Arc::<Crowd>::default();
        let mut connections: Vec<Connection> = (0..3).map(|_| Connection::open(&crowd)).collect();
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
    fn half_a_head_gives_way_after_the_idle_and_a_request_never() {
        let crowd = Arc::<Crowd>::default();
        let mut connections: Vec<Connection> = (0..4).map(|_| Connection::open(&crowd)).collect();
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
