//! One run of the simulation: the engine, its medium and its callers.

mod clocks;
mod recovery;
mod second;

use std::fmt::Display;
use std::task::Poll;

use argus_core::batch::{Batch, Handling};
use argus_core::engine::{Engine, Retention, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{CommitError, Maintenance, MaintenanceTask, Repository};
use clocks::Clocks;
use recovery::STRUCK_OPENS_MAX;

use super::super::generate::{self, Draft};
use super::super::medium::{Ending, Fault, Faults, LockFile, Phase, SimStorage, Strike};
use super::super::run::Pace;
use super::super::source::Source;
use super::auditor::{Auditor, Expiry, Finding, Occasion};
use super::canary::{Canary, Flawed, without_ids};
use super::{Options, Summary};

const HOUR: i64 = 3_600_000_000_000;

/// Calls after which maintenance should have come to its end.
const TASK_STEPS_MAX: u32 = 10_000;

/// One run: a store, its medium, its callers, and what befalls them.
#[derive(Debug)]
pub(super) struct World {
    source: Source<'static>,
    options: Options,
    /// The classes of faults that this run has drawn.
    faults: Faults,
    tuning: Tuning,
    retention: Retention,
    /// Whether commits do not wait for the medium.
    is_deferred: bool,
    medium: SimStorage,
    /// What the process that is up has locked; nothing if none is up.
    held: Option<LockFile>,
    /// What a second process has opened, and not tried to lock yet.
    second: Option<LockFile>,
    engine: Option<Engine<Flawed>>,
    tasks: Vec<Box<dyn MaintenanceTask>>,
    auditor: Auditor,
    clocks: Clocks,
    /// The last event that there was when the engine was opened.
    found: u64,
    /// Whether the engine accepts nothing more.
    has_failed: bool,
    /// The medium's failures when the engine was opened: without another, it has no reason to fail.
    failures: u64,
    /// The group that was sent last. It may be sent again, as by callers who have heard of no success, or not listened.
    sent: Option<Vec<Batch>>,
    summary: Summary,
    trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, options: Options, is_traced: bool) -> Self {
        let mut source = Source::seeded(seed);
        // Faults hide each other: many runs have few classes of them.
        let few = source.pick(&[1, 2, 3]);
        let drawn = options.faults.iter().filter(|_| !source.one_in(few)).fold(Faults::NONE, Faults::with);
        let tuning = Tuning {
            seal_events: source.pick(&[12, 5, 40, 1_000]),
            seal_bytes: source.pick(&[1 << 20, 4_096]),
            fresh_segments_max: source.pick(&[4, 20]),
            fan_in: source.pick(&[2, 3]),
            block_bytes: source.pick(&[200, 1 << 16]),
            segment_events_max: source.pick(&[1_000, 60]),
            filter_bytes_max: source.pick(&[1 << 20, 100]),
            types_max: source.pick(&[100_000, 100_000, 4, 12]),
        };
        let expires = source.one_in(3);
        let retention = Retention {
            age: source.pick(&[None, Some(0), Some(6_000_000_000), Some(HOUR), Some(HOUR)]).filter(|_| expires),
            bytes: source.pick(&[None, None, Some(4_000)]).filter(|_| expires),
        };
        let is_deferred = source.one_in(3);
        let medium = SimStorage::new(source.number(), drawn);
        medium.crash_at(options.crash_at);
        Self {
            medium,
            source,
            options,
            faults: drawn,
            tuning,
            retention,
            is_deferred,
            held: None,
            second: None,
            engine: None,
            tasks: Vec::new(),
            auditor: Auditor::new(tuning.types_max),
            clocks: Clocks::new(),
            found: 0,
            has_failed: false,
            failures: 0,
            sent: None,
            summary: Summary { runs: 1, ..Summary::default() },
            trace: is_traced.then(Vec::new),
        }
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            lost: self.auditor.lost(),
            events: self.auditor.model().events().len() as u64,
            calls: self.medium.calls(),
            failures: self.medium.failures(),
            ..self.summary
        }
    }

    pub(super) fn into_trace(self) -> Vec<String> {
        self.trace.unwrap_or_default()
    }

    /// Lets everything happen, and says which promise was broken.
    pub(super) fn run(&mut self) -> Result<(), String> {
        let steps = 10 + self.source.below(51);
        self.note(|world| {
            let syncs = if world.is_deferred { "deferred" } else { "in each commit" };
            let World { faults, tuning, retention, .. } = world;
            format!("faults: {faults}; {tuning:?}; {retention:?}; syncs {syncs}; {steps} steps")
        });
        self.open()?;
        for _ in 0..steps {
            self.summary.steps += 1;
            self.step()?;
            self.take_notes();
            if self.medium.is_off() {
                self.after_power_failure();
                self.open()?;
            }
        }
        self.end_well()
    }

    fn step(&mut self) -> Result<(), String> {
        match self.source.below(22) {
            0..=6 => self.commit(),
            7..=10 => self.maintain(),
            12 if self.is_deferred => self.flush(),
            11 | 12 => self.ask(),
            13 => {
                self.note(|_| "a snapshot is kept".to_string());
                let snapshot = self.engine().snapshot();
                self.auditor.keep(snapshot);
                Ok(())
            }
            14 | 15 => {
                self.prepare_a_fault();
                Ok(())
            }
            16 if self.faults.has(Fault::Full) => {
                let free = self.source.one_in(2).then(|| self.source.index(3_000));
                self.note(|_| format!("space that is left: {free:?}"));
                self.medium.set_free(free);
                Ok(())
            }
            // A host whose engine has failed goes on answering for a while.
            17.. if self.has_failed => self.restart(),
            17 => self.on_idle(),
            18 if self.source.one_in(2) => self.restart(),
            20 => self.second_process(),
            21 => {
                self.meddle_with_time();
                Ok(())
            }
            _ => self.commit(),
        }
    }

    /// Sends a group of batches: new ones, or those that were sent last.
    fn commit(&mut self) -> Result<(), String> {
        if self.engine().is_behind() && !self.tasks.iter().any(|task| task.is_urgent()) && !self.has_failed {
            return Err("commits wait for maintenance, and nobody was asked for what is urgent".to_string());
        }
        let group = match &self.sent {
            Some(last) if self.source.one_in(3) => last.clone(),
            Some(_) | None => self.draw_group(),
        };
        self.sent = Some(group.clone());
        let elapsed = self.source.pick(&[1_000_000, 0, 999_999, -3_000_000, 1_000_000_000]);
        self.clocks.pass(elapsed);
        self.consider_the_clock();
        let now = self.clocks.wall();
        let outcome = match self.options.canary {
            Some(Canary::ForgottenIds) => {
                let found = self.auditor.model().events().iter().take_while(|event| event.seq <= self.found);
                let group = without_ids(&group, |id| found.clone().any(|event| event.id.is(id)));
                self.engine_mut().commit(now, &group)
            }
            Some(_) | None => self.engine_mut().commit(now, &group),
        };
        self.note(|_| {
            let sizes: Vec<usize> = group.iter().map(Batch::len).collect();
            match &outcome {
                Ok(receipts) => {
                    format!("commit of {sizes:?} events: {:?}", receipts.iter().map(|r| r.stored).collect::<Vec<_>>())
                }
                Err(error) => format!("commit of {sizes:?} events: {error}"),
            }
        });
        match outcome {
            Ok(_) if self.has_failed => Err("a failed engine has accepted a commit".to_string()),
            Ok(receipts) => {
                self.summary.commits += 1;
                let snapshot = self.engine().snapshot();
                let occasion = Occasion { now, age: self.retention.age, belief: self.belief() };
                let is_durable = !self.is_deferred;
                self.in_quiet(|world| world.auditor.acknowledged(occasion, &group, &receipts, is_durable, &snapshot))
            }
            Err(error) => {
                self.summary.refusals += 1;
                self.refused(&error)?;
                if let CommitError::Failed { in_doubt, .. } = error {
                    let is_first = !std::mem::replace(&mut self.has_failed, true);
                    if is_first && in_doubt {
                        self.auditor.left_in_doubt(now, &group);
                    }
                }
                self.look_again()
            }
        }
    }

    /// Nothing waits to be committed.
    fn on_idle(&mut self) -> Result<(), String> {
        let noted = self.engine_mut().on_idle();
        self.note(|_| format!("on_idle: {}", outcome(&noted)));
        if let Err(error) = noted {
            self.refused(&error)?;
            self.has_failed |= matches!(error, CommitError::Failed { .. });
        }
        self.look_again()
    }

    /// Makes durable what was committed.
    fn flush(&mut self) -> Result<(), String> {
        let flushed = self.engine_mut().flush();
        self.note(|_| format!("flush: {}", outcome(&flushed)));
        match flushed {
            Ok(()) if self.has_failed => return Err("a failed engine has flushed".to_string()),
            Ok(()) => {
                self.summary.flushes += 1;
                self.auditor.flushed();
            }
            Err(error) => {
                self.refused(&error)?;
                self.has_failed |= matches!(error, CommitError::Failed { .. });
            }
        }
        self.look_again()
    }

    /// Does a little maintenance.
    fn maintain(&mut self) -> Result<(), String> {
        self.take_tasks();
        if self.tasks.is_empty() {
            return Ok(());
        }
        let chosen = self.source.index(self.tasks.len());
        let task = self.tasks.swap_remove(chosen);
        let budget = self.source.pick(&[1_000, 1, 3, 10]);
        self.work(task, budget)
    }

    /// Takes all tasks that there are.
    fn take_tasks(&mut self) {
        self.consider_the_clock();
        let (now, retention) = (self.clocks.moment(self.options.canary), self.retention);
        let before = retention.age.map(|age| Timestamp::from_nanos(self.clocks.credible(age) - age));
        self.auditor.allow(Expiry { before, first: retention.bytes.is_some() });
        self.medium.set_lying(self.options.canary == Some(Canary::HastySeal));
        while let Some(task) = self.engine_mut().next_task(now) {
            self.tasks.push(task);
        }
        self.medium.set_lying(false);
        if !self.has_failed {
            self.clocks.seen();
        }
    }

    /// Does a little of a task.
    fn work(&mut self, mut task: Box<dyn MaintenanceTask>, budget: u32) -> Result<(), String> {
        if task.step(budget) == Poll::Pending {
            self.tasks.push(task);
            return Ok(());
        }
        let what = format!("{task:?}");
        let installed = self.install(task)?;
        self.note(|_| format!("{what}: {}", outcome(&installed)));
        match installed {
            Ok(()) => self.summary.tasks += 1,
            Err(error) => {
                self.refused(&error)?;
                self.has_failed |= matches!(error, CommitError::Failed { .. });
            }
        }
        self.look_again()
    }

    /// Installs a task, and sees that what is told of it is what is gone.
    fn install(&mut self, task: Box<dyn MaintenanceTask>) -> Result<Result<(), CommitError>, String> {
        let stored = |world: &Self| {
            world.engine().snapshot().stats().map(|stats| stats.events).map_err(|error| error.to_string())
        };
        let before = stored(self)?;
        let installed = self.engine_mut().install(task);
        let told = installed.iter().flatten().filter(|_| self.options.canary != Some(Canary::SilentExpiry));
        let told = told.map(|expired| expired.events).sum();
        let left = stored(self)?;
        if before.checked_sub(left) == Some(told) {
            Ok(installed.map(drop))
        } else {
            Err(format!("{told} events are said to have expired, and of {before} are {left} left"))
        }
    }

    /// Runs a query, to which faults may happen.
    fn ask(&mut self) -> Result<(), String> {
        let query = generate::scan(&mut self.source);
        let pace = Pace { budget: self.source.pick(&[u32::MAX, 1, 5]), stop_every: self.source.pick(&[0, 1, 3]) };
        let failures = self.medium.failures();
        let answer = self.auditor.ask(&self.engine().snapshot(), &query, pace);
        self.note(|_| format!("a query: {}", outcome(&answer)));
        match answer {
            Err(Finding::Unreadable(_)) if self.medium.failures() > failures || self.medium.is_off() => Ok(()),
            answer => self.judge(answer),
        }
    }

    fn prepare_a_fault(&mut self) {
        let strikes = [
            (Fault::Crash, Strike::Crash(self.source.pick(&[Phase::During, Phase::Before, Phase::After])), 12),
            (Fault::SyncError, Strike::SyncError, 2),
            (Fault::WriteError, Strike::WriteError, 4),
            (Fault::ReadError, Strike::ReadError, 6),
            (Fault::Unlinked, Strike::Unlink, 4),
        ];
        let mut strikes = strikes.into_iter().filter(|(fault, ..)| self.faults.has(*fault));
        let skipped = self.source.index(strikes.clone().count());
        let Some((_, strike, within)) = strikes.nth(skipped) else { return };
        let after = self.source.pick(&[0, 0, 1, 2, 5, 9]) % within;
        self.note(|_| format!("after {after} calls: {strike:?}"));
        self.medium.strike(strike, after);
    }

    /// The faults end: after a restart, if need be, everything works again and everything is there.
    fn end_well(&mut self) -> Result<(), String> {
        self.note(|_| "the faults end".to_string());
        self.medium.calm();
        self.medium.crash_at(None);
        // What was begun while there were faults may fail by them.
        while let Some(task) = self.tasks.pop() {
            self.work(task, u32::MAX)?;
        }
        let healed = self.medium.heal();
        if healed || self.has_failed {
            self.go_down(Ending::Process);
            let mut opens = STRUCK_OPENS_MAX;
            self.open_once(&mut opens)?;
        }
        for _ in 0..2 {
            let commits = self.summary.commits;
            self.commit()?;
            if self.summary.commits == commits {
                return Err("a commit is refused, and nothing is wrong with the medium any more".to_string());
            }
        }
        self.set_clock_right()?;
        let mut steps = 0;
        loop {
            self.take_tasks();
            let Some(mut task) = self.tasks.pop() else { break };
            while task.step(64) == Poll::Pending {
                steps += 1;
            }
            self.install(task)?.map_err(|error| format!("maintenance fails without a cause: {error}"))?;
            steps += 1;
            if steps > TASK_STEPS_MAX {
                return Err("maintenance goes on and on".to_string());
            }
        }
        self.look_again()?;
        if let Some(age) = self.retention.age {
            let overdue = Timestamp::from_nanos(self.clocks.wall().as_nanos() - age - age / 8);
            self.in_quiet(|world| world.auditor.check_expired(overdue))?;
        }
        self.ask()?;
        let flushes = self.summary.flushes;
        self.flush()?;
        if self.summary.flushes == flushes {
            return Err("a flush fails, and nothing is wrong with the medium any more".to_string());
        }
        self.in_quiet(|world| world.auditor.check_kept())?;
        self.go_down(self.worst_ending());
        let mut opens = STRUCK_OPENS_MAX;
        self.open_once(&mut opens)?;
        self.open_twice(&mut opens)
    }

    /// After whatever was refused: what is acknowledged can be read, and nothing else.
    fn look_again(&mut self) -> Result<(), String> {
        if self.medium.is_off() {
            return Ok(());
        }
        let snapshot = self.engine().snapshot();
        self.in_quiet(|world| world.auditor.audit(&snapshot))
    }

    /// Sees whether a refusal had a reason.
    fn refused(&self, error: &CommitError) -> Result<(), String> {
        let has_reason = self.has_failed || self.medium.is_rotten() || self.medium.failures() > self.failures;
        if has_reason { Ok(()) } else { Err(format!("refused without a reason: {error}")) }
    }

    /// Asks the auditor, without faults in between.
    fn in_quiet(&mut self, audit: impl FnOnce(&mut Self) -> Result<(), Finding>) -> Result<(), String> {
        self.medium.set_quiet(true);
        let finding = audit(self);
        self.medium.set_quiet(false);
        self.judge(finding)
    }

    fn judge(&self, finding: Result<(), Finding>) -> Result<(), String> {
        match finding {
            Ok(()) => Ok(()),
            // With a changed bit, an error is an answer; a wrong event is none.
            Err(Finding::Unreadable(_)) if self.medium.is_rotten() => Ok(()),
            Err(Finding::Unreadable(error)) => Err(format!("nothing is wrong with the medium, but: {error}")),
            Err(Finding::Broken(what)) => Err(what),
        }
    }

    fn draw_group(&mut self) -> Vec<Batch> {
        let batches = self.source.pick(&[1, 1, 2, 3]);
        (0..batches)
            .map(|_| {
                let events = match self.source.below(16) {
                    0 => 20,
                    1 => 0,
                    _ => 1 + self.source.below(4),
                };
                let drafts: Vec<Draft> = (0..events).map(|_| self.draw_event()).collect();
                let handling = if self.source.one_in(3) { Handling::Lenient } else { Handling::Strict };
                generate::batch(&drafts).handled(handling)
            })
            .collect()
    }

    /// An event, sometimes with the id of one that is there: also where that id was generated.
    fn draw_event(&mut self) -> Draft {
        let mut draft = generate::draft(&mut self.source);
        if self.source.one_in(10) {
            let events = self.auditor.model().events();
            let known = events.get(self.source.index(events.len()));
            draft.id = known.map(|event| event.id.text()).or(draft.id);
        }
        draft
    }

    fn engine(&self) -> &Engine<Flawed> {
        self.engine.as_ref().expect("the store is open between two restarts")
    }

    fn engine_mut(&mut self) -> &mut Engine<Flawed> {
        self.engine.as_mut().expect("the store is open between two restarts")
    }

    fn take_notes(&mut self) {
        let notes = self.medium.take_notes();
        if let Some(trace) = &mut self.trace {
            trace.extend(notes.into_iter().map(|note| format!("  {note}")));
        }
    }

    fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let text = text(self);
            self.trace.iter_mut().for_each(|trace| trace.push(text.clone()));
        }
    }
}

/// How something went, in words.
fn outcome<T, E: Display>(result: &Result<T, E>) -> String {
    result.as_ref().map_or_else(ToString::to_string, |_| "done".to_string())
}
