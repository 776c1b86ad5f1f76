//! The thread that does the housekeeping.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argus_core::repository::{Chore, ChoreStep, Chores, CommitError, Expired, ExpiryCause, Repository};

use super::{Shared, lock};
use crate::clock;
use crate::watch::panic_message;

/// Housekeeping between two looks at whether something more urgent has come in, or it is time to stop, in events'
/// worth.
const STEP: u32 = 4_096;

/// How often the repository is asked for housekeeping when nothing is committed: events expire all the same.
const IDLE: Duration = Duration::from_secs(10);

/// Hands chores to the thread that does them, so that neither commits nor queries wait for it.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    desk: Mutex<Desk>,
    wake: Condvar,
    /// A chore was settled. Goes with the mutex of the repository.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    chores: Chores,
    closed: bool,
}

/// What the thread has to do next.
enum Task {
    Work(Chore),
    Ask,
    Stop,
}

impl Keeper {
    /// Takes on whatever the repository wants to be done.
    fn offer(&self, repository: &mut dyn Repository) {
        while let Some(chore) = repository.chore(clock::moment()) {
            lock(&self.desk).chores.push(chore);
            self.wake.notify_one();
        }
    }

    /// Ends the thread; chores under way are dropped.
    pub(super) fn close(&self) {
        lock(&self.desk).closed = true;
        self.wake.notify_one();
    }

    /// Whether the thread may end.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.desk).closed
    }

    /// Lets everybody look again who waits until the repository has caught up.
    pub(super) fn call_waiting(&self) {
        self.settled.notify_all();
    }

    fn next(&self) -> Task {
        let is_idle = |desk: &mut Desk| desk.chores.is_empty() && !desk.closed;
        let waited = self.wake.wait_timeout_while(lock(&self.desk), IDLE, is_idle);
        let (mut desk, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match desk.chores.take() {
            _ if desk.closed => Task::Stop,
            Some(chore) => Task::Work(chore),
            None => Task::Ask,
        }
    }
}

impl Shared {
    /// The thread that does the chores.
    pub(super) fn keep_house(&self) {
        loop {
            let mut chore = match self.keeper.next() {
                Task::Work(chore) => chore,
                Task::Ask => {
                    self.attend("housekeeping", |repository| {
                        self.offer_chores(repository);
                        Ok(())
                    });
                    continue;
                }
                Task::Stop => return,
            };
            match catch_unwind(AssertUnwindSafe(|| chore.step(STEP))) {
                Ok(ChoreStep::Pending) => lock(&self.keeper.desk).chores.push(chore),
                Ok(ChoreStep::Done) => self.settle(chore),
                Err(panic) => {
                    // Whoever is about to wait for this chore holds the lock until they do.
                    let _repository = lock(&self.repository);
                    self.fail(format!("housekeeping panicked: {}", panic_message(panic.as_ref())));
                }
            }
        }
    }

    /// Lets the thread have whatever the repository wants to be done. The repository looks at the clock when it is
    /// asked.
    pub(super) fn offer_chores(&self, repository: &mut dyn Repository) {
        self.keeper.offer(repository);
        self.warnings.clock(repository.clock_doubt());
    }

    fn report_expired(&self, expired: &Expired) {
        let Expired { events, first, last, cause } = *expired;
        self.metrics.events_expired(events);
        let cause = match cause {
            ExpiryCause::Age => "age",
            ExpiryCause::Size => "size",
        };
        tracing::info!(
            events,
            cause,
            "events have expired; the segments that they were in had events from {first} to {last}"
        );
    }

    fn settle(&self, chore: Chore) {
        let mut repository = lock(&self.repository);
        let settle = || {
            let expired = repository.settle(chore)?;
            expired.iter().for_each(|expired| self.report_expired(expired));
            self.publish(&**repository);
            self.offer_chores(&mut **repository);
            Ok(())
        };
        match catch_unwind(AssertUnwindSafe(settle)) {
            Ok(Ok(())) => {}
            // What was readable stays readable. It is tried again after the next commit, when there may be room.
            Ok(Err(CommitError::Full(cause))) => self.put_off("housekeeping", &format!("no room: {cause}")),
            Ok(Err(CommitError::Unavailable(cause))) => self.put_off("housekeeping", &cause.to_string()),
            Ok(Err(CommitError::Latched(latch))) => self.latch(&latch.cause),
            Err(panic) => self.fail(format!("housekeeping panicked: {}", panic_message(panic.as_ref()))),
        }
        drop(repository);
        self.keeper.call_waiting();
    }

    /// Waits until housekeeping has caught up as far as it has to.
    pub(super) fn until_caught_up<'a>(
        &self,
        repository: MutexGuard<'a, Box<dyn Repository>>,
    ) -> MutexGuard<'a, Box<dyn Repository>> {
        let behind = |repository: &mut Box<dyn Repository>| repository.is_behind() && self.latched.get().is_none();
        self.keeper.settled.wait_while(repository, behind).unwrap_or_else(PoisonError::into_inner)
    }
}
