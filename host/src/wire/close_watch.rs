//! When a connection has to be closed: at a deadline, to make room for another one, or when the server drains.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};

use crate::connection::{CloseReason, Connection};
use crate::eviction::Registration;
use crate::lifecycle::{DrainWatch, Lifecycle};
use crate::runtime::Runtime;
use crate::socket::Socket;
use crate::timer::Timer;
use crate::wire_io::lock;

/// Ends a connection at its deadlines, or when the server drains.
pub(super) struct CloseWatch<'a, R, I> {
    pub(super) timer: Timer<R>,
    pub(super) connection: &'a Connection,
    pub(super) socket: &'a Mutex<I>,
    pub(super) registration: Registration,
    pub(super) lifecycle: &'a Lifecycle,
    pub(super) drain: DrainWatch,
}

impl<R: Runtime, I: Socket> CloseWatch<'_, R, I> {
    /// Whether the server drains. If so, tells the connection's state.
    pub(super) fn drain_begins(&mut self, cx: &mut Context<'_>) -> bool {
        let begins = self.drain.has_begun(cx);
        if begins {
            self.connection.state().drain_begins(self.connection.now());
        }
        begins
    }

    /// Ready when the connection has to be closed at a deadline, or to make room for another one. Call it after the
    /// connection's input was processed.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        loop {
            self.registration.check(cx, self.lifecycle.room());
            let Some((deadline, reason)) = self.connection.state().deadline() else { return Poll::Pending };
            ready!(self.timer.poll_deadline(cx, deadline));
            let (mut socket, now) = (lock(self.socket), self.connection.now());
            let mut state = self.connection.state();
            match reason {
                CloseReason::WriteStalled => state.check_stall(now, socket.acknowledged()),
                CloseReason::Evicted => state.check_input(socket.has_input()),
                CloseReason::ClientGone => {
                    if let Some(byte) = state.check_client(now, socket.tcp_state()) {
                        match Pin::new(&mut *socket).poll_write(cx, &[byte]) {
                            Poll::Ready(Ok(1..)) => state.probe_sent(now),
                            Poll::Ready(Err(_)) => return Poll::Ready(reason),
                            Poll::Ready(Ok(0)) | Poll::Pending => {}
                        }
                    }
                }
                CloseReason::Idle | CloseReason::SlowHead | CloseReason::Lingered => {}
            }
            // The client may have made progress since. The connection is closed only if the deadline is the same.
            if state.deadline() == Some((deadline, reason)) {
                return Poll::Ready(reason);
            }
        }
    }
}
