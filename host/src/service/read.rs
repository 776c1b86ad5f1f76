//! Requests that read. The work is done on threads that may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use argus_core::api::{Metrics as MetricsAction, READ_BUDGET, Read, ReadPart, ReadRun, ReadStep, Refusal};
use argus_core::repository::ReadError;
use futures_util::future::{join, join_all};

use super::{Answer, Elapsed, Session, Streamed};
use crate::answers::{Admitted, Standing};
use crate::clock;
use crate::metrics::Gauges;
use crate::node::Node;
use crate::pool::THREADS_MAX;
use crate::reply_body::{Advance, Advanced, Advancing, BrokenOff};
use crate::runtime::Runtime;
use crate::watch::panic_message;

/// How long a read computes at normal priority. Most are complete by then.
const FIRST_SLICE: Duration = Duration::from_millis(2);

/// How long a read computes at a time in the background.
const READ_SLICE: Duration = Duration::from_millis(10);

/// How long a suspended read may compute at a time until it has examined an event. Before, it only opens blocks, and
/// could not be suspended again without losing that work.
const START_SLICE: Duration = Duration::from_millis(100);

impl<R: Runtime> Session<R> {
    /// Answers a read, or starts its streamed answer, before the deadline.
    pub(super) async fn read_by(&self, deadline: Instant, read: Read) -> Result<Answer, Refusal> {
        let may_stream = read.may_stream();
        // A page ends at half of its time, and waiting for room is part of that.
        let run = read.begin(clock::moment());
        // An answer that is not streamed needs no share of the budget.
        let admitted = if may_stream {
            let admitted = self.within(deadline, Box::pin(self.service.node.answers.admit())).await;
            Some(Arc::new(admitted.map_err(|Elapsed| Refusal::AnswersFull)?))
        } else {
            None
        };
        let done = self.within(deadline, Box::pin(self.run_read(run, admitted))).await;
        done.unwrap_or(Err(Refusal::ReadTimeout))
    }

    async fn run_read(&self, run: ReadRun, admitted: Option<Arc<Admitted>>) -> Result<Answer, Refusal> {
        let (node, held) = (Arc::clone(&self.service.node), admitted.clone());
        let first = move || advance_slice(run, FIRST_SLICE, held.as_deref(), &node);
        let mut step = self.service.runtime.unblock(first).await;
        let advance = self.advancer(admitted.clone());
        loop {
            let (run, outcome) = step;
            match outcome {
                Ok(Poll::Pending) => {
                    let (run, parts) = self.divide(run).await;
                    step = self.help(advance(run), parts, admitted.as_ref()).await;
                }
                Ok(Poll::Ready(ReadStep::Whole(draft))) => return Ok(draft.into()),
                Ok(Poll::Ready(ReadStep::Stopped(refusal))) => return Err(refusal),
                Ok(Poll::Ready(ReadStep::Start(draft))) => {
                    let Some(admitted) = admitted else {
                        tracing::error!("a read streams its answer that was to be whole");
                        return Err(Refusal::Internal);
                    };
                    admitted.park(run);
                    return Ok(Answer { draft, streamed: Some(Streamed::Read(admitted)) });
                }
                Ok(Poll::Ready(ReadStep::Chunk(_) | ReadStep::Done)) => {
                    tracing::error!("a read gave a body before its head");
                    return Err(Refusal::Internal);
                }
                Err(BrokenOff { refusal, .. }) => return Err(refusal),
            }
        }
    }

    /// Divides a read if other threads can help with it. That copies the compiled query for each of them, so it is not
    /// done on a worker of the executor.
    async fn divide(&self, mut run: ReadRun) -> (ReadRun, Vec<ReadPart>) {
        let threads = self.service.node.threads.get().min(THREADS_MAX);
        if threads == 1 || !run.is_inquiring() {
            return (run, Vec::new());
        }
        let divide = move || {
            let parts = run.split(threads - 1);
            (run, parts)
        };
        self.service.runtime.run_in_background(divide).await
    }

    /// Waits for a read that is continued, while other threads work on parts of it.
    async fn help(&self, advancing: Advancing, parts: Vec<ReadPart>, admitted: Option<&Arc<Admitted>>) -> Advanced {
        if parts.is_empty() {
            return advancing.await;
        }
        let helping = parts.into_iter().map(|part| {
            // A part that nobody waits for any more keeps its share of the memory for answers until it ends.
            let (node, admitted) = (Arc::clone(&self.service.node), admitted.cloned());
            self.service.runtime.run_in_background(move || {
                let advanced = advance_part(part, READ_SLICE, &node);
                drop(admitted);
                advanced
            })
        });
        let ((mut run, mut outcome), helped) = join(advancing, join_all(helping)).await;
        for (part, computed, result) in helped {
            run.join(part);
            run.spend(computed);
            if let Err(broken_off) = result {
                outcome = Err(broken_off);
            }
        }
        (run, outcome)
    }

