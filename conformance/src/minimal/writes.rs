//! Requests that store or erase events.

use std::time::Instant;

use argus_core::api::{AfterErasure, Draft, Erasure, Refusal, Submission, Submitted};

use crate::body::Body;
use crate::budget::Pace;
use crate::clock::now;
use crate::gate::Visitor;
use crate::head::ReceivedHead;
use crate::server::Server;
use crate::stream::Stream;

/// Reads the body of a request, and stores its events.
pub(crate) fn submit(
    server: &Server,
    stream: &mut Stream,
    head: &ReceivedHead,
    submission: Submission,
    visitor: &mut Visitor<'_>,
    body_is_read: &mut bool,
) -> Result<Draft, Refusal> {
    if head.expects_continue() && stream.unread().is_empty() {
        stream.write(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Refusal::BodyBroken)?;
    }
    let pace = Pace::new(server.settings.body_timeout, server.settings.body_bytes_per_second);
    let mut arrived = 0;
    let read = Body::read(stream, head.framing(), submission.wire_bytes_max(), &server.budget, pace, &mut arrived);
    visitor.body_arrived(arrived);
    let body = read?;
    *body_is_read = true;
    let deadline = Instant::now() + server.settings.request_timeout;
    match submission.handle_body(&body.bytes, now()) {
        Submitted::Reply(draft) => Ok(draft),
        Submitted::Commit(batch, acknowledgement) => {
            let outcome = server.committer.commit(batch, deadline)?;
            if let Ok(receipt) = &outcome {
                server.metrics.committed(receipt);
                visitor.committed(receipt.stored);
            }
            Ok(acknowledgement.reply(&outcome))
        }
    }
}

/// Erases events, or says why not. They are still to be counted.
pub(crate) fn erase(server: &Server, erasure: Erasure) -> Result<AfterErasure, Refusal> {
    let deadline = Instant::now() + server.settings.request_timeout;
    let outcome = server.committer.erase(erasure.filter().clone(), deadline)?;
    Ok(erasure.after(outcome))
}
