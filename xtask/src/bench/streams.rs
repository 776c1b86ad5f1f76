//! Live streams: many readers with few filters, one reader of everything, and a reader that comes back.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};

use super::{
    Scale,
    batches::{self, stored},
    client::{Client, PATIENCE, post},
    report::{Goal, Report, Row, median, percentile_ms, rate, rounded, thousands},
    server::{Server, Subject},
    workload::{Random, batch_requests, stream},
};

const READERS: usize = 1_000;
const FILTERS: usize = 100;
/// Events in a second, and how many of them in a request.
const PACE: u64 = 10_000;
const PACED_BATCH: u64 = 50;

/// Milliseconds from the acknowledgement of an event to its receipt, at the 99th percentile.
const LATENCY_GOAL: f64 = 50.0;
/// The fraction of the speed of ingestion without readers.
const INGESTION_GOAL: f64 = 0.7;
/// Events per second of one reader.
const RATE_GOAL: f64 = 300_000.0;
/// Milliseconds to the first event of a reader that comes back.
const RESUME_GOAL: f64 = 5.0;
/// How many times as many events are stored when a reader comes back: five million in a full bench.
const RESUME_GROWTH: usize = 5;

pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    measure_many(subject, scale, report)?;
    measure_ingestion(subject, scale, report)?;
    measure_one(subject, scale, (Transport::ServerSentEvents, "SSE"), report)?;
    measure_one(subject, scale, (Transport::WebSocket, "WebSocket"), report)?;
    measure_resume(subject, scale, report)
}

/// How a stream comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    ServerSentEvents,
    WebSocket,
}

/// One stream: a socket, and what was received and is not whole yet.
struct Reader {
    transport: Transport,
    socket: mio::net::TcpStream,
    rest: Vec<u8>,
    /// The events so far: their sequence numbers, and when they came.
    seen: Vec<(u64, Instant)>,
}

