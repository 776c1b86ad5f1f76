//! Whether commits are accepted, and why not: as the repository says whenever it was asked to do something.

use std::mem::discriminant;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use argus_core::cause::Cause;
use argus_core::repository::{CommitError, Failure, Repository};

use super::{Shared, lock};
use crate::watch::panic_message;

/// Whether commits are accepted: what the repository says, until the process itself is at its end.
#[derive(Debug, Default)]
pub(super) struct Availability {
    /// Whether there is a failure: looked at for every request.
    fails: AtomicBool,
    standing: Mutex<Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    failure: Option<Arc<Failure>>,
    /// Nothing is accepted any more, whatever the repository says.
    is_final: bool,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that anybody has to be told.
    None,
    /// Nothing is accepted from now on, or for another kind of reason than before.
    Failed(Arc<Failure>),
    /// Commits are accepted again.
    Recovered,
}

impl Availability {
    /// Why nothing is accepted at present, if so.
    pub(super) fn failure(&self) -> Option<Arc<Failure>> {
        if self.fails.load(Ordering::Acquire) { lock(&self.standing).failure.clone() } else { None }
    }

    /// Whether the repository is to be asked to recover.
    pub(super) fn may_recover(&self) -> bool {
        self.fails.load(Ordering::Acquire) && !lock(&self.standing).is_final
    }

    /// Takes in what the repository says. Of failures of one kind the first is kept: later ones most often follow from
    /// it.
    pub(super) fn follow(&self, told: Option<&Failure>) -> Change {
        if told.is_none() && !self.fails.load(Ordering::Acquire) {
            return Change::None;
        }
        let mut standing = lock(&self.standing);
        let change = match (standing.failure.as_deref(), told) {
            _ if standing.is_final => return Change::None,
            (None, None) => Change::None,
            (Some(known), Some(told)) if discriminant(known) == discriminant(told) => Change::None,
            (Some(_), None) => {
                standing.failure = None;
                Change::Recovered
            }
            (_, Some(told)) => {
                let failure = Arc::new(told.clone());
                standing.failure = Some(Arc::clone(&failure));
                Change::Failed(failure)
            }
        };
        self.fails.store(standing.failure.is_some(), Ordering::Release);
        change
    }

    /// Accepts nothing any more: something in this process is broken. The first reason is kept.
    pub(super) fn end(&self, cause: Cause) -> Change {
        let mut standing = lock(&self.standing);
        if standing.is_final {
            return Change::None;
        }
        let failure = Arc::new(Failure::Failed(cause));
        *standing = Standing { failure: Some(Arc::clone(&failure)), is_final: true };
        self.fails.store(true, Ordering::Release);
        Change::Failed(failure)
    }
}

impl Shared {
    /// Lets the repository try to accept commits again.
    pub(super) fn recover(&self) {
        if !self.availability.may_recover() {
            return;
        }
        let recovered = self.ask(&mut **lock(&self.repository), "a recovery", |repository| {
            repository.recover()?;
            self.publish(repository);
            self.offer_tasks(repository);
            Ok(())
        });
        if let Err(error) = recovered {
            tracing::debug!(reason = %error, "the storage has not recovered");
        }
    }

    /// Has the repository do something, and takes in whether it accepts commits then. A panic is the end: what the
    /// repository has in memory may be anything now. To be called under its lock.
    pub(super) fn ask<T>(
        &self,
        repository: &mut dyn Repository,
        what: &str,
        act: impl FnOnce(&mut dyn Repository) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let asked = || {
            let outcome = act(repository);
            self.follow(repository);
            outcome
        };
        catch_unwind(AssertUnwindSafe(asked)).unwrap_or_else(|panic| {
            let reason = format!("{what} panicked: {}", panic_message(panic.as_ref()));
            self.fail(reason.clone());
            Err(CommitError::in_doubt(reason))
        })
    }

    /// Something here is broken: nothing more is accepted, and the process ends. To be called under the lock of the
    /// repository.
    pub(super) fn fail(&self, reason: String) {
        self.lifecycle.fail(reason.clone());
        self.end(reason.into());
    }

    /// Accepts nothing any more. To be called under the lock of the repository.
    pub(super) fn end(&self, cause: Cause) {
        self.tell(self.availability.end(cause));
    }

    /// Takes in whether the repository accepts commits. To be called under its lock, after whatever may fail: whoever
    /// waits for maintenance looks for the reason there.
    pub(super) fn follow(&self, repository: &dyn Repository) {
        self.tell(self.availability.follow(repository.failure()));
    }

    fn tell(&self, change: Change) {
        let failure = match change {
            Change::None => return,
            Change::Recovered => return tracing::info!("the storage has recovered; commits are accepted again"),
            Change::Failed(failure) => failure,
        };
        match &*failure {
            Failure::Unavailable(cause) => {
                tracing::warn!(reason = %cause, "the storage is not available; nothing is accepted until it is");
            }
            Failure::Failed(cause) => {
                tracing::error!(reason = %cause, "the storage has failed; nothing more is accepted, reads go on");
            }
        }
        if let Some(damage) = failure.cause().damage() {
            self.warnings.damaged(damage);
        }
        self.maintenance.call_waiting();
        // For the commit thread to see to the recovery.
        self.queue.alert();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(reason: &str) -> Failure {
        Failure::Unavailable(reason.into())
    }

    fn failed(reason: &str) -> Failure {
        Failure::Failed(reason.into())
    }

    fn told(availability: &Availability) -> Option<Failure> {
        availability.failure().map(|failure| (*failure).clone())
    }

    #[test]
    fn it_follows_the_repository_there_and_back() {
        let availability = Availability::default();
        assert_eq!((availability.follow(None), told(&availability)), (Change::None, None));
        assert_eq!(availability.follow(Some(&away("a"))), Change::Failed(Arc::new(away("a"))));
        assert!(availability.may_recover());
        // The first reason of a kind is kept, and one of another kind takes its place.
        assert_eq!((availability.follow(Some(&away("b"))), told(&availability)), (Change::None, Some(away("a"))));
        assert_eq!(availability.follow(Some(&failed("c"))), Change::Failed(Arc::new(failed("c"))));
        assert_eq!(told(&availability), Some(failed("c")));
        assert_eq!((availability.follow(None), told(&availability)), (Change::Recovered, None));
        assert!(!availability.may_recover());
        assert_eq!(availability.follow(None), Change::None);
    }

    #[test]
    fn what_is_broken_here_stays_so() {
        let availability = Availability::default();
        assert_eq!(availability.follow(Some(&away("a"))), Change::Failed(Arc::new(away("a"))));
        assert_eq!(availability.end("a panic".into()), Change::Failed(Arc::new(failed("a panic"))));
        assert_eq!(availability.end("another".into()), Change::None);
        assert_eq!(availability.follow(None), Change::None);
        assert_eq!((told(&availability), availability.may_recover()), (Some(failed("a panic")), false));
    }
}
