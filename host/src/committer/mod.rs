//! The single writer of the repository, and its threads.
//!
//! Any thread [submits](Committer::submit) a batch and waits for its receipt without blocking. All queued batches are
//! committed as one group, unless an [erasure](Committer::erase) separates them. Then the new snapshot is published,
//! and only then the receipts are delivered, so that a client with a receipt can read its events. A submitted batch is
//! committed even if its task was dropped.
//!
//! Commits may wait for a disk, so the commit thread makes them. If the repository never waits, the first task to
//! submit, the leader, commits instead: switching threads twice takes longer than such a commit. Maintenance has
//! threads of its own.
//!
//! While the repository is unavailable or has failed, no batch is accepted, and the commit thread regularly asks the
//! repository to recover.
//!
//! If one of these threads dies, or a commit or a maintenance task panics, the process ends: waiters get an error, no
//! more batches are accepted, and the repository is not written to any more.

mod availability;
mod commit;
mod delivery;
mod job;
mod maintenance;
mod pending;
mod queue;
mod types_watch;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use argus_core::batch::Batch;
use argus_core::query::Filter;
use argus_core::repository::{CommitError, Erased, Failure, Reader, Receipt, Repository};
use event_listener::{Event, EventListener};

use crate::lifecycle::Lifecycle;
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::warnings::Warnings;
use crate::watch;
use availability::Availability;
use job::Job;
use maintenance::{MaintenanceThreads, THREADS};
use pending::Leader;
pub use pending::PendingCommit;
use queue::{Queue, Waited};
pub use queue::{QueueLimits, SubmitError};
use types_watch::TypesWatch;

/// Access to the repository, and to the snapshot it published last.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    committing: Mutex<Vec<JoinHandle<()>>>,
    maintaining: Mutex<Vec<JoinHandle<()>>>,
    shut_down: Once,
}

/// How long the commit thread waits at most for a group to gather: about as long as a disk takes to sync.
const GATHERING: Duration = Duration::from_micros(200);

/// What an erasure counts in the queue: about the size of its filter.
const ERASURE_BYTES: usize = 1_024;

/// How often an unavailable or failed repository is asked to recover.
const RECOVERY_INTERVAL: Duration = Duration::from_millis(500);

struct Shared {
    queue: Queue<Job>,
    /// Whether `repository` never waits for a device.
    immediate: bool,
    /// Locked during a commit.
    repository: Mutex<Box<dyn Repository>>,
    reader: Mutex<Reader>,
    /// Notified when a new reader was published.
    published: Event,
    availability: Availability,
    maintenance: MaintenanceThreads,
    types_watch: TypesWatch,
    metrics: Arc<Metrics>,
    /// Limits log lines about refused commits whose cause is temporary.
    refusals: LogLimit,
    /// Limits log lines about other operations that will be retried.
    delays: LogLimit,
    lifecycle: Arc<Lifecycle>,
    warnings: Arc<Warnings>,
}

impl Committer {
    /// Starts the threads. With `flush_every`, a thread makes commits durable at that interval. A failure is reported
    /// to `lifecycle`.
    ///
    /// # Errors
    ///
    /// When the system refuses to start a thread.
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
            published: Event::new(),
            repository: Mutex::new(repository),
            availability: Availability::default(),
            maintenance: MaintenanceThreads::default(),
            refusals: LogLimit::default(),
            delays: LogLimit::default(),
            types_watch: TypesWatch::default(),
            metrics,
            lifecycle,
            warnings,
        });
        shared.check_types(&lock(&shared.reader));
        // Tasks left by an earlier process.
        {
            let mut repository = lock(&shared.repository);
            shared.update_availability(&**repository);
            shared.offer_tasks(&mut **repository);
        }
        let committer =
            Self { shared, committing: Mutex::default(), maintaining: Mutex::default(), shut_down: Once::new() };
        committer.spawn(&committer.committing, "argus-commit", Shared::commit_until_closed, Shared::is_closed)?;
        let may_end = |shared: &Shared| shared.maintenance.is_closed();
        for _ in 0..THREADS {
            committer.spawn(&committer.maintaining, "argus-maintain", Shared::maintain, may_end)?;
        }
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
    /// [`SubmitError`]: the batch was not queued.
    pub fn submit(&self, batch: Batch) -> Result<PendingCommit<Receipt>, SubmitError> {
        if let Some(failure) = self.failure() {
            return Err(SubmitError::Failure((*failure).clone()));
        }
        let bytes = batch.bytes();
        let (waiter, ticket) = delivery::pair();
        let leader = self.push(Job::Batch(batch, waiter), bytes)?;
        Ok(PendingCommit::new(ticket, leader))
    }

    /// Queues an erasure of the events that a filter selects, to be committed in order with the batches. Never waits.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: the erasure was not queued.
    pub fn erase(&self, filter: &Filter) -> Result<PendingCommit<Erased>, SubmitError> {
        if let Some(failure) = self.failure() {
            return Err(SubmitError::Failure((*failure).clone()));
        }
        let (waiter, ticket) = delivery::pair();
        let leader = self.push(Job::Erasure(Box::new(filter.clone()), waiter), ERASURE_BYTES)?;
        Ok(PendingCommit::new(ticket, leader))
    }

    /// Queues a job. Returns the leader, if the caller is to be it.
    fn push(&self, job: Job, bytes: usize) -> Result<Option<Leader>, SubmitError> {
        let is_leader = self.shared.queue.push(job, bytes)?;
        Ok(is_leader.then(|| Leader::new(Arc::clone(&self.shared))))
    }

    /// Reads the last published state: everything acknowledged before this call, and perhaps more.
    #[must_use]
    pub fn reader(&self) -> Reader {
        lock(&self.shared.reader).clone()
    }

    /// Resolves when another [`reader`](Self::reader) is published. Listen before you look.
    pub(crate) fn published(&self) -> EventListener {
        self.shared.published.listen()
    }

    /// Why commits are refused, if they are.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<Failure>> {
        self.shared.availability.failure()
    }

    /// Queued batches, and their bytes.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.shared.queue.size()
    }

    /// Refuses new batches, commits the queued ones, ends the threads and closes the repository. Blocks until all of
    /// this is done; a second call only waits for the first.
    pub fn shutdown(&self) {
        self.shut_down.call_once(|| {
            self.shared.queue.close();
            join(&self.committing);
            // Only now, since the last commits may wait for maintenance.
            self.shared.maintenance.close();
            join(&self.maintaining);
            self.shared.close();
        });
    }
}

