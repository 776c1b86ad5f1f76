//! The frames of one WebSocket, without I/O: bytes in, events out; messages in, bytes out.

use std::io::{self, Read, Write};

use argus_core::api::SocketClose;
use bytes::Bytes;
use tungstenite::error::{CapacityError, Error, ProtocolError};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};

use super::message::Message;

/// How many bytes the frames are read from at a time. Most clients send nothing but control frames, which are shorter.
const READ_BYTES: usize = 256;

/// Output buffers up to this size are kept while there is nothing to send, in bytes.
const IDLE_OUTPUT_BYTES_MAX: usize = 1024;

/// A WebSocket from the side of the server.
#[derive(Debug)]
pub(crate) struct Codec {
    context: WebSocketContext,
    pipe: Pipe,
    state: State,
}

/// How far the WebSocket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// The server has sent a close frame, and the client has not answered it yet.
    Closing,
    /// The closing handshake is complete, or the client broke the protocol and was told so. Nothing more is read.
    Closed,
    /// The client closed the connection without a closing handshake.
    Gone,
}

/// What has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Message(Message),
    Pong,
}

/// The byte stream below the frames, in memory.
#[derive(Debug, Default)]
struct Pipe {
    input: Bytes,
    /// No input follows.
    is_ended: bool,
    output: Vec<u8>,
    /// How many bytes of the output were written.
    written: usize,
}

