//! `DELETE /events`.

use alloc::boxed::Box;
use alloc::format;

use super::compress::Negotiated;
use super::erased_count::{ErasedCount, reply};
use super::params::read_erasure_filter;
use super::problem_reply::ProblemReply;
use super::read::Question;
use super::target::Target;
use super::{Draft, Limits, ProblemKind, Read, Route};
use crate::auth::Access;
use crate::cause::Cause;
use crate::query::Filter;
use crate::repository::{CommitError, Erased, Failure};

/// A `DELETE` of `/events` with valid parameters.
#[derive(Debug)]
pub struct Erasure {
    filter: Filter,
    limits: Limits,
    negotiated: Negotiated,
}

/// What a host does once the events are erased, or are not.
#[derive(Debug)]
pub enum AfterErasure {
    /// Count them: read this, and send its answer. If it fails, refuse with
    /// [`NotCounted`](super::Refusal::NotCounted).
    Count(Read),
    /// Send this reply.
    Reply(Draft),
}

impl Erasure {
    /// The erasure erases only what the caller may see.
    pub(super) fn read(
        limits: &Limits,
        target: &Target<'_>,
        access: &Access,
        negotiated: Negotiated,
    ) -> Result<Self, ProblemReply> {
        Ok(Self { filter: read_erasure_filter(&target.params, access)?, limits: *limits, negotiated })
    }

    /// The events to erase.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What to do next, after this outcome of [`Repository::erase`](crate::repository::Repository::erase).
    #[must_use]
    pub fn after(self, outcome: Result<Erased, CommitError>) -> AfterErasure {
        let Self { filter, limits, negotiated } = self;
        match outcome {
            Ok(Erased::Exactly(erased)) => AfterErasure::Reply(reply(erased).into()),
            Ok(Erased::Among(snapshot)) => {
                let count = ErasedCount::new(snapshot, filter);
                AfterErasure::Count(Read::new(Question::Erased(Box::new(count)), &limits, negotiated))
            }
            Err(error) => AfterErasure::Reply(not_erased(&error).reply(Route::Events).into()),
        }
    }
}

/// 503: the repository accepts no erasures.
pub(super) fn refused(failure: &Failure) -> ProblemReply {
    not_erased(&failure.clone().into())
}

/// 503 or 507: the events were not erased, or some may have been.
fn not_erased(error: &CommitError) -> ProblemReply {
    let problem = |kind, cause: &Cause, in_doubt: bool| {
        let outcome = if in_doubt { "events may have been erased" } else { "nothing was erased" };
        ProblemReply::new(kind, format!("{outcome}: {}", cause.public_text()))
    };
    match error {
        CommitError::Full(cause) => problem(ProblemKind::StorageFull, cause, false),
        CommitError::Unavailable { cause, in_doubt } => problem(ProblemKind::StorageUnavailable, cause, *in_doubt),
        CommitError::Failed { cause, in_doubt } => problem(ProblemKind::StorageFailed, cause, *in_doubt),
    }
}
