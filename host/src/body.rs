//! Reading a request's body into memory, within limits.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use argus_core::api::Refusal;
use bytes::Bytes;
use http_body::Body;

use crate::budget::{Arrival, Budget, Reservation, Share};
use crate::clock::Clock;
use crate::pace::Pace;

/// Reads a body to its end. Reserves memory from the budget as the body arrives, always before allocating it. Drops
/// trailers.
#[derive(Debug)]
pub(crate) struct Reading<'a, B> {
    body: Pin<&'a mut B>,
    /// The declared length, or the most bytes allowed if none is declared.
    length_max: usize,
    pace: Pace,
    clock: &'a Clock,
    budget: &'a Arc<Budget>,
    /// Collects the pieces, once there is more than one.
    arrival: Option<Arrival>,
    /// Bytes that have arrived.
    arrived: usize,
    /// Bytes that the pace has counted before they could be read.
    ahead: usize,
}

impl<'a, B: Body<Data = Bytes>> Reading<'a, B> {
    /// # Errors
    ///
    /// [`Refusal::BodyTooLarge`] if more than `bytes_max` bytes are declared.
    pub(crate) fn new(
        body: Pin<&'a mut B>,
        bytes_max: usize,
        pace: Pace,
        clock: &'a Clock,
        budget: &'a Arc<Budget>,
    ) -> Result<Self, Refusal> {
        let length_max = match body.size_hint().exact() {
            Some(bytes) => usize::try_from(bytes).ok().filter(|&bytes| bytes <= bytes_max),
            None => Some(bytes_max),
        };
        let length_max = length_max.ok_or(Refusal::BodyTooLarge)?;
        Ok(Self { body, length_max, pace, clock, budget, arrival: None, arrived: 0, ahead: 0 })
    }

    /// When the body times out unless more of it arrives.
    pub(crate) fn deadline(&self) -> Instant {
        self.pace.deadline()
    }

    /// How many bytes have arrived so far.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived
    }

    /// This many bytes have arrived that cannot be read yet, as those of an encrypted record that is not complete. They
    /// show that the body keeps arriving.
    pub(crate) fn arriving(&mut self, bytes: usize) {
        let more = bytes.saturating_sub(self.ahead);
        if more > 0 {
            self.ahead = bytes;
            self.pace.advance(more, self.clock.now());
            self.arrival.iter().for_each(|arrival| arrival.keeps(self.pace));
        }
    }

    /// Ready with the whole body.
    ///
    /// # Errors
    ///
    /// [`Refusal::BodyTooLarge`] beyond the length; [`Refusal::Overloaded`] if the budget is used up, or the body
    /// stalled and others needed its memory; [`Refusal::BodyBroken`] if the body ends early or is malformed. Dropping
    /// this returns all memory.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Bytes, Reservation), Refusal>> {
        loop {
            let Poll::Ready(next) = poll_data(self.body.as_mut(), cx) else {
                return match self.arrival.as_ref().map(|arrival| arrival.watch(cx.waker())) {
                    Some(Err(refusal)) => Poll::Ready(Err(refusal)),
                    Some(Ok(())) | None => Poll::Pending,
                };
            };
            match next.and_then(|data| self.take(data)) {
                Ok(None) => {}
                Ok(Some(whole)) => return Poll::Ready(Ok(whole)),
                Err(refusal) => return Poll::Ready(Err(refusal)),
            }
        }
    }

    /// Takes the next piece, or the end (`None`); returns the body if it is complete.
    fn take(&mut self, data: Option<Bytes>) -> Result<Option<(Bytes, Reservation)>, Refusal> {
        let Some(data) = data else {
            return match self.arrival.take() {
                Some(arrival) => arrival.finish().map(Some),
                None => Ok(Some((Bytes::new(), self.budget.reserve()))),
            };
        };
        self.arrived = self.arrived.saturating_add(data.len());
        let is_last = self.body.is_end_stream();
        let arrival = match &mut self.arrival {
            Some(arrival) => arrival,
            // A body in one piece, as most small ones are, is used without a copy.
            None if is_last => return self.reserve_for(data).map(Some),
            none => none.insert(Arrival::new(self.length_max, self.pace, self.budget)),
        };
        self.pace.advance(data.len().saturating_sub(self.ahead), self.clock.now());
        self.ahead = self.ahead.saturating_sub(data.len());
        arrival.push(&data, self.pace)?;
        Ok(None)
    }

    /// The body, if it consists of this piece alone.
    fn reserve_for(&self, data: Bytes) -> Result<(Bytes, Reservation), Refusal> {
        if data.len() > self.length_max {
            return Err(Refusal::BodyTooLarge);
        }
        let mut reservation = self.budget.reserve();
        reservation.grow_to(data.len(), Share::of(data.len())).map_err(|_| Refusal::Overloaded)?;
        Ok((data, reservation))
    }
}

