//! The maintenance threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use argus_core::repository::{Expired, ExpiryCause, MaintenanceQueue, MaintenanceTask, Reader, Repository};

use super::{Shared, is_behind, lock};
use crate::clock;
use crate::watch::panic_message;

/// Work between two checks for a more urgent task or a shutdown, in events.
const STEP: u32 = 4_096;

/// How often the repository is asked for tasks without a commit, since events expire.
const IDLE: Duration = Duration::from_secs(10);

/// How many threads maintain the repository: while one compacts sealed segments, which may take seconds, the other
/// seals new events, which commits may have to wait for. The repository hands out no two tasks of the same kind at a
/// time.
pub(super) const THREADS: usize = 2;

/// Hands tasks to the maintenance threads, so that neither commits nor queries wait for them.
#[derive(Debug, Default)]
pub(super) struct MaintenanceThreads {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    /// A task was installed. Used with the mutex of the repository.
    installed: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    tasks: MaintenanceQueue,
    closed: bool,
}

/// What a thread does next.
enum Next {
    Work(Box<dyn MaintenanceTask>),
    Ask,
    Stop,
}

impl MaintenanceThreads {
    fn push(&self, task: Box<dyn MaintenanceTask>) {
        lock(&self.inbox).tasks.push(task);
        self.wake.notify_one();
    }

    /// Ends the threads; unfinished tasks are dropped.
    pub(super) fn close(&self) {
        lock(&self.inbox).closed = true;
        self.wake.notify_all();
    }

    /// Whether the threads may end.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.inbox).closed
    }

    /// Wakes all threads that wait until maintenance has caught up.
    pub(super) fn wake_waiting(&self) {
        self.installed.notify_all();
    }

    /// What the calling thread does next, after it has worked on a task that is not ready yet, if on any.
    fn next(&self, unfinished: Option<Box<dyn MaintenanceTask>>) -> Next {
        let mut inbox = lock(&self.inbox);
        unfinished.into_iter().for_each(|task| inbox.tasks.push(task));
        let is_idle = |inbox: &mut Inbox| inbox.tasks.is_empty() && !inbox.closed;
        let waited = self.wake.wait_timeout_while(inbox, IDLE, is_idle);
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match inbox.tasks.take() {
            _ if inbox.closed => Next::Stop,
            Some(task) => {
                // The task that is left may be the one that this thread has worked on: no one was told of it.
                if !inbox.tasks.is_empty() {
                    self.wake.notify_one();
                }
                Next::Work(task)
            }
            None => Next::Ask,
        }
    }
}

impl Shared {
    /// The body of each maintenance thread.
    pub(super) fn maintain(&self) {
        let mut unfinished = None;
        loop {
            let mut task = match self.maintenance.next(unfinished.take()) {
                Next::Work(task) => task,
                Next::Ask => {
                    self.run_unless_failed("maintenance", |repository| {
                        self.offer_tasks(repository);
                        Ok(())
                    });
                    continue;
                }
                Next::Stop => return,
            };
            match catch_unwind(AssertUnwindSafe(|| task.step(STEP))) {
                Ok(Poll::Pending) => unfinished = Some(task),
                Ok(Poll::Ready(())) => self.install(task),
                Err(panic) => {
                    // Take the lock first: a thread about to wait for this task holds it until it waits.
                    let _repository = lock(&self.repository);
                    self.fail(format!("maintenance panicked: {}", panic_message(panic.as_ref())));
                }
            }
        }
    }

    /// Hands all due tasks to the threads.
    pub(super) fn offer_tasks(&self, repository: &mut dyn Repository) {
        let Some(maintenance) = repository.maintenance() else { return };
        while let Some(task) = maintenance.next_task(clock::moment()) {
            self.maintenance.push(task);
        }
        self.warnings.clock(maintenance.clock_doubt());
    }

    fn report_expired(&self, expired: &Expired) {
        let Expired { events, first, last, cause } = *expired;
        let cause = match cause {
            ExpiryCause::Age => "age",
            ExpiryCause::Size => "size",
            ExpiryCause::Erasure => {
                self.metrics.erasures().removed(events);
                tracing::info!(events, "the bytes of erased events were removed from stored segments");
                return;
            }
        };
        self.metrics.events_expired(events);
        tracing::info!(events, cause, "events have expired; their segments held events from {first} to {last}");
    }

    /// The number of erasures that are not complete in the published snapshot; 0 if that is unknown.
    fn pending_erasures(&self) -> u64 {
        match &*lock(&self.reader) {
            Reader::Current(snapshot) => snapshot.stats().map_or(0, |stats| stats.erasures.pending),
            Reader::Shared(_) => 0,
        }
    }

    fn install(&self, task: Box<dyn MaintenanceTask>) {
        let mut repository = lock(&self.repository);
        // Even after a failure, since the repository must know that no thread runs the task any more.
        let outcome = self.call(&mut **repository, "maintenance", |repository| {
            let Some(maintenance) = repository.maintenance() else { return Ok(()) };
            let expired = maintenance.install(task)?;
            expired.iter().for_each(|expired| self.report_expired(expired));
            let pending = self.pending_erasures();
            self.publish(repository);
            let complete = pending.saturating_sub(self.pending_erasures());
            if complete > 0 {
                tracing::info!(erasures = complete, "erasures are complete; no file has their events any more");
            }
            self.offer_tasks(repository);
            Ok(())
        });
        drop(repository);
        // Stored events stay readable. The task is retried after the next commit, when there may be room again.
        self.log_retry("maintenance", outcome);
        self.maintenance.wake_waiting();
    }

    /// Waits until maintenance has caught up far enough for commits to continue.
    pub(super) fn until_caught_up<'a>(
        &self,
        repository: MutexGuard<'a, Box<dyn Repository>>,
    ) -> MutexGuard<'a, Box<dyn Repository>> {
        let must_wait = |repository: &mut Box<dyn Repository>| {
            is_behind(&mut **repository) && self.availability.failure().is_none()
        };
        self.maintenance.installed.wait_while(repository, must_wait).unwrap_or_else(PoisonError::into_inner)
    }
}
