//! Rounds over a database: load, a fault, recovery, and an audit.
//!
//! One or two servers share the database. Whatever happens to them, to the database or to the connections between, they
//! must become ready by themselves. While a server runs, it answers every request: if it does not know whether the
//! events are stored, it says so.

mod cluster;
mod fault;
mod home;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use argus_conformance::random::Random;
use cluster::Cluster;
use fault::{Fault, KINDS};
pub(crate) use home::Home;

use crate::audit;
use crate::erasure::{Erasure, Selection};
use crate::faults::until_stored;
use crate::follower::Followers;
use crate::ledger::{Attempt, Ledger, Outcome, Sums};
use crate::load::{Load, millis};
use crate::round::{Plan, outcomes, shape};
use crate::wait::wait;

/// One round in this many audits everything.
const ROUNDS_TO_A_FULL_AUDIT: u64 = 5;

/// What has happened in a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Sums over all rounds.
    pub(crate) sums: Sums,
    /// Events that are left.
    pub(crate) events: u64,
    /// The longest time from the end of a fault until all servers were ready.
    pub(crate) slowest_recovery: Duration,
    /// How often live streams were cut and resumed.
    pub(crate) cuts: u64,
}

/// Runs all rounds with so many clients; calls `report` with a line for each. After a violation, the logs and
/// the events are written to `folder`.
///
/// # Errors
///
/// The first violation, and its round.
pub(crate) fn run(
    (binary, home, folder): (&Path, Home, &Path),
    plan: Plan,
    connections: u64,
    report: impl Fn(&str),
) -> Result<Tally, (u64, String)> {
    let cluster = Cluster::new(binary, home).map_err(|error| (0, error))?;
    let followers = Followers::start(plan.followers, plan.seed);
    let mut run = Run { cluster, ledger: Ledger::default(), followers, plan, connections, tally: Tally::default() };
    let mut ended = Ok(());
    for number in 1..=plan.rounds {
        match run.round(number) {
            Ok(line) => report(&line),
            Err(error) => {
                ended = Err((number, error));
                break;
            }
        }
    }
    let ended = ended.and_then(|()| run.finish().map_err(|error| (plan.rounds, error)));
    ended.map_err(|(number, error)| match run.cluster.write_to(folder) {
        Ok(()) => (number, error),
        Err(unwritten) => (number, format!("{error}\nNo log is kept: {unwritten}")),
    })?;
    let cuts = run.followers.stop().map_err(|error| (plan.rounds, error))?;
    Ok(Tally { sums: run.ledger.sums, events: run.ledger.visible(), cuts, ..run.tally })
}

/// A run under way.
#[derive(Debug)]
struct Run {
    cluster: Cluster,
    ledger: Ledger,
    followers: Followers,
    plan: Plan,
    connections: u64,
    tally: Tally,
}

