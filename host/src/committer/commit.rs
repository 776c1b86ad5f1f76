//! Commits what is queued.

use std::sync::MutexGuard;
use std::time::Instant;

use argus_core::batch::Batch;
use argus_core::query::Filter;
use argus_core::repository::{CommitError, Erased, Receipt, Repository};

use super::Shared;
use super::delivery::{Outcome, Waiter, deliver};
use super::job::{Group, grouped};
use crate::clock;

/// A group that was committed, or was not.
enum Done {
    Batches(Outcome<Vec<Receipt>>, Vec<Waiter<Receipt>>),
    Erasure(Outcome<Erased>, Waiter<Erased>),
}

impl Shared {
    /// Commits the queue, its batches as one group unless there are erasures, and delivers the outcomes.
    pub(super) fn commit(&self, mut repository: MutexGuard<'_, Box<dyn Repository>>) {
        // Whoever waits is told without the lock.
        let mut outcomes = Vec::new();
        for group in grouped(self.queue.take()) {
            outcomes.push(match group {
                Group::Batches(batches, waiters) => {
                    Done::Batches(self.commit_group(&mut **repository, &batches), waiters)
                }
                Group::Erasure(filter, waiter) => Done::Erasure(self.erase(&mut **repository, &filter), waiter),
            });
        }
        drop(repository);
        for done in outcomes {
            match done {
                Done::Batches(Ok(receipts), waiters) => deliver(waiters.into_iter().zip(receipts.into_iter().map(Ok))),
                Done::Batches(Err(error), waiters) => {
                    deliver(waiters.into_iter().map(|waiter| (waiter, Err(error.clone()))));
                }
                Done::Erasure(outcome, waiter) => deliver([(waiter, outcome)]),
            }
        }
    }

    /// Erases events. The log line does not have the filter, which may have personal data.
    fn erase(&self, repository: &mut dyn Repository, filter: &Filter) -> Result<Erased, CommitError> {
        if let Some(failure) = self.availability.failure() {
            return Err((*failure).clone().into());
        }
        let erased = self.call(repository, "an erasure", |repository| {
            let erased = repository.erase(clock::now(), filter)?;
            self.publish(repository);
            self.offer_tasks(repository);
            Ok(erased)
        });
        match &erased {
            Ok(_) => tracing::info!("an erasure was accepted; no query shows the events any more"),
            // Possibly with every request, so the log line is limited.
            Err(error) => {
                if let Some(suppressed) = self.refusals.due() {
                    tracing::warn!(reason = %error, suppressed, "an erasure was refused");
                }
            }
        }
        erased
    }

    fn commit_group(&self, repository: &mut dyn Repository, batches: &[Batch]) -> Result<Vec<Receipt>, CommitError> {
        if let Some(failure) = self.availability.failure() {
            return Err((*failure).clone().into());
        }
        let begun = Instant::now();
        let committed = self.call(repository, "a commit", |repository| {
            let receipts = repository.commit(clock::now(), batches)?;
            self.publish(repository);
            let took = begun.elapsed();
            self.offer_tasks(repository);
            Ok((receipts, took))
        });
        let is_available = self.availability.failure().is_none();
        match &committed {
            Ok((receipts, took)) => {
                let events = batches.iter().map(Batch::len).sum();
                self.metrics.group_committed(receipts, events, *took);
            }
            // Possibly with every batch, so the log line is limited.
            Err(error) if is_available => {
                if let Some(suppressed) = self.refusals.due() {
                    tracing::warn!(reason = %error, suppressed, "a commit was refused");
                }
            }
            Err(_) => {}
        }
        // Readiness shows the outcome of the last attempt, unless the repository has failed.
        self.warnings.unavailable(match &committed {
            Err(CommitError::Unavailable { cause, .. }) if is_available => Some(cause),
            Err(CommitError::Unavailable { .. } | CommitError::Full(_) | CommitError::Failed { .. }) | Ok(_) => None,
        });
        committed.map(|(receipts, _)| receipts)
    }
}