/// The next piece that is not empty; `None` at the end.
fn poll_data<B: Body<Data = Bytes>>(
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, Refusal>> {
    loop {
        let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else { return Poll::Pending };
        match frame {
            None => return Poll::Ready(Ok(None)),
            Some(Err(_)) => return Poll::Ready(Err(Refusal::BodyBroken)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Ok(Some(data))),
                Err(_trailers) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::future::poll_fn;
    use std::io;
    use std::num::NonZeroUsize;
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    const PIECE_BYTES: usize = 16 * 1024;

    /// Reads a body that has arrived completely. Panics otherwise.
    fn read_now<B: Body<Data = Bytes>>(
        body: B,
        bytes_max: usize,
        budget: &Arc<Budget>,
    ) -> Result<(Bytes, Reservation), Refusal> {
        let clock = Clock::default();
        let pace = Pace::new(Duration::from_secs(1), NonZeroUsize::MIN, clock.now());
        let mut body = pin!(body);
        let mut reading = Reading::new(body.as_mut(), bytes_max, pace, &clock, budget)?;
        poll_fn(|cx| reading.poll(cx)).now_or_never().unwrap()
    }

    fn chunked(chunks: Vec<io::Result<&'static [u8]>>) -> impl Body<Data = Bytes> {
        let frames = chunks.into_iter().map(|chunk| chunk.map(|bytes| Frame::data(Bytes::from_static(bytes))));
        StreamBody::new(stream::iter(frames))
    }

    #[test]
    fn one_piece_is_not_copied() {
        let budget = Budget::new(10);
        let sent = Bytes::from_static(b"0123456789");
        let (bytes, reservation) = read_now(Full::new(sent.clone()), 10, &budget).unwrap();
        assert_eq!(bytes.as_ptr(), sent.as_ptr());
        assert_eq!(budget.reserved(), 10);
        drop(reservation);
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn pieces_are_joined() {
        let budget = Budget::new(1 << 20);
        let body = chunked(vec![Ok(b"01"), Ok(b""), Ok(b"2345"), Ok(b"6")]);
        let (bytes, _reservation) = read_now(body, 7, &budget).unwrap();
        assert_eq!(bytes, "0123456");
        let (bytes, _reservation) = read_now(chunked(vec![]), 7, &budget).unwrap();
        assert_eq!(bytes, "");
    }

    #[test]
    fn a_body_that_is_too_large_is_refused_and_its_memory_returned() {
        let budget = Budget::new(1 << 20);
        let refused = |body| read_now(body, 7, &budget).map(|(bytes, _)| bytes);
        assert_eq!(refused(chunked(vec![Ok(b"0123"), Ok(b"4567")])), Err(Refusal::BodyTooLarge));
        assert_eq!(refused(chunked(vec![Ok(b"01234567")])), Err(Refusal::BodyTooLarge));
        let declared = Full::new(Bytes::from_static(b"01234567"));
        assert_eq!(read_now(declared, 7, &budget).map(|(bytes, _)| bytes), Err(Refusal::BodyTooLarge));
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn a_broken_body_is_refused_and_its_memory_returned() {
        let budget = Budget::new(1 << 20);
        let body = chunked(vec![Ok(b"0123"), Err(io::ErrorKind::UnexpectedEof.into())]);
        assert_eq!(read_now(body, 100, &budget).map(|(bytes, _)| bytes), Err(Refusal::BodyBroken));
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn the_budget_counts_what_is_allocated() {
        static PIECE: [u8; PIECE_BYTES] = [b' '; PIECE_BYTES];
        let pieces = || chunked((0..4).map(|_| Ok(PIECE.as_slice())).collect());
        let budget = Budget::new(16 * PIECE_BYTES);
        let (bytes, _reservation) = read_now(pieces(), 8 * PIECE_BYTES, &budget).unwrap();
        assert_eq!(bytes.len(), 4 * PIECE_BYTES);
        assert!(budget.reserved() >= 4 * PIECE_BYTES);
        let tight = Budget::new(3 * PIECE_BYTES);
        assert_eq!(read_now(pieces(), 8 * PIECE_BYTES, &tight).map(|(bytes, _)| bytes), Err(Refusal::Overloaded));
        assert_eq!(tight.reserved(), 0);
        let declared = Full::new(Bytes::from_static(&PIECE));
        let tiny = Budget::new(PIECE_BYTES - 1);
        assert_eq!(read_now(declared, PIECE_BYTES, &tiny).map(|(bytes, _)| bytes), Err(Refusal::Overloaded));
    }
}
