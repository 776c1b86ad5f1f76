//! `argus-crash`: kills real servers under load, many times, and compares what is stored afterwards with what was
//! acknowledged.
//!
//! After each restart, every acknowledged event must be stored once, with the acknowledged sequence number and content.
//! A request without an answer must be stored whole or not at all, and a refused one not at all. Clients of the live
//! stream, which resume when it is cut, must have seen exactly what is stored.
//!
//! Meanwhile some events are erased. What an acknowledged erasure selects must be gone, and nothing else; an erasure
//! without an answer must hold for everything that it selects, or for nothing.
//!
//! Events are on disk, or in a database of PostgreSQL or MongoDB, which is killed, too, as are the connections to it.

mod audit;
mod client;
mod copy;
mod crowd;
mod damage;
mod database;
mod erasure;
mod event;
mod faults;
mod follower;
mod full;
mod gone;
mod ledger;
mod load;
mod pause;
mod round;
mod server;
mod site;
mod soak;
mod tracer;
mod wait;
mod watch;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use argus_conformance::binaries;
use argus_conformance::random::Random;
use argus_conformance::subjects::{RepositoryKind, SUBJECTS};
use database::Home;
use full::SmallDisk;
use lexopt::{Arg, ValueExt};
use round::Plan;
use site::Site;
use tempfile::TempDir;

const HELP: &str = "\
Kills servers under load and shows that nothing acknowledged is lost and nothing is stored twice.

Usage: argus-crash [OPTIONS]

      --rounds N         Rounds of load, kill, restart and audit for each runtime [default: 20]
      --runtime NAME     Only this runtime: tokio or smol; or all [default: all]
      --repository NAME  Where events are: disk; or postgres or mongodb, with one or two servers before a database.
                         There, rounds also kill and stop the database, and cut and stall its connections
                         [default: disk]
      --connections N    Clients that submit at once [default: 16]
      --followers N      Clients that follow the live stream through all rounds [default: 8]
      --seed S           Seed of the random numbers [default: the time]
      --smoke            Short rounds, and no faults after them
      --soak MINUTES     Instead of rounds: slow and idle clients, a full disk and a blocked log at once
  -h, --help             Print this

Programs are taken from ARGUS_BIN_DIR, or from the folder of this one.
Exit codes: 0 nothing lost and nothing stored twice, 1 a violation, whose folder is kept, 2 a bad argument, or a
program or a disk that is not there.
";

#[derive(Debug)]
struct Options {
    rounds: u64,
    runtime: String,
    repository: RepositoryKind,
    connections: u64,
    followers: u64,
    seed: u64,
    smoke: bool,
    soak: Option<u64>,
    help: bool,
}

/// Why the tests of a runtime did not pass.
#[derive(Debug)]
enum Failed {
    /// They could not begin.
    Error(String),
    /// The server did something wrong.
    Violation(String),
}

fn main() -> ExitCode {
    let options = match parse(lexopt::Parser::from_env()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("argus-crash: {error} (--help lists the options)");
            return ExitCode::from(2);
        }
    };
    if options.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let chosen = |runtime: &str| options.runtime == "all" || options.runtime == runtime;
    let subjects: Vec<_> =
        SUBJECTS.iter().filter(|subject| subject.repository == options.repository && chosen(subject.runtime)).collect();
    if subjects.is_empty() {
        eprintln!("argus-crash: no runtime with this name stores events there; there are tokio and smol");
        return ExitCode::from(2);
    }
    full::take_own_mounts();
    println!("argus-crash: seed {}", options.seed);
    for subject in subjects {
        let outcome = binaries::folder().map_err(Failed::Error).and_then(|folder| {
            let program = binaries::program(subject, &folder).map_err(|failure| Failed::Error(failure.to_string()))?;
            test_runtime(subject.runtime, &program, &options)
        });
        match outcome {
            Ok(()) => {}
            Err(Failed::Error(error)) => {
                eprintln!("argus-crash: cannot test {}: {error}", subject.runtime);
                return ExitCode::from(2);
            }
            Err(Failed::Violation(report)) => {
                println!("\nVIOLATION on {}: {report}", subject.runtime);
                println!(
                    "To repeat it, as far as timing allows: --runtime {} --seed {}",
                    subject.runtime, options.seed
                );
                return ExitCode::FAILURE;
            }
        }
    }
    println!("argus-crash: nothing acknowledged was lost, nothing was stored twice, and what was erased stayed so");
    ExitCode::SUCCESS
}

