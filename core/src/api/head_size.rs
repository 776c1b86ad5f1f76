//! The size of a request's head.

use super::problem_reply::ProblemReply;
use super::{Limits, Refusal, RequestHead};

/// Checks the size of a head, before anything else. The connection closes after a refusal, since the end of the request
/// was not determined.
pub(super) fn check(head: &RequestHead<'_>, limits: &Limits) -> Result<(), ProblemReply> {
    if head.target.len() > limits.uri_bytes_max {
        return Err(Refusal::UriTooLong.problem(limits));
    }
    if head.headers.len() > limits.head_fields_max {
        return Err(Refusal::HeadTooLarge.problem(limits));
    }
    Ok(())
}
