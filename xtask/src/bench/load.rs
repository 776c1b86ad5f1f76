//! The load generator: one thread drives many connections, so that the server has the second core.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::{
    client::PATIENCE,
    response::{Incoming, Response},
};

/// Requests for a server. A connection sends the next one as soon as it has its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    /// Whole requests, heads included.
    pub(super) requests: &'a [Vec<u8>],
    pub(super) extent: Extent,
    /// Checks an answer; returns how many events it acknowledges.
    pub(super) check: fn(&Response) -> Result<u64>,
}

/// The length of a load.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent {
    /// Every request once.
    Once,
    /// The requests in a loop: for `warm_up` without and then for `window` with measurement.
    For { warm_up: Duration, window: Duration },
}

/// The result of a load.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The measured time: the window, or from the first request to the last answer.
    pub(super) elapsed: Duration,
    /// The time from the first byte sent to the last byte received, for every answer within `elapsed`.
    pub(super) latencies: Vec<Duration>,
    /// All answers, unmeasured ones included.
    pub(super) answers: u64,
    /// Events that all these answers acknowledged.
    pub(super) acknowledged: u64,
}

impl Load<'_> {
    /// Sends the load and waits for every answer.
    ///
    /// # Errors
    ///
    /// An answer that `check` refuses, a connection that ends, or no answer at all for [`PATIENCE`].
    pub(super) fn run(self) -> Result<Outcome> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(self.connections);
        let mut connections = Vec::with_capacity(self.connections);
        for token in 0..self.connections {
            let mut connection = Connection::open(self.address)?;
            poll.registry().register(&mut connection.stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
            connections.push(connection);
        }
        let mut run = Run::start(self);
        let mut busy = 0;
        for connection in &mut connections {
            busy += usize::from(connection.drive(&mut run)?);
        }
        while busy > 0 {
            match poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome.context("cannot wait for answers")?,
            }
            ensure!(!events.is_empty(), "no answer for {} s", PATIENCE.as_secs());
            for event in &events {
                let connection = connections.get_mut(event.token().0).context("an event of no connection")?;
                if connection.pending.is_some() && !connection.drive(&mut run)? {
                    busy -= 1;
                }
            }
        }
        Ok(run.finish())
    }
}

/// A running load.
struct Run<'a> {
    load: Load<'a>,
    started: Instant,
    /// The number of the next request, counted over all loops.
    next: usize,
    last_answer: Instant,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn start(load: Load<'a>) -> Self {
        let started = Instant::now();
        let outcome = Outcome { elapsed: Duration::ZERO, latencies: Vec::new(), answers: 0, acknowledged: 0 };
        Self { load, started, next: 0, last_answer: started, outcome }
    }

    fn next_request(&mut self, now: Instant) -> Option<&'a [u8]> {
        let requests = self.load.requests;
        let request = match self.load.extent {
            Extent::Once => requests.get(self.next),
            Extent::For { warm_up, window } if now.duration_since(self.started) < warm_up + window => {
                requests.get(self.next % requests.len())
            }
            Extent::For { .. } => None,
        };
        self.next += 1;
        request.map(Vec::as_slice)
    }

    fn answer(&mut self, response: &Response, sent: Instant, now: Instant) -> Result<()> {
        self.outcome.acknowledged += (self.load.check)(response)?;
        self.outcome.answers += 1;
        self.last_answer = now;
        let since_start = now.duration_since(self.started);
        let measured = match self.load.extent {
            Extent::Once => true,
            Extent::For { warm_up, window } => (warm_up..warm_up + window).contains(&since_start),
        };
        if measured {
            self.outcome.latencies.push(now.duration_since(sent));
        }
        Ok(())
    }

    fn finish(mut self) -> Outcome {
        self.outcome.elapsed = match self.load.extent {
            Extent::Once => self.last_answer.duration_since(self.started),
            Extent::For { window, .. } => window,
        };
        self.outcome.latencies.sort_unstable();
        self.outcome
    }
}

struct Connection<'a> {
    stream: TcpStream,
    incoming: Incoming,
    pending: Option<Pending<'a>>,
    buffer: Box<[u8]>,
}

/// A request without an answer yet.
struct Pending<'a> {
    unsent: &'a [u8],
    sent: Instant,
}

impl<'a> Connection<'a> {
    fn open(address: SocketAddr) -> Result<Self> {
        // Connecting is not measured, so it may block.
        let stream = std::net::TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let buffer = vec![0; 16 * 1024].into_boxed_slice();
        Ok(Self { stream: TcpStream::from_std(stream), incoming: Incoming::default(), pending: None, buffer })
    }

