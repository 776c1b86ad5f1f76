//! The simulation: an engine over a medium with faults, driven by a seed.

mod auditor;
mod canary;
mod world;

use std::fmt;
use std::ops::AddAssign;

pub use canary::Canary;
use thiserror::Error;
use world::World;

use super::medium::{Faults, Phase};

/// What a simulation may do. Together with a seed this says everything about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Classes of faults that may be drawn. Each run draws some of them.
    pub faults: Faults,
    /// A call of the medium, counted from 0, at which the power fails besides.
    pub crash_at: Option<(u64, Phase)>,
    /// A bug to be found.
    pub canary: Option<Canary>,
}

/// How much happened.
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
    /// How often acknowledged events were made durable behind their commits.
    pub flushes: u64,
    /// How often the store was closed.
    pub closes: u64,
    /// Events that were acknowledged before they were durable, and lost with the power.
    pub lost: u64,
    /// Events that were there at the end.
    pub events: u64,
    /// Maintenance tasks that were installed.
    pub tasks: u64,
    /// How often the store was opened.
    pub opens: u64,
    /// How often an opening was refused because a bit had changed or the end of the log was lost.
    pub refused_opens: u64,
    /// Processes that found another one up, and ended.
    pub kept_out: u64,
    /// Calls of the medium.
    pub calls: u64,
    /// How many of them failed, the power failures included.
    pub failures: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug, Error)]
#[error("seed {seed}: {what}")]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// The options of the run.
    pub options: Options,
    /// Which promise, and how.
    pub what: String,
    /// What happened before, a line each.
    pub trace: Vec<String>,
}

impl Options {
    /// Classes of faults that are drawn where nobody asks for others: those under which the engine keeps its promises,
    /// which are all.
    pub const KEPT: Faults = Faults::ALL;
}

impl Default for Options {
    fn default() -> Self {
        Self { faults: Self::KEPT, crash_at: None, canary: None }
    }
}

/// Lets an engine over a [simulated medium](super::SimStorage) live through what the seed draws: batches, queries,
/// maintenance, faults and restarts, and now and then a second process; then lets the faults end, and sees whether
/// everything works again. An auditor looks on, who knows only what was promised.
///
/// The same seed and options give the same run, on every machine.
///
/// # Errors
///
/// The first [`Failure`], with a trace of the run.
pub fn simulate(seed: u64, options: Options) -> Result<Summary, Failure> {
    let mut world = World::new(seed, options, false);
    match world.run() {
        Ok(()) => Ok(world.summary()),
        Err(what) => {
            // A trace costs more than the run, so that it is written only when somebody is going to read it.
            let trace = trace(seed, options);
            Err(Failure { seed, options, what, trace })
        }
    }
}

/// What happens in a run, a line each.
#[must_use]
pub fn trace(seed: u64, options: Options) -> Vec<String> {
    let mut world = World::new(seed, options, true);
    let outcome = world.run();
    let mut trace = world.into_trace();
    trace.push(outcome.err().unwrap_or_else(|| "all is well".to_string()));
    trace
}

impl Failure {
    /// The arguments that repeat the run.
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
            "{runs} runs of {steps} steps: {commits} commits acknowledged and {refusals} not, {flushes} flushes, {closes} closes, {events} events \
             and {lost} lost that were not durable, {tasks} tasks, \
             {opens} opens and {refused_opens} refused for damage, {kept_out} processes kept out, {failures} of {calls} calls of the medium failed"
        )
    }
}
