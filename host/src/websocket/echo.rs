//! An application that sends every message back, for tests of the protocol.

use std::task::{Context, Poll};

use argus_core::api::SocketClose;

use super::application::{Application, Outgoing, Step};
use super::message::Message;

/// Longest message, in bytes. Autobahn's fuzzing client sends 16 MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Sends every message back.
#[derive(Debug, Default)]
pub struct Echo(());

impl Application for Echo {
    fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX
    }

    fn handle_message(&mut self, message: Message, outgoing: &mut Outgoing<'_>) -> Option<SocketClose> {
        outgoing.message(message);
        None
    }

    fn poll_next(&mut self, _: &mut Context<'_>, is_draining: bool, _: &mut Outgoing<'_>) -> Poll<Step> {
        // The driver polls again when the drain begins.
        if is_draining {
            Poll::Ready(Step::Close(SocketClose { code: 1001, reason: String::new() }))
        } else {
            Poll::Pending
        }
    }
}
