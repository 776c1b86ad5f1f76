//! The slots of connections: how many are taken, and which connection is evicted when none is free.

use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use argus_core::api::Proxies;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a connection is doing. The first to be evicted come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// No byte of a request has arrived.
    Idle,
    /// A part of a head has arrived.
    Head,
    /// The last answer was sent, and the client may still be sending.
    Lingering,
    /// A request is being answered.
    Busy,
}

/// An IPv4 address, or the /64 network of an IPv6 address.
type Address = [u16; 4];

fn address_of(peer: SocketAddr) -> Address {
    match peer.ip().to_canonical() {
        // No octet is above 255, so it differs from every network that is in use.
        IpAddr::V4(address) => address.octets().map(u16::from),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            [a, b, c, d]
        }
    }
}

/// The slots and the connections in them.
#[derive(Debug)]
pub(crate) struct Slots {
    most: usize,
    most_per_address: Option<usize>,
    /// Their connections do not count.
    proxies: Proxies,
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    by_number: BTreeMap<u64, Occupant>,
    /// The number of evicted connections.
    closed: u64,
    /// The number of connections refused because of their address.
    refused: u64,
}

#[derive(Debug)]
struct Occupant {
    socket: Arc<TcpStream>,
    address: Address,
    phase: Phase,
    since: Instant,
    is_closed: bool,
}

/// A connection's slot, freed when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    number: u64,
}

impl Slots {
    pub(crate) fn new(most: usize, most_per_address: Option<usize>, proxies: Proxies) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, proxies, open: Mutex::default(), changed: Condvar::new() })
    }

    /// Whether an address may have one more connection. Counts those that may not.
    pub(crate) fn has_room_for(&self, peer: SocketAddr) -> bool {
        let address = address_of(peer);
        let mut open = self.lock();
        let count = open.by_number.values().filter(|occupant| occupant.address == address).count();
        let is_proxy = self.proxies.trust(peer.ip().to_canonical());
        let has_room = is_proxy || self.most_per_address.is_none_or(|most| count < most);
        open.refused += u64::from(!has_room);
        has_room
    }

    /// Waits for a slot; evicts the connection that has been idle longest. `None` if the slot is not wanted any more.
    pub(crate) fn take(
        self: &Arc<Self>,
        socket: &Arc<TcpStream>,
        peer: SocketAddr,
        is_wanted: impl Fn() -> bool,
    ) -> Option<Slot> {
        let mut open = self.lock();
        while is_wanted() && open.by_number.len() >= self.most {
            open.evict();
            open = self.changed.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        let (number, socket) = (open.next, Arc::clone(socket));
        open.next += 1;
        open.by_number.insert(
            number,
            Occupant { socket, address: address_of(peer), phase: Phase::Idle, since: Instant::now(), is_closed: false },
        );
        drop(open);
        let slot = Slot { slots: Arc::clone(self), number };
        is_wanted().then_some(slot)
    }

    /// Waits until all slots are free; returns false at the deadline.
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

    /// Wakes all waiting threads to check their conditions.
    pub(crate) fn call_waiting(&self) {
        // The lock ensures that no thread is between its check and its wait.
        let _open = self.lock();
        self.changed.notify_all();
    }

    /// The number of evicted connections.
    pub(crate) fn closed(&self) -> u64 {
        self.lock().closed
    }

    /// The number of connections refused because of their address.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Evicts the connection that has been idle longest, unless an evicted one has not ended yet.
    fn evict(&mut self) {
        if self.by_number.values().any(|occupant| occupant.is_closed) {
            return;
        }
        let idle = self.by_number.values_mut().filter(|occupant| match occupant.phase {
            // Received bytes may be a request that the thread is about to read.
            Phase::Idle | Phase::Head => !has_input(&occupant.socket),
            Phase::Lingering => true,
            Phase::Busy => false,
        });
        if let Some(occupant) = idle.min_by_key(|occupant| (occupant.phase, occupant.since)) {
            occupant.is_closed = true;
            self.closed += 1;
            // Its thread then reads the end. An error means that the connection is closed already.
            let _ = occupant.socket.shutdown(Shutdown::Both);
        }
    }
}

/// Whether there are unread bytes or the client has closed its half.
pub(crate) fn has_input(socket: &TcpStream) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
}

impl Slot {
    /// The connection enters a phase. Returns false if it was evicted.
    pub(crate) fn set(&self, phase: Phase) -> bool {
        let mut open = self.slots.lock();
        let Some(occupant) = open.by_number.get_mut(&self.number) else { return false };
        occupant.phase = phase;
        // An idle connection counts from its last request: its thread may arrive here only after the client's next
        // step.
        if phase != Phase::Idle {
            occupant.since = Instant::now();
        }
        let goes_on = !occupant.is_closed;
        drop(open);
        self.slots.call_waiting();
        goes_on
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().by_number.remove(&self.number);
        self.slots.call_waiting();
    }
}
