//! Rounds: load, the end of the server, a restart, and an audit.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use argus_conformance::launcher::{Launcher as _, Running, Signal};
use argus_conformance::random::Random;

use crate::copy;
use crate::erasure::{Erased, Erasure, Selection};
use crate::follower::Followers;
use crate::ledger::{Sums, all_answered};
use crate::load::{BROAD, HEAVY, LIGHT, MIXED, Shape, millis};
use crate::server::{signal, terminate, with_log};
use crate::site::Site;
use crate::wait::{until, wait};
use crate::watch::metric;

/// One round in this many audits everything.
const ROUNDS_TO_A_FULL_AUDIT: u64 = 10;
/// The first rounds have a light load, while the folder is new.
const GENTLE_ROUNDS: u64 = 2;
/// The first round in which the folder is copied under load.
const FIRST_COPY: u64 = 2;
/// The server of every other round, on average, takes erased events off the disk at once, and not after half an hour.
const ERASING_AT_ONCE: &[(&str, &str)] = &[("--erase-within", "0s")];
/// The percentage of the other rounds in which it is copied.
const COPIES_PERCENT: u64 = 30;

/// The plan of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The number of rounds.
    pub(crate) rounds: u64,
    /// Whether they are short.
    pub(crate) smoke: bool,
    /// The seed of the random numbers.
    pub(crate) seed: u64,
    /// The number of clients that follow the live stream.
    pub(crate) followers: u64,
}

/// How the server of a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGKILL.
    Kill,
    /// SIGKILL, and then this many more times while the next process starts.
    KillInStart(u64),
    /// SIGKILL, and again as soon as the next process is up.
    KillTwice,
    /// SIGTERM.
    Terminate,
    /// SIGSTOP for some time, then SIGCONT. All requests must be answered; then SIGKILL.
    Pause(Duration),
}

/// Counters of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Killed processes.
    pub(crate) kills: u64,
    /// Processes ended by SIGTERM.
    pub(crate) terminations: u64,
    /// Copies made under load.
    pub(crate) copies: u64,
    /// The longest time from the start of a process to its first line of output.
    pub(crate) slowest_start: Duration,
    /// How often live streams were cut and resumed.
    pub(crate) cuts: u64,
}

/// Runs all rounds; calls `report` with a line for each.
///
/// # Errors
///
/// The first violation and its round.
pub(crate) fn run(site: &mut Site, plan: Plan, report: impl Fn(&str)) -> Result<Tally, (u64, String)> {
    let mut tally = Tally::default();
    let mut server = site.start().map_err(|error| (0, error))?;
    let mut followers = Followers::start(plan.followers, plan.seed);
    followers.follow(&[server.address()]);
    for number in 1..=plan.rounds {
        let mut random = Random::new(plan.seed, number);
        let begun = (server, &mut followers);
        server = round(site, begun, plan, number, &mut random, &mut tally, &report).map_err(|error| (number, error))?;
    }
    // After the last round the server is stopped properly.
    let mut finish = |mut server: Box<dyn Running>, mut followers: Followers| -> Result<u64, String> {
        followers.follow(&[]);
        terminate(server.as_mut())?;
        check(site, End::Terminate)?;
        site.settings = ERASING_AT_ONCE;
        let server = site.start()?;
        closed(server.as_ref()).map_err(|error| with_log(&error, server.as_ref()))?;
        until("complete erasures", || Ok(metric(server.address(), "argus_erasures_pending")? == 0))?;
        // A segment that is still being written has a file like an unfinished one, which may have erased events. Only
        // the latter would stay.
        until("no unfinished segment", || Ok(site.drafts()?.is_empty()))?;
        crate::audit::everything(server.address(), &site.ledger)?;
        followers.follow(&[server.address()]);
        followers.audit(&site.ledger)?;
        followers.follow(&[]);
        drop(server);
        followers.stop()
    };
    tally.cuts = finish(server, followers).map_err(|error| (plan.rounds, error))?;
    tally.terminations += 1;
    Ok(tally)
}

