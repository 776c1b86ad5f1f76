//! The one writer of the repository, and the threads around it.
//!
//! Any thread [submits](Committer::submit) a batch and waits for its receipt without blocking. Everything that has
//! queued up is committed as one group, the new snapshot is published, and only then there are answers, so that whoever
//! has one sees what it counts. What was submitted is committed whether or not anybody still waits for it.
//!
//! Commits may wait for a disk, so they are made by a thread of their own. A repository that never waits is committed
//! to by whoever submitted first, the leader: two switches of threads take longer than such a commit. Maintenance has a
//! thread of its own.
//!
//! A repository that is out of reach or has failed says so. Until it has recovered, nothing is accepted; the commit
//! thread asks it now and then to try.
//!
//! A thread of these that dies, or a panic in a commit or a maintenance task, ends the process: whoever waits is told
//! so, nothing more is accepted, and what is not known to be sound is not worked on.

mod availability;
mod delivery;
mod maintenance;
mod queue;
mod types_watch;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use argus_core::batch::Batch;
use argus_core::repository::{CommitError, Failure, Reader, Receipt, Repository};

use crate::clock;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::repeated::Repeated;
use crate::warnings::Warnings;
use crate::watch;
use availability::Availability;
use delivery::{Outcome, Ticket, Waiter};
use maintenance::MaintenanceThread;
use queue::{Queue, Waited};
pub use queue::{QueueLimits, SubmitError};
use types_watch::TypesWatch;

/// The way to the repository, and to what it published last.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    committing: Mutex<Vec<JoinHandle<()>>>,
    maintaining: Mutex<Vec<JoinHandle<()>>>,
    shut_down: Once,
}

/// A submitted batch: resolves when it is committed, or will not be. To be polled or dropped soon: others may depend on
/// it.
#[derive(Debug)]
pub struct PendingCommit {
    ticket: Ticket,
    leader: Option<Leader>,
}

/// How long the commit thread waits at most for a group to gather behind the one before: about as long as a disk takes
/// to sync.
const GATHERING: Duration = Duration::from_micros(200);

/// How often a repository that accepts nothing is asked to recover.
const RECOVERY_INTERVAL: Duration = Duration::from_millis(500);

/// A batch on its way, and who waits for it.
type Job = (Batch, Waiter);

/// Whoever submits to a queue that nobody attends to is the leader: it sees to it that the queue is committed. When it
/// is dropped, the commit thread does.
///
/// The leader is seldom alone: other requests are ready to run on the same executor. They are let pass once, so that
/// all of their batches become one group.
#[derive(Debug)]
struct Leader {
    shared: Arc<Shared>,
    others_passed: bool,
    done: bool,
}

struct Shared {
    queue: Queue<Job>,
    /// Whether `repository` never waits for a device.
    immediate: bool,
    /// Held during a commit.
    repository: Mutex<Box<dyn Repository>>,
    reader: Mutex<Reader>,
    availability: Availability,
    maintenance: MaintenanceThread,
    types_watch: TypesWatch,
    metrics: Arc<Metrics>,
    /// Commits that were refused for something that passes, in the log.
    refusals: Repeated,
    /// The same for what nobody waits for.
    delays: Repeated,
    lifecycle: Arc<Lifecycle>,
    warnings: Arc<Warnings>,
}

