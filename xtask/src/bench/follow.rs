//! Clients of live streams that only count what they see.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};

use super::client::PATIENCE;

/// How a stream comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    ServerSentEvents,
    WebSocket,
}

/// One stream: a socket, and what was received and is not whole yet.
pub(super) struct Reader {
    transport: Transport,
    socket: mio::net::TcpStream,
    rest: Vec<u8>,
    /// The events so far: their sequence numbers, and when they came.
    pub(super) seen: Vec<(u64, Instant)>,
}

impl Reader {
    /// Opens a stream and reads its opening, so it has begun.
    pub(super) fn open(address: SocketAddr, transport: Transport, query: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        socket.write_all(request(transport, query).as_bytes())?;
        let opening: &[u8] = match transport {
            Transport::ServerSentEvents => b"retry: 1000\n\n\r\n",
            Transport::WebSocket => b"\r\n\r\n",
        };
        // The opening shows that the stream has begun.
        let (mut begun, mut byte) = (Vec::new(), [0]);
        socket.set_read_timeout(Some(PATIENCE))?;
        while !begun.ends_with(opening) {
            ensure!(socket.read(&mut byte)? == 1, "a stream ended: {}", begun.escape_ascii());
            begun.extend_from_slice(&byte);
        }
        socket.set_nonblocking(true)?;
        Ok(Self { transport, socket: mio::net::TcpStream::from_std(socket), rest: Vec::new(), seen: Vec::new() })
    }

    /// Reads what has arrived.
    fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => bail!("a stream ended"),
                Ok(length) => self.take(buffer.get(..length).unwrap_or_default(), Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("a stream"),
            }
        }
    }

    /// Notes the sequence numbers.
    fn take(&mut self, received: &[u8], now: Instant) {
        self.rest.extend_from_slice(received);
        match self.transport {
            Transport::ServerSentEvents => self.take_lines(now),
            Transport::WebSocket => self.take_frames(now),
        }
    }

    /// Chunk sizes are lines of their own, since pieces of a stream end with an empty line.
    fn take_lines(&mut self, now: Instant) {
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in self.rest.get(..end).unwrap_or_default().split(|byte| *byte == b'\n') {
            let id = line.strip_prefix(b"id: ").and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            self.seen.extend(id.map(|id| (id, now)));
        }
        self.rest.drain(..end);
    }

    /// Frames of a server (RFC 6455, section 5.2): each message is one frame, without a mask. Events have no 64-bit
    /// lengths here.
    fn take_frames(&mut self, now: Instant) {
        let (mut end, mut rest) = (0, self.rest.as_slice());
        loop {
            let (head, length) = match rest {
                [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                [_, length @ ..126, ..] => (2, usize::from(*length)),
                _ => break,
            };
            let Some((frame, next)) = rest.split_at_checked(head + length) else { break };
            (end, rest) = (end + frame.len(), next);
            // Pings have no content.
            self.seen.extend(seq(frame).map(|seq| (seq, now)));
        }
        self.rest.drain(..end);
    }
}

/// The sequence number of an event, which stands after its id.
fn seq(event: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"seq\":";
    let at = event.windows(NAME.len()).position(|part| part == NAME)?;
    let digits = event.get(at + NAME.len()..)?.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The request for a stream with this query string, which is empty or begins with `?`.
pub(super) fn request(transport: Transport, query: &str) -> String {
    let upgrade = match transport {
        Transport::ServerSentEvents => "",
        Transport::WebSocket => {
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
    };
    format!("GET /events/stream{query} HTTP/1.1\r\nHost: bench\r\n{upgrade}\r\n")
}

/// Reads all streams on a thread of its own until each has had enough, by its number. Fails if none comes closer to
/// that for long, whatever else they receive.
pub(super) fn follow(
    mut readers: Vec<Reader>,
    is_enough: impl Fn(usize, &[(u64, Instant)]) -> bool + Send + 'static,
) -> mpsc::Receiver<Result<Vec<Reader>>> {
    let (sender, done) = mpsc::channel();
    let mut run = move || -> Result<Vec<Reader>> {
        let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
        for (number, reader) in readers.iter_mut().enumerate() {
            poll.registry().register(&mut reader.socket, Token(number), Interest::READABLE)?;
        }
        let mut buffer = vec![0; 256 * 1024];
        let mut left: usize = readers.len();
        let mut is_done = vec![false; readers.len()];
        let mut progressed = Instant::now();
        while left > 0 {
            match poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome.context("cannot wait for events")?,
            }
            // Heartbeats are no events.
            ensure!(progressed.elapsed() < PATIENCE, "{left} streams miss events");
            for event in &events {
                let number = event.token().0;
                let (reader, done) =
                    readers.get_mut(number).zip(is_done.get_mut(number)).context("an event of no stream")?;
                let before = reader.seen.len();
                reader.read(&mut buffer)?;
                if reader.seen.len() > before {
                    progressed = Instant::now();
                }
                if !*done && is_enough(number, &reader.seen) {
                    *done = true;
                    left -= 1;
                }
            }
        }
        Ok(std::mem::take(&mut readers))
    };
    // The receiver may be gone after an error.
    thread::spawn(move || drop(sender.send(run())));
    done
}

/// The streams that [`follow`] has read to the end.
pub(super) fn followed(done: &mpsc::Receiver<Result<Vec<Reader>>>) -> Result<Vec<Reader>> {
    done.recv().context("the thread of the readers has ended")?
}
