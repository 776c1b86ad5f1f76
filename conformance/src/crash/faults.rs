//! System calls that fail, and kills in the middle of one.

use std::net::SocketAddr;
use std::time::Duration;

use argus_conformance::launcher::{Running, Signal};
use argus_conformance::random::Random;

use crate::audit;
use crate::client;
use crate::ledger::{Attempt, Ledger, Outcome};
use crate::load::{BROAD, LIGHT, MIXED};
use crate::server::{get, kill, open, with_log};
use crate::site::Site;
use crate::tracer::{Tracer, traced};
use crate::wait::{STEP, until, wait};

/// System calls in which a server under load is killed, with the highest number of the call.
const KILLED_IN: &[(&str, u64)] = &[
    ("fdatasync", 40),
    ("writev", 200),
    ("write", 60),
    ("fsync", 12),
    ("rename", 6),
    ("openat", 8),
    ("fallocate", 4),
    ("unlink", 2),
    ("lseek", 60),
];

/// System calls in which a starting server is killed. A start makes some of each.
const KILLED_IN_START: &[(&str, u64)] = &[
    ("openat", 40),
    ("fsync", 6),
    ("fdatasync", 5),
    ("pread64", 12),
    ("write", 3),
    ("writev", 2),
    ("rename", 2),
    ("unlink", 2),
    ("flock", 1),
];

/// How long to wait for a kill in a call; then the server is killed outside of one.
const KILL_STEPS: u32 = 100;

/// The longest time for a start to get to a call, under a tracer.
const START_TIME_MAX: Duration = Duration::from_secs(2);

/// A system call that fails and thereby fails the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// The name of the call.
    pub(crate) call: &'static str,
    /// The name of its error, for strace.
    pub(crate) error: &'static str,
    /// The message of its error, as the server reports it.
    pub(crate) message: &'static str,
    /// The affected files.
    pub(crate) on: On,
    /// A random one of the first `within` calls fails.
    pub(crate) within: u64,
}

/// The files that a system call concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The log.
    Log,
    /// The names of segments and manifests.
    Blobs,
}

/// A sync that commits wait for.
pub(crate) const SYNC_OF_LOG: Fault =
    Fault { call: "fdatasync", error: "EIO", message: "Input/output error", on: On::Log, within: 30 };
/// The same on a file system that finds out only now that it is full. Earlier writes may be lost as well.
pub(crate) const SYNC_WITHOUT_ROOM: Fault =
    Fault { error: "ENOSPC", message: "No space left on device", ..SYNC_OF_LOG };
/// A write of log records or durability marks.
pub(crate) const WRITE_TO_LOG: Fault = Fault { call: "writev", ..SYNC_OF_LOG };
/// A sync that makes the name of a segment or manifest durable.
pub(crate) const SYNC_OF_BLOBS: Fault = Fault { call: "fsync", on: On::Blobs, within: 4, ..SYNC_OF_LOG };

/// A sync or write fails: no more commits are accepted, reads go on, and acknowledged events stay.
pub(crate) fn failing(site: &mut Site, fault: Fault, random: &mut Random) -> Result<String, String> {
    let Fault { call, error, on, within, .. } = fault;
    let mut server = site.start()?;
    let address = server.address();
    stores(site, address, random)?;
    let (path, shape) = match on {
        On::Log => (log_file(site), MIXED),
        On::Blobs => {
            // Nearly enough for a segment, so that the next load seals one.
            let attempts = site.load(address, BROAD, random, |_| {
                wait(Duration::from_millis(500));
                Ok(())
            })?;
            site.audit(address, &attempts, random, false)?;
            (site.folder.join("blobs").display().to_string(), BROAD)
        }
    };
    let (trace, inject) =
        (format!("trace={call}"), format!("inject={call}:error={error}:when={}", random.from(1..=within)));
    let tracer = Tracer::attach(server.process(), &["-P", &path, "-e", &trace, "-e", &inject])?;
    let attempts = site.load(address, shape, random, |_| {
        until("a server that is not ready", || Ok(get(address, "/health/ready")?.status() == 503))?;
        wait(Duration::from_millis(100));
        Ok(())
    });
    let attempts = attempts.map_err(|error| with_log(&error, server.as_ref()))?;
    failed(site, server.as_mut(), &attempts, fault, random).map_err(|error| with_log(&error, server.as_ref()))?;
    drop((server, tracer));
    let server = site.start()?;
    let sums = site.audit(server.address(), &attempts, random, true).map_err(|e| with_log(&e, server.as_ref()))?;
    stores(site, server.address(), random)?;
    Ok(format!(
        "{} events acknowledged before, {} of {} unanswered requests were stored",
        sums.acknowledged_events, sums.unknown_stored, sums.unknown
    ))
}

