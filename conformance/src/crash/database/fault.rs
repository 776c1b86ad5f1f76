//! What a round does to servers, to their database and to the connections between them.

use std::fmt;
use std::time::Duration;

use argus_conformance::random::Random;
use argus_servers::{Direction, Proxy};

use crate::database::cluster::Cluster;
use crate::load::millis;
use crate::wait::{until, wait};

/// How many kinds of faults there are.
pub(crate) const KINDS: u64 = 7;
/// The most times that connections are cut in a round.
const CUTS_MAX: u64 = 8;
/// The most bytes after which connections are cut, as a power of two.
const BYTES_MAX: u64 = 18;
/// How long the database is away if nobody waits for the servers to find out, in milliseconds.
const SHORT_MAX: u64 = 1_500;
/// How long the connections stand still at most, in milliseconds: longer than servers wait for an answer, and than the
/// database waits for a transaction to go on.
const STALL_MAX: u64 = 12_000;

/// Something that happens under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL for so many servers, which are then started again.
    KillServers(usize),
    /// SIGKILL for all processes of the database, which is then started again.
    KillDatabase(Absence),
    /// The database ends in order, and is started again.
    StopDatabase(Absence),
    /// SIGKILL for the database and all servers. The servers are started first.
    KillAll,
    /// All connections between a random server and the database are cut, so many times.
    Cut(u64),
    /// The same, each time in the middle of what is sent.
    CutWithin(u64),
    /// Nothing gets from the servers to the database or back for some time.
    Stall(Duration, Whom),
}

/// How long the database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// For some time.
    For(Duration),
    /// Until all servers are not ready.
    UntilKnown,
}

/// The servers that a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    /// A random one.
    One,
    /// All.
    All,
}

impl Fault {
    /// The next fault. Each kind comes once in as many numbers that follow each other as there are kinds.
    pub(crate) fn draw(random: &mut Random, number: u64, is_short: bool) -> Self {
        let absence = if random.percent(50) && !is_short {
            Absence::UntilKnown
        } else {
            Absence::For(millis(random, 0, if is_short { SHORT_MAX / 3 } else { SHORT_MAX }))
        };
        let times = random.from(1..=if is_short { 2 } else { CUTS_MAX });
        let whom = if random.percent(50) { Whom::One } else { Whom::All };
        match number % KINDS {
            0 => Self::KillAll,
            1 => Self::KillServers(1),
            2 => Self::KillDatabase(absence),
            3 => Self::CutWithin(times),
            4 => Self::Stall(millis(random, 200, if is_short { 500 } else { STALL_MAX }), whom),
            5 => Self::StopDatabase(absence),
            _ if random.percent(50) => Self::Cut(times),
            _ => Self::KillServers(2),
        }
    }

    /// Whether it ends servers, so that some requests have no answer.
    pub(crate) fn ends_servers(self) -> bool {
        match self {
            Self::KillServers(_) | Self::KillAll => true,
            Self::KillDatabase(_) | Self::StopDatabase(_) | Self::Cut(_) | Self::CutWithin(_) | Self::Stall(..) => {
                false
            }
        }
    }

    /// What it is, for a report about this database.
    pub(crate) fn text(self, database: &str) -> String {
        match self {
            Self::KillServers(1) => "kill Argus".to_owned(),
            Self::KillServers(_) => "kill all Argus".to_owned(),
            Self::KillDatabase(absence) => format!("kill {database}, away {absence}"),
            Self::StopDatabase(absence) => format!("stop {database}, away {absence}"),
            Self::KillAll => "kill everything, start Argus first".to_owned(),
            Self::Cut(times) => format!("{times} cuts"),
            Self::CutWithin(times) => format!("{times} cuts within what is sent"),
            Self::Stall(time, Whom::One) => format!("one stalled for {} ms", time.as_millis()),
            Self::Stall(time, Whom::All) => format!("all stalled for {} ms", time.as_millis()),
        }
    }

    /// Makes it happen, and puts right what would not come back by itself: processes that have ended are started.
    pub(crate) fn inflict(self, cluster: &mut Cluster, random: &mut Random) -> Result<(), String> {
        let count = cluster.addresses().len();
        match self {
            Self::KillServers(most) => {
                cluster.kill(most, random)?;
                cluster.staff(count)
            }
            Self::KillDatabase(absence) => {
                cluster.home.kill();
                absence.pass(cluster)
            }
            Self::StopDatabase(absence) => {
                cluster.home.stop()?;
                absence.pass(cluster)
            }
            Self::KillAll => {
                cluster.home.kill();
                cluster.kill(count, random)?;
                cluster.staff(count)?;
                Absence::UntilKnown.pass(cluster)
            }
            Self::Cut(times) => {
                for _ in 0..times {
                    one_of(cluster, random)?.cut();
                    wait(millis(random, 0, 200));
                }
                Ok(())
            }
            Self::CutWithin(times) => (0..times).try_for_each(|_| cut_within(one_of(cluster, random)?, random)),
            Self::Stall(time, whom) => {
                let stalled = match whom {
                    Whom::One => vec![one_of(cluster, random)?],
                    Whom::All => cluster.proxies(),
                };
                stalled.iter().for_each(|proxy| proxy.stall(true));
                wait(time);
                stalled.iter().for_each(|proxy| proxy.stall(false));
                Ok(())
            }
        }
    }
}

impl Absence {
    /// Waits, and starts the database again.
    fn pass(self, cluster: &Cluster) -> Result<(), String> {
        match self {
            Self::For(time) => wait(time),
            Self::UntilKnown => cluster.not_ready()?,
        }
        cluster.home.restart()
    }
}

fn one_of<'a>(cluster: &'a Cluster, random: &mut Random) -> Result<&'a Proxy, String> {
    random.pick(&cluster.proxies()).copied().ok_or_else(|| "no server runs".to_owned())
}

/// Cuts all connections after some more bytes in one direction. Small numbers are as likely as large ones.
fn cut_within(proxy: &Proxy, random: &mut Random) -> Result<(), String> {
    let direction = if random.percent(50) { Direction::ToServer } else { Direction::ToClient };
    let magnitude = 1 << random.from(0..=BYTES_MAX);
    let bytes = random.from(magnitude / 2..=magnitude);
    let cuts = proxy.cuts();
    proxy.cut_after(direction, usize::try_from(bytes).unwrap_or(usize::MAX));
    until("bytes on a connection to the database", || Ok(proxy.cuts() > cuts))
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(time) => write!(f, "for {} ms", time.as_millis()),
            Self::UntilKnown => write!(f, "until Argus is not ready"),
        }
    }
}
