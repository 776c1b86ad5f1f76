//! A database, and the servers of Argus that share it, each behind a proxy of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use argus_conformance::launcher::{BinaryLauncher, Demand, Launcher as _, Repository, Running};
use argus_conformance::random::Random;
use argus_servers::{Durability, PostgresServer, PostgresVersion, Proxy};

use crate::ledger::Ledger;
use crate::server::{get, kill, terminate};
use crate::wait::until;

/// The most servers at once.
const SERVERS_MAX: usize = 2;
/// The time that the database has to answer. It is longer than it takes on a busy machine, and short enough to let all
/// servers find out in a round that the database is gone.
const SETTINGS: &[(&str, &str)] = &[("--database-timeout", "6s")];

/// What the row of the table `head` says, and what is in the table `events`.
const COUNTS: &str = "SELECT h.last_seq, h.events, h.event_types, h.bytes, coalesce(max(e.seq), 0), count(e.seq), \
                      count(DISTINCT e.event_type), coalesce(sum(octet_length(e.payload) + octet_length(e.event_type) \
                      + octet_length(e.id)), 0), count(DISTINCT e.id) \
                      FROM argus.head h LEFT JOIN argus.events e ON true \
                      GROUP BY h.last_seq, h.events, h.event_types, h.bytes";

/// All rows, for a report of a violation.
const ROWS: &str = "SELECT seq, id, event_type, stored_at, left(payload, 60) FROM argus.events ORDER BY seq";

/// A database and its servers.
#[derive(Debug)]
pub(crate) struct Cluster {
    // Ended before the database.
    seats: Vec<Seat>,
    /// The database.
    pub(crate) postgres: PostgresServer,
}

/// Where a server may run.
#[derive(Debug)]
pub(crate) struct Seat {
    server: Option<Box<dyn Running>>,
    launcher: BinaryLauncher,
    /// The server reaches the database through it.
    proxy: Proxy,
}

impl Cluster {
    /// A new database, and no server yet.
    pub(crate) fn new(binary: &Path, version: &PostgresVersion) -> Result<Self, String> {
        let postgres = PostgresServer::start(version, Durability::Synced).map_err(|absent| absent.to_string())?;
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, postgres.port()));
        let seat = |_| {
            let proxy = Proxy::start(target).map_err(|error| format!("a proxy before the database: {error}"))?;
            let repository = Repository::Same(format!("postgres://postgres@{}/postgres", proxy.address()));
            let launcher = BinaryLauncher { binary: binary.to_owned(), repository, wrapper: Vec::new() };
            Ok(Seat { server: None, launcher, proxy })
        };
        let seats = (0..SERVERS_MAX).map(seat).collect::<Result<_, String>>()?;
        Ok(Self { seats, postgres })
    }

    /// Starts servers, or ends them in order, until so many run.
    pub(crate) fn staff(&mut self, count: usize) -> Result<(), String> {
        for (number, seat) in self.seats.iter_mut().enumerate() {
            match &mut seat.server {
                None if number < count => seat.start()?,
                Some(server) if number >= count => {
                    terminate(server.as_mut())?;
                    seat.server = None;
                }
                None | Some(_) => {}
            }
        }
        Ok(())
    }

    /// The addresses of the servers that run.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.seats.iter().filter_map(|seat| Some(seat.server.as_ref()?.address())).collect()
    }

    /// The proxies of the servers that run.
    pub(crate) fn proxies(&self) -> Vec<&Proxy> {
        self.seats.iter().filter(|seat| seat.server.is_some()).map(|seat| &seat.proxy).collect()
    }

    /// Kills so many of the servers that run, a random one first. Returns how many.
    pub(crate) fn kill(&mut self, count: usize, random: &mut Random) -> Result<usize, String> {
        let mut killed: Vec<&mut Seat> = self.seats.iter_mut().filter(|seat| seat.server.is_some()).collect();
        let first = random.below(killed.len());
        killed.rotate_left(first);
        killed.truncate(count);
        for seat in &mut killed {
            seat.server.take().map_or(Ok(()), |mut server| kill(server.as_mut()))?;
        }
        Ok(killed.len())
    }

    /// Waits until all servers are ready.
    pub(crate) fn ready(&self) -> Result<Duration, String> {
        let begun = Instant::now();
        let is_ready = |address| Ok::<_, String>(get(address, "/health/ready")?.status() == 200);
        for address in self.addresses() {
            until("a server that is ready again by itself", || is_ready(address))?;
        }
        Ok(begun.elapsed())
    }

    /// Waits until all servers have found out that the database is away.
    pub(crate) fn not_ready(&self) -> Result<(), String> {
        for address in self.addresses() {
            until("a server that is not ready", || Ok(get(address, "/health/ready")?.status() == 503))?;
        }
        Ok(())
    }

    /// Checks that the tables have what they must: no event twice, no wrong sum.
    pub(crate) fn check_tables(&self, ledger: &Ledger) -> Result<(), String> {
        let counts = self.postgres.sql(COUNTS).map_err(|error| error.to_string())?;
        let numbers: Vec<u64> = counts.trim().split('|').map_while(|number| number.parse().ok()).collect();
        let [last, events, types, bytes, found_last, found_events, found_types, found_bytes, ids] = *numbers else {
            return Err(format!("the table `head` must have one row of numbers, but has {counts}"));
        };
        let is_true = (events, types, bytes) == (found_events, found_types, found_bytes) && ids == events;
        if is_true && found_last <= last && (last, events) == (ledger.len(), ledger.visible()) {
            return Ok(());
        }
        Err(format!(
            "{} events are stored, and the last one was {}, but the tables have {counts} (in `head`: last seq, events, \
             types, bytes; in `events`: last seq, events, types, bytes, ids)",
            ledger.visible(),
            ledger.len()
        ))
    }

    /// Writes the logs of all that run, and the rows of the database, to a folder that a violation leaves behind.
    pub(crate) fn write_to(&self, folder: &Path) -> Result<(), String> {
        let logs = self.seats.iter().filter_map(|seat| seat.server.as_ref()).map(|server| server.log());
        let mut files: Vec<_> = (1..).zip(logs).map(|(number, log)| (format!("server-{number}.log"), log)).collect();
        files.push(("database.log".to_owned(), self.postgres.log()));
        // There is no answer if the database is gone.
        files.push(("events.txt".to_owned(), self.postgres.sql(ROWS).unwrap_or_else(|error| error.to_string())));
        for (name, text) in files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

impl Seat {
    fn start(&mut self) -> Result<(), String> {
        let started = self.launcher.start(Demand::Settings(SETTINGS));
        self.server = Some(started.map_err(|failure| failure.to_string())?);
        Ok(())
    }
}
