//! What live streams share: the hub, and the thread that feeds it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argus_core::api::Transport;
use argus_core::subscribe::{Begun, Feed, Hub, Polled, StreamLimits};

use crate::clock::moment;
use crate::commit::Committer;

/// Events to examine at a time.
const BUDGET: u32 = 1024;
/// How often to look for new events at least.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The hub of all streams, and how many streams there are.
#[derive(Debug)]
pub(crate) struct Streams {
    shared: Mutex<Shared>,
    /// Notified when the hub has new messages.
    pub(crate) fed: Condvar,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) hub: Hub,
    pub(crate) counts: Counts,
}

/// What is counted of streams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// The bytes of shared messages.
    pub(crate) buffer_bytes: u64,
    /// The open ones, in the order of [`Transport::ALL`].
    pub(crate) open: [u64; 2],
    /// The ended ones, by reason.
    pub(crate) ended: [(&'static str, u64); 5],
    /// Events sent.
    pub(crate) sent: u64,
}

impl Streams {
    pub(crate) fn new(limits: StreamLimits) -> Arc<Self> {
        let ended = ["client", "slow", "drain", "revoked", "error"].map(|reason| (reason, 0));
        let shared = Shared { hub: Hub::new(limits), counts: Counts { ended, ..Counts::default() } };
        Arc::new(Self { shared: Mutex::new(shared), fed: Condvar::new() })
    }

    pub(crate) fn counts(&self) -> Counts {
        let shared = self.lock();
        Counts { buffer_bytes: shared.hub.buffer_bytes() as u64, ..shared.counts }
    }

    /// Hands new events to readers, for ever.
    pub(crate) fn feed(&self, committer: &Committer) {
        let (mut feed, mut seen) = (Feed::default(), 0);
        loop {
            seen = committer.wait_for_commit(seen, LOOK_INTERVAL);
            // Readers are not looked at in between, so one pass may take all that is new.
            while self.pass(&mut feed, committer) {}
        }
    }

    /// Does a pass; returns whether there was one to do.
    fn pass(&self, feed: &mut Feed, committer: &Committer) -> bool {
        // Every waiting thread is woken, and looks for itself.
        let mut woken = Vec::new();
        let Ok(snapshot) = committer.reader().take() else { return false };
        let Some(assignment) = self.lock().hub.begin(&*snapshot) else { return false };
        let complete = feed.begin(assignment, &snapshot).and_then(|begun| {
            if begun == Begun::Gap {
                return Ok(false);
            }
            loop {
                match feed.poll(BUDGET)? {
                    Polled::Piece(piece) => self.lock().hub.apply(piece, moment().uptime, &mut woken),
                    Polled::Gap => return Ok(false),
                    Polled::End => return Ok(true),
                }
                self.fed.notify_all();
            }
        });
        // The readers find out by themselves what is wrong.
        if !matches!(complete, Ok(true)) {
            self.change(|shared| shared.hub.reset(snapshot.last_seq(), &mut woken));
            self.fed.notify_all();
        }
        true
    }

    /// Changes what is shared. To drop what the hub has discarded takes a while, and needs no lock.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Shared)) {
        let mut shared = self.lock();
        change(&mut shared);
        let discarded = shared.hub.take_discarded();
        drop(shared);
        drop(discarded);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// A stream has begun.
    pub(crate) fn opened(&mut self, transport: Transport) {
        self.open_of(transport).for_each(|count| *count += 1);
    }

    /// A stream has ended.
    pub(crate) fn closed(&mut self, transport: Transport, reason: &'static str) {
        self.open_of(transport).for_each(|count| *count -= 1);
        self.ended.iter_mut().filter(|(known, _)| *known == reason).for_each(|(_, count)| *count += 1);
    }

    fn open_of(&mut self, transport: Transport) -> impl Iterator<Item = &mut u64> {
        let all = Transport::ALL.into_iter().zip(&mut self.open);
        all.filter(move |(known, _)| *known == transport).map(|(_, count)| count)
    }
}
