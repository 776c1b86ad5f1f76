//! Drives one WebSocket: connects the byte stream, the frames, the pings and the application.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::rt::{Read as _, ReadBuf, Write as _};
use thiserror::Error;

use super::application::{Application, Outgoing, Step};
use super::codec::{Codec, Event, State};
use super::heartbeat::{Beat, Heartbeat};
use crate::connection::{Connection, HeadError};
use crate::request_log::Record;
use crate::runtime::Runtime;
use crate::socket::Socket;
use crate::timer::Timer;
use crate::wire_io::WireIo;

/// Bytes that are read at a time.
const READ_BYTES: usize = 4096;

/// With more unwritten output than this, in bytes, the application is not polled, and nothing is read: what arrives
/// might have to be answered. It also is how much is written at a time, unless a message is longer.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// The same if there are more connections than may be large.
const SMALL_OUTPUT_BYTES_MAX: usize = 4 * 1024;

/// How often one poll writes and reads before other tasks get a turn.
const ROUNDS_MAX: usize = 16;

/// What the answer 101 turns a connection into.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub(crate) application: Box<dyn Application>,
    /// The request that asked for it, logged when the WebSocket ends. Its answer is complete once a close frame was
    /// written.
    pub(crate) record: Option<Box<Record>>,
}

/// A WebSocket in place of hyper's connection. Poll it in the same way.
pub(crate) struct Driver<'s, R, I, F> {
    io: WireIo<'s, I, F>,
    connection: Arc<Connection>,
    codec: Codec,
    /// Until the WebSocket closes.
    application: Option<Box<dyn Application>>,
    record: Option<Box<Record>>,
    /// Whether the system has all that was written; an encrypted stream may keep some of it back. Until then, the
    /// client counts as one that takes nothing.
    is_flushed: bool,
    output_bytes_max: usize,
    heartbeat: Heartbeat,
    timer: Timer<R>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Messages are written and read.
    Open,
    /// The close frame of the server was written, and that of the client is awaited. This many bytes were read since.
    Lingering(usize),
    /// The closing handshake is complete, or the client broke the protocol or is gone: the byte stream is closed.
    Ending,
}

/// How a WebSocket ended, if the closing handshake is not complete.
#[derive(Debug, Error)]
pub(crate) enum Ended {
    /// The client answered no ping.
    #[error("the client answered no ping")]
    Lost,
    /// Reading or writing failed.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

impl<'s, R: Runtime, I: Socket, F: Fn(HeadError) -> Bytes + Unpin> Driver<'s, R, I, F> {
    /// A WebSocket that has just opened: the answer 101 is written, and `received` was read after the request. A ping
    /// is sent at each end of a `heartbeat`. Unless it `is_large`, it takes little memory.
    pub(crate) fn new(
        io: WireIo<'s, I, F>,
        received: Bytes,
        Upgrade { application, record }: Upgrade,
        connection: Arc<Connection>,
        heartbeat: Duration,
        timer: Timer<R>,
        is_large: bool,
    ) -> Self {
        let now = connection.now();
        connection.state().upgrade_begins();
        let mut codec = Codec::new(application.message_bytes_max());
        codec.handle_input(received);
        let mut driver = Self {
            io,
            connection,
            codec,
            application: Some(application),
            record,
            is_flushed: true,
            output_bytes_max: if is_large { OUTPUT_BYTES_MAX } else { SMALL_OUTPUT_BYTES_MAX },
            heartbeat: Heartbeat::new(heartbeat, now),
            timer,
            phase: Phase::Open,
        };
        driver.handle_events();
        driver
    }

