//! The handshake of TLS, before the first request of a connection.

use std::future::poll_fn;
use std::task::Poll;

use argus_core::api::Refusal;

use super::{CloseWatch, RunError, Wire};
use crate::connection::CloseReason;
use crate::metrics::Handshake;
use crate::raw_answer;
use crate::runtime::Runtime;
use crate::socket::Socket;
use crate::tls::{HandshakeError, Secured};
use crate::wire_io::{lock, poll_discard};

impl<R: Runtime> Wire<R> {
    /// Agrees on keys with the client, within the header timeout. Until then the connection counts as one with part of
    /// a head: it may be evicted, and a drain closes it, since no request has arrived.
    pub(super) async fn handshake<I: Socket>(
        &self,
        close_watch: &mut CloseWatch<'_, R, Secured<I>>,
    ) -> Result<(), RunError> {
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(ended) = lock(close_watch.socket).poll_handshake(cx) {
                return Poll::Ready(ended.map_err(RunError::Handshake));
            }
            if close_watch.drain_begins(cx) {
                return Poll::Ready(Err(RunError::Handshake(HandshakeError::Draining)));
            }
            close_watch.poll_close(cx).map(|reason| Err(RunError::Closed(reason)))
        })
        .await;
        self.node.metrics.handshake_ended(match &outcome {
            Ok(()) => Handshake::Complete,
            Err(RunError::Handshake(HandshakeError::Failed(_) | HandshakeError::TooLong)) => Handshake::Failed,
            Err(RunError::Handshake(HandshakeError::PlainHttp)) => Handshake::PlainHttp,
            Err(RunError::Closed(CloseReason::SlowHead)) => Handshake::Timeout,
            Err(
                RunError::Handshake(HandshakeError::Gone | HandshakeError::Draining)
                | RunError::Closed(_)
                | RunError::Failed(_)
                | RunError::WebSocket(_),
            ) => Handshake::Gone,
        });
        if let Err(RunError::Handshake(HandshakeError::PlainHttp)) = &outcome {
            let request_id = self.node.request_ids.next();
            let answer = raw_answer::refusal(&self.node.api, &Refusal::TlsExpected, request_id);
            poll_fn(|cx| {
                lock(close_watch.socket).answer_in_the_clear(cx, &answer);
                Poll::Ready(())
            })
            .await;
            linger(close_watch).await;
        }
        outcome?;
        let now = close_watch.connection.now();
        close_watch.connection.state().handshake_ends(now);
        Ok(())
    }
}

/// Waits until the client has stopped sending, within the limits of other refusals: closing a socket with unread input
/// sends a reset, which may overtake the answer.
async fn linger<R: Runtime, I: Socket>(close_watch: &mut CloseWatch<'_, R, Secured<I>>) {
    let connection = close_watch.connection;
    connection.state().linger_begins(connection.now());
    let mut discarded = 0;
    poll_fn(|cx| {
        // An error means that the client is gone.
        if poll_discard(close_watch.socket, connection, &mut discarded, cx).is_ready() {
            return Poll::Ready(());
        }
        close_watch.drain_begins(cx);
        close_watch.poll_close(cx).map(drop)
    })
    .await;
}
