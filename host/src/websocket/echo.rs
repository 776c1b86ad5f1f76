//! An application that sends every message back, for tests of the protocol.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use argus_core::api::SocketClose;

use super::application::{Application, Message, Outgoing, Step};

/// Longest message, in bytes. Autobahn's fuzzing client sends 16 MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Sends every message back.
#[derive(Debug, Default)]
pub struct Echo {
    queue: VecDeque<Message>,
    waker: Option<Waker>,
}

impl Application for Echo {
    fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX
    }

    fn handle_message(&mut self, message: Message) -> Option<SocketClose> {
        self.queue.push_back(message);
        self.waker.take().into_iter().for_each(Waker::wake);
        None
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, is_draining: bool, outgoing: &mut Outgoing<'_>) -> Poll<Step> {
        match self.queue.pop_front() {
            Some(message) => {
                outgoing.message(message);
                Poll::Ready(Step::Sent)
            }
            None if is_draining => Poll::Ready(Step::Close(SocketClose { code: 1001, reason: String::new() })),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
