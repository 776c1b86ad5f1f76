//! The one writer: a thread that commits whatever has queued up, publishes, and then answers.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use argus_core::api::Refusal;
use argus_core::batch::Batch;
use argus_core::cause::Cause;
use argus_core::repository::{CommitError, Housekeeper, Housekeeping, Latch, Reader, Receipt, Repository};

use crate::ending::Ending;
use crate::{moment, now, watch};

/// Batches that are committed together at most.
const GROUP_BATCHES_MAX: usize = 1024;
/// Housekeeping between two commits, in events' worth.
const HOUSEKEEPING_EVENTS: u32 = 16_384;

type Outcome = Result<Receipt, CommitError>;

#[derive(Debug)]
struct Job {
    batch: Batch,
    answer: SyncSender<Outcome>,
}

/// The way to the writer, and to what it has published.
pub(crate) struct Committer {
    /// `None` once closed.
    queue: Mutex<Option<SyncSender<Job>>>,
    published: Arc<Published>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What readers see.
struct Published {
    reader: Mutex<Reader>,
    latched: Mutex<Option<Cause>>,
    warning: Mutex<Option<String>>,
}

impl Committer {
    /// Starts the writer.
    pub(crate) fn start(
        repository: Box<dyn Repository>,
        queue_batches_max: usize,
        ending: &Arc<Ending>,
    ) -> std::io::Result<Self> {
        let published = Arc::new(Published {
            reader: Mutex::new(repository.reader()),
            latched: Mutex::default(),
            warning: Mutex::default(),
        });
        let (queue, jobs) = sync_channel(queue_batches_max);
        let [shared, failed] = [(); 2].map(|()| Arc::clone(&published));
        let ending = Arc::clone(ending);
        // It ends by itself only when nobody can submit any more. Whoever waits for one that dies is told so by the
        // channel.
        let on_death = move |reason: String| {
            latch(&failed, reason.clone().into());
            ending.fail(reason);
        };
        let thread = watch::spawn("commit", move || write(repository, &jobs, &shared), || true, on_death)?;
        Ok(Self { queue: Mutex::new(Some(queue)), published, thread: Mutex::new(Some(thread)) })
    }

    /// How to read what was committed last.
    pub(crate) fn reader(&self) -> Reader {
        self.published.reader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why nothing more is accepted, if so.
    pub(crate) fn latched(&self) -> Option<Cause> {
        self.published.latched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is wrong with the clock, if anything.
    pub(crate) fn warning(&self) -> Option<String> {
        self.published.warning.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Commits a batch and waits for it until the deadline.
    pub(crate) fn commit(&self, batch: Batch, deadline: Instant) -> Result<Outcome, Refusal> {
        let (answer, outcome) = sync_channel(1);
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match queue.ok_or(Refusal::Draining)?.try_send(Job { batch, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Refusal::Overloaded),
            Err(TrySendError::Disconnected(_)) => return Err(Refusal::Internal),
        }
        match outcome.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(outcome) => Ok(outcome),
            Err(RecvTimeoutError::Timeout) => Err(Refusal::Timeout),
            Err(RecvTimeoutError::Disconnected) => Err(Refusal::Internal),
        }
    }
}

impl Committer {
    /// Takes nothing more and waits until what was taken is committed.
    pub(crate) fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // One that has died has told so.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Published {
    fn publish(&self, reader: Reader) {
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = reader;
    }
}

fn write(mut repository: Box<dyn Repository>, jobs: &Receiver<Job>, published: &Published) {
    let mut housekeeper = Housekeeper::default();
    while let Ok(first) = jobs.recv() {
        let (batches, answers): (Vec<Batch>, Vec<SyncSender<Outcome>>) = std::iter::once(first)
            .chain(jobs.try_iter().take(GROUP_BATCHES_MAX - 1))
            .map(|job| (job.batch, job.answer))
            .unzip();
        let outcomes = match repository.commit(now(), &batches) {
            Ok(receipts) => receipts.into_iter().map(Ok).collect(),
            Err(error) => {
                refused(published, &error);
                vec![Err(error); batches.len()]
            }
        };
        published.publish(repository.reader());
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Whoever waited may have given up.
            let _ = answer.try_send(outcome);
        }
        match housekeeper.step(&mut *repository, moment(), HOUSEKEEPING_EVENTS) {
            Ok(Housekeeping::Idle | Housekeeping::Pending) => {}
            Err(error) => refused(published, &error),
        }
        let doubt = repository.clock_doubt().map(|doubt| doubt.to_string());
        *published.warning.lock().unwrap_or_else(PoisonError::into_inner) = doubt;
        published.publish(repository.reader());
    }
    if published.latched.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
        repository.close().unwrap_or_else(|error| refused(published, &error));
    }
}

fn refused(published: &Published, error: &CommitError) {
    match error {
        CommitError::Full(_) | CommitError::Unavailable(_) => {}
        CommitError::Latched(Latch { cause, in_doubt: _ }) => latch(published, cause.clone()),
    }
}

fn latch(published: &Published, cause: Cause) {
    *published.latched.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause);
}