/// Checks a server whose storage has failed, until it ends.
fn failed(
    site: &Site,
    server: &mut dyn Running,
    attempts: &[Attempt],
    fault: Fault,
    random: &mut Random,
) -> Result<(), String> {
    let address = server.address();
    // No commit waits for blobs or for the write of a durability mark. A sync of the log always has one waiting.
    let is_waited_for = fault.call == "fdatasync";
    let told = |what: &str, later: bool| {
        attempts.iter().any(|attempt| match &attempt.outcome {
            Outcome::Unknown(why) => !later && why.contains(what),
            Outcome::Refused(why) => later && why.contains(what),
            Outcome::One { .. } | Outcome::Many { .. } => false,
        })
    };
    if is_waited_for && !told("storage-failed", false) {
        return Err("no request waiting during the fault was told that it may be stored".into());
    }
    if !told("storage-failed", true) {
        return Err("no request after the fault was told that it is not stored".into());
    }
    let ready = get(address, "/health/ready")?;
    let reason = ready.text().map_err(|failure| failure.to_string())?;
    if ready.status() != 503 || !reason.contains(fault.message) {
        return Err(format!("/health/ready is {} {reason}", ready.status()));
    }
    let body = get(address, "/events?limit=10000")?;
    if body.status() != 200 {
        return Err(format!("reads must go on after the fault, but GET /events is {}", body.status()));
    }
    let mut connection = open(address)?;
    let token = site.ledger.token(random.percent(50), false);
    let answer = client::outcome(connection.request(&client::one(&[token])))?;
    if !matches!(answer, Outcome::Refused(_)) {
        return Err(format!("a submission after the fault was answered {answer:?}"));
    }
    server.signal(Signal::Terminate).map_err(|failure| failure.to_string())?;
    let exit = server.wait().map_err(|failure| failure.to_string())?;
    if exit.code == Some(1) { Ok(()) } else { Err(format!("SIGTERM after a fault ended with {:?}", exit.code)) }
}

/// A device is full for some time: callers get an error, reads go on, and writing resumes when there is room.
pub(crate) fn no_room(site: &mut Site, random: &mut Random) -> Result<String, String> {
    let mut server = site.start()?;
    let address = server.address();
    stores(site, address, random)?;
    let log = log_file(site);
    let first = random.from(2..=20);
    let inject = format!("inject=writev:error=ENOSPC:when={first}..{}", first + 20);
    let tracer = Tracer::attach(server.process(), &["-P", &log, "-e", "trace=writev", "-e", &inject])?;
    let attempts = site.load(address, LIGHT, random, |_| {
        wait(Duration::from_millis(600));
        let (ready, events) = (get(address, "/health/ready")?.status(), get(address, "/events?limit=10")?.status());
        if (ready, events) == (200, 200) {
            return Ok(());
        }
        Err(format!("without room, /health/ready is {ready} and GET /events is {events}"))
    });
    let attempts = attempts.map_err(|error| with_log(&error, server.as_ref()))?;
    let refused = attempts.iter().filter(|attempt| is_full(attempt)).count();
    if refused == 0 {
        return Err(with_log("no request was told that the storage is full", server.as_ref()));
    }
    site.audit(address, &attempts, random, true).map_err(|error| with_log(&error, server.as_ref()))?;
    stores(site, address, random).map_err(|error| with_log(&error, server.as_ref()))?;
    kill(server.as_mut())?;
    drop(tracer);
    let server = site.start()?;
    site.audit(server.address(), &[], random, true)?;
    Ok(format!("{refused} requests were told so, {} events stored", site.ledger.len()))
}

