//! System calls that fail, and ends in the middle of one.

use std::net::SocketAddr;
use std::time::Duration;

use argus_conformance::launcher::{Running, Signal};

use crate::audit;
use crate::client;
use crate::draw::Draw;
use crate::ledger::{Attempt, Outcome};
use crate::server::{get, kill, open, with_log};
use crate::site::{BROAD, LIGHT, MIXED, Site};
use crate::tracer::{Tracer, traced};
use crate::wait::{STEP, until, wait};

/// Calls in which a server under load is killed, and the highest number of the call in question.
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

/// Calls in which a server is killed that is about to start. It does some of each.
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

/// How long a call is waited for in which a server is killed; then it is killed outside of one.
const KILL_STEPS: u32 = 100;

/// A system call that fails, and after which nothing more is accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// The call.
    pub(crate) call: &'static str,
    /// What it fails with…
    pub(crate) error: &'static str,
    /// …and how the system says that.
    pub(crate) message: &'static str,
    /// On what.
    pub(crate) on: On,
    /// One of so many of these calls fails; which one is drawn.
    pub(crate) within: u64,
}

/// What a system call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The log.
    Log,
    /// The names of segments and manifests.
    Blobs,
}

/// A sync for which commits wait.
pub(crate) const SYNC_OF_LOG: Failure =
    Failure { call: "fdatasync", error: "EIO", message: "Input/output error", on: On::Log, within: 30 };
/// The same, by a file system that finds out late that it has no room: what was written before is in doubt as well.
pub(crate) const SYNC_WITHOUT_ROOM: Failure =
    Failure { error: "ENOSPC", message: "No space left on device", ..SYNC_OF_LOG };
/// A write of records or marks.
pub(crate) const WRITE_TO_LOG: Failure = Failure { call: "writev", ..SYNC_OF_LOG };
/// What makes the name of a segment or a manifest durable.
pub(crate) const SYNC_OF_BLOBS: Failure = Failure { call: "fsync", on: On::Blobs, within: 4, ..SYNC_OF_LOG };

/// A sync or a write that fails: nothing more is accepted, reads go on, and what was acknowledged stays.
pub(crate) fn failing(site: &mut Site, failure: Failure, draw: &mut Draw) -> Result<String, String> {
    let Failure { call, error, on, within, .. } = failure;
    let mut server = site.start()?;
    let address = server.address();
    stores(site, address, draw)?;
    let (path, shape) = match on {
        On::Log => (log_file(site), MIXED),
        On::Blobs => {
            // Near to what is sealed, so that the next load gets there.
            let attempts = site.load(address, BROAD, draw, |_| {
                wait(Duration::from_millis(500));
                Ok(())
            })?;
            site.audit(address, &attempts, draw, false)?;
            (site.folder.join("blobs").display().to_string(), BROAD)
        }
    };
    let (trace, inject) =
        (format!("trace={call}"), format!("inject={call}:error={error}:when={}", draw.from(1..=within)));
    let tracer = Tracer::attach(server.process(), &["-P", &path, "-e", &trace, "-e", &inject])?;
    let attempts = site.load(address, shape, draw, |_| {
        until("a server that is not ready any more", || Ok(get(address, "/health/ready")?.status() == 503))?;
        wait(Duration::from_millis(100));
        Ok(())
    });
    let attempts = attempts.map_err(|error| with_log(&error, server.as_ref()))?;
    failed(site, server.as_mut(), &attempts, failure, draw).map_err(|error| with_log(&error, server.as_ref()))?;
    drop((server, tracer));
    let server = site.start()?;
    let sums = site.audit(server.address(), &attempts, draw, true).map_err(|e| with_log(&e, server.as_ref()))?;
    stores(site, server.address(), draw)?;
    Ok(format!(
        "{} events acknowledged before, {} of {} unanswered are there",
        sums.acknowledged_events, sums.unknown_there, sums.unknown
    ))
}

/// What holds for a server whose storage has failed, up to its end.
fn failed(
    site: &Site,
    server: &mut dyn Running,
    attempts: &[Attempt],
    failure: Failure,
    draw: &mut Draw,
) -> Result<(), String> {
    let address = server.address();
    // A write may be that of a mark, for which nobody waits, and nobody waits for blobs; a sync of the log is never for
    // nobody.
    let is_waited_for = failure.call == "fdatasync";
    let told = |what: &str, later: bool| {
        attempts.iter().any(|attempt| match &attempt.outcome {
            Outcome::Unknown(why) => !later && why.contains(what),
            Outcome::Refused(why) => later && why.contains(what),
            Outcome::One { .. } | Outcome::Many { .. } => false,
        })
    };
    if is_waited_for && !told("storage-failed", false) {
        return Err("a fault, and no request that waited for it was told that it may be stored".into());
    }
    if !told("storage-failed", true) {
        return Err("a fault, and no request behind it was told that it is not stored".into());
    }
    let ready = get(address, "/health/ready")?;
    let reason = ready.text().map_err(|failure| failure.to_string())?;
    if ready.status() != 503 || !reason.contains(failure.message) {
        return Err(format!("/health/ready is {} {reason}", ready.status()));
    }
    let body = get(address, "/events?limit=10000")?;
    if body.status() != 200 {
        return Err(format!("reads go on after a fault, but GET /events is {}", body.status()));
    }
    let mut connection = open(address)?;
    let token = site.ledger.token(draw.percent(50), false);
    let answer = client::outcome(connection.request(&client::one(&[token])))?;
    if !matches!(answer, Outcome::Refused(_)) {
        return Err(format!("a submission after the fault was answered {answer:?}"));
    }
    server.signal(Signal::Terminate).map_err(|failure| failure.to_string())?;
    let exit = server.wait().map_err(|failure| failure.to_string())?;
    if exit.code == Some(1) { Ok(()) } else { Err(format!("SIGTERM after a fault ended with {:?}", exit.code)) }
}