fn parse(mut parser: lexopt::Parser) -> Result<Options, lexopt::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = now.as_nanos() as u64;
    let mut options = Options {
        rounds: 20,
        runtime: "all".to_owned(),
        repository: RepositoryKind::Disk,
        connections: 16,
        followers: 8,
        seed,
        smoke: false,
        soak: None,
        help: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("rounds") => options.rounds = parser.value()?.parse()?,
            Arg::Long("runtime") => options.runtime = parser.value()?.string()?,
            Arg::Long("repository") => options.repository = repository(&parser.value()?.string()?)?,
            Arg::Long("connections") => options.connections = parser.value()?.parse()?,
            Arg::Long("followers") => options.followers = parser.value()?.parse()?,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Long("smoke") => options.smoke = true,
            Arg::Long("soak") => options.soak = Some(parser.value()?.parse()?),
            Arg::Long("help") | Arg::Short('h') => options.help = true,
            Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => return Err(argument.unexpected()),
        }
    }
    if options.soak.is_some() && options.repository.is_database() {
        return Err("a soak is for events on disk: leave --repository or --soak out".into());
    }
    Ok(options)
}

fn repository(name: &str) -> Result<RepositoryKind, String> {
    let kinds = [RepositoryKind::Disk, RepositoryKind::Postgres, RepositoryKind::Mongodb];
    let chosen = kinds.into_iter().find(|kind| kind.name() == name);
    chosen.ok_or_else(|| format!("no repository '{name}' outlasts its server; there are disk, postgres and mongodb"))
}

/// Runs all tests of one runtime.
fn test_runtime(runtime: &str, binary: &Path, options: &Options) -> Result<(), Failed> {
    let folder = TempDir::with_prefix(format!("argus-crash-{runtime}-"))
        .map_err(|error| Failed::Error(format!("cannot create a temporary folder: {error}")))?;
    let outcome = match options.soak {
        None if options.repository.is_database() => {
            let home = Home::start(options.repository).map_err(Failed::Error)?;
            over_database(runtime, binary, (home, folder.path()), options)
        }
        Some(minutes) => {
            let disk = SmallDisk::mount(folder.path().join("disk"), soak::DISK_BYTES).map_err(|reason| {
                Failed::Error(format!("a soak needs a small file system, but cannot mount one: {reason}"))
            })?;
            soak(runtime, binary, (folder.path(), disk), minutes, options)
        }
        None => rounds(runtime, binary, folder.path().join("rounds"), options)
            .and_then(|()| if options.smoke { Ok(()) } else { faults(runtime, binary, folder.path(), options) }),
    };
    outcome.map_err(|report| Failed::Violation(format!("{report}\nThe folder is kept: {}", folder.keep().display())))
}

fn rounds(runtime: &str, binary: &Path, folder: PathBuf, options: &Options) -> Result<(), String> {
    let begun = Instant::now();
    // Short log files are reused more often; long ones are the default.
    let log_file_bytes = Random::new(options.seed, 0).pick(&[None, Some(1 << 20), Some(8 << 20)]).copied().flatten();
    let mut site = Site::new(binary, folder, log_file_bytes, options.connections)?;
    let plan = Plan { rounds: options.rounds, smoke: options.smoke, seed: options.seed, followers: options.followers };
    println!(
        "{runtime}: log files of {} bytes",
        log_file_bytes.map_or("the default number of".to_owned(), |bytes| bytes.to_string())
    );
    let outcome = round::run(&mut site, plan, |line| println!("{runtime} {line}"));
    let tally = outcome.map_err(|(round, error)| format!("round {round}: {error}"))?;
    let sums = site.ledger.sums;
    println!(
        "{runtime}: {} rounds, {} kills, {} SIGTERMs and {} copies in {:.1} s; {} events acknowledged in {} requests, \
         {} duplicates recognised, {} of {} unanswered requests were stored, {} refused; \
         {} erasures, and {} in doubt, erased {} events; {} events are left, slowest start {} ms; \
         {} followers of the live stream were cut {} times, and missed nothing",
        options.rounds,
        tally.kills,
        tally.terminations,
        tally.copies,
        begun.elapsed().as_secs_f64(),
        sums.acknowledged_events,
        sums.acknowledged,
        sums.duplicates,
        sums.unknown_stored,
        sums.unknown,
        sums.refused,
        sums.erasures,
        sums.erasures_in_doubt,
        sums.erased,
        site.ledger.visible(),
        tally.slowest_start.as_millis(),
        options.followers,
        tally.cuts,
    );
    Ok(())
}

/// Rounds over a database.
fn over_database(runtime: &str, binary: &Path, (home, folder): (Home, &Path), options: &Options) -> Result<(), String> {
    let begun = Instant::now();
    let plan = Plan { rounds: options.rounds, smoke: options.smoke, seed: options.seed, followers: options.followers };
    println!("{runtime}: {}", home.program());
    let report = |line: &str| println!("{runtime} {line}");
    let outcome = database::run((binary, home, folder), plan, options.connections, report);
    let tally = outcome.map_err(|(round, error)| format!("round {round}: {error}"))?;
    println!(
        "{runtime}: {} rounds in {:.1} s: {}; {} events are left, slowest recovery {} ms; {} followers of the live \
         stream were cut {} times, and missed nothing",
        options.rounds,
        begun.elapsed().as_secs_f64(),
        round::outcomes(tally.sums),
        tally.events,
        tally.slowest_recovery.as_millis(),
        options.followers,
        tally.cuts,
    );
    Ok(())
}