impl Codec {
    /// A WebSocket that has just opened, whose client may send messages of this many bytes.
    pub(super) fn new(message_bytes_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            // Frames go straight to the output.
            .write_buffer_size(0)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        Self { context: WebSocketContext::new(Role::Server, Some(config)), pipe: Pipe::default(), state: State::Open }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Bytes have arrived. Call it only after [`next_event`](Self::next_event) has returned `None`.
    pub(super) fn handle_input(&mut self, bytes: Bytes) {
        debug_assert!(self.pipe.input.is_empty(), "all events of the last bytes were taken");
        self.pipe.input = bytes;
    }

    /// The client sends no more.
    pub(super) fn handle_end(&mut self) {
        self.pipe.is_ended = true;
    }

    /// What has arrived next. Answers pings and close frames, and closes the WebSocket if the client breaks the
    /// protocol: 1002, 1007 for a text that is not UTF-8, 1009 for a message above the limit.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        while let State::Open | State::Closing = self.state {
            match self.context.read(&mut self.pipe) {
                Ok(tungstenite::Message::Text(text)) => return Some(Event::Message(Message::Text(text.into()))),
                Ok(tungstenite::Message::Binary(bytes)) => return Some(Event::Message(Message::Binary(bytes))),
                Ok(tungstenite::Message::Pong(_)) => return Some(Event::Pong),
                // The next call writes the answer.
                Ok(tungstenite::Message::Ping(_) | tungstenite::Message::Close(_)) => {}
                Ok(tungstenite::Message::Frame(_)) => self.fail(CloseCode::Error, "a frame that is no message"),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => self.state = State::Closed,
                Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => self.state = State::Gone,
                Err(Error::Protocol(error)) => self.fail(CloseCode::Protocol, &error.to_string()),
                Err(Error::Utf8(_)) => self.fail(CloseCode::Invalid, "a text is not UTF-8"),
                Err(Error::Capacity(CapacityError::MessageTooLong { max_size, .. })) => {
                    self.fail(CloseCode::Size, &format!("a message is longer than {max_size} bytes"));
                }
                Err(
                    error @ (Error::Capacity(CapacityError::TooManyHeaders)
                    | Error::Io(_)
                    | Error::Tls(_)
                    | Error::WriteBufferFull(_)
                    | Error::AttackAttempt
                    | Error::Url(_)),
                ) => {
                    tracing::error!(%error, "a WebSocket without I/O failed");
                    self.fail(CloseCode::Error, "internal error");
                }
            }
        }
        // Nothing more is read.
        self.pipe.input = Bytes::new();
        None
    }

    /// Sends a message, unless the WebSocket closes.
    pub(super) fn send(&mut self, message: Message) {
        if self.state != State::Open || !self.context.can_write() {
            return;
        }
        let (bytes, kind) = match message {
            Message::Text(bytes) => (bytes, Data::Text),
            Message::Binary(bytes) => (bytes, Data::Binary),
        };
        // Not through the context, whose buffer would keep the size of the longest message.
        let frame = Frame::message(bytes, OpCode::Data(kind), true);
        frame.format(&mut self.pipe.output).expect("a Vec takes whatever is written to it");
    }

    /// Sends a ping, unless the WebSocket closes.
    pub(super) fn ping(&mut self) {
        if self.state == State::Open && self.context.can_write() {
            Frame::ping(Bytes::new()).format(&mut self.pipe.output).expect("a Vec takes whatever is written to it");
        }
    }

    /// Starts the closing handshake, unless one is under way.
    pub(super) fn close(&mut self, close: &SocketClose) {
        if self.state == State::Open {
            self.state = State::Closing;
            self.write_close(close.code.into(), &close.reason);
        }
    }

    /// The client broke the protocol.
    fn fail(&mut self, code: CloseCode, reason: &str) {
        self.state = State::Closed;
        self.write_close(code, reason);
    }

    fn write_close(&mut self, code: CloseCode, reason: &str) {
        // It has no effect after a close frame of the server. Its errors say that the handshake is complete.
        drop(self.context.close(&mut self.pipe, Some(CloseFrame { code, reason: reason.into() })));
    }

    /// The bytes to write next.
    pub(super) fn output(&self) -> &[u8] {
        self.pipe.output.get(self.pipe.written..).unwrap_or_default()
    }

    /// This many bytes of the output were written.
    pub(super) fn advance(&mut self, bytes: usize) {
        let pipe = &mut self.pipe;
        pipe.written += bytes;
        // Not each time, which would move the rest again and again. Nor only at the end, which does not come while the
        // client is slower than the messages.
        if pipe.written * 2 >= pipe.output.len() {
            pipe.output.drain(..pipe.written.min(pipe.output.len()));
            pipe.written = 0;
        }
    }

    /// How much memory the output holds, in bytes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.pipe.output.capacity()
    }

    /// There is nothing to send: frees memory.
    pub(super) fn rest(&mut self) {
        if self.pipe.output.is_empty() && self.pipe.output.capacity() > IDLE_OUTPUT_BYTES_MAX {
            self.pipe.output = Vec::new();
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() && !self.is_ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.input.split_to(self.input.len().min(buf.len()));
        for (byte, target) in read.iter().zip(buf) {
            *target = *byte;
        }
        Ok(read.len())
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::RequestIds;

    /// What comes of bytes that arrive in pieces of this size: the events, the end and the output.
    fn outcome(bytes: &[u8], piece: usize) -> (Vec<Event>, State, Vec<u8>) {
        let mut codec = Codec::new(200);
        let mut events = Vec::new();
        for piece in bytes.chunks(piece) {
            codec.handle_input(Bytes::copy_from_slice(piece));
            events.extend(std::iter::from_fn(|| codec.next_event()));
        }
        codec.handle_end();
        events.extend(std::iter::from_fn(|| codec.next_event()));
        (events, codec.state(), codec.output().to_vec())
    }

    /// Frames with many faults, and some bytes that are none.
    fn draw(random: &RequestIds) -> Vec<u8> {
        let below = |limit: u64| usize::try_from(random.next() % limit).expect("a small number");
        let byte = || u8::try_from(random.next() & 0xff).expect("a byte");
        let mut bytes = Vec::new();
        for _ in 0..below(6) {
            if below(8) == 0 {
                bytes.extend((0..below(20)).map(|_| byte()));
                continue;
            }
            let opcode = [0, 1, 1, 2, 8, 9, 10, 11].get(below(8)).copied().unwrap_or_default();
            let (fin, reserved) = (if below(4) == 0 { 0 } else { 0x80 }, if below(20) == 0 { 0x40 } else { 0 });
            let length = [0, 1, 2, 125, 150, 300].get(below(6)).copied().unwrap_or_default();
            bytes.push(fin | reserved | opcode);
            match u8::try_from(length) {
                Ok(length @ 0..=125) => bytes.push(0x80 | length),
                Ok(_) | Err(_) => {
                    bytes.push(0x80 | 126);
                    bytes.extend_from_slice(&u16::try_from(length).expect("a small number").to_be_bytes());
                }
            }
            let is_text = below(2) == 0;
            // This mask changes nothing.
            bytes.extend((0..4).map(|_| if is_text { 0 } else { byte() }));
            bytes.extend((0..length).map(|_| if is_text { b'a' } else { byte() }));
        }
        bytes
    }

    #[test]
    fn pieces_make_no_difference_and_nothing_panics() {
        let random = RequestIds::from(7);
        for _ in 0..5_000 {
            let bytes = draw(&random);
            let whole = outcome(&bytes, usize::MAX);
            assert_ne!(whole.1, State::Open, "the client is gone");
            for piece in [1, 2, 7, 64] {
                assert_eq!(outcome(&bytes, piece), whole, "{bytes:?} in pieces of {piece}");
            }
        }
    }
}
