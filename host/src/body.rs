//! A request's body, from the wire into memory, within limits.

use std::pin::Pin;
use std::sync::Arc;

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
    let mut piece = Some(first);
    while let Some(data) = piece {
        let bytes = collected.len() + data.len();
        if bytes > bytes_max {
            return Err(Refusal::BodyTooLarge);
        }
        if bytes > expected {
            // The old buffer lives until the new one is filled.
            let doubled = bytes.max(2 * expected).min(bytes_max);
            reservation.grow_to(expected + doubled).map_err(|_| Refusal::Overloaded)?;
            collected.reserve(doubled - collected.len());
            expected = doubled;
        }
        collected.extend_from_slice(&data);
        piece = next_data(body.as_mut()).await?;
    }
    Ok((collected.freeze(), reservation))
}

/// The next piece that has bytes.
async fn next_data<B>(mut body: Pin<&mut B>) -> Result<Option<Bytes>, Refusal>
where
    B: Body<Data = Bytes>,
{
    loop {
        match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Refusal::BodyBroken),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
        }
    }
}