impl Committer {
    /// Starts the threads. With `flush_every`, what was committed is made durable at such intervals. `lifecycle` is
    /// told if something here cannot go on.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(
        repository: Box<dyn Repository>,
        flush_every: Option<Duration>,
        limits: QueueLimits,
        metrics: Arc<Metrics>,
        lifecycle: Arc<Lifecycle>,
        warnings: Arc<Warnings>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Queue::new(limits),
            immediate: repository.is_immediate(),
            reader: Mutex::new(repository.reader()),
            repository: Mutex::new(repository),
            availability: Availability::default(),
            maintenance: MaintenanceThread::default(),
            refusals: Repeated::default(),
            delays: Repeated::default(),
            types_watch: TypesWatch::default(),
            metrics,
            lifecycle,
            warnings,
        });
        shared.look_at_types(&lock(&shared.reader));
        // What an earlier process left to do.
        {
            let mut repository = lock(&shared.repository);
            shared.follow(&**repository);
            shared.offer_tasks(&mut **repository);
        }
        let committer =
            Self { shared, committing: Mutex::default(), maintaining: Mutex::default(), shut_down: Once::new() };
        committer.spawn(&committer.committing, "argus-commit", Shared::commit_until_closed, Shared::is_closed)?;
        let may_end = |shared: &Shared| shared.maintenance.is_closed();
        committer.spawn(&committer.maintaining, "argus-maintain", Shared::maintain, may_end)?;
        if let Some(interval) = flush_every {
            let flush = move |shared: &Shared| shared.flush_every(interval);
            committer.spawn(&committer.committing, "argus-flush", flush, Shared::is_closed)?;
        }
        Ok(committer)
    }

    fn spawn(
        &self,
        threads: &Mutex<Vec<JoinHandle<()>>>,
        name: &str,
        run: impl FnOnce(&Shared) + Send + 'static,
        may_end: fn(&Shared) -> bool,
    ) -> std::io::Result<()> {
        let [running, ending, dying] = [(); 3].map(|()| Arc::clone(&self.shared));
        let thread =
            watch::spawn(name, move || run(&running), move || may_end(&ending), move |reason| dying.abandon(&reason))?;
        lock(threads).push(thread);
        Ok(())
    }

    /// Queues a batch to be committed. Never waits.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: the batch was not taken.
    pub fn submit(&self, batch: Batch) -> Result<PendingCommit, SubmitError> {
        if let Some(failure) = self.failure() {
            return Err(SubmitError::Failure((*failure).clone()));
        }
        let bytes = batch.bytes();
        let (waiter, ticket) = delivery::pair();
        let leads = self.shared.queue.push((batch, waiter), bytes)?;
        let leader = leads.then(|| Leader { shared: Arc::clone(&self.shared), others_passed: false, done: false });
        Ok(PendingCommit { ticket, leader })
    }

    /// What was published last: it shows everything that was acknowledged before this call, and perhaps more.
    #[must_use]
    pub fn reader(&self) -> Reader {
        lock(&self.shared.reader).clone()
    }

    /// Why nothing is accepted at present, if so.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<Failure>> {
        self.shared.availability.failure()
    }

    /// Batches that wait, and their bytes.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.shared.queue.size()
    }

    /// Takes nothing more, commits what waits, ends the threads and closes the repository. Blocks until all of that is
    /// done; a later call does nothing but wait for the first.
    pub fn shutdown(&self) {
        self.shut_down.call_once(|| {
            self.shared.queue.close();
            join(&self.committing);
            // Only now: the last commits may have to wait for maintenance.
            self.shared.maintenance.close();
            join(&self.maintaining);
            self.shared.close();
        });
    }
}