fn round(
    site: &mut Site,
    (mut server, followers): (Box<dyn Running>, &mut Followers),
    plan: Plan,
    number: u64,
    random: &mut Random,
    tally: &mut Tally,
    report: &impl Fn(&str),
) -> Result<Box<dyn Running>, String> {
    let shape = shape(random, number, plan.smoke);
    let end = if number == plan.rounds / 2 + 1 { pause(plan.smoke) } else { end(random) };
    let time = if plan.smoke { millis(random, 50, 400) } else { millis(random, 50, 1500) };
    if number == 1 {
        refuse_second(site, server.as_ref())?;
    }
    let mut planned = (number == FIRST_COPY || random.percent(COPIES_PERCENT)).then(|| copy::Plan::new(site));
    let mut copied = None;
    let selections = Selection::draw(random);
    // The copy must be compared with what is stored at the end of the round, so all erasures are answered before it.
    // Without a copy, the end may come in the last one.
    let in_the_end = selections.last().filter(|_| planned.is_none());
    let before = selections.iter().take(selections.len() - usize::from(in_the_end.is_some()));
    let delay = millis(random, 0, 20);
    let mut erasures: Vec<Erasure> = Vec::new();
    let address = server.address();
    let attempts = site.load_and_erase(address, shape, &selections, random, |ledger, answered| {
        wait(time / 2);
        for selection in before {
            erasures.push(selection.erase(address, ledger.acknowledged(), answered)?);
        }
        wait(time / 2);
        let is_in_doubt = erasures.iter().any(|erasure| matches!(erasure.outcome, Erased::Unknown(_)));
        copied = planned.take().filter(|_| !is_in_doubt).map(|plan| plan.run(ledger)).transpose()?;
        // They stay with this server until it ends.
        followers.follow(&[]);
        thread::scope(|scope| {
            let last =
                in_the_end.map(|selection| scope.spawn(|| selection.erase(address, ledger.acknowledged(), answered)));
            if last.is_some() {
                wait(delay);
            }
            end_by(server.as_mut(), end)?;
            let last = last.map(|last| last.join().unwrap_or_else(|_| Err("a client panicked".to_owned())));
            erasures.extend(last.transpose()?);
            Ok(())
        })
    })?;
    match end {
        End::Terminate => tally.terminations += 1,
        End::Pause(_) => {
            all_answered(&attempts)?;
            if let Some(erasure) = erasures.iter().find(|erasure| matches!(erasure.outcome, Erased::Unknown(_))) {
                return Err(format!("an erasure was not answered after SIGSTOP and SIGCONT: {erasure:?}"));
            }
            signal(server.as_ref(), Signal::Kill)?;
            tally.kills += 1;
        }
        End::Kill | End::KillInStart(_) | End::KillTwice => tally.kills += 1,
    }
    if end != End::Terminate {
        server.wait().map_err(|failure| failure.to_string())?;
    }
    drop(server);
    tally.kills += again(site, end, random)?;
    check(site, end)?;
    site.settings = if random.percent(50) { ERASING_AT_ONCE } else { &[] };
    let begun = Instant::now();
    let server = site.start()?;
    let started = begun.elapsed();
    if end == End::Terminate {
        closed(server.as_ref()).map_err(|error| with_log(&error, server.as_ref()))?;
    }
    tally.slowest_start = tally.slowest_start.max(started);
    let all = number.is_multiple_of(ROUNDS_TO_A_FULL_AUDIT);
    let sums = site.audit_erased(server.address(), (&attempts, &erasures), random, all);
    let sums = sums.map_err(|error| with_log(&error, server.as_ref()))?;
    followers.follow(&[server.address()]);
    followers.audit(&site.ledger).map_err(|error| with_log(&error, server.as_ref()))?;
    tally.copies += u64::from(copied.is_some());
    let copied = copied.map(|copy| copy.audit(&site.ledger)).transpose()?;
    let audited = begun.elapsed().saturating_sub(started);
    let copied = copied.map(|last| format!(", a copy up to seq {last}")).unwrap_or_default();
    let load = format!("{} for {} ms{copied}, {end}", shape.name, time.as_millis());
    report(&line(number, plan.rounds, &load, sums, site.ledger.visible(), started, audited));
    Ok(server)
}

/// Ends the server, or has it stand still for some time.
fn end_by(server: &mut dyn Running, end: End) -> Result<(), String> {
    match end {
        End::Kill | End::KillInStart(_) | End::KillTwice => signal(server, Signal::Kill)?,
        End::Terminate => terminate(server)?,
        End::Pause(time) => {
            signal(server, Signal::Stop)?;
            wait(time);
            signal(server, Signal::Continue)?;
            wait(Duration::from_millis(300));
        }
    }
    Ok(())
}

/// The shape of the load of a round.
pub(crate) fn shape(random: &mut Random, number: u64, smoke: bool) -> Shape {
    let drawn = random.from(0..=9);
    match drawn {
        _ if number <= GENTLE_ROUNDS && !smoke => LIGHT,
        0..=1 => LIGHT,
        2..=5 => MIXED,
        6..=8 => HEAVY,
        _ => BROAD,
    }
}

