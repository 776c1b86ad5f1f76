//! Whether commits are accepted, and why not.

use std::mem::discriminant;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use argus_core::cause::Cause;
use argus_core::repository::Failure;

use super::lock;

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
