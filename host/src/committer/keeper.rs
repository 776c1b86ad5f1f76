use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use argus_core::repository::{Chore, ChoreStep, CommitError, Repository};

use super::{Shared, lock, panic_message};

/// Housekeeping between two looks at whether it is time to stop, in events' worth.
const STEP: u32 = 16_384;

/// Hands one chore at a time to the thread that does them, so that neither commits nor queries wait for it.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    desk: Mutex<Desk>,
    wake: Condvar,
    /// A chore was settled. Goes with the mutex of the repository.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    chore: Option<Chore>,
    closed: bool,
}

impl Keeper {
    /// Takes on whatever the repository wants to be done next.
    pub(super) fn offer(&self, repository: &mut dyn Repository) {
        if let Some(chore) = repository.chore() {
            lock(&self.desk).chore = Some(chore);
            self.wake.notify_one();
        }
    }

    /// Ends the thread; a chore under way is dropped.
    pub(super) fn close(&self) {
        lock(&self.desk).closed = true;
        self.wake.notify_one();
    }

    fn is_closed(&self) -> bool {
        lock(&self.desk).closed
    }

    /// Waits for a chore; `None` when it is time to stop.
    fn next(&self) -> Option<Chore> {
        let idle = |desk: &mut Desk| desk.chore.is_none() && !desk.closed;
        let mut desk = self.wake.wait_while(lock(&self.desk), idle).unwrap_or_else(PoisonError::into_inner);
        if desk.closed { None } else { desk.chore.take() }
    }
}

impl Shared {
    /// The thread that does the chores.
    pub(super) fn keep_house(&self) {
        while let Some(mut chore) = self.keeper.next() {
            let done = catch_unwind(AssertUnwindSafe(|| {
                while !self.keeper.is_closed() {
                    match chore.step(STEP) {
                        ChoreStep::Pending => {}
                        ChoreStep::Done => return true,
                    }
                }
                false
            }));
            match done {
                Ok(true) => self.settle(chore),
                Ok(false) => return,
                Err(panic) => {
                    self.latch(format!("housekeeping panicked: {}", panic_message(panic.as_ref())));
                    self.keeper.settled.notify_all();
                }
            }
        }
    }

    fn settle(&self, chore: Chore) {
        let mut repository = lock(&self.repository);
        match catch_unwind(AssertUnwindSafe(|| repository.settle(chore))) {
            Ok(Ok(())) => {
                self.publish(&**repository);
                self.keeper.offer(&mut **repository);
            }
            // What was readable stays readable. It is tried again after the next commit, when there may be room.
            Ok(Err(CommitError::Full(reason))) => tracing::warn!(reason, "no room for housekeeping"),
            Ok(Err(CommitError::Latched(reason))) => self.latch(reason),
            Err(panic) => self.latch(format!("housekeeping panicked: {}", panic_message(panic.as_ref()))),
        }
        drop(repository);
        self.keeper.settled.notify_all();
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