/// SIGKILL in the n-th system call of a kind, under load that makes the server seal.
pub(crate) fn killed_in_calls(site: &mut Site, random: &mut Random) -> Result<String, String> {
    let mut hits = 0;
    let mut server = site.start()?;
    for (call, most) in KILLED_IN {
        let when = random.from(1..=*most);
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={when}"));
        let tracer = Tracer::attach(server.process(), &["-e", &trace, "-e", &inject])?;
        let address = server.address();
        let mut hit = false;
        let attempts = site.load(address, BROAD, random, |_| {
            for _ in 0..KILL_STEPS {
                wait(STEP);
                // It listens as long as it lives.
                hit = open(address).is_err();
                if hit {
                    break;
                }
            }
            server.signal(Signal::Kill).map_err(|failure| failure.to_string())
        })?;
        hits += u64::from(hit);
        server.wait().map_err(|failure| failure.to_string())?;
        drop(tracer);
        server = site.start().map_err(|error| format!("after a kill in {call} {when}: {error}"))?;
        let audited = site.audit(server.address(), &attempts, random, true);
        audited.map_err(|error| with_log(&format!("after a kill in {call} {when}: {error}"), server.as_ref()))?;
    }
    let expected = KILLED_IN.len();
    if hits == 0 {
        return Err(format!("none of {expected} kills hit a call"));
    }
    Ok(format!("{hits} of {expected} kills hit a call, {} events stored", site.ledger.len()))
}

/// SIGKILL in the n-th system call of a kind while a process opens the folder.
pub(crate) fn killed_in_start(site: &mut Site, random: &mut Random) -> Result<String, String> {
    let mut hits = 0;
    for (call, most) in KILLED_IN_START {
        let mut server = site.start()?;
        let address = server.address();
        let attempts = site.load(address, MIXED, random, |_| {
            wait(Duration::from_millis(30));
            kill(server.as_mut())
        })?;
        let when = random.from(1..=*most);
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={when}"));
        let launcher = traced(&site.launcher, &["-e", &trace, "-e", &inject]);
        // `None`: it was still running at the deadline, so no call was hit.
        let early = launcher.run_for(START_TIME_MAX).map_err(|failure| failure.to_string())?;
        // One with an exit code has failed by itself.
        hits += u64::from(early.is_some_and(|exit| exit.code.is_none() && !exit.stdout.contains("listening")));
        let server = site.start().map_err(|error| format!("after a kill in {call} {when} of a start: {error}"))?;
        let audited = site.audit(server.address(), &attempts, random, true);
        audited.map_err(|error| with_log(&format!("after a kill in {call} {when}: {error}"), server.as_ref()))?;
    }
    let expected = KILLED_IN_START.len();
    if hits == 0 {
        return Err(format!("none of {expected} kills came before the server was up"));
    }
    Ok(format!("{hits} of {expected} kills came before the server was up, {} events stored", site.ledger.len()))
}

/// Whether a request was refused because the storage is full.
pub(crate) fn is_full(attempt: &Attempt) -> bool {
    matches!(&attempt.outcome, Outcome::Refused(why) if why.contains("storage-full"))
}

/// Checks that a new event is stored, at once or as soon as there is room.
pub(crate) fn stores(site: &mut Site, address: SocketAddr, random: &mut Random) -> Result<(), String> {
    let attempts = until_stored(&site.ledger, address, 0)?;
    audit::tail(address, &mut site.ledger, (&attempts, &[]), random).map(drop)
}

/// Submits new events until one is stored. So many erasures of the round have been answered.
pub(crate) fn until_stored(ledger: &Ledger, address: SocketAddr, answered: usize) -> Result<Vec<Attempt>, String> {
    let mut attempts = Vec::new();
    until("a server that stores events again", || {
        let token = ledger.token(true, false);
        let outcome = client::outcome(open(address)?.request(&client::one(&[token])))?;
        let stored = matches!(outcome, Outcome::One { .. });
        attempts.push(Attempt { fresh: vec![token], repeats: Vec::new(), answered, outcome });
        Ok(stored)
    })?;
    Ok(attempts)
}

/// The first file of the log. It exists after the first event.
fn log_file(site: &Site) -> String {
    site.folder.join("log").join("00000000000000000000.log").display().to_string()
}
