//! A live stream over a WebSocket.

use std::fmt;
use std::task::{Context, Poll, ready};

use argus_core::api::{Notice, SocketClose, socket_gap};

use super::application::{Application, Outgoing, Step};
use super::message::Message;
use crate::runtime::Runtime;
use crate::streams::{StreamItem, StreamReader};

/// Longest message of a client that is read before it is refused, in bytes. It may be any small number: all messages
/// are refused, and the client of a longer one is told that it is too long instead.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Sends the events of a reader, one message each.
pub(crate) struct Subscriber<R> {
    reader: StreamReader<R>,
}

impl<R: Runtime> Subscriber<R> {
    pub(crate) fn new(reader: StreamReader<R>) -> Self {
        Self { reader }
    }
}

impl<R: Runtime> Application for Subscriber<R> {
    fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX
    }

    fn handle_message(&mut self, _: Message, _: &mut Outgoing<'_>) -> Option<SocketClose> {
        Some(SocketClose::unsupported())
    }

    // The reader itself notices that the server drains.
    fn poll_next(&mut self, cx: &mut Context<'_>, _: bool, outgoing: &mut Outgoing<'_>) -> Poll<Step> {
        Poll::Ready(match ready!(self.reader.poll_next(cx)) {
            Some(Ok(StreamItem::Messages(messages))) => {
                messages.into_iter().for_each(|message| outgoing.text(message.json));
                Step::Sent
            }
            Some(Ok(StreamItem::Notice(Notice::Gap { first_seq }))) => {
                outgoing.text(socket_gap(first_seq).into());
                Step::Sent
            }
            Some(Ok(StreamItem::Notice(Notice::Slow { after_seq }))) => Step::Close(SocketClose::slow(after_seq)),
            Some(Ok(StreamItem::Notice(Notice::Drain { after_seq }))) => Step::Close(SocketClose::draining(after_seq)),
            Some(Ok(StreamItem::Notice(Notice::Revoked { after_seq }))) => Step::Close(SocketClose::revoked(after_seq)),
            // The reader has logged why. `None` comes only after the end, which closes the WebSocket.
            Some(Err(_)) | None => Step::Close(SocketClose::failed(self.reader.sent())),
        })
    }
}

impl<R> fmt::Debug for Subscriber<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}
