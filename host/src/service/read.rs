//! Requests that read. The work is done on threads that may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use argus_core::api::{Metrics as MetricsAction, READ_BUDGET, Read, ReadRun, ReadStep, Refusal};

use super::{Answer, Elapsed, Session};
use crate::answers::Admitted;
use crate::clock;
use crate::metrics::Gauges;
use crate::node::Node;
use crate::reply_body::{Advance, Advanced, BrokenOff};
use crate::runtime::Runtime;
use crate::watch::panic_message;

/// How long a read computes at normal priority. Most are complete by then.
const FIRST_SLICE: Duration = Duration::from_millis(2);

/// How long a read computes at a time in the background.
const READ_SLICE: Duration = Duration::from_millis(10);

impl<R: Runtime> Session<R> {
    /// Answers a read, or starts its streamed answer, before the deadline.
    pub(super) async fn read_by(&self, deadline: Instant, read: Read) -> Result<Answer, Refusal> {
        // An answer that is not streamed needs no share of the budget.
        let admitted = if read.may_stream() {
            let admitted = self.within(deadline, Box::pin(self.service.node.answers.admit())).await;
            Some(admitted.map_err(|Elapsed| Refusal::AnswersFull)?)
        } else {
            None
        };
        let done = self.within(deadline, Box::pin(self.run_read(read, admitted))).await;
        done.unwrap_or(Err(Refusal::ReadTimeout))
    }

    async fn run_read(&self, read: Read, admitted: Option<Admitted>) -> Result<Answer, Refusal> {
        let advance = self.advancer();
        let node = Arc::clone(&self.service.node);
        let run = read.begin(clock::moment());
        let mut step = self.service.runtime.unblock(move || advance_slice(run, FIRST_SLICE, &node)).await;
        loop {
            let (run, outcome) = step;
            match outcome {
                Ok(Poll::Pending) => {
                    if let Some(admitted) = &admitted {
                        admitted.set_held(run.held_bytes());
                    }
                    step = advance(run).await;
                }
                Ok(Poll::Ready(ReadStep::Whole(reply))) => return Ok(reply.into()),
                Ok(Poll::Ready(ReadStep::Start(reply))) => {
                    let Some(admitted) = admitted else {
                        tracing::error!("a read streams its answer that was to be whole");
                        return Err(Refusal::Internal);
                    };
                    admitted.rest(run, 0);
                    return Ok(Answer { reply, rest: Some(admitted) });
                }
                Ok(Poll::Ready(ReadStep::Chunk(_) | ReadStep::Done)) => {
                    tracing::error!("a read gave a body before its head");
                    return Err(Refusal::Internal);
                }
                Err(BrokenOff { refusal, .. }) => return Err(refusal),
            }
        }
    }

    /// Renders the metrics on a thread that may block: those of the process are read from files, and the repository may
    /// be remote.
    pub(super) async fn render(&self, metrics: MetricsAction) -> Result<Answer, Refusal> {
        let node = Arc::clone(&self.service.node);
        let render = move || {
            let (queue_batches, queue_bytes) = node.committer.queued();
            let stored = node.committer.reader().take().and_then(|snapshot| snapshot.stats());
            let stored = stored.map_err(|error| node.warnings.unreadable(&error)).ok();
            let (answer_bytes_held, answers_in_flight) = node.answers.held();
            let body_bytes_reserved = node.budget.reserved();
            let gauges = Gauges {
                stored,
                queue_batches,
                queue_bytes,
                body_bytes_reserved,
                answer_bytes_held,
                answers_in_flight,
            };
            node.metrics.render(&gauges)
        };
        match self.service.runtime.unblock(render).await {
            Ok(text) => Ok(metrics.reply(text).into()),
            Err(error) => {
                tracing::error!("the metrics could not be rendered: {error}");
                Err(Refusal::Internal)
            }
        }
    }

    /// Continues a read at low priority: a read that was not complete after its first slice may take long.
    pub(super) fn advancer(&self) -> Advance {
        let runtime = self.service.runtime.clone();
        let node = Arc::clone(&self.service.node);
        Box::new(move |run| {
            let node = Arc::clone(&node);
            Box::pin(runtime.run_in_background(move || advance_slice(run, READ_SLICE, &node)))
        })
    }
}

/// Computes until there is something to send or the time slice is over. Errors are logged, whether or not anything was
/// sent yet.
fn advance_slice(mut run: ReadRun, slice: Duration, node: &Node) -> Advanced {
    let begun = Instant::now();
    let reader = node.committer.reader();
    loop {
        let step = match catch_unwind(AssertUnwindSafe(|| run.poll(&reader, clock::moment(), READ_BUDGET))) {
            Ok(Ok(Poll::Pending)) if begun.elapsed() < slice => continue,
            Ok(Ok(step)) => Ok(step),
            Ok(Err(error)) => {
                node.warnings.unreadable(&error);
                Err(BrokenOff { reason: error.to_string(), refusal: Refusal::Unreadable(error) })
            }
            Err(panic) => {
                let reason = format!("panic: {}", panic_message(panic.as_ref()));
                tracing::error!(reason, "a read failed");
                Err(BrokenOff { reason, refusal: Refusal::Internal })
            }
        };
        return (run, step);
    }
}