/// A device that has no room for some time: an error to the caller, reads go on, and so does writing when there is
/// room.
pub(crate) fn no_room(site: &mut Site, draw: &mut Draw) -> Result<String, String> {
    let mut server = site.start()?;
    let address = server.address();
    stores(site, address, draw)?;
    let log = log_file(site);
    let first = draw.from(2..=20);
    let inject = format!("inject=writev:error=ENOSPC:when={first}..{}", first + 20);
    let tracer = Tracer::attach(server.process(), &["-P", &log, "-e", "trace=writev", "-e", &inject])?;
    let attempts = site.load(address, LIGHT, draw, |_| {
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
        return Err(with_log("nobody was told that the storage is full", server.as_ref()));
    }
    site.audit(address, &attempts, draw, true).map_err(|error| with_log(&error, server.as_ref()))?;
    stores(site, address, draw).map_err(|error| with_log(&error, server.as_ref()))?;
    kill(server.as_mut())?;
    drop(tracer);
    let server = site.start()?;
    site.audit(server.address(), &[], draw, true)?;
    Ok(format!("{refused} requests were told so, {} events there", site.ledger.len()))
}

/// SIGKILL in the n-th call of a kind, under load that makes it seal.
pub(crate) fn killed_in_calls(site: &mut Site, draw: &mut Draw) -> Result<String, String> {
    let mut hits = 0;
    let mut server = site.start()?;
    for (call, most) in KILLED_IN {
        let when = draw.from(1..=*most);
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={when}"));
        let tracer = Tracer::attach(server.process(), &["-e", &trace, "-e", &inject])?;
        let address = server.address();
        let mut hit = false;
        let attempts = site.load(address, BROAD, draw, |_| {
            for _ in 0..KILL_STEPS {
                wait(STEP);
                // It listens for as long as it lives.
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
        let audited = site.audit(server.address(), &attempts, draw, true);
        audited.map_err(|error| with_log(&format!("after a kill in {call} {when}: {error}"), server.as_ref()))?;
    }
    let expected = KILLED_IN.len();
    if hits == 0 {
        return Err(format!("none of {expected} kills came within a call"));
    }
    Ok(format!("{hits} of {expected} kills came within a call, {} events there", site.ledger.len()))
}

/// SIGKILL in the n-th call of a kind of a process that opens the folder.
pub(crate) fn killed_in_start(site: &mut Site, draw: &mut Draw) -> Result<String, String> {
    let mut hits = 0;
    for (call, most) in KILLED_IN_START {
        let mut server = site.start()?;
        let address = server.address();
        let attempts = site.load(address, MIXED, draw, |_| {
            wait(Duration::from_millis(30));
            kill(server.as_mut())
        })?;
        let when = draw.from(1..=*most);
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={when}"));
        let launcher = traced(&site.launcher, &["-e", &trace, "-e", &inject]);
        let exit = launcher.run_for(Duration::from_millis(500)).map_err(|failure| failure.to_string())?;
        hits += u64::from(!exit.stdout.contains("listening"));
        let server = site.start().map_err(|error| format!("after a kill in {call} {when} of a start: {error}"))?;
        let audited = site.audit(server.address(), &attempts, draw, true);
        audited.map_err(|error| with_log(&format!("after a kill in {call} {when}: {error}"), server.as_ref()))?;
    }
    let expected = KILLED_IN_START.len();
    if hits == 0 {
        return Err(format!("none of {expected} kills came before it served"));
    }
    Ok(format!("{hits} of {expected} kills came before it served, {} events there", site.ledger.len()))
}

/// Whether a request was told that there is no room.
pub(crate) fn is_full(attempt: &Attempt) -> bool {
    matches!(&attempt.outcome, Outcome::Refused(why) if why.contains("storage-full"))
}

/// A new event is stored, at once or as soon as there is room.
pub(crate) fn stores(site: &mut Site, address: SocketAddr, draw: &mut Draw) -> Result<(), String> {
    let mut attempts = Vec::new();
    let mut connection = open(address)?;
    until("an event that is stored again", || {
        let token = site.ledger.token(true, false);
        let outcome = client::outcome(connection.request(&client::one(&[token])))?;
        let stored = matches!(outcome, Outcome::One { .. });
        attempts.push(Attempt { fresh: vec![token], repeats: Vec::new(), outcome });
        Ok(stored)
    })?;
    audit::tail(address, &mut site.ledger, &attempts, draw).map(drop)
}

/// The first file of the log. There is none before the first event.
fn log_file(site: &Site) -> String {
    site.folder.join("log").join("00000000000000000000.log").display().to_string()
}