fn join(threads: &Mutex<Vec<JoinHandle<()>>>) {
    for thread in lock(threads).drain(..) {
        // A thread that panicked has already reported it.
        let _ = thread.join();
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    /// The body of the commit thread.
    fn commit_until_closed(&self) {
        // Larger groups gain nothing when a commit is quick.
        let patience = if self.immediate { Duration::ZERO } else { GATHERING };
        loop {
            if !self.queue.gather(patience) {
                // This also covers the last commits of an earlier process.
                self.run_unless_failed("the durability mark", |repository| repository.on_idle());
                if !self.wait() {
                    break;
                }
            }
            self.commit(self.until_caught_up(lock(&self.repository)));
        }
        // Commits that did not wait for the disk must be durable when the process ends.
        self.run_unless_failed("the last flush", |repository| repository.flush().and_then(|()| repository.on_idle()));
    }

    /// The body of the flush thread: makes commits durable that did not wait for the disk.
    fn flush_every(&self, interval: Duration) {
        while !self.queue.closes_within(interval) {
            self.run_unless_failed("a flush", |repository| repository.flush());
        }
    }

    /// Whether the threads that commit may end.
    fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Sleeps until there is something to commit, and lets the repository recover meanwhile. Returns `false` when the
    /// queue is closed and empty.
    fn wait(&self) -> bool {
        loop {
            let patience = self.availability.may_recover().then_some(RECOVERY_INTERVAL);
            match self.queue.wait(patience) {
                Waited::Filled => return true,
                Waited::Closed => return false,
                Waited::Interrupted => self.recover(),
            }
        }
    }

    /// Closes the repository, when nothing else uses it any more.
    fn close(&self) {
        self.run_unless_failed("the close", |repository| repository.close());
    }

    /// Calls the repository, unless it has failed, for an operation that no request waits for.
    fn run_unless_failed(&self, what: &str, act: impl FnOnce(&mut dyn Repository) -> Result<(), CommitError>) {
        let mut repository = lock(&self.repository);
        if self.availability.failure().is_some() {
            return;
        }
        let outcome = self.call(&mut **repository, what, act);
        self.log_retry(what, outcome);
    }

    /// Logs an error of an operation that will be retried. Failures of the repository were logged before.
    fn log_retry(&self, what: &str, outcome: Result<(), CommitError>) {
        if let Err(error) = outcome
            && self.availability.failure().is_none()
            && let Some(suppressed) = self.delays.due()
        {
            tracing::warn!(reason = %error, suppressed, "{what} failed and will be retried");
        }
    }

    /// Commits the queue, unless that would have to wait. Returns whether it did.
    fn commit_at_once(&self) -> bool {
        let mut repository = match self.repository.try_lock() {
            Ok(repository) if self.immediate => repository,
            // The lock is held or poisoned, or the repository may wait for a device.
            Ok(_) | Err(_) => return false,
        };
        if is_behind(&mut **repository) {
            return false;
        }
        self.commit(repository);
        true
    }

    fn publish(&self, repository: &dyn Repository) {
        let reader = repository.reader();
        self.check_types(&reader);
        // Drop the old one without the lock: it may hold the last reference to much memory.
        let _old = std::mem::replace(&mut *lock(&self.reader), reader);
        // Costs next to nothing while nobody listens.
        self.published.notify(usize::MAX);
    }

    /// Warns if there are nearly too many event types. Skipped for repositories whose snapshots have to be requested.
    fn check_types(&self, reader: &Reader) {
        if let Reader::Current(snapshot) = reader
            && let Ok(stats) = snapshot.stats()
        {
            self.types_watch.check(&stats);
        }
    }

    /// Called when a thread dies: refuses commits and answers all waiting tasks.
    fn abandon(&self, reason: &str) {
        // Before the lock, which a commit waiting for its disk may hold for long.
        self.lifecycle.fail(reason.to_owned());
        let repository = lock(&self.repository);
        self.end(reason.into());
        drop(repository);
        self.queue.close();
        job::refuse(self.queue.take(), &CommitError::failed(reason));
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

/// Whether commits should wait for maintenance.
fn is_behind(repository: &mut dyn Repository) -> bool {
    repository.maintenance().is_some_and(|maintenance| maintenance.is_behind())
}

/// No invariant spans a panic under these locks, so a poisoned lock is safe to use.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
