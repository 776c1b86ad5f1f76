//! The load of a round: how many clients submit what to which servers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use argus_conformance::random::Random;

use crate::client::{Client, Work};
use crate::erasure::Selection;
use crate::ledger::{Attempt, Ledger};

/// The shape of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Its name in reports.
    pub(crate) name: &'static str,
    /// The most events in batches.
    budget: i64,
    /// The least and the most events in one batch.
    batch: (u64, u64),
    /// The percentage of requests that are batches, until the budget is used up.
    batches: u64,
    /// Whether events have long payloads.
    long: bool,
    /// The pause of a client between two requests.
    pause: Duration,
}

/// Mostly single events.
pub(crate) const LIGHT: Shape =
    Shape { name: "light", budget: 1000, batch: (1, 10), batches: 5, long: false, pause: Duration::ZERO };
/// Single events and small batches.
pub(crate) const MIXED: Shape =
    Shape { name: "mixed", budget: 8000, batch: (1, 200), batches: 30, long: true, pause: Duration::ZERO };
/// Batches that soon fill a segment.
pub(crate) const HEAVY: Shape =
    Shape { name: "heavy", budget: 35_000, batch: (1000, 5000), batches: 50, long: false, pause: Duration::ZERO };
/// The same with enough bytes for several log files.
pub(crate) const BROAD: Shape =
    Shape { name: "broad", budget: 15_000, batch: (1000, 3000), batches: 50, long: true, pause: Duration::ZERO };

/// Single events and batches at a rate that can be sustained: everything must be remembered and audited.
pub(crate) const PACED: Shape =
    Shape { name: "paced", budget: 60_000, batch: (1, 2000), batches: 5, long: true, pause: Duration::from_millis(3) };

/// The load of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// The servers, which share a repository. Each connection is to a random one.
    pub(crate) addresses: &'a [SocketAddr],
    /// Clients that submit at once.
    pub(crate) connections: u64,
    /// What they submit.
    pub(crate) shape: Shape,
    /// What may be erased meanwhile, in this order.
    pub(crate) erasures: &'a [Selection],
}

/// A random time within these milliseconds.
pub(crate) fn millis(random: &mut Random, from: u64, to: u64) -> Duration {
    Duration::from_millis(random.from(from..=to))
}

impl Load<'_> {
    /// Submits until `meanwhile` returns. It runs in parallel, may read the ledger, and counts the erasures that are
    /// answered.
    ///
    /// # Errors
    ///
    /// An answer that breaks a promise, or the error of `meanwhile`.
    pub(crate) fn run(
        self,
        ledger: &mut Ledger,
        random: &mut Random,
        meanwhile: impl FnOnce(&Ledger, &AtomicUsize) -> Result<(), String>,
    ) -> Result<Vec<Attempt>, String> {
        let Self { addresses, connections, shape, erasures } = self;
        let unanswered = ledger.take_unanswered(erasures);
        let work = Work {
            addresses,
            ledger: &*ledger,
            budget: AtomicI64::new(shape.budget),
            batch: shape.batch,
            batches: shape.batches,
            long: shape.long,
            pause: shape.pause,
            unanswered: Mutex::new(unanswered),
            erasures,
            answered: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        };
        let mut attempts = Vec::new();
        let mut done = Ok(());
        let seed = random.any();
        thread::scope(|scope| {
            let work = &work;
            let clients: Vec<_> = (0..connections)
                .map(|number| scope.spawn(move || Client::new(work, Random::new(seed, number)).run()))
                .collect();
            done = meanwhile(work.ledger, &work.answered);
            work.stop.store(true, Ordering::Relaxed);
            for client in clients {
                match client.join() {
                    Ok(Ok(list)) => attempts.extend(list),
                    Ok(Err(error)) => done = Err(error),
                    Err(_) => done = Err("a client panicked".to_owned()),
                }
            }
        });
        let unanswered = work.unanswered.into_inner().unwrap_or_else(PoisonError::into_inner);
        ledger.return_unanswered(unanswered);
        done.map(|()| attempts)
    }
}