    /// Renders the metrics on a thread that may block: those of the process are read from files, and the repository may
    /// be remote. The text is compressed there as well.
    pub(super) async fn render(&self, metrics: MetricsAction) -> Result<Answer, Refusal> {
        let node = Arc::clone(&self.service.node);
        let render = move || {
            let (queue_batches, queue_bytes) = node.committer.queued();
            let snapshot = node.committer.reader().take();
            // Statistics may be unreadable in a snapshot that says where it ends.
            let stream_lag_events = snapshot.as_ref().ok().map(|snapshot| node.streams.lag(snapshot.last_seq()));
            let stored = snapshot.and_then(|snapshot| snapshot.stats());
            let stored = stored.map_err(|error| node.warnings.unreadable(&error)).ok();
            let (answer_bytes_held, answers_in_flight) = node.answers.held();
            let stream_buffer_bytes = node.streams.buffer_bytes();
            let body_bytes_reserved = node.budget.reserved();
            let gauges = Gauges {
                stored,
                queue_batches,
                queue_bytes,
                body_bytes_reserved,
                answer_bytes_held,
                answers_in_flight,
                stream_buffer_bytes,
                stream_lag_events,
            };
            node.metrics.render(&gauges).map(|text| metrics.reply(text))
        };
        match self.service.runtime.unblock(render).await {
            Ok(draft) => Ok(draft.into()),
            Err(error) => {
                tracing::error!("the metrics could not be rendered: {error}");
                Err(Refusal::Internal)
            }
        }
    }

    /// Continues a read at low priority: a read that was not complete after its first slice may take long.
    pub(super) fn advancer(&self, admitted: Option<Arc<Admitted>>) -> Advance {
        let runtime = self.service.runtime.clone();
        let node = Arc::clone(&self.service.node);
        Box::new(move |run| {
            let (node, admitted) = (Arc::clone(&node), admitted.clone());
            Box::pin(runtime.run_in_background(move || advance_slice(run, READ_SLICE, admitted.as_deref(), &node)))
        })
    }
}

/// Computes until there is something to send or the time slice is over, and accounts for what the read then holds.
/// Errors are logged, whether or not anything was sent yet.
fn advance_slice(mut run: ReadRun, slice: Duration, admitted: Option<&Admitted>, node: &Node) -> Advanced {
    let begun = Instant::now();
    let reader = node.committer.reader();
    let step = loop {
        let slice = if run.is_starting() { START_SLICE } else { slice };
        match attempt(node, || run.poll(&reader, clock::moment(), READ_BUDGET)) {
            Ok(Poll::Pending) if begun.elapsed() < slice && !run.awaits_parts() => {}
            Ok(step) => {
                if let Poll::Ready(ReadStep::Stopped(refusal)) = &step {
                    node.metrics.query_stopped(refusal);
                }
                break Ok(step);
            }
            Err(broken_off) => break Err(broken_off),
        }
    };
    run.spend(begun.elapsed());
    if let Some(admitted) = admitted {
        let chunk_bytes = match &step {
            Ok(Poll::Ready(ReadStep::Chunk(chunk))) => chunk.len(),
            Ok(
                Poll::Ready(ReadStep::Whole(_) | ReadStep::Start(_) | ReadStep::Done | ReadStep::Stopped(_))
                | Poll::Pending,
            )
            | Err(_) => 0,
        };
        let standing = admitted.account(&mut run, chunk_bytes);
        // Other reads go on when there is room again. An answer that is computed as a whole only grows until it is
        // sent.
        if standing == Standing::Excessive && run.is_inquiring() && matches!(step, Ok(Poll::Pending)) {
            return (run, Ok(Poll::Ready(ReadStep::Stopped(Refusal::AnswersFull))));
        }
    }
    (run, step)
}

/// Computes a part of a read until it is finished or the time slice is over. Returns it with the time that it took.
fn advance_part(mut part: ReadPart, slice: Duration, node: &Node) -> (ReadPart, Duration, Result<(), BrokenOff>) {
    let begun = Instant::now();
    let result = loop {
        match attempt(node, || part.poll(READ_BUDGET)) {
            Ok(Poll::Pending) if begun.elapsed() < slice => {}
            Ok(Poll::Pending | Poll::Ready(())) => break Ok(()),
            Err(broken_off) => break Err(broken_off),
        }
    };
    (part, begun.elapsed(), result)
}

/// Runs a step of a read. Logs its error, or its panic.
fn attempt<T>(node: &Node, step: impl FnOnce() -> Result<T, ReadError>) -> Result<T, BrokenOff> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => {
            node.warnings.unreadable(&error);
            Err(BrokenOff { reason: error.to_string(), refusal: Refusal::Unreadable(error) })
        }
        Err(panic) => {
            let reason = format!("panic: {}", panic_message(panic.as_ref()));
            tracing::error!(reason, "a read failed");
            Err(BrokenOff { reason, refusal: Refusal::Internal })
        }
    }
}
