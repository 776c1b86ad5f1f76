//! A request's body, from the wire into memory, within limits.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use argus_core::api::Refusal;
use bytes::{Bytes, BytesMut};
use http_body::Body;

use crate::budget::{Budget, Reservation};

/// What is set aside for a body of unknown length to begin with.
const FIRST_BYTES: usize = 16 * 1024;

/// Reads a body to its end, and takes what it needs from the budget: all of it at once where the length was declared, else in
/// steps, always before the memory is allocated. Trailers are dropped.
///
/// # Errors
///
/// [`Refusal::BodyTooLarge`] beyond `bytes_max`, [`Refusal::Overloaded`] where the budget is used up, [`Refusal::BodyBroken`] where the body ends
/// early or is malformed. Nothing is held then.
pub(crate) async fn read<B>(
    mut body: Pin<&mut B>,
    bytes_max: usize,
    budget: &Arc<Budget>,
) -> Result<(Bytes, Reservation), Refusal>
where
    B: Body<Data = Bytes>,
{
    let mut reservation = budget.reserve();
    let declared = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if declared.is_some_and(|bytes| bytes > bytes_max) {
        return Err(Refusal::BodyTooLarge);
    }
    let mut expected = declared.unwrap_or(FIRST_BYTES.min(bytes_max));
    reservation.grow_to(expected).map_err(|_| Refusal::Overloaded)?;

    let Some(first) = next_data(body.as_mut()).await? else { return Ok((Bytes::new(), reservation)) };
    if body.is_end_stream() {
        // One piece, as nearly all small bodies are: it is used as it is.
        if first.len() > bytes_max {
            return Err(Refusal::BodyTooLarge);
        }
        reservation.grow_to(first.len()).map_err(|_| Refusal::Overloaded)?;
        return Ok((first, reservation));
    }
    let mut collected = BytesMut::with_capacity(expected);
    let mut data = first;
    loop {
        let bytes = collected.len() + data.len();
        if bytes > bytes_max {
            return Err(Refusal::BodyTooLarge);
        }
        if bytes > expected {
            // The old buffer lives until the new one is filled.
            let doubled = bytes.max(expected.saturating_mul(2)).min(bytes_max);
            reservation.grow_to(expected.saturating_add(doubled)).map_err(|_| Refusal::Overloaded)?;
            collected.reserve(doubled - collected.len());
            expected = doubled;
        }
        collected.extend_from_slice(&data);
        // Not held while the next one is on its way.
        drop(data);
        data = match next_data(body.as_mut()).await? {
            Some(next) => next,
            None => return Ok((collected.freeze(), reservation)),
        };
    }
}

/// The next piece that has bytes.
fn next_data<B>(mut body: Pin<&mut B>) -> impl Future<Output = Result<Option<Bytes>, Refusal>>
where
    B: Body<Data = Bytes>,
{
    poll_fn(move |cx| {
        loop {
            match ready!(body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Ok(None)),
                Some(Err(_)) => return Poll::Ready(Err(Refusal::BodyBroken)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Ok(Some(data))),
                    Err(_trailers) => {}
                },
            }
        }
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io;
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    /// Reads a body that is there already; what is not would make this panic.
    fn read_now<B: Body<Data = Bytes>>(
        body: B,
        bytes_max: usize,
        budget: &Arc<Budget>,
    ) -> Result<(Bytes, Reservation), Refusal> {
        read(pin!(body).as_mut(), bytes_max, budget).now_or_never().unwrap()
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
    fn what_is_too_large_is_refused_and_given_back() {
        let budget = Budget::new(1 << 20);
        let refused = |body| read_now(body, 7, &budget).map(|(bytes, _)| bytes);
        assert_eq!(refused(chunked(vec![Ok(b"0123"), Ok(b"4567")])), Err(Refusal::BodyTooLarge));
        assert_eq!(refused(chunked(vec![Ok(b"01234567")])), Err(Refusal::BodyTooLarge));
        let declared = Full::new(Bytes::from_static(b"01234567"));
        assert_eq!(read_now(declared, 7, &budget).map(|(bytes, _)| bytes), Err(Refusal::BodyTooLarge));
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn a_broken_body_is_refused_and_given_back() {
        let budget = Budget::new(1 << 20);
        let body = chunked(vec![Ok(b"0123"), Err(io::ErrorKind::UnexpectedEof.into())]);
        assert_eq!(read_now(body, 100, &budget).map(|(bytes, _)| bytes), Err(Refusal::BodyBroken));
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn the_budget_counts_what_is_allocated() {
        static PIECE: [u8; FIRST_BYTES] = [b' '; FIRST_BYTES];
        let pieces = || chunked((0..4).map(|_| Ok(PIECE.as_slice())).collect());
        let budget = Budget::new(16 * FIRST_BYTES);
        let (bytes, _reservation) = read_now(pieces(), usize::MAX, &budget).unwrap();
        assert_eq!(bytes.len(), 4 * FIRST_BYTES);
        assert!(budget.reserved() >= 4 * FIRST_BYTES);
        let tight = Budget::new(3 * FIRST_BYTES);
        assert_eq!(read_now(pieces(), usize::MAX, &tight).map(|(bytes, _)| bytes), Err(Refusal::Overloaded));
        assert_eq!(tight.reserved(), 0);
        let declared = Full::new(Bytes::from_static(&PIECE));
        let tiny = Budget::new(FIRST_BYTES - 1);
        assert_eq!(read_now(declared, usize::MAX, &tiny).map(|(bytes, _)| bytes), Err(Refusal::Overloaded));
    }
}
