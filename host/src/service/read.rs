//! Requests that read: what they ask for is found on threads that may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use argus_core::api::{Metrics as MetricsAction, READ_BUDGET, Read, ReadRun, ReadStep, Refusal};

use super::{Answer, Session};
use crate::clock;
use crate::metrics::Gauges;
use crate::reply_body::{Advance, Advanced, BrokenOff};
use crate::runtime::Runtime;
use crate::warnings::Warnings;
use crate::watch::panic_message;

/// How long a read computes on a thread that may block before it lets others have it.
const READ_SLICE: Duration = Duration::from_millis(10);

impl<R: Runtime> Session<R> {
    pub(super) async fn run_read(&self, read: Read) -> Result<Answer, Refusal> {
        let advance = self.advancer();
        let mut step = advance(read.begin(self.service.node.committer.reader(), clock::moment())).await;
        loop {
            let (run, outcome) = step;
            match outcome {
                Ok(Poll::Pending) => step = advance(run).await,
                Ok(Poll::Ready(ReadStep::Whole(reply))) => return Ok(reply.into()),
                Ok(Poll::Ready(ReadStep::Start(reply))) => return Ok(Answer { reply, rest: Some(Box::new(run)) }),
                Ok(Poll::Ready(ReadStep::Chunk(_) | ReadStep::Done)) => {
                    tracing::error!("a read gave a body before its head");
                    return Err(Refusal::Internal);
                }
                Err(BrokenOff { refusal, .. }) => return Err(refusal),
            }
        }
    }

    /// Puts the metrics together where that may wait: figures of the process are read from files, and what is stored
    /// may have to be asked for.
    pub(super) async fn render(&self, metrics: MetricsAction) -> Result<Answer, Refusal> {
        let node = Arc::clone(&self.service.node);
        let render = move || {
            let (queue_batches, queue_bytes) = node.committer.queued();
            let stored = node.committer.reader().take().and_then(|snapshot| snapshot.stats());
            let stored = stored.map_err(|error| node.warnings.unreadable(&error)).ok();
            let gauges = Gauges { stored, queue_batches, queue_bytes, body_bytes_reserved: node.budget.reserved() };
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

    pub(super) fn advancer(&self) -> Advance {
        let runtime = self.service.runtime.clone();
        let warnings = self.warnings();
        Box::new(move |run| {
            let warnings = Arc::clone(&warnings);
            Box::pin(runtime.unblock(move || advance_slice(run, &warnings)))
        })
    }

    fn warnings(&self) -> Arc<Warnings> {
        Arc::clone(&self.service.node.warnings)
    }
}

/// Computes until there is something to send, or until the time slice is over. What goes wrong is logged, whether or
/// not anything was sent yet.
fn advance_slice(mut run: ReadRun, warnings: &Warnings) -> Advanced {
    let begun = Instant::now();
    loop {
        let step = match catch_unwind(AssertUnwindSafe(|| run.poll(clock::moment(), READ_BUDGET))) {
            Ok(Ok(Poll::Pending)) if begun.elapsed() < READ_SLICE => continue,
            Ok(Ok(step)) => Ok(step),
            Ok(Err(error)) => {
                warnings.unreadable(&error);
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