    /// Ready when the connection has ended, or has to be dropped.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, is_draining: bool) -> Poll<Result<(), Ended>> {
        for _ in 0..ROUNDS_MAX {
            if self.phase == Phase::Ending {
                return Pin::new(&mut self.io).poll_shutdown(cx).map_err(Ended::Failed);
            }
            self.poll_application(cx, is_draining);
            if self.poll_heartbeat(cx).is_ready() {
                return Poll::Ready(Err(Ended::Lost));
            }
            let has_written = self.poll_write(cx)?;
            self.advance_phase();
            let has_read = self.phase != Phase::Ending && self.poll_read(cx)?;
            let is_writable = has_written && self.codec.output().is_empty();
            if !has_read && !is_writable && self.phase != Phase::Ending {
                self.codec.rest();
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Lets the application send messages.
    fn poll_application(&mut self, cx: &mut Context<'_>, is_draining: bool) {
        while self.codec.output().len() < self.output_bytes_max
            && let Some(application) = &mut self.application
            && let Poll::Ready(step) = application.poll_next(cx, is_draining, &mut Outgoing { codec: &mut self.codec })
        {
            match step {
                Step::Sent => {}
                Step::Close(close) => {
                    self.codec.close(&close);
                    self.application = None;
                }
            }
        }
    }

    /// Sends pings. Ready if the client is lost.
    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.codec.state() == State::Open && self.timer.poll_deadline(cx, self.heartbeat.deadline()).is_ready() {
            match self.heartbeat.beat(self.connection.now(), self.io.acknowledged()) {
                Beat::Ping => self.codec.ping(),
                Beat::Wait => {}
                Beat::Lost => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Writes as much as the socket takes. Returns whether it took anything.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut has_written = false;
        while !self.codec.output().is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, self.codec.output()) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(bytes)) => {
                    self.codec.advance(bytes);
                    self.record.iter_mut().for_each(|record| record.sent(bytes, false));
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(has_written),
            }
            has_written = true;
        }
        self.is_flushed &= !has_written;
        if !self.is_flushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.io).poll_flush(cx)
        {
            flushed?;
            self.is_flushed = true;
        }
        Ok(has_written)
    }

    /// Enters the next phase, once everything before it is written.
    fn advance_phase(&mut self) {
        if !self.codec.output().is_empty() {
            return;
        }
        match (self.codec.state(), self.phase) {
            (State::Open, _) | (State::Closing, Phase::Lingering(_) | Phase::Ending) => {}
            (State::Closing, Phase::Open) => {
                self.log_as_complete();
                self.connection.state().linger_begins(self.connection.now());
                self.phase = Phase::Lingering(0);
            }
            (State::Closed, _) => {
                self.log_as_complete();
                // The client may have sent more before it saw the close frame. Unread input would end the connection
                // in a reset, which could overtake that frame.
                self.connection.state().set_body_unread(true);
                self.phase = Phase::Ending;
            }
            (State::Gone, _) => self.phase = Phase::Ending,
        }
    }

    /// The last frame was written.
    fn log_as_complete(&mut self) {
        self.record.iter_mut().for_each(|record| record.sent(0, true));
    }

    /// Reads once, and handles what has arrived. Returns whether anything has.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        match self.codec.state() {
            State::Open | State::Closing if self.codec.output().len() <= self.output_bytes_max => {}
            // The client is too slow, or nothing more is read. The pending write wakes the task, and the write timeout
            // ends it.
            State::Open | State::Closing | State::Closed | State::Gone => return Ok(false),
        }
        let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
        let mut read = ReadBuf::uninit(&mut bytes);
        match Pin::new(&mut self.io).poll_read(cx, read.unfilled()) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(false),
        }
        match read.filled() {
            [] => self.codec.handle_end(),
            filled => self.codec.handle_input(Bytes::copy_from_slice(filled)),
        }
        if let Phase::Lingering(count) = &mut self.phase {
            *count += read.filled().len();
            let mut state = self.connection.state();
            if *count > state.linger_bytes_max() {
                self.phase = Phase::Ending;
            } else {
                state.linger_receives(self.connection.now());
            }
        }
        self.handle_events();
        Ok(true)
    }

    /// Handles all that has arrived.
    fn handle_events(&mut self) {
        while let Some(event) = self.codec.next_event() {
            match event {
                Event::Pong => self.heartbeat.pong(),
                Event::Message(message) => {
                    if let Some(application) = &mut self.application
                        && let Some(close) =
                            application.handle_message(message, &mut Outgoing { codec: &mut self.codec })
                    {
                        self.codec.close(&close);
                        self.application = None;
                    }
                }
            }
        }
        match self.codec.state() {
            State::Open | State::Closing => {}
            State::Closed | State::Gone => self.application = None,
        }
    }
}
