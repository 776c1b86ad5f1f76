//! The places of connections: how many are taken, and who gives one up when none is left.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a connection is at. Those that lose the least come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No byte of a request has come.
    Idle,
    /// Some of its head has come.
    Head,
    /// The last answer is out, and the client may still be sending.
    Lingering,
    /// A request is answered.
    Busy,
}

/// The connections that are open.
#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: BTreeMap<u64, Holder>,
    /// So many were closed for others.
    closed: u64,
}

#[derive(Debug)]
struct Holder {
    socket: Arc<TcpStream>,
    phase: Phase,
    since: Instant,
    is_closed: bool,
}

/// A connection's place, until it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
}

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default(), changed: Condvar::new() })
    }

    /// Waits for a place, and closes for it the connection that has been idle longest. `None` if it is not wanted any
    /// more.
    pub(crate) fn take(self: &Arc<Self>, socket: &Arc<TcpStream>, is_wanted: impl Fn() -> bool) -> Option<Place> {
        let mut open = self.lock();
        while is_wanted() && open.by_number.len() >= self.most {
            open.close_idlest();
            open = self.changed.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        let (number, socket) = (open.next, Arc::clone(socket));
        open.next += 1;
        open.by_number.insert(number, Holder { socket, phase: Phase::Idle, since: Instant::now(), is_closed: false });
        drop(open);
        let place = Place { places: Arc::clone(self), number };
        is_wanted().then_some(place)
    }

    /// Waits until all places are free; says whether they are, at the deadline at last.
    pub(crate) fn wait_until_free(&self, deadline: Option<Instant>) -> bool {
        let mut open = self.lock();
        while !open.by_number.is_empty() {
            open = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return false,
                Some(left) => self.changed.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(open).unwrap_or_else(PoisonError::into_inner),
            };
        }
        true
    }

    /// Lets everybody look again who waits.
    pub(crate) fn call_waiting(&self) {
        // Under the lock nobody is between a look and the wait.
        let _open = self.lock();
        self.changed.notify_all();
    }

    /// How many connections were closed for others.
    pub(crate) fn closed(&self) -> u64 {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Closes the connection that has been idle longest, unless one that was closed is still about to end.
    fn close_idlest(&mut self) {
        if self.by_number.values().any(|holder| holder.is_closed) {
            return;
        }
        let idle = self.by_number.values_mut().filter(|holder| match holder.phase {
            // What has come may be a request, and its thread is about to read it.
            Phase::Idle | Phase::Head => !has_input(&holder.socket),
            Phase::Lingering => true,
            Phase::Busy => false,
        });
        if let Some(holder) = idle.min_by_key(|holder| (holder.phase, holder.since)) {
            holder.is_closed = true;
            self.closed += 1;
            // Its thread reads the end. That there is no connection any more is as good.
            let _ = holder.socket.shutdown(Shutdown::Both);
        }
    }
}

/// Whether the client has sent something that was not read, or its end.
fn has_input(socket: &TcpStream) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
}

impl Place {
    /// The connection is at something else now. Whether it may go on: it may have been closed for another.
    pub(crate) fn set(&self, phase: Phase) -> bool {
        let mut open = self.places.lock();
        let Some(holder) = open.by_number.get_mut(&self.number) else { return false };
        holder.phase = phase;
        // One that is idle is so since its last request: when its thread has come here may be later than the client's
        // next step.
        if phase != Phase::Idle {
            holder.since = Instant::now();
        }
        let goes_on = !holder.is_closed;
        drop(open);
        self.places.call_waiting();
        goes_on
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().by_number.remove(&self.number);
        self.places.call_waiting();
    }
}