fn join(threads: &Mutex<Vec<JoinHandle<()>>>) {
    for thread in lock(threads).drain(..) {
        // One that has died has told so.
        let _ = thread.join();
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Future for PendingCommit {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(leader) = &mut self.leader {
            if !leader.others_passed {
                leader.others_passed = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            leader.done = leader.shared.commit_at_once();
            self.leader = None;
        }
        self.ticket.poll(cx)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.done {
            self.shared.queue.call();
        }
    }
}

impl Shared {
    /// The commit thread.
    fn commit_until_closed(&self) {
        // Where a commit is quick, there is nothing to be gained by making it larger.
        let patience = if self.immediate { Duration::ZERO } else { GATHERING };
        loop {
            if !self.queue.gather(patience) {
                // Also what an earlier process has committed last.
                self.attend("the durability mark", |repository| repository.on_idle());
                if !self.wait() {
                    break;
                }
            }
            self.commit(self.until_caught_up(lock(&self.repository)));
        }
        // Whatever was committed without waiting for it is durable when the process ends.
        self.attend("the last flush", |repository| repository.flush().and_then(|()| repository.on_idle()));
    }

    /// The thread that makes durable now and then what commits did not wait for.
    fn flush_every(&self, interval: Duration) {
        while !self.queue.closes_within(interval) {
            self.attend("a flush", |repository| repository.flush());
        }
    }

    /// Whether the threads that commit may end.
    fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Sleeps until there is something to commit, and has the repository recover meanwhile, if need be. `false` when
    /// there never will be anything.
    fn wait(&self) -> bool {
        loop {
            let patience = self.availability.may_recover().then_some(RECOVERY_INTERVAL);
            match self.queue.wait(patience) {
                Waited::Filled => return true,
                Waited::Closed => return false,
                Waited::Called => self.recover(),
            }
        }
    }

    /// To be called when nothing else uses the repository any more.
    fn close(&self) {
        self.attend("the close", |repository| repository.close());
    }

    /// Does something with the repository that nobody waits for.
    fn attend(&self, what: &str, act: impl FnOnce(&mut dyn Repository) -> Result<(), CommitError>) {
        let mut repository = lock(&self.repository);
        if self.availability.failure().is_some() {
            return;
        }
        let outcome = self.ask(&mut **repository, what, act);
        self.put_off(what, outcome);
    }

    /// Logs that something nobody waits for is tried again later, if it was not done. A failure was logged already.
    fn put_off(&self, what: &str, outcome: Result<(), CommitError>) {
        if let Err(error) = outcome
            && self.availability.failure().is_none()
            && let Some(suppressed) = self.delays.due()
        {
            tracing::warn!(reason = %error, suppressed, "{what} is put off");
        }
    }

    /// Commits what waits, if that can be done without waiting; says whether it was.
    fn commit_at_once(&self) -> bool {
        let mut repository = match self.repository.try_lock() {
            Ok(repository) if self.immediate => repository,
            // The lock is held, poisoned, or not enough.
            Ok(_) | Err(_) => return false,
        };
        if is_behind(&mut **repository) {
            return false;
        }
        self.commit(repository);
        true
    }

    /// Commits what waits as one group, and answers.
    fn commit(&self, mut repository: MutexGuard<'_, Box<dyn Repository>>) {
        let (batches, waiters): (Vec<Batch>, Vec<_>) = self.queue.take().into_iter().unzip();
        if batches.is_empty() {
            return;
        }
        let outcome = self.commit_group(&mut **repository, &batches);
        drop(repository);
        // Whoever waited may have gone away; what it submitted is committed all the same.
        match outcome {
            Ok(receipts) => delivery::deliver(waiters.into_iter().zip(receipts.into_iter().map(Ok))),
            Err(error) => delivery::deliver(waiters.into_iter().map(|waiter| (waiter, Err(error.clone())))),
        }
    }

    fn commit_group(&self, repository: &mut dyn Repository, batches: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        if let Some(failure) = self.availability.failure() {
            return Err((*failure).clone().into());
        }
        let begun = Instant::now();
        let committed = self.ask(repository, "a commit", |repository| {
            let receipts = repository.commit(clock::now(), batches)?;
            self.publish(repository);
            let took = begun.elapsed();
            self.offer_tasks(repository);
            Ok((receipts, took))
        });
        let goes_on = self.availability.failure().is_none();
        match &committed {
            Ok((receipts, took)) => {
                let events = batches.iter().map(Batch::len).sum();
                self.metrics.group_committed(receipts, events, *took);
            }
            // This may happen with each that comes.
            Err(error) if goes_on => {
                if let Some(suppressed) = self.refusals.due() {
                    tracing::warn!(reason = %error, suppressed, "a commit was refused");
                }
            }
            Err(_) => {}
        }
        // Where commits go on being tried, the last one tells how it stands.
        self.warnings.unavailable(match &committed {
            Err(CommitError::Unavailable { cause, .. }) if goes_on => Some(cause),
            Err(CommitError::Unavailable { .. } | CommitError::Full(_) | CommitError::Failed { .. }) | Ok(_) => None,
        });
        committed.map(|(receipts, _)| receipts)
    }

    fn publish(&self, repository: &dyn Repository) {
        let reader = repository.reader();
        self.look_at_types(&reader);
        // The old one is dropped outside the lock: it may be the last reference to a good deal of memory.
        let _old = std::mem::replace(&mut *lock(&self.reader), reader);
    }

    /// Warns if there are nearly too many event types. A snapshot that has to be asked for is not worth it here.
    fn look_at_types(&self, reader: &Reader) {
        if let Reader::Current(snapshot) = reader
            && let Ok(stats) = snapshot.stats()
        {
            self.types_watch.look(&stats);
        }
    }

    /// The last act of a thread that dies: nothing is committed any more, and nobody is to wait for it.
    fn abandon(&self, reason: &str) {
        // The lock may be held for long, by a commit that waits for its disk.
        self.lifecycle.fail(reason.to_owned());
        let repository = lock(&self.repository);
        self.end(reason.into());
        drop(repository);
        self.queue.close();
        let waiting = self.queue.take().into_iter();
        delivery::deliver(waiting.map(|(_, waiter)| (waiter, Err(CommitError::failed(reason)))));
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("queue", &self.queue)
            .field("availability", &self.availability)
            .finish_non_exhaustive()
    }
}

/// Whether commits had better wait for maintenance.
fn is_behind(repository: &mut dyn Repository) -> bool {
    repository.maintenance().is_some_and(|maintenance| maintenance.is_behind())
}

/// No invariant of ours spans a panic under a lock, so a poisoned one is as good as any.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