impl Run {
    /// One round; returns a line about it.
    fn round(&mut self, number: u64) -> Result<String, String> {
        let Plan { rounds, smoke, seed, .. } = self.plan;
        let mut random = Random::new(seed, number);
        // The first kind depends on the seed, so that even short runs have all of them in time.
        let fault = Fault::draw(&mut random, number + seed % KINDS, smoke);
        let shape = shape(&mut random, number, smoke);
        let (before, after) = (millis(&mut random, 50, 1000), millis(&mut random, 100, 600));
        let count = if random.percent(70) { 2 } else { 1 };
        self.cluster.staff(count)?;
        self.cluster.ready()?;
        let addresses = self.cluster.addresses();
        self.followers.follow(&addresses);
        let selections = Selection::draw(&mut random);
        let (in_the_fault, first) = selections.split_last().map_or((None, &[][..]), |(last, rest)| (Some(last), rest));
        let delay = millis(&mut random, 0, 200);
        let mut drawn = random.clone();
        let mut erasures: Vec<Erasure> = Vec::new();
        let mut recovered = Duration::ZERO;
        let load = Load { addresses: &addresses, connections: self.connections, shape, erasures: &selections };
        let cluster = &mut self.cluster;
        let attempts = load.run(&mut self.ledger, &mut random, |ledger, answered| {
            wait(before);
            for selection in first {
                let address = drawn.pick(&addresses).copied().ok_or("no server runs")?;
                erasures.push(selection.erase(address, ledger.acknowledged(), answered)?);
            }
            let last = drawn.pick(&addresses).copied().zip(in_the_fault);
            let last = thread::scope(|scope| {
                let last = last.map(|(address, selection)| {
                    scope.spawn(move || selection.erase(address, ledger.acknowledged(), answered))
                });
                if last.is_some() {
                    wait(delay);
                }
                let inflicted = fault.inflict(cluster, &mut drawn);
                let last = last.map(|last| last.join().unwrap_or_else(|_| Err("a client panicked".to_owned())));
                inflicted.and(last.transpose())
            })?;
            erasures.extend(last);
            recovered = cluster.ready()?;
            wait(after);
            Ok(())
        })?;
        if !fault.ends_servers() {
            all_answered(&attempts)?;
        }
        let (sums, audited) = self.audit(number, attempts, &erasures, &mut random)?;
        self.tally.slowest_recovery = self.tally.slowest_recovery.max(recovered);
        Ok(format!(
            "{number:>3}/{rounds} {count} Argus, {} load, {}: {}, {} events, ready after {} ms, audit {} ms",
            shape.name,
            fault.text(self.cluster.home.name()),
            outcomes(sums),
            self.ledger.visible(),
            recovered.as_millis(),
            audited.as_millis()
        ))
    }

    /// Compares what is stored with what was acknowledged.
    fn audit(
        &mut self,
        number: u64,
        mut attempts: Vec<Attempt>,
        erasures: &[Erasure],
        random: &mut Random,
    ) -> Result<(Sums, Duration), String> {
        let begun = Instant::now();
        let addresses = self.cluster.addresses();
        // Commits are in order in the whole database, so whatever a killed server has begun has ended after these.
        for &address in &addresses {
            attempts.extend(until_stored(&self.ledger, address, erasures.len())?);
        }
        let address = random.pick(&addresses).copied().ok_or("no server runs")?;
        let sums = audit::tail(address, &mut self.ledger, (&attempts, erasures), random)?;
        if number.is_multiple_of(ROUNDS_TO_A_FULL_AUDIT) {
            self.audit_all()?;
        }
        self.cluster.check_stored(&self.ledger)?;
        self.followers.follow(&addresses);
        self.followers.audit(&self.ledger)?;
        Ok((sums, begun.elapsed()))
    }

    /// Compares all events, as each server returns them.
    fn audit_all(&self) -> Result<(), String> {
        self.cluster.addresses().into_iter().try_for_each(|address| audit::everything(address, &self.ledger))
    }

    /// Ends all servers in order, and compares everything with what new ones return.
    fn finish(&mut self) -> Result<(), String> {
        self.followers.follow(&[]);
        self.cluster.staff(0)?;
        self.cluster.staff(2)?;
        self.cluster.ready()?;
        self.audit_all()?;
        self.followers.follow(&self.cluster.addresses());
        self.followers.audit(&self.ledger)?;
        self.followers.follow(&[]);
        self.cluster.staff(0)
    }
}

/// Checks that every request has an answer. It may be that nobody knows whether the events are stored.
fn all_answered(attempts: &[Attempt]) -> Result<(), String> {
    let is_unanswered = |attempt: &&Attempt| match &attempt.outcome {
        Outcome::Unknown(why) => !why.starts_with("/problems/"),
        Outcome::One { .. } | Outcome::Many { .. } | Outcome::Refused(_) => false,
    };
    let unanswered = attempts.iter().find(is_unanswered);
    unanswered
        .map_or(Ok(()), |attempt| Err(format!("no server ended, but a request has no answer: {}", attempt.excerpt())))
}
