//! Requests that read: what they ask for is found on threads that may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_core::api::{Lookup, Metrics as MetricsAction, Refusal, Route, Search, SearchRun, SearchStep};

use super::{Answer, Session};
use crate::metrics::Gauges;
use crate::reply_body::{Advance, Advanced, BrokenOff};
use crate::runtime::Runtime;
use crate::warnings::Warnings;
use crate::watch::panic_message;

/// How long a search computes on a thread with the priority of all others. Most are done by then.
const FIRST_SLICE: Duration = Duration::from_millis(2);

/// How long a search computes at a time in the background.
const SEARCH_SLICE: Duration = Duration::from_millis(10);

impl<R: Runtime> Session<R> {
    pub(super) async fn search(&self, search: Search) -> Result<Answer, Refusal> {
        let snapshot = self.service.node.committer.snapshot();
        let advance = self.advancer();
        let warnings = self.warnings();
        let begin = move || advance_slice(search.begin(snapshot), FIRST_SLICE, &warnings);
        let mut step = self.service.runtime.unblock(begin).await;
        loop {
            let (run, outcome) = step;
            match outcome {
                Ok(SearchStep::Pending) => step = advance(run).await,
                Ok(SearchStep::Whole(reply)) => return Ok(reply.into()),
                Ok(SearchStep::Start(reply)) => return Ok(Answer { reply, rest: Some(Box::new(run)) }),
                Ok(SearchStep::Chunk(_) | SearchStep::Done) => {
                    tracing::error!("a search gave a body before its head");
                    return Err(Refusal::Internal);
                }
                Err(BrokenOff { refusal, .. }) => return Err(refusal),
            }
        }
    }

    pub(super) async fn look_up(&self, lookup: Lookup) -> Result<Answer, Refusal> {
        let snapshot = self.service.node.committer.snapshot();
        let found = self.service.runtime.unblock(move || lookup.reply(&*snapshot)).await;
        found.map(Answer::from).map_err(|error| {
            self.service.node.warnings.unreadable(&error);
            Refusal::Unreadable(error)
        })
    }

    pub(super) fn render(&self, metrics: MetricsAction) -> Answer {
        let node = &*self.service.node;
        let (queue_batches, queue_bytes) = node.committer.queued();
        let stored = node.committer.snapshot().stats();
        let gauges = Gauges { stored, queue_batches, queue_bytes, body_bytes_reserved: node.budget.reserved() };
        match node.metrics.render(&gauges) {
            Ok(text) => metrics.reply(text).into(),
            Err(error) => {
                tracing::error!("the metrics could not be rendered: {error}");
                self.refusal(Route::Metrics, &Refusal::Internal)
            }
        }
    }

    /// Goes on with a search. What was not found in its first slice may take long, and gives way to all that does not.
    pub(super) fn advancer(&self) -> Advance {
        let runtime = self.service.runtime.clone();
        let warnings = self.warnings();
        Box::new(move |run| {
            let warnings = Arc::clone(&warnings);
            Box::pin(runtime.run_in_background(move || advance_slice(run, SEARCH_SLICE, &warnings)))
        })
    }

    fn warnings(&self) -> Arc<Warnings> {
        Arc::clone(&self.service.node.warnings)
    }
}

/// Computes until there is something to send, or until the time slice is over. What goes wrong is logged, whether or
/// not anything was sent yet.
fn advance_slice(mut run: SearchRun, slice: Duration, warnings: &Warnings) -> Advanced {
    let begun = Instant::now();
    loop {
        let step = match catch_unwind(AssertUnwindSafe(|| run.poll())) {
            Ok(Ok(SearchStep::Pending)) if begun.elapsed() < slice => continue,
            Ok(Ok(step)) => Ok(step),
            Ok(Err(error)) => {
                warnings.unreadable(&error);
                Err(BrokenOff { reason: error.to_string(), refusal: Refusal::Unreadable(error) })
            }
            Err(panic) => {
                let reason = format!("panic: {}", panic_message(panic.as_ref()));
                tracing::error!(reason, "a search failed");
                Err(BrokenOff { reason, refusal: Refusal::Internal })
            }
        };
        return (run, step);
    }
}
