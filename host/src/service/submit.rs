//! Requests that store events: their bodies are read, parsed and committed.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::PoisonError;
use std::task::{Context, Poll};
use std::time::Instant;

use argus_core::api::{Refusal, Submission, Submitted};
use argus_core::event::Timestamp;
use argus_core::room::Room;
use bytes::Bytes;
use http_body::Body;

use super::{Answer, Elapsed, Session};
use crate::body::Reading;
use crate::budget::Reservation;
use crate::clock;
use crate::committer::SubmitError;
use crate::gate::Visitor;
use crate::metrics::Incident;
use crate::pace::Pace;
use crate::runtime::Runtime;
use crate::working_memory::WorkingReservation;

/// Bodies up to this size are parsed on the worker that read them: passing one to another thread and back takes longer
/// than parsing it.
const INLINE_BODY_BYTES_MAX: usize = 64 * 1024;

/// Estimated memory for parsing a body, as a multiple of its size. More is reserved as needed. A batch consists mostly
/// of the payloads of its body.
const PLAIN_WORK_GROWTH: usize = 2;

/// The same for a compressed body.
const COMPRESSED_WORK_GROWTH: usize = 16;

impl<R: Runtime> Session<R> {
    pub(super) async fn submit<B>(
        &self,
        submission: Submission,
        visitor: &mut Visitor,
        body: B,
        begun: Instant,
    ) -> Result<Answer, Refusal>
    where
        B: Body<Data = Bytes> + Send,
    {
        let node = &*self.service.node;
        let (bytes, reservation) = self.read(&submission, visitor, body, begun).await?;
        let arrival = clock::now();
        node.metrics.body_arrived(bytes.len());
        // Starts only now, since the client decides how long the body takes.
        let deadline = self.connection.now() + node.settings.request_timeout;
        let (submitted, work) = if bytes.len() <= INLINE_BODY_BYTES_MAX && !submission.is_compressed() {
            let submitted = submission.handle_body(&bytes, arrival);
            drop((bytes, reservation));
            (submitted, None)
        } else {
            let reading = Box::pin(self.parse_on_blocking_thread(submission, bytes, arrival, reservation));
            let (submitted, work) = self.within(deadline, reading).await.map_err(|Elapsed| Refusal::Timeout)?;
            (submitted, Some(work))
        };
        let (batch, acknowledgement) = match submitted {
            Submitted::Reply(reply) => return Ok(reply.into()),
            Submitted::Commit(batch, acknowledgement) => (batch, acknowledgement),
        };
        let pending = node.committer.submit(batch);
        // From here on the batch is queued or refused. The acknowledgement keeps up to 100 faults, and where the events
        // are in the body. That is usually a few bytes: at most 28 for each event, and with `records_from` 4 for each
        // token and each array on the way to an array of records.
        drop(work);
        let outcome = match pending {
            Ok(pending) => self.within(deadline, pending).await.map_err(|Elapsed| Refusal::Timeout)?,
            Err(SubmitError::QueueFull) => return Err(Refusal::Overloaded),
            Err(SubmitError::Stopped) => return Err(Refusal::Draining),
            Err(SubmitError::Failure(failure)) => Err(failure.into()),
        };
        if let Ok(receipt) = &outcome {
            visitor.committed(receipt);
        }
        Ok(acknowledgement.reply(&outcome).into())
    }

    /// Reads a submission's body to its end, as long as it keeps arriving.
    async fn read<B>(
        &self,
        submission: &Submission,
        visitor: &mut Visitor,
        body: B,
        begun: Instant,
    ) -> Result<(Bytes, Reservation), Refusal>
    where
        B: Body<Data = Bytes> + Send,
    {
        let node = &*self.service.node;
        let pace = Pace::new(node.settings.body_timeout, node.settings.min_body_rate, begun);
        let mut body = pin!(body);
        let mut reading = Reading::new(body.as_mut(), submission.wire_bytes_max(), pace, &node.clock, &node.budget)?;
        let read = poll_fn(|cx| self.poll_reading(cx, &mut reading)).await;
        visitor.body_arrived(reading.arrived());
        // hyper reports the end of a chunked body only when polled again, but the body was read completely.
        let mut connection = self.connection.state();
        connection.set_body_unread(read.is_err());
        match &read {
            Err(Refusal::BodyBroken) => connection.body_breaks(),
            Err(Refusal::BodyTimeout) => node.metrics.connection_incident(Incident::BodyTimeout),
            Ok(_) | Err(_) => {}
        }
        read
    }

    fn poll_reading<B: Body<Data = Bytes>>(
        &self,
        cx: &mut Context<'_>,
        reading: &mut Reading<'_, B>,
    ) -> Poll<Result<(Bytes, Reservation), Refusal>> {
        if let Poll::Ready(read) = reading.poll(cx) {
            return Poll::Ready(read);
        }
        reading.arriving(self.connection.state().undecrypted());
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        timer.poll_deadline(cx, reading.deadline()).map(|()| Err(Refusal::BodyTimeout))
    }

    /// Parses a large body, or one that may become large, on a blocking thread. Also returns the reservation of the
    /// memory it used.
    async fn parse_on_blocking_thread(
        &self,
        submission: Submission,
        bytes: Bytes,
        arrival: Timestamp,
        reservation: Reservation,
    ) -> (Submitted, WorkingReservation) {
        let service = &self.service;
        let permit = service.parsers.acquire_arc().await;
        let growth = if submission.is_compressed() { COMPRESSED_WORK_GROWTH } else { PLAIN_WORK_GROWTH };
        let mut work = service.working_memory.reserve(bytes.len().saturating_mul(growth)).await;
        // The permit and the reservation move to the thread, which runs on even if the request is dropped.
        let held = (permit, reservation);
        let submitted = service.runtime.unblock(move || {
            let submitted = {
                let mut grow = |bytes| work.grow_to(bytes);
                submission.handle_body_within(&bytes, arrival, Room::new(&mut grow))
            };
            drop((bytes, held));
            (submitted, work)
        });
        submitted.await
    }
}