/// The tests besides the rounds.
fn faults(runtime: &str, binary: &Path, folder: &Path, options: &Options) -> Result<(), String> {
    part(runtime, binary, folder, options, 9, ("a changed byte", damage::is_reported))?;
    part(runtime, binary, folder, options, 8, ("SIGSTOP for a minute", pause::for_a_minute))?;
    injected(runtime, binary, folder, options)?;
    small_disk(runtime, binary, folder, options)
}

/// A test with faults: its name, and what it does to a folder of its own.
type Part = (&'static str, fn(&mut Site, &mut Random) -> Result<String, String>);

fn part(
    runtime: &str,
    binary: &Path,
    folder: &Path,
    options: &Options,
    number: u64,
    (name, run): Part,
) -> Result<(), String> {
    let log_file_bytes = if name.starts_with("SIGKILL") { Some(1 << 20) } else { None };
    let mut site = Site::new(binary, folder.join(name.replace(' ', "-")), log_file_bytes, options.connections)?;
    let mut random = Random::new(options.seed, u64::MAX - number);
    let found = run(&mut site, &mut random).map_err(|error| format!("{name}: {error}"))?;
    println!("{runtime} {name}: {found}");
    Ok(())
}

/// System calls that fail, and kills in one.
fn injected(runtime: &str, binary: &Path, folder: &Path, options: &Options) -> Result<(), String> {
    if let Some(reason) = tracer::unavailable() {
        println!("{runtime}: SKIPPED failing system calls: {reason}");
        return Ok(());
    }
    let parts: [Part; 7] = [
        ("EIO on fdatasync", |site, random| faults::failing(site, faults::SYNC_OF_LOG, random)),
        ("ENOSPC on fdatasync", |site, random| faults::failing(site, faults::SYNC_WITHOUT_ROOM, random)),
        ("EIO on writev", |site, random| faults::failing(site, faults::WRITE_TO_LOG, random)),
        ("EIO on fsync of blobs", |site, random| faults::failing(site, faults::SYNC_OF_BLOBS, random)),
        ("ENOSPC on writev", faults::no_room),
        ("SIGKILL in a call", faults::killed_in_calls),
        ("SIGKILL in a call of a start", faults::killed_in_start),
    ];
    for (found, number) in parts.into_iter().zip(1..) {
        part(runtime, binary, folder, options, number, found)?;
    }
    Ok(())
}

/// A full disk.
fn small_disk(runtime: &str, binary: &Path, folder: &Path, options: &Options) -> Result<(), String> {
    let disk = match SmallDisk::mount(folder.join("small"), full::DISK_BYTES) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("{runtime}: SKIPPED the full disk: cannot mount a small file system: {reason}");
            return Ok(());
        }
    };
    let data = disk.path().join("data");
    let mut site = Site::new(binary, data, Some(full::LOG_FILE_BYTES), options.connections)?;
    let mut random = Random::new(options.seed, u64::MAX);
    let found = full::fill(&mut site, &disk, &mut random)
        .map_err(|error| kept(&format!("a full disk: {error}"), &disk, folder))?;
    println!("{runtime} full disk: {found}");
    Ok(())
}

/// All kinds of stress at once, for some minutes.
fn soak(
    runtime: &str,
    binary: &Path,
    (folder, disk): (&Path, SmallDisk),
    minutes: u64,
    options: &Options,
) -> Result<(), String> {
    // A long log file would still have room when the disk is full.
    let mut site = Site::new(binary, disk.path().join("data"), Some(full::LOG_FILE_BYTES), options.connections)?;
    let time = Duration::from_secs(60 * minutes);
    let found = soak::run(&mut site, &disk, time, options.seed, |line| println!("{runtime} {line}"));
    let found = found.map_err(|error| kept(&error, &disk, folder))?;
    println!("{runtime} soak of {minutes} minutes: {found}");
    Ok(())
}

/// Copies a small disk, which is gone when it is dropped or this process ends. Returns the error with the path of the
/// copy.
fn kept(error: &str, disk: &SmallDisk, folder: &Path) -> String {
    let kept = folder.join("disk-kept");
    let copied = Command::new("cp").arg("-a").arg(disk.path()).arg(&kept).status();
    let copied = copied.map_or_else(|error| error.to_string(), |status| status.to_string());
    format!("{error}\nA copy of the disk is {} ({copied})", kept.display())
}
