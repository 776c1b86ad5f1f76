//! A live stream over WebSocket.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use argus_core::api::{Notice, SocketClose, socket_gap};
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::{CloseFrame, Message, Role, WebSocket, WebSocketConfig};

use crate::live::Open;
use crate::server::Server;
use crate::stream::{Received, Stream};

/// Longest message of a client that is read before it is refused, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// How much is read and written at a time.
const READ_BYTES: usize = 4096;
const WRITE_BYTES: usize = 64 * 1024;

/// How long a read may take that has something to read.
const READ_WAIT: Duration = Duration::from_secs(1);

/// A socket that never waits for input, and counts its output.
struct Wire<'s>(&'s mut Stream, &'s mut u64);

/// Sends events until one side closes. The caller then closes the connection. A client that answers no ping is an
/// error, as is one that takes nothing for the write timeout.
pub(crate) fn serve(server: &Server, stream: &mut Stream, mut open: Open<'_>, sent: &mut u64) -> io::Result<()> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Wire(stream, sent), Role::Server, Some(config));
    let heartbeat = server.settings.stream_heartbeat;
    let (mut next_ping, mut is_answered) = (Instant::now() + heartbeat, true);
    loop {
        match socket.read() {
            Ok(Message::Text(_) | Message::Binary(_)) => return close(&mut socket, &SocketClose::unsupported()),
            Ok(Message::Pong(_)) => is_answered = true,
            // The next call writes the answer.
            Ok(Message::Ping(_) | Message::Close(_) | Message::Frame(_)) => {}
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                if let Some(end) = send(server, &mut socket, &mut open)? {
                    return close(&mut socket, &end);
                }
            }
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return Ok(()),
            Err(error) => return fail(&mut socket, error),
        }
        if Instant::now() >= next_ping {
            if !std::mem::take(&mut is_answered) {
                socket.get_ref().0.set_reset_on_close(true)?;
                return Err(ErrorKind::TimedOut.into());
            }
            next_ping = Instant::now() + heartbeat;
            socket.send(Message::Ping(Vec::new().into())).or_else(|error| fail(&mut socket, error))?;
        }
    }
}

/// Sends what there is to send, or waits for it a moment. Returns how to close the WebSocket, if the stream has ended.
fn send(server: &Server, socket: &mut WebSocket<Wire<'_>>, open: &mut Open<'_>) -> io::Result<Option<SocketClose>> {
    let mut batch = Vec::new();
    let Ok(notice) = open.next(server, &mut batch) else { return Ok(Some(SocketClose::failed(open.sent()))) };
    let (gap, end) = match notice {
        None => (None, None),
        Some(Notice::Gap { first_seq }) => (Some(socket_gap(first_seq).into()), None),
        Some(Notice::Slow { after_seq }) => (None, Some(SocketClose::slow(after_seq))),
        Some(Notice::Drain { after_seq }) => (None, Some(SocketClose::draining(after_seq))),
        Some(Notice::Revoked { after_seq }) => (None, Some(SocketClose::revoked(after_seq))),
    };
    for text in batch.into_iter().map(|message| message.json).chain(gap) {
        let frame = Frame::message(text, OpCode::Data(Data::Text), true);
        socket.write(Message::Frame(frame)).or_else(|error| fail(socket, error))?;
    }
    socket.flush().or_else(|error| fail(socket, error))?;
    Ok(end)
}

fn close(socket: &mut WebSocket<Wire<'_>>, close: &SocketClose) -> io::Result<()> {
    write_close(socket, close.code.into(), &close.reason)
}

/// Ends a WebSocket after an error: an orderly end, or a fault of the client, which is told.
fn fail(socket: &mut WebSocket<Wire<'_>>, error: Error) -> io::Result<()> {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Ok(()),
        Error::Io(error) => Err(error),
        Error::Utf8(_) => write_close(socket, CloseCode::Invalid, "a text is not UTF-8"),
        Error::Capacity(error) => write_close(socket, CloseCode::Size, &error.to_string()),
        Error::Protocol(error) => write_close(socket, CloseCode::Protocol, &error.to_string()),
        Error::Tls(_) | Error::WriteBufferFull(_) | Error::AttackAttempt | Error::Url(_) => {
            write_close(socket, CloseCode::Error, "internal error")
        }
    }
}

fn write_close(socket: &mut WebSocket<Wire<'_>>, code: CloseCode, reason: &str) -> io::Result<()> {
    match socket.close(Some(CloseFrame { code, reason: reason.into() })) {
        Err(Error::Io(error)) => Err(error),
        // Anything else says that the closing handshake is complete.
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Self(stream, _) = self;
        if stream.unread().is_empty() {
            if !stream.has_input() {
                return Err(ErrorKind::WouldBlock.into());
            }
            if stream.receive(Instant::now() + READ_WAIT)? == Received::End {
                return Ok(0);
            }
        }
        let bytes = stream.take(buf.len());
        Ok(bytes.zip(buf).map(|(byte, target)| *target = byte).count())
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)?;
        *self.1 += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