fn end(random: &mut Random) -> End {
    match random.from(0..=19) {
        0..=11 => End::Kill,
        12..=15 => End::KillInStart(random.from(1..=4)),
        16..=17 => End::KillTwice,
        _ => End::Terminate,
    }
}

fn pause(smoke: bool) -> End {
    End::Pause(if smoke { Duration::from_millis(500) } else { Duration::from_secs(4) })
}

/// The kills after the first one; returns their number.
fn again(site: &Site, end: End, random: &mut Random) -> Result<u64, String> {
    match end {
        End::Kill | End::Terminate | End::Pause(_) => Ok(0),
        End::KillInStart(times) => {
            for _ in 0..times {
                site.launcher.run_for(millis(random, 0, 60)).map_err(|failure| failure.to_string())?;
            }
            Ok(times)
        }
        End::KillTwice => {
            let mut server = site.start()?;
            wait(millis(random, 0, 10));
            signal(server.as_ref(), Signal::Kill)?;
            server.wait().map_err(|failure| failure.to_string())?;
            Ok(1)
        }
    }
}

/// `check` must find no damage, however the last server ended. After SIGTERM it must not find an unfinished log either.
pub(crate) fn check(site: &Site, end: End) -> Result<(), String> {
    let folder = site.folder.display().to_string();
    let exit = site.launcher.run_to_exit(&["check", &folder]).map_err(|failure| failure.to_string())?;
    match exit.code {
        Some(0) if end == End::Terminate && exit.stdout.contains("note: the log") => {
            Err(format!("after SIGTERM, `check` finds the log unfinished:\n{}", exit.stdout))
        }
        Some(0) => Ok(()),
        code => Err(format!("`check` between two servers ended with {code:?}:\n{}{}", exit.stdout, exit.stderr)),
    }
}

/// A server that starts after a SIGTERM must find the log closed, cut nothing, and log no warning.
fn closed(server: &dyn Running) -> Result<(), String> {
    // The server listens before its log has been read.
    until("a server that has opened its folder", || Ok(server.log().contains("listening on ")))?;
    let log = server.log();
    if log.contains("was_closed=true") && !log.contains("cut_bytes") && !log.contains(" WARN ") {
        return Ok(());
    }
    Err("after SIGTERM, the next server does not find the log closed, cuts it, or warns".to_owned())
}

/// A second process on the folder must end with a message that names the first one.
fn refuse_second(site: &Site, server: &dyn Running) -> Result<(), String> {
    let repository = format!("disk:{}", site.folder.display());
    let exit = site.launcher.run_to_exit(&["--endpoint", "127.0.0.1:0", "--repository", &repository]);
    let exit = exit.map_err(|failure| failure.to_string())?;
    let holder = server.process().map(|process| format!("process {process}")).unwrap_or_default();
    if exit.code == Some(1) && exit.stderr.contains(&holder) {
        return Ok(());
    }
    Err(format!("a second process on the folder of {holder} ended with {:?}:\n{}", exit.code, exit.stderr))
}

fn line(number: u64, rounds: u64, load: &str, sums: Sums, events: u64, started: Duration, audited: Duration) -> String {
    format!(
        "{number:>3}/{rounds} {load}: {}, {events} events, start {} ms, audit {} ms",
        outcomes(sums),
        started.as_millis(),
        audited.as_millis()
    )
}

/// What became of the requests of a round.
pub(crate) fn outcomes(sums: Sums) -> String {
    let Sums { acknowledged, acknowledged_events, duplicates, unknown, unknown_stored, refused, .. } = sums;
    let erased = match sums.erasures + sums.erasures_in_doubt {
        0 => String::new(),
        _ => format!("; {} erasures and {} in doubt erased {}", sums.erasures, sums.erasures_in_doubt, sums.erased),
    };
    format!(
        "{acknowledged} requests acknowledged with {acknowledged_events} events and {duplicates} duplicates, \
         {unknown_stored} of {unknown} unanswered were stored, {refused} refused{erased}"
    )
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => write!(f, "kill"),
            Self::KillInStart(times) => write!(f, "kill, and {times} more during start"),
            Self::KillTwice => write!(f, "kill twice"),
            Self::Terminate => write!(f, "SIGTERM"),
            Self::Pause(time) => write!(f, "SIGSTOP for {} ms, kill", time.as_millis()),
        }
    }
}
