//! A submitted batch or erasure that waits for its commit, and the leader, which sees to it that the queue is
//! committed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Shared;
use super::delivery::{Outcome, Ticket};

/// A submitted batch or erasure. Resolves with the outcome of its commit. Poll or drop it soon: others may depend on
/// it.
#[derive(Debug)]
pub struct PendingCommit<T> {
    ticket: Ticket<T>,
    leader: Option<Leader>,
}

/// The leader: the first to submit to a queue after it was emptied. It makes sure that the queue is committed; if it is
/// dropped before, the commit thread commits.
///
/// Usually, other requests are ready to run on the same executor. The leader yields to them once, so that all of their
/// batches form one group.
#[derive(Debug)]
pub(super) struct Leader {
    shared: Arc<Shared>,
    has_yielded: bool,
    done: bool,
}

impl<T> PendingCommit<T> {
    pub(super) fn new(ticket: Ticket<T>, leader: Option<Leader>) -> Self {
        Self { ticket, leader }
    }
}

impl Leader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, has_yielded: false, done: false }
    }
}

impl<T> Future for PendingCommit<T> {
    type Output = Outcome<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        if let Some(leader) = &mut self.leader {
            if !leader.has_yielded {
                leader.has_yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            leader.done = leader.shared.commit_at_once();
            self.leader = None;
        }
        self.ticket.poll(cx)
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.done {
            self.shared.queue.wake();
        }
    }
}
