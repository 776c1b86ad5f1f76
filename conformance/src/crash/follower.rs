//! Clients that follow the live stream through all rounds: whenever it is cut, they resume after the last event.
//!
//! Each must see exactly the events that are stored after the restart, once and in order: none is missed, none comes
//! twice, and none is shown that a kill then takes back. It may have seen events that were erased later, but none may
//! come from a server that starts after the erasure. Who follows everything must be told of every event that is erased.

use std::io::{BufRead, BufReader, ErrorKind, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use argus_conformance::random::Random;

use crate::event::{Found, TYPES};
use crate::ledger::Ledger;
use crate::wait::{STEP, wait};

/// How long a follower may take to show an event that is stored. A server sends something every 15 seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most events after which a follower leaves and comes back by itself.
const EVENTS_MAX: u64 = 3_000;

/// The followers of a folder.
#[derive(Debug)]
pub(crate) struct Followers {
    shared: Arc<Shared>,
    followers: Vec<Running>,
    /// The events up to here were compared.
    audited: u64,
}

/// What the followers share.
#[derive(Debug, Default)]
struct Shared {
    /// How often there were new servers, and those to follow: each stream is of a random one.
    servers: Mutex<(u64, Vec<SocketAddr>)>,
    stop: AtomicBool,
    cuts: AtomicU64,
}

#[derive(Debug)]
struct Running {
    /// The type that it follows, or everything.
    only: Option<&'static str>,
    /// What it was shown, and by which server.
    shown: mpsc::Receiver<Result<(u64, Found), String>>,
    thread: JoinHandle<()>,
}

/// One follower, on a thread of its own.
struct Follower {
    shared: Arc<Shared>,
    only: Option<&'static str>,
    random: Random,
    /// The sequence number of the last event.
    last: u64,
    shown: mpsc::Sender<Result<(u64, Found), String>>,
}

/// Why a connection is no longer read.
enum Cut {
    /// It was cut, by the server or by the follower.
    Connection,
    /// The server broke a promise.
    Violation(String),
}

impl From<std::io::Error> for Cut {
    fn from(_: std::io::Error) -> Self {
        Self::Connection
    }
}

impl Followers {
    /// Starts so many followers. Every other one follows a single type.
    pub(crate) fn start(count: u64, seed: u64) -> Self {
        let shared = Arc::<Shared>::default();
        let followers = (0..count).map(|number| {
            let only = if number % 2 == 0 { None } else { TYPES.get((number / 2) as usize % TYPES.len()).copied() };
            let (sender, shown) = mpsc::channel();
            let random = Random::new(seed, u64::MAX / 2 + number);
            let follower = Follower { shared: Arc::clone(&shared), only, random, last: 0, shown: sender };
            Running { only, shown, thread: thread::spawn(|| follower.run()) }
        });
        Self { followers: followers.collect(), shared, audited: 0 }
    }

    /// Has them follow these servers, which share a repository, or none. Streams that are open go on.
    pub(crate) fn follow(&self, addresses: &[SocketAddr]) {
        let mut servers = self.shared.servers.lock().unwrap_or_else(PoisonError::into_inner);
        *servers = (servers.0 + u64::from(!addresses.is_empty()), addresses.to_vec());
    }

    /// Waits until each has seen all that is stored, and compares. Nothing may be stored meanwhile.
    ///
    /// # Errors
    ///
    /// What was missed, shown twice, or shown and is not stored.
    pub(crate) fn audit(&mut self, ledger: &Ledger) -> Result<(), String> {
        let stored = (self.audited + 1..=ledger.len()).filter_map(|seq| {
            let (token, id) = ledger.at(seq)?;
            Some((token.event().event_type, Found { seq, token, id }))
        });
        let stored: Vec<_> = stored.collect();
        let current = self.shared.servers.lock().unwrap_or_else(PoisonError::into_inner).0;
        for Running { only, shown, .. } in &self.followers {
            for (_, found) in stored.iter().filter(|(event_type, _)| only.is_none_or(|only| only == *event_type)) {
                loop {
                    let next = shown.recv_timeout(PATIENCE);
                    let next =
                        next.map_err(|error| format!("the stream of {only:?} does not show {found:?}: {error}"))?;
                    let (server, next) = next.map_err(|error| format!("the stream of {only:?}: {error}"))?;
                    if next == *found {
                        break;
                    }
                    if server == current || !is_erased(ledger, &next) {
                        return Err(format!("the stream of {only:?} shows {next:?}, but {found:?} is next"));
                    }
                }
            }
            // Erased events after the last stored one. They were shown before this server started.
            while let Ok(shown) = shown.try_recv() {
                let (server, shown) = shown.map_err(|error| format!("the stream of {only:?}: {error}"))?;
                if server == current || !is_erased(ledger, &shown) {
                    return Err(format!("the stream of {only:?} shows {shown:?} after everything that is stored"));
                }
            }
        }
        self.audited = ledger.len();
        Ok(())
    }

    /// Stops them after their server has ended; returns how often streams were cut.
    ///
    /// # Errors
    ///
    /// Something was shown that is not stored.
    pub(crate) fn stop(mut self) -> Result<u64, String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for Running { only, shown, thread } in std::mem::take(&mut self.followers) {
            thread.join().map_err(|_| "a follower panicked".to_owned())?;
            if let Ok(next) = shown.try_recv() {
                return Err(format!("the stream of {only:?} shows {next:?} after everything that is stored"));
            }
        }
        Ok(self.shared.cuts.load(Ordering::Relaxed))
    }
}