impl Reader {
    fn open(address: SocketAddr, transport: Transport, query: &str) -> Result<Self> {
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

fn request(transport: Transport, query: &str) -> String {
    let upgrade = match transport {
        Transport::ServerSentEvents => "",
        Transport::WebSocket => {
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
    };
    format!("GET /events/stream{query} HTTP/1.1\r\nHost: bench\r\n{upgrade}\r\n")
}

/// Reads all streams on a thread of its own until each has had enough, by its number.
fn follow(
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
        while left > 0 {
            match poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome.context("cannot wait for events")?,
            }
            ensure!(!events.is_empty(), "{left} streams miss events");
            for event in &events {
                let number = event.token().0;
                let (reader, done) =
                    readers.get_mut(number).zip(is_done.get_mut(number)).context("an event of no stream")?;
                reader.read(&mut buffer)?;
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

fn followed(done: &mpsc::Receiver<Result<Vec<Reader>>>) -> Result<Vec<Reader>> {
    done.recv().context("the thread of the readers has ended")?
}

fn open_many(server: &Server) -> Result<Vec<Reader>> {
    let open =
        |reader| Reader::open(server.address, Transport::ServerSentEvents, &format!("?type=t{}", reader % FILTERS));
    (0..READERS).map(open).collect()
}

/// A thousand readers at ten thousand events a second: each sees exactly its events, and how late.
fn measure_many(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let server = subject.start()?;
    let filters = u64::try_from(FILTERS)?;
    let seconds = scale.window.as_secs().max(1);
    let batches = PACE * seconds / PACED_BATCH;
    let last = batches * PACED_BATCH;
    let per_filter = usize::try_from(last / filters)?;
    let done = follow(open_many(&server)?, move |_, seen| seen.len() >= per_filter);
    let mut client = Client::connect(server.address)?;
    let begun = Instant::now();
    let mut acknowledged = Vec::new();
    for batch in 0..batches {
        let event =
            |n: u64| format!("{{\"event_type\":\"t{}\",\"timestamp\":{n},\"payload\":{{\"n\":{n}}}}}\n", n % filters);
        let lines: String = (batch * PACED_BATCH..(batch + 1) * PACED_BATCH).map(event).collect();
        let due = begun + Duration::from_micros(1_000_000 * batch * PACED_BATCH / PACE);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (response, _) = client.exchange(&post("application/x-ndjson", lines.as_bytes()))?;
        response.expect(201)?;
        acknowledged.push(Instant::now());
    }
    let took = begun.elapsed();
    let mut latencies = Vec::new();
    for (number, reader) in followed(&done)?.iter().enumerate() {
        let first = u64::try_from(number % FILTERS)? + 1;
        let expected = (0..last / filters).map(|n| first + n * filters);
        ensure!(
            reader.seen.iter().map(|(seq, _)| *seq).eq(expected),
            "reader {number} does not see exactly its events"
        );
        for (seq, received) in &reader.seen {
            let batch = usize::try_from((seq - 1) / PACED_BATCH)?;
            let acknowledged = acknowledged.get(batch).context("an event of no batch")?;
            latencies.push(received.saturating_duration_since(*acknowledged));
        }
    }
    latencies.sort_unstable();
    let (p50, p99) = (percentile_ms(&latencies, 50), percentile_ms(&latencies, 99));
    report.add(Row {
        measure: format!(
            "{} streams of {FILTERS} filters, {}/s",
            thousands(u64::try_from(READERS)?),
            rounded(rate(last, took))
        ),
        subject: subject.name,
        figure: format!("p50 {p50:.1} ms, p99 {p99:.1} ms from acknowledgement to receipt"),
        floor: String::new(),
        goal: Goal::AtMost { goal: LATENCY_GOAL, is: p99, unit: "ms at p99" },
    });
    Ok(())
}

/// The speed of ingestion beside a thousand readers whose filters select none of the events.
fn measure_ingestion(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let (requests, _) = batch_requests(&stream(scale.events, &mut Random::new(4)), scale.batch);
    let events = u64::try_from(scale.events)?;
    let (mut alone, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.runs {
        let server = subject.start()?;
        let without = rate(events, batches::load(&server, &requests, stored)?.elapsed);
        let server = subject.start()?;
        let readers = open_many(&server)?;
        let with = rate(events, batches::load(&server, &requests, stored)?.elapsed);
        server.expect_stored(events)?;
        drop(readers);
        ratios.push(with / without);
        alone.push(without);
        beside.push(with);
    }
    let ratio = median(&ratios);
    report.add(Row {
        measure: format!("POST NDJSON beside {} idle streams", thousands(u64::try_from(READERS)?)),
        subject: subject.name,
        figure: format!("{} events/s; {ratio:.2} of the speed without", rounded(median(&beside))),
        floor: format!("without streams {} events/s", rounded(median(&alone))),
        goal: Goal::AtLeast { goal: INGESTION_GOAL, is: ratio, unit: "of the speed without" },
    });
    Ok(())
}

/// One reader of all events, first from history and then live.
fn measure_one(
    subject: &Subject,
    scale: &Scale,
    (transport, name): (Transport, &str),
    report: &mut Report,
) -> Result<()> {
    let (requests, _) = batch_requests(&stream(scale.events, &mut Random::new(4)), scale.batch);
    let events = u64::try_from(scale.events)?;
    let (mut history, mut live) = (Vec::new(), Vec::new());
    for _ in 0..scale.runs {
        let server = subject.start()?;
        let is_all =
            move |_: usize, seen: &[(u64, Instant)]| seen.len() >= usize::try_from(events).unwrap_or(usize::MAX);
        let done = follow(vec![Reader::open(server.address, transport, "")?], is_all);
        let begun = Instant::now();
        batches::load(&server, &requests, stored)?;
        live.push(rate(events, check_all(&followed(&done)?, events)?.saturating_duration_since(begun)));
        let begun = Instant::now();
        let done = follow(vec![Reader::open(server.address, transport, "?after_seq=0")?], is_all);
        history.push(rate(events, check_all(&followed(&done)?, events)?.saturating_duration_since(begun)));
    }
    for (what, rates) in [("live, beside the writers", live), ("from history", history)] {
        let rate = median(&rates);
        report.add(Row {
            measure: format!("one stream of all events, {name}, {what}"),
            subject: subject.name,
            figure: format!("{} events/s", rounded(rate)),
            floor: String::new(),
            goal: Goal::AtLeast { goal: RATE_GOAL, is: rate, unit: "events/s" },
        });
    }
    Ok(())
}

/// Checks that the one reader has seen all events in order; returns when it had.
fn check_all(readers: &[Reader], events: u64) -> Result<Instant> {
    let seen = &readers.first().context("no reader")?.seen;
    ensure!(seen.iter().map(|(seq, _)| *seq).eq(1..=events), "events are missing or out of order");
    Ok(seen.last().context("no events")?.1)
}

/// The time to the first event of a reader that comes back for the last hundred.
fn measure_resume(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let (requests, _) = batch_requests(&stream(scale.events, &mut Random::new(4)), scale.batch);
    let folder = subject.folder()?;
    let server = subject.start_on(folder.path())?;
    for _ in 0..RESUME_GROWTH {
        batches::load(&server, &requests, stored)?;
    }
    let events = u64::try_from(scale.events * RESUME_GROWTH)?;
    server.expect_stored(events)?;
    let mut latencies = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(server.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let query = format!("?after_seq={}", events - 100);
        socket.write_all(request(Transport::ServerSentEvents, &query).as_bytes())?;
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        while !received.windows(4).any(|part| part == b"id: ") {
            let length = socket.read(&mut buffer)?;
            ensure!(length > 0, "a stream ended");
            received.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        latencies.push(begun.elapsed());
    }
    latencies.sort_unstable();
    let p50 = percentile_ms(&latencies, 50);
    report.add(Row {
        measure: format!("first event behind the last 100 of {} on disk", thousands(events)),
        subject: subject.name,
        figure: format!("p50 {p50:.2} ms, slowest {:.2} ms", percentile_ms(&latencies, 99)),
        floor: String::new(),
        goal: Goal::AtMost { goal: RESUME_GOAL, is: p50, unit: "ms at p50" },
    });
    Ok(())
}
