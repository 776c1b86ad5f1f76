//! Requests that erase events.

use std::time::Instant;

use argus_core::api::{AfterErasure, Erasure, Refusal};
use argus_core::repository::CommitError;

use super::{Answer, Elapsed, Session};
use crate::committer::SubmitError;
use crate::runtime::Runtime;

impl<R: Runtime> Session<R> {
    /// Erases events, and counts them before the deadline. They stay erased if there is no time to count them.
    pub(super) async fn erase(&self, deadline: Instant, erasure: Erasure) -> Result<Answer, Refusal> {
        let outcome = match self.service.node.committer.erase(erasure.filter()) {
            Ok(pending) => self.within(deadline, pending).await.map_err(|Elapsed| Refusal::ErasureTimeout)?,
            Err(SubmitError::QueueFull) => Err(CommitError::unavailable("the server is busy")),
            Err(SubmitError::Stopped) => return Err(Refusal::Draining),
            Err(SubmitError::Failure(failure)) => Err(failure.into()),
        };
        match erasure.after(outcome) {
            AfterErasure::Reply(draft) => Ok(draft.into()),
            AfterErasure::Count(read) => self.read_by(deadline, read).await.map_err(|_| Refusal::NotCounted),
        }
    }
}
