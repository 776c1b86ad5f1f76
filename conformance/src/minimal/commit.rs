//! The commit thread: commits what is queued, publishes the reader, then answers.

use std::mem;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use argus_core::api::Refusal;
use argus_core::batch::Batch;
use argus_core::query::Filter;
use argus_core::repository::{CommitError, Erased, Failure, MaintenanceQueue, Reader, Receipt, Repository};

use crate::clock::{moment, now};
use crate::ending::Ending;
use crate::watch;

/// The most batches in one commit.
const GROUP_BATCHES_MAX: usize = 1024;
/// The budget of maintenance between two commits, in events.
const MAINTENANCE_EVENTS: u32 = 16_384;
/// How often a repository that accepts no commits is asked to recover.
const RECOVERY_INTERVAL: Duration = Duration::from_millis(500);

type Outcome<T> = Result<T, CommitError>;

#[derive(Debug)]
enum Job {
    Batch(Batch, SyncSender<Outcome<Receipt>>),
    Erasure(Filter, SyncSender<Outcome<Erased>>),
}

/// The queue of the commit thread, and the state that it has published.
pub(crate) struct Committer {
    /// `None` once closed.
    queue: Mutex<Option<SyncSender<Job>>>,
    published: Arc<Published>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The state of the repository that other threads see.
struct Published {
    reader: Mutex<Reader>,
    failure: Mutex<Option<Failure>>,
    warning: Mutex<Option<String>>,
    /// How often the state was published.
    times: Mutex<u64>,
    shown: Condvar,
}

impl Committer {
    /// Starts the commit thread.
    pub(crate) fn start(
        repository: Box<dyn Repository>,
        queue_batches_max: usize,
        ending: &Arc<Ending>,
    ) -> std::io::Result<Self> {
        let published = Arc::new(Published {
            reader: Mutex::new(repository.reader()),
            failure: Mutex::new(repository.failure().cloned()),
            warning: Mutex::default(),
            times: Mutex::default(),
            shown: Condvar::new(),
        });
        let (queue, jobs) = sync_channel(queue_batches_max);
        let [shared, failed] = [(); 2].map(|()| Arc::clone(&published));
        let ending = Arc::clone(ending);
        // The thread ends by itself only when the queue is closed. If it dies, the waiters see their channels closed.
        let on_death = move |reason: String| {
            failed.fail(Some(Failure::Failed(reason.clone().into())));
            ending.fail(reason);
        };
        let thread = watch::spawn("commit", move || write(repository, &jobs, &shared), || true, on_death)?;
        Ok(Self { queue: Mutex::new(Some(queue)), published, thread: Mutex::new(Some(thread)) })
    }

    /// The reader that was published last.
    pub(crate) fn reader(&self) -> Reader {
        self.published.reader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the state was published more often than this, for `patience` at most. Returns how often it was.
    pub(crate) fn wait_for_commit(&self, seen: u64, patience: Duration) -> u64 {
        let times = self.published.times.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.published.shown.wait_timeout_while(times, patience, |times| *times <= seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Why commits are refused at present, if so.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.published.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The problem with the clock, if any.
    pub(crate) fn warning(&self) -> Option<String> {
        self.published.warning.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Commits a batch; waits for the outcome until the deadline.
    pub(crate) fn commit(&self, batch: Batch, deadline: Instant) -> Result<Outcome<Receipt>, Refusal> {
        self.run(|answer| Job::Batch(batch, answer), deadline, Refusal::Timeout)
    }

    /// Erases events; waits for the outcome until the deadline.
    pub(crate) fn erase(&self, filter: Filter, deadline: Instant) -> Result<Outcome<Erased>, Refusal> {
        self.run(|answer| Job::Erasure(filter, answer), deadline, Refusal::ErasureTimeout)
    }

    fn run<T>(
        &self,
        job: impl FnOnce(SyncSender<Outcome<T>>) -> Job,
        deadline: Instant,
        late: Refusal,
    ) -> Result<Outcome<T>, Refusal> {
        let (answer, outcome) = sync_channel(1);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match queue.ok_or(Refusal::Draining)?.try_send(job(answer)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Refusal::Overloaded),
            Err(TrySendError::Disconnected(_)) => return Err(Refusal::Internal),
        }
        match outcome.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(outcome) => Ok(outcome),
            Err(RecvTimeoutError::Timeout) => Err(late),
            Err(RecvTimeoutError::Disconnected) => Err(Refusal::Internal),
        }
    }
}

impl Committer {
    /// Accepts nothing more, and waits until everything queued is committed.
    pub(crate) fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // If it died, that was reported already.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Published {
    /// Publishes the state of the repository.
    fn show(&self, repository: &mut dyn Repository) {
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = repository.reader();
        self.fail(repository.failure().cloned());
        let doubt = repository.maintenance().and_then(|maintenance| maintenance.clock_doubt());
        *self.warning.lock().unwrap_or_else(PoisonError::into_inner) = doubt.map(|doubt| doubt.to_string());
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.shown.notify_all();
    }

    fn fail(&self, failure: Option<Failure>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// The next batches to commit: at least one, unless the repository must recover first. `None` at the end.
fn next_group(jobs: &Receiver<Job>, accepts: bool) -> Option<Vec<Job>> {
    let first = if accepts {
        Some(jobs.recv().ok()?)
    } else {
        match jobs.recv_timeout(RECOVERY_INTERVAL) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    };
    Some(first.into_iter().chain(jobs.try_iter().take(GROUP_BATCHES_MAX - 1)).collect())
}

/// Whether the repository accepts commits.
fn accepting(repository: &dyn Repository) -> Result<(), CommitError> {
    repository.failure().cloned().map_or(Ok(()), |failure| Err(failure.into()))
}

/// Commits batches, publishes the reader, and then answers.
fn commit(
    repository: &mut dyn Repository,
    batches: &[Batch],
    answers: Vec<SyncSender<Outcome<Receipt>>>,
    published: &Published,
) {
    let outcomes = match accepting(repository).and_then(|()| repository.commit(now(), batches)) {
        Ok(receipts) => receipts.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); batches.len()],
    };
    published.show(repository);
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // The client may have timed out.
        let _ = answer.try_send(outcome);
    }
}

fn write(mut repository: Box<dyn Repository>, jobs: &Receiver<Job>, published: &Published) {
    let mut queue = MaintenanceQueue::default();
    while let Some(group) = next_group(jobs, repository.failure().is_none()) {
        let (mut batches, mut answers) = (Vec::new(), Vec::new());
        for job in group {
            match job {
                Job::Batch(batch, answer) => {
                    batches.push(batch);
                    answers.push(answer);
                }
                Job::Erasure(filter, answer) => {
                    // It erases what the batches before it have stored.
                    commit(&mut *repository, &mem::take(&mut batches), mem::take(&mut answers), published);
                    let erased = accepting(&*repository).and_then(|()| repository.erase(now(), &filter));
                    published.show(&mut *repository);
                    let _ = answer.try_send(erased);
                }
            }
        }
        commit(&mut *repository, &batches, answers, published);
        // Errors show in `failure()`, or the next call tries again.
        if repository.failure().is_some() {
            let _ = repository.recover();
        } else {
            let _ = queue.step(&mut *repository, moment(), MAINTENANCE_EVENTS);
        }
        published.show(&mut *repository);
    }
    if repository.failure().is_none() {
        // If closing fails, the next opening recovers as after a crash.
        let _ = repository.close();
        published.show(&mut *repository);
    }
}
