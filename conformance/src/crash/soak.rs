//! A soak: writers, fast and slow readers, idle and half-open connections, a disk that fills up and is freed, and a log
//! that nobody reads, all at once, for as long as requested.
//!
//! It runs in cycles. At the end of each, the server gets SIGTERM and is restarted, and what is stored is compared with
//! what was acknowledged.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use argus_conformance::launcher::{Demand, Launcher as _, Running, Signal};
use argus_conformance::random::Random;

use crate::crowd::{BURDENS, CONNECTIONS_MAX};
use crate::faults::is_full;
use crate::full::SmallDisk;
use crate::ledger::{Attempt, Ledger};
use crate::load::{PACED, millis};
use crate::round::{End, check};
use crate::server::{signal, with_log};
use crate::site::Site;
use crate::wait::wait;
use crate::watch::{self, Seen};

/// The size of the disk, in bytes.
pub(crate) const DISK_BYTES: usize = 1 << 30;
/// One cycle in this many audits everything.
const CYCLES_TO_A_FULL_AUDIT: u64 = 5;
/// The settings of the servers in a soak. The limits are low enough for the crowd to reach them.
const SETTINGS: [(&str, &str); 9] = [
    ("--log", "debug"),
    ("--max-connections", CONNECTIONS_MAX),
    ("--max-body-bytes", "16MiB"),
    ("--max-inflight-bytes", "64MiB"),
    ("--commit-queue-bytes", "16MiB"),
    ("--header-timeout", "5s"),
    ("--body-timeout", "5s"),
    ("--write-timeout", "10s"),
    ("--drain-timeout", "5s"),
];

/// Where the server's log goes during a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    /// To a file on the disk that fills up.
    SameDisk,
    /// To a pipe whose reader has gone.
    NoReader,
    /// To a pipe that nobody reads.
    FullPipe,
}

impl Log {
    /// Each in turn.
    fn of_cycle(number: u64) -> Self {
        match number % 3 {
            0 => Self::FullPipe,
            1 => Self::SameDisk,
            _ => Self::NoReader,
        }
    }
}

/// Counters of a soak.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    cycles: u64,
    seen: Seen,
    full: usize,
    connections: u64,
    lines_lost: u64,
    cut: u64,
}

/// Soaks for this time; returns a summary.
///
/// # Errors
///
/// The first violation.
pub(crate) fn run(
    site: &mut Site,
    disk: &SmallDisk,
    time: Duration,
    seed: u64,
    report: impl Fn(&str),
) -> Result<String, String> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    while begun.elapsed() < time {
        tally.cycles += 1;
        let mut random = Random::new(seed, tally.cycles);
        let log = Log::of_cycle(tally.cycles);
        let line = cycle(site, disk, log, &mut random, &mut tally)
            .map_err(|error| format!("cycle {}, {log:?}: {error}", tally.cycles))?;
        report(&line);
    }
    if tally.full == 0 {
        return Err("the disk was full several times, but no request was told so".to_owned());
    }
    let server = site.start()?;
    site.audit(server.address(), &[], &mut Random::new(seed, 0), true)?;
    let Tally { cycles, seen, full, connections, lines_lost, cut } = tally;
    let sums = site.ledger.sums;
    Ok(format!(
        "{cycles} cycles, {} events stored, {} of {} unanswered requests stored, {} refused ({full} on the full disk); \
         {} probes, slowest {} ms; {} reads of acknowledged events; {connections} connections of the crowd; \
         {lines_lost} log lines lost; memory at most {} of {} MiB announced; {cut} drains reached their deadline",
        site.ledger.len(),
        sums.unknown_stored,
        sums.unknown,
        sums.refused,
        seen.probes,
        seen.slowest_probe.as_millis(),
        seen.reads,
        seen.memory_peak >> 20,
        seen.memory_planned >> 20,
    ))
}