/// Whether an event was shown that was erased since.
fn is_erased(ledger: &Ledger, shown: &Found) -> bool {
    (1..=ledger.len()).contains(&shown.seq) && ledger.at(shown.seq).is_none()
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Follower {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            let (server, addresses) = self.shared.servers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let address = self.random.pick(&addresses).copied();
            match address.map_or(Ok(false), |address| self.read(server, address)) {
                Ok(true) => drop(self.shared.cuts.fetch_add(1, Ordering::Relaxed)),
                Ok(false) => wait(STEP),
                Err(violation) => {
                    // The receiver may be gone after another violation.
                    drop(self.shown.send(Err(violation)));
                    return;
                }
            }
        }
    }

    /// Reads a stream until it is cut. Returns whether there was one.
    fn read(&mut self, server: u64, address: SocketAddr) -> Result<bool, String> {
        let Ok(mut lines) = self.open(address) else { return Ok(false) };
        match status(&mut lines) {
            Ok(200) => {}
            // Between two servers.
            Ok(503) | Err(_) => return Ok(false),
            Ok(status) => return Err(format!("the answer to a stream is {status}")),
        }
        let count = self.random.from(1..=EVENTS_MAX);
        for _ in 0..count {
            match self.next(server, &mut lines) {
                Ok(()) => {}
                Err(Cut::Connection) => return Ok(true),
                Err(Cut::Violation(violation)) => return Err(format!("after seq {}: {violation}", self.last)),
            }
        }
        Ok(true)
    }

    /// Asks for a stream. HTTP/1.0 has no chunks: the stream ends with the connection.
    fn open(&mut self, address: SocketAddr) -> std::io::Result<BufReader<TcpStream>> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let encode = |only: &str| -> String { only.bytes().map(|byte| format!("%{byte:02X}")).collect() };
        let only = self.only.map(|only| format!("&type={}", encode(only))).unwrap_or_default();
        // Both ways to resume. Without events so far, there is no number that a browser could send.
        let (after, field) = if self.random.percent(50) {
            (self.last, String::new())
        } else {
            (0, format!("last-event-id: {}\r\n", self.last))
        };
        let request = format!("GET /events/stream?after_seq={after}{only} HTTP/1.0\r\n{field}\r\n");
        socket.write_all(request.as_bytes())?;
        Ok(BufReader::new(socket))
    }

    /// Reads the next event, or what a stream says at its end.
    fn next(&mut self, server: u64, lines: &mut BufReader<TcpStream>) -> Result<(), Cut> {
        let (mut id, mut name, mut data) = (None, None, None);
        loop {
            let line = line(lines)?;
            match line.split_once(": ") {
                Some(("id", value)) => id = value.parse::<u64>().ok(),
                Some(("event", value)) => name = Some(value.to_owned()),
                Some(("data", value)) => data = Some(value.to_owned()),
                Some(("retry", _)) => {}
                None if line.is_empty() && data.is_some() => break,
                // Heartbeats, and the end of the opening.
                None if line.is_empty() || line == ":" => {}
                Some(_) | None => return Err(Cut::Violation(format!("an unknown line: {line:?}"))),
            }
        }
        let data = data.unwrap_or_default();
        match name.as_deref() {
            None => {}
            Some("gap") => {
                let first_seq: Option<u64> =
                    data.strip_prefix("{\"first_seq\":").and_then(|rest| rest.strip_suffix('}')?.parse().ok());
                return match (first_seq, id) {
                    (Some(first_seq), Some(id)) if first_seq == id + 1 && id > self.last => {
                        self.last = id;
                        Ok(())
                    }
                    _ => Err(Cut::Violation(format!("the gap {data} with the id {id:?}"))),
                };
            }
            Some("drain" | "slow") if data == format!("{{\"after_seq\":{}}}", self.last) => {
                return Err(Cut::Connection);
            }
            Some(name) => return Err(Cut::Violation(format!("the notice {name} with {data}"))),
        }
        let (found, _) = Found::read(&data).map_err(Cut::Violation)?;
        if id != Some(found.seq) {
            return Err(Cut::Violation(format!("the id {id:?} of {found:?}")));
        }
        if found.seq <= self.last || (self.only.is_none() && found.seq != self.last + 1) {
            return Err(Cut::Violation(format!("seq {}, and no gap before it", found.seq)));
        }
        self.last = found.seq;
        self.shown.send(Ok((server, found))).map_err(|_| Cut::Connection)
    }
}

/// The status of the answer, whose head is read.
fn status(lines: &mut BufReader<TcpStream>) -> std::io::Result<u16> {
    let first = line(lines)?;
    while !line(lines)?.trim_end().is_empty() {}
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| std::io::Error::new(ErrorKind::InvalidData, first))
}

/// A whole line without its end. Part of a line is the end of the connection.
fn line(lines: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    lines.read_line(&mut line)?;
    if line.pop() == Some('\n') { Ok(line) } else { Err(ErrorKind::UnexpectedEof.into()) }
}
