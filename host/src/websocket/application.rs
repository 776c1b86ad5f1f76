//! What runs on a WebSocket.

use std::fmt;
use std::task::{Context, Poll};

use argus_core::api::SocketClose;
use bytes::Bytes;

use super::codec::Codec;
use super::message::Message;

/// What runs on a WebSocket. Pings, pongs, closing handshakes and protocol errors are handled for it. It is dropped as
/// soon as the WebSocket closes.
pub trait Application: fmt::Debug + Send {
    /// Longest message that the client may send, in bytes. A longer one closes the WebSocket with 1009.
    fn message_bytes_max(&self) -> usize;

    /// A message of the client has arrived. Returns how to close the WebSocket, if it has to be closed.
    fn handle_message(&mut self, message: Message, outgoing: &mut Outgoing<'_>) -> Option<SocketClose>;

    /// Sends the next messages, at most some 64 KiB of them at a time. It is polled when the messages before them were
    /// written, so it need not limit what it sends.
    ///
    /// `is_draining` says that the server is stopping; the application is polled when that begins. An application that
    /// closes the WebSocket then lets the server stop with exit code 0; otherwise it is cut off when the drain times
    /// out.
    fn poll_next(&mut self, cx: &mut Context<'_>, is_draining: bool, outgoing: &mut Outgoing<'_>) -> Poll<Step>;
}

/// What an application has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has sent messages. It is polled again.
    Sent,
    /// The WebSocket has to be closed, after the messages sent before.
    Close(SocketClose),
}

/// Takes messages to the client.
#[derive(Debug)]
pub struct Outgoing<'a> {
    pub(super) codec: &'a mut Codec,
}

impl Outgoing<'_> {
    /// Sends a text, in one frame. The bytes must be valid UTF-8, or the client will fail the connection.
    pub fn text(&mut self, bytes: Bytes) {
        self.codec.send(Message::Text(bytes));
    }

    /// Sends a message, in one frame.
    pub fn message(&mut self, message: Message) {
        self.codec.send(message);
    }
}
