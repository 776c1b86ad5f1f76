//! A database, and the servers of Argus that share it, each behind a proxy of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use argus_conformance::launcher::{BinaryLauncher, Demand, Launcher as _, Repository, Running};
use argus_conformance::random::Random;
use argus_servers::Proxy;

use crate::database::home::{Counts, Home};
use crate::ledger::Ledger;
use crate::server::{get, kill, terminate};
use crate::wait::until;

/// The most servers at once.
const SERVERS_MAX: usize = 2;
/// The time that the database has to answer. It is longer than it takes on a busy machine, and short enough to let all
/// servers find out in a round that the database is gone.
const SETTINGS: &[(&str, &str)] = &[("--database-timeout", "6s")];

/// A database and its servers.
#[derive(Debug)]
pub(crate) struct Cluster {
    // Ended before the database.
    seats: Vec<Seat>,
    /// The database.
    pub(crate) home: Home,
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
    /// No server yet.
    pub(crate) fn new(binary: &Path, home: Home) -> Result<Self, String> {
        let seat = |_| {
            let proxy =
                Proxy::start(home.address()).map_err(|error| format!("a proxy before the database: {error}"))?;
            let repository = Repository::Same(home.url(proxy.address()));
            let launcher = BinaryLauncher { binary: binary.to_owned(), repository, wrapper: Vec::new() };
            Ok(Seat { server: None, launcher, proxy })
        };
        let seats = (0..SERVERS_MAX).map(seat).collect::<Result<_, String>>()?;
        Ok(Self { seats, home })
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

    /// Checks that the database has what it must: no event twice, no wrong sum, nothing that is left over.
    pub(crate) fn check_stored(&self, ledger: &Ledger) -> Result<(), String> {
        let counts = self.home.counts()?;
        let Counts { last, events, types, bytes, found_last, found_events, found_types, found_bytes, ids } = counts;
        let is_true = (events, types, bytes) == (found_events, found_types, found_bytes) && ids == events;
        if is_true && found_last <= last && (last, events) == (ledger.len(), ledger.visible()) {
            return Ok(());
        }
        Err(format!(
            "{} events are stored, and the last one was {}, but the database has {counts:?}",
            ledger.visible(),
            ledger.len()
        ))
    }

    /// Writes the logs of all that run, and the rows of the database, to a folder that a violation leaves behind.
    pub(crate) fn write_to(&self, folder: &Path) -> Result<(), String> {
        let logs = self.seats.iter().filter_map(|seat| seat.server.as_ref()).map(|server| server.log());
        let mut files: Vec<_> = (1..).zip(logs).map(|(number, log)| (format!("server-{number}.log"), log)).collect();
        files.push(("database.log".to_owned(), self.home.log()));
        // There is no answer if the database is gone.
        files.push(("events.txt".to_owned(), self.home.rows().unwrap_or_else(|error| error)));
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
