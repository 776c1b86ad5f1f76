//! What the commit queue has: batches and erasures.

use argus_core::batch::Batch;
use argus_core::query::Filter;
use argus_core::repository::{CommitError, Erased, Receipt};

use super::delivery::{Waiter, deliver};

/// Something to commit, and the waiter for its outcome.
#[derive(Debug)]
pub(super) enum Job {
    Batch(Batch, Waiter<Receipt>),
    Erasure(Box<Filter>, Waiter<Erased>),
}

/// Neighbours in the queue that are committed together.
#[derive(Debug)]
pub(super) enum Group {
    /// Batches without an erasure between them.
    Batches(Vec<Batch>, Vec<Waiter<Receipt>>),
    /// An erasure. It erases the events of batches before it, and none of those after it.
    Erasure(Box<Filter>, Waiter<Erased>),
}

/// The groups of these jobs, in order.
pub(super) fn grouped(jobs: Vec<Job>) -> Vec<Group> {
    let mut groups = Vec::new();
    for job in jobs {
        match (job, groups.last_mut()) {
            (Job::Batch(batch, waiter), Some(Group::Batches(batches, waiters))) => {
                batches.push(batch);
                waiters.push(waiter);
            }
            (Job::Batch(batch, waiter), Some(Group::Erasure(..)) | None) => {
                groups.push(Group::Batches(vec![batch], vec![waiter]));
            }
            (Job::Erasure(filter, waiter), _) => groups.push(Group::Erasure(filter, waiter)),
        }
    }
    groups
}

/// Delivers this error to all that wait for these jobs.
pub(super) fn refuse(jobs: Vec<Job>, error: &CommitError) {
    for group in grouped(jobs) {
        match group {
            Group::Batches(_, waiters) => deliver(waiters.into_iter().map(|waiter| (waiter, Err(error.clone())))),
            Group::Erasure(_, waiter) => deliver([(waiter, Err(error.clone()))]),
        }
    }
}

#[cfg(test)]
mod tests {
    use argus_core::batch::BatchBuilder;

    use super::super::delivery::pair;
    use super::*;

    #[test]
    fn an_erasure_separates_the_batches_before_it_from_those_after_it() {
        let batch = || Job::Batch(BatchBuilder::new().finish(), pair().0);
        let erasure = || Job::Erasure(Box::default(), pair().0);
        let groups = grouped(vec![batch(), batch(), erasure(), erasure(), batch(), erasure()]);
        let sizes: Vec<usize> = groups
            .iter()
            .map(|group| match group {
                Group::Batches(batches, waiters) => {
                    assert_eq!(batches.len(), waiters.len());
                    batches.len()
                }
                Group::Erasure(..) => 0,
            })
            .collect();
        assert_eq!(sizes, [2, 0, 0, 1, 0]);
        assert!(grouped(Vec::new()).is_empty());
    }
}
