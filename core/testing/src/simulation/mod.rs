//! The simulation: an engine on a medium with faults, driven by a seed.

mod auditor;
mod canary;
mod world;

use std::fmt;
use std::ops::AddAssign;

pub use canary::Canary;
use thiserror::Error;
use world::World;

use super::medium::{Faults, Phase};

/// The options of a simulation. Together with a seed they determine a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The permitted classes of faults. Each run draws some of them.
    pub faults: Faults,
    /// A call of the medium, counted from 0, at which the power also fails.
    pub crash_at: Option<(u64, Phase)>,
    /// A deliberate bug to find.
    pub canary: Option<Canary>,
}

/// Counters over one or more runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// Steps of all runs.
    pub steps: u64,
    /// Groups that were acknowledged.
    pub commits: u64,
    /// Groups that were not.
    pub refusals: u64,
    /// Erasures that were acknowledged.
    pub erasures: u64,
    /// Explicit flushes.
    pub flushes: u64,
    /// How often the store was closed properly.
    pub closes: u64,
    /// Events that were acknowledged, but not as durable, and lost in a crash.
    pub lost: u64,
    /// Events stored at the end.
    pub events: u64,
    /// Maintenance tasks that were installed.
    pub tasks: u64,
    /// How often the store was opened.
    pub opens: u64,
    /// How often opening was refused because of a flipped bit or a lost end of the log.
    pub refused_opens: u64,
    /// Processes that found the store locked, and ended.
    pub kept_out: u64,
    /// Calls of the medium.
    pub calls: u64,
    /// Calls of the medium that failed, power failures included.
    pub failures: u64,
}

/// A broken promise.
#[derive(Clone, Debug, Error)]
#[error("seed {seed}: {what}")]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// The options of the run.
    pub options: Options,
    /// Which promise, and how.
    pub what: String,
    /// The steps before it, one a line.
    pub trace: Vec<String>,
}

impl Options {
    /// The default classes of faults: all, since the engine keeps its promises under all of them.
    pub const KEPT: Faults = Faults::ALL;
}

impl Default for Options {
    fn default() -> Self {
        Self { faults: Self::KEPT, crash_at: None, canary: None }
    }
}

/// Runs an engine on a [simulated medium](super::SimStorage) through what the seed draws: batches, queries,
/// maintenance, faults, restarts and sometimes a second process. Then the faults end, and everything must work again.
/// An auditor that knows only the promises checks every step.
///
/// The same seed and options give the same run on every machine.
///
/// # Errors
///
/// The first [`Failure`], with a trace of the run.
pub fn simulate(seed: u64, options: Options) -> Result<Summary, Failure> {
    let mut world = World::new(seed, options, false);
    match world.run() {
        Ok(()) => Ok(world.summary()),
        Err(what) => {
            // Tracing costs more than the run, so only a failed run is repeated with it.
            let trace = trace(seed, options);
            Err(Failure { seed, options, what, trace })
        }
    }
}

/// The steps of a run, one a line.
#[must_use]
pub fn trace(seed: u64, options: Options) -> Vec<String> {
    let mut world = World::new(seed, options, true);
    let outcome = world.run();
    let mut trace = world.into_trace();
    trace.push(outcome.err().unwrap_or_else(|| "no promise was broken".to_string()));
    trace
}

impl Failure {
    /// The command-line arguments that repeat the run.
    #[must_use]
    pub fn arguments(&self) -> String {
        let Options { faults, crash_at, canary } = self.options;
        let crash_at = crash_at.map(|(call, phase)| format!(" --crash-at {call}:{}", phase.name())).unwrap_or_default();
        let canary = canary.map(|canary| format!(" --canary {}", canary.name())).unwrap_or_default();
        format!("--seed {} --faults {faults}{crash_at}{canary}", self.seed)
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.commits += other.commits;
        self.refusals += other.refusals;
        self.erasures += other.erasures;
        self.flushes += other.flushes;
        self.closes += other.closes;
        self.lost += other.lost;
        self.events += other.events;
        self.tasks += other.tasks;
        self.opens += other.opens;
        self.refused_opens += other.refused_opens;
        self.kept_out += other.kept_out;
        self.calls += other.calls;
        self.failures += other.failures;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            steps,
            commits,
            refusals,
            erasures,
            flushes,
            closes,
            lost,
            events,
            tasks,
            opens,
            refused_opens,
            kept_out,
            calls,
            failures,
        } = self;
        write!(
            f,
            "{runs} runs of {steps} steps: {commits} commits acknowledged and {refusals} not, {erasures} erasures, \
             {flushes} flushes, {closes} closes, {events} events and {lost} lost that were not durable, {tasks} tasks, \
             {opens} opens and {refused_opens} refused for damage, {kept_out} processes kept out, {failures} of \
             {calls} calls of the medium failed"
        )
    }
}