fn cycle(
    site: &mut Site,
    disk: &SmallDisk,
    log: Log,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<String, String> {
    let logs = disk.path().join(format!("log-{}", tally.cycles));
    let mut server = start(site, log, &logs)?;
    let address = server.address();
    let process = server.process().ok_or("the server has no process of ours")?;
    let crowd_stops = AtomicBool::new(false);
    let mut found = (Vec::new(), Seen::default(), 0);
    let mut ended = Ok(());
    let (mut connections, mut cut) = (0, false);
    thread::scope(|scope| {
        let crowd: Vec<_> = BURDENS.iter().map(|burden| scope.spawn(|| burden.hold(address, &crowd_stops))).collect();
        ended = under_load(site, disk, address, process, random).and_then(|seen| {
            found = seen;
            // The crowd is still connected, and must not delay the end beyond its deadline.
            signal(server.as_ref(), Signal::Terminate)?;
            let exit = server.wait().map_err(|failure| failure.to_string())?;
            cut = exit.code == Some(3);
            if cut || exit.code == Some(0) {
                Ok(())
            } else {
                Err(format!("after SIGTERM the exit code was {:?}", exit.code))
            }
        });
        crowd_stops.store(true, Ordering::Relaxed);
        for burden in crowd {
            connections += burden.join().unwrap_or_default();
        }
    });
    ended.map_err(|error| format!("{error}\nThe end of its log, as far as written:\n{}", tail(&logs)))?;
    let (attempts, seen, lines_lost) = found;
    if lines_lost == 0 && log != Log::SameDisk {
        return Err("log lines were lost, but not counted".to_owned());
    }
    let _ = fs::remove_file(&logs);
    check(site, End::Terminate)?;
    let mut server = site.start()?;
    let all = tally.cycles.is_multiple_of(CYCLES_TO_A_FULL_AUDIT);
    let sums =
        site.audit(server.address(), &attempts, random, all).map_err(|error| with_log(&error, server.as_ref()))?;
    crate::server::terminate(server.as_mut())?;
    tally.seen.merge(seen);
    let full = attempts.iter().filter(|attempt| is_full(attempt)).count();
    tally.full += full;
    tally.connections += connections;
    tally.lines_lost += lines_lost;
    tally.cut += u64::from(cut);
    Ok(format!(
        "{} {log:?}: {} requests acknowledged, {} of {} unanswered stored, {} refused ({full} on the full disk), \
         {} probes, slowest {} ms, {} reads, {connections} connections of the crowd, {lines_lost} log lines lost, \
         memory {} of {} MiB{}",
        tally.cycles,
        sums.acknowledged,
        sums.unknown_stored,
        sums.unknown,
        sums.refused,
        seen.probes,
        seen.slowest_probe.as_millis(),
        seen.reads,
        seen.memory_peak >> 20,
        seen.memory_planned >> 20,
        if cut { ", drained to the deadline" } else { "" },
    ))
}

/// Submits, reads and probes, while the disk is full for some time. Returns the attempts, what was seen, and the number
/// of lost log lines.
fn under_load(
    site: &mut Site,
    disk: &SmallDisk,
    address: std::net::SocketAddr,
    process: u32,
    random: &mut Random,
) -> Result<(Vec<Attempt>, Seen, u64), String> {
    let (before, during, after) =
        (millis(random, 1000, 4000), millis(random, 5000, 10_000), millis(random, 2000, 8000));
    let mut seen = Seen::default();
    let attempts = site.load(address, PACED, random, |ledger: &Ledger| {
        let stop = AtomicBool::new(false);
        let mut outcome = Ok(());
        thread::scope(|scope| {
            let probe = scope.spawn(|| watch::probe(address, process, &stop));
            let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| watch::read(address, ledger, &stop))).collect();
            wait(before);
            outcome = while_full(disk, || wait(during));
            wait(after);
            stop.store(true, Ordering::Relaxed);
            for reader in readers {
                let reads = reader.join().unwrap_or_else(|_| Err("a reader panicked".to_owned()));
                outcome = std::mem::replace(&mut outcome, Ok(())).and(reads.map(|reads| seen.reads += reads));
            }
            let probed = probe.join().unwrap_or_else(|_| Err("the probe panicked".to_owned()));
            outcome = std::mem::replace(&mut outcome, Ok(())).and(probed.map(|probed| seen.merge(probed)));
        });
        outcome
    })?;
    let lines_lost = watch::metric(address, "argus_log_lines_lost_total")?;
    Ok((attempts, seen, lines_lost))
}

/// Fills the disk to the last byte, and frees it afterwards.
fn while_full(disk: &SmallDisk, meanwhile: impl FnOnce()) -> Result<(), String> {
    let ballast = disk.path().join("ballast");
    let mut file = File::create(&ballast).map_err(|error| format!("{}: {error}", ballast.display()))?;
    let block = vec![7; 1 << 20];
    // Until it is full; the server takes and frees space meanwhile.
    while file.write_all(&block).is_ok() {}
    meanwhile();
    drop(file);
    fs::remove_file(&ballast).map_err(|error| format!("{}: {error}", ballast.display()))
}

/// Starts a server whose standard error does not accept everything.
fn start(site: &Site, log: Log, path: &Path) -> Result<Box<dyn Running>, String> {
    let path = path.display().to_string();
    let script = match log {
        Log::SameDisk => r#"path=$0; exec "$@" 2>"$path""#,
        // A reader opens the pipe, so that it can be opened for writing, and leaves.
        Log::NoReader => r#"path=$0; (: <"$path") & exec "$@" 2>"$path""#,
        // Also open for reading, so that it never breaks.
        Log::FullPipe => r#"path=$0; exec "$@" 2<>"$path""#,
    };
    if log != Log::SameDisk {
        let made = Command::new("mkfifo").arg(&path).status();
        made.ok().filter(std::process::ExitStatus::success).ok_or_else(|| format!("cannot create a pipe at {path}"))?;
    }
    let mut launcher = site.launcher.clone();
    launcher.wrapper = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), path];
    launcher.start(Demand::Settings(&SETTINGS)).map_err(|failure| failure.to_string())
}

/// The end of a log, if it can be read without waiting.
fn tail(path: &Path) -> String {
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let text = if is_file { fs::read(path).unwrap_or_default() } else { Vec::new() };
    let text = String::from_utf8_lossy(&text).into_owned();
    let start = text.ceil_char_boundary(text.len().saturating_sub(4000));
    text.get(start..).unwrap_or_default().to_owned()
}
