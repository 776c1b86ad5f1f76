//! Whether commits are accepted, and why not.

use std::mem::discriminant;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use argus_core::cause::Cause;
use argus_core::repository::{CommitError, Failure, Repository};

use super::{Shared, lock};
use crate::watch::panic_message;

/// Whether commits are accepted. The repository decides, until something in this process has failed.
#[derive(Debug, Default)]
pub(super) struct Availability {
    /// Whether there is a failure: read for every request without a lock.
    has_failure: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failure: Option<Arc<Failure>>,
    /// Something in this process has failed: no more commits are accepted, even if the repository would accept them.
    is_final: bool,
}

/// How availability has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Not at all, or only in its details.
    None,
    /// Commits are refused from now on, or for a different kind of reason.
    Failed(Arc<Failure>),
    /// Commits are accepted again.
    Recovered,
}

impl Availability {
    /// Why commits are refused, if they are.
    pub(super) fn failure(&self) -> Option<Arc<Failure>> {
        if self.has_failure.load(Ordering::Acquire) { lock(&self.state).failure.clone() } else { None }
    }

    /// Whether the repository should be asked to recover.
    pub(super) fn may_recover(&self) -> bool {
        self.has_failure.load(Ordering::Acquire) && !lock(&self.state).is_final
    }

    /// Updates the state with the failure that the repository reports. Among failures of one kind the first is kept,
    /// since later ones usually follow from it.
    pub(super) fn update(&self, reported: Option<&Failure>) -> Change {
        if reported.is_none() && !self.has_failure.load(Ordering::Acquire) {
            return Change::None;
        }
        let mut state = lock(&self.state);
        let change = match (state.failure.as_deref(), reported) {
            _ if state.is_final => return Change::None,
            (None, None) => Change::None,
            (Some(known), Some(reported)) if discriminant(known) == discriminant(reported) => Change::None,
            (Some(_), None) => {
                state.failure = None;
                Change::Recovered
            }
            (_, Some(reported)) => {
                let failure = Arc::new(reported.clone());
                state.failure = Some(Arc::clone(&failure));
                Change::Failed(failure)
            }
        };
        self.has_failure.store(state.failure.is_some(), Ordering::Release);
        change
    }

    /// Refuses commits for good, because something in this process has failed. The first reason is kept.
    pub(super) fn end(&self, cause: Cause) -> Change {
        let mut state = lock(&self.state);
        if state.is_final {
            return Change::None;
        }
        let failure = Arc::new(Failure::Failed(cause));
        *state = State { failure: Some(Arc::clone(&failure)), is_final: true };
        self.has_failure.store(true, Ordering::Release);
        Change::Failed(failure)
    }
}

impl Shared {
    /// Asks the repository to accept commits again.
    pub(super) fn recover(&self) {
        if !self.availability.may_recover() {
            return;
        }
        let recovered = self.call(&mut **lock(&self.repository), "a recovery", |repository| {
            repository.recover()?;
            self.publish(repository);
            self.offer_tasks(repository);
            Ok(())
        });
        if let Err(error) = recovered {
            tracing::debug!(reason = %error, "the storage has not recovered");
        }
    }

    /// Calls the repository and then updates availability. After a panic its memory cannot be trusted, so the process
    /// ends. The caller must have locked the repository.
    pub(super) fn call<T>(
        &self,
        repository: &mut dyn Repository,
        what: &str,
        act: impl FnOnce(&mut dyn Repository) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let called = || {
            let outcome = act(repository);
            self.update_availability(repository);
            outcome
        };
        catch_unwind(AssertUnwindSafe(called)).unwrap_or_else(|panic| {
            let reason = format!("{what} panicked: {}", panic_message(panic.as_ref()));
            self.fail(reason.clone());
            Err(CommitError::in_doubt(reason))
        })
    }

    /// Refuses commits for good and ends the process. The caller must have locked the repository.
    pub(super) fn fail(&self, reason: String) {
        self.lifecycle.fail(reason.clone());
        self.end(reason.into());
    }

    /// Refuses commits for good. The caller must have locked the repository.
    pub(super) fn end(&self, cause: Cause) {
        self.report(self.availability.end(cause));
    }

    /// Updates availability after a call of the repository that may have failed. The caller must still hold the lock of
    /// the repository: threads that wait for maintenance check availability under that lock.
    pub(super) fn update_availability(&self, repository: &dyn Repository) {
        self.report(self.availability.update(repository.failure()));
    }

    fn report(&self, change: Change) {
        let failure = match change {
            Change::None => return,
            Change::Recovered => return tracing::info!("the storage has recovered; commits are accepted again"),
            Change::Failed(failure) => failure,
        };
        match &*failure {
            Failure::Unavailable(cause) => {
                tracing::warn!(reason = %cause, "the storage is unavailable; commits are refused until it recovers");
            }
            Failure::Failed(cause) => {
                tracing::error!(reason = %cause, "the storage has failed; commits are refused, reads continue");
            }
        }
        if let Some(damage) = failure.cause().damage() {
            self.warnings.damaged(damage);
        }
        self.maintenance.wake_waiting();
        // The commit thread then tries to recover.
        self.queue.interrupt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(reason: &str) -> Failure {
        Failure::Unavailable(reason.into())
    }

    fn failed(reason: &str) -> Failure {
        Failure::Failed(reason.into())
    }

    fn current(availability: &Availability) -> Option<Failure> {
        availability.failure().map(|failure| (*failure).clone())
    }

    #[test]
    fn it_follows_the_repository_into_failure_and_back() {
        let availability = Availability::default();
        assert_eq!((availability.update(None), current(&availability)), (Change::None, None));
        assert_eq!(availability.update(Some(&unavailable("a"))), Change::Failed(Arc::new(unavailable("a"))));
        assert!(availability.may_recover());
        // The first reason of a kind is kept; one of another kind replaces it.
        assert_eq!(
            (availability.update(Some(&unavailable("b"))), current(&availability)),
            (Change::None, Some(unavailable("a")))
        );
        assert_eq!(availability.update(Some(&failed("c"))), Change::Failed(Arc::new(failed("c"))));
        assert_eq!(current(&availability), Some(failed("c")));
        assert_eq!((availability.update(None), current(&availability)), (Change::Recovered, None));
        assert!(!availability.may_recover());
        assert_eq!(availability.update(None), Change::None);
    }

    #[test]
    fn a_failure_of_the_process_is_final() {
        let availability = Availability::default();
        assert_eq!(availability.update(Some(&unavailable("a"))), Change::Failed(Arc::new(unavailable("a"))));
        assert_eq!(availability.end("a panic".into()), Change::Failed(Arc::new(failed("a panic"))));
        assert_eq!(availability.end("another".into()), Change::None);
        assert_eq!(availability.update(None), Change::None);
        assert_eq!((current(&availability), availability.may_recover()), (Some(failed("a panic")), false));
    }
}