    /// Sends and receives until the socket would block; returns whether an answer is missing.
    fn drive(&mut self, run: &mut Run<'a>) -> Result<bool> {
        if self.pending.is_none() && !self.begin(run, Instant::now())? {
            return Ok(false);
        }
        self.send()?;
        loop {
            let length = match self.stream.read(&mut self.buffer) {
                Ok(0) => bail!("the server closed a connection instead of answering"),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot receive an answer"),
            };
            self.incoming.extend(self.buffer.get(..length).unwrap_or_default());
            while let Some(response) = self.incoming.take()? {
                let Some(Pending { unsent, sent }) = self.pending.take() else { bail!("an answer to no request") };
                ensure!(unsent.is_empty(), "status {} before the whole request was sent", response.status);
                let now = Instant::now();
                run.answer(&response, sent, now)?;
                if !self.begin(run, now)? {
                    return Ok(false);
                }
            }
            if length < self.buffer.len() {
                // A short read has emptied the socket: later data raises a new event (epoll(7), question 9).
                return Ok(true);
            }
        }
    }

    fn begin(&mut self, run: &mut Run<'a>, now: Instant) -> Result<bool> {
        ensure!(self.incoming.is_empty(), "more was received than was asked for");
        let Some(request) = run.next_request(now) else { return Ok(false) };
        self.pending = Some(Pending { unsent: request, sent: now });
        self.send()?;
        Ok(true)
    }

    fn send(&mut self) -> Result<()> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        while !pending.unsent.is_empty() {
            match self.stream.write(pending.unsent) {
                Ok(length) => pending.unsent = pending.unsent.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot send a request"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{io, net::TcpListener, thread};

    use super::*;
    use crate::bench::client::post;

    /// A server that answers every request on `connections` connections, and refuses bodies that hold `refused`.
    fn serve(connections: usize, refused: &'static [u8]) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        for _ in 0..connections {
            let listener = listener.try_clone()?;
            thread::spawn(move || -> io::Result<()> {
                let (mut stream, _) = listener.accept()?;
                let mut received = Vec::new();
                let mut buffer = [0; 4096];
                loop {
                    let length = stream.read(&mut buffer)?;
                    if length == 0 {
                        return Ok(());
                    }
                    received.extend_from_slice(buffer.get(..length).unwrap_or_default());
                    if received.ends_with(b"end") {
                        let bad = received.windows(refused.len()).any(|part| part == refused);
                        let status = if bad { "422 Bad" } else { "201 Created" };
                        stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
                        received.clear();
                    }
                }
            });
        }
        Ok(address)
    }

    fn created(response: &Response) -> Result<u64> {
        response.expect(201).map(|()| 1)
    }

    #[test]
    fn every_request_is_sent_once_and_large_ones_whole() {
        let address = serve(3, b"refused").expect("a port is free");
        let large = [vec![b'x'; 3 << 20], b"end".to_vec()].concat();
        let requests = [post("text/plain", b"end"), post("text/plain", &large), post("text/plain", b"the end")];
        let load = Load { address, connections: 3, requests: &requests, extent: Extent::Once, check: created };
        let outcome = load.run().expect("the load succeeds");
        assert_eq!((outcome.answers, outcome.acknowledged, outcome.latencies.len()), (3, 3, 3));
    }

    #[test]
    fn a_load_for_a_time_repeats_its_requests() {
        let address = serve(2, b"refused").expect("a port is free");
        let extent = Extent::For { warm_up: Duration::ZERO, window: Duration::from_millis(50) };
        let requests = [post("text/plain", b"end")];
        let load = Load { address, connections: 2, requests: &requests, extent, check: created };
        let outcome = load.run().expect("the load succeeds");
        assert!(outcome.answers >= 2, "both connections have sent something");
        assert_eq!(outcome.answers, outcome.acknowledged);
        assert!(outcome.latencies.is_sorted());
    }

    #[test]
    fn a_refusal_ends_the_load() {
        let address = serve(1, b"refused").expect("a port is free");
        let requests = [post("text/plain", b"end"), post("text/plain", b"refused end")];
        let load = Load { address, connections: 1, requests: &requests, extent: Extent::Once, check: created };
        assert!(load.run().is_err_and(|error| error.to_string().contains("422")));
    }
}
