//! The parts of a running server, which all of its tasks share.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argus_core::api::{Api, Refusal};
use socket2::{SockRef, Socket};

use crate::address_limit::AddressFull;
use crate::admission::Admission;
use crate::answers::Answers;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::committer::Committer;
use crate::gate::Gate;
use crate::lifecycle::{ConnectionPermit, Lifecycle};
use crate::metrics::{Incident, Metrics};
use crate::raw_answer;
use crate::request_log::RequestLog;
use crate::runtime::Runtime;
use crate::settings::Settings;
use crate::stream_hub::StreamHub;
use crate::tls::Tls;
use crate::warnings::Warnings;

/// The most that is read of the request on a connection that is refused, in bytes.
const UNREAD_BYTES: usize = 4096;

/// One running server, without its executor and its framework.
#[derive(Debug)]
pub struct Node {
    /// The operator's settings.
    pub settings: Settings,
    /// The number of threads that serve requests. Asked for at the start: threads that are bound to one processor later
    /// would not see the others.
    pub threads: NonZeroUsize,
    /// Decides what requests mean.
    pub api: Api,
    /// Access to the commit thread and to the last published snapshot.
    pub committer: Committer,
    /// The budget for request bodies.
    pub budget: Arc<Budget>,
    /// The answers in flight, and the memory that they may hold.
    pub answers: Arc<Answers>,
    /// What live streams share.
    pub streams: StreamHub,
    /// The clock of all timeouts.
    pub clock: Clock,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Warnings to the operator that do not stop the server.
    pub warnings: Arc<Warnings>,
    /// Serving or draining, and the number of connections.
    pub lifecycle: Arc<Lifecycle>,
    /// Which connections are accepted.
    pub admission: Admission,
    /// Encryption, if there is a certificate.
    pub tls: Option<Tls>,
    /// The log of requests, if there is one.
    pub request_log: Option<RequestLog>,
    /// Keys, rate limits and trusted proxies; `None` if everything is open.
    pub gate: Option<Arc<Gate>>,
    /// The source of request ids.
    pub request_ids: RequestIds,
}

impl Node {
    /// Waits for a permit for an accepted connection; see [`Lifecycle::permit`]. `None` if its address has as many
    /// connections as it may have: the client was told, and the host closes the connection.
    pub async fn admit<R: Runtime>(
        &self,
        runtime: &R,
        socket: &impl AsFd,
        peer: SocketAddr,
    ) -> Option<ConnectionPermit> {
        let most = self.settings.max_connections.get();
        match self.admission.admit(runtime, peer, &self.lifecycle, most).await {
            Ok(permit) => Some(permit),
            Err(AddressFull) => {
                self.metrics.connection_incident(Incident::AddressLimit);
                tracing::debug!(%peer, "a connection was refused: its address has as many as it may have");
                // It could read nothing before a handshake.
                if self.tls.is_none() {
                    self.turn_away(&SockRef::from(socket));
                }
                None
            }
        }
    }

    /// Tells a client why its connection is closed. A new socket has room for that; if not, the client learns less.
    fn turn_away(&self, socket: &Socket) {
        let answer = raw_answer::refusal(&self.api, &Refusal::AddressFull, self.request_ids.next());
        let sent = socket.set_nonblocking(true).and_then(|()| socket.send(&answer));
        if sent.is_ok() && socket.shutdown(Shutdown::Write).is_ok() {
            // Closing a socket with unread input would send a reset, which may overtake the answer.
            let _ = socket.recv(&mut [MaybeUninit::uninit(); UNREAD_BYTES]);
        }
    }

    /// Counts, and logs at most once a minute, that the system could not accept a connection. The cause is usually
    /// temporary.
    pub fn accept_failed(&self, error: &io::Error) {
        self.metrics.connection_incident(Incident::Accept);
        self.admission.accept_failed(error);
    }

    /// Counts as a failure to accept, and logs at most once a minute, that an accepted connection is closed.
    pub(crate) fn cannot_serve(&self, peer: SocketAddr, error: &io::Error) {
        self.metrics.connection_incident(Incident::Accept);
        self.admission.cannot_serve(peer, error);
    }
}

/// Numbers that look random and do not repeat within a process.
#[derive(Debug)]
pub struct RequestIds(AtomicU64);

impl From<u64> for RequestIds {
    fn from(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl RequestIds {
    /// The next number for something that must not be zero: the id of a span.
    pub fn next_span(&self) -> NonZeroU64 {
        NonZeroU64::new(self.next()).unwrap_or(NonZeroU64::MIN)
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): a counter, and a bijection that hides it.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
