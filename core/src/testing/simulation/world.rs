//! One run of the simulation: the engine, its medium and its callers.

mod clocks;
mod recovery;
mod second;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;

use super::super::generate::{self, Draft};
use super::super::medium::{Ending, Fault, Faults, LockFile, Phase, SimStorage, Strike};
use super::super::run::Pace;
use super::super::source::Source;
use super::auditor::{Auditor, Expiry, Finding, Occasion};
use super::canary::Flawed;
use super::{Options, Summary};
use crate::batch::{Batch, Handling};
use crate::engine::{Chore, ChoreStep, Engine, Retention, Tuning};
use crate::event::Timestamp;
use crate::repository::{CommitError, Repository};
use clocks::Clocks;
use recovery::STRUCK_OPENS_MAX;

const HOUR: i64 = 3_600_000_000_000;

/// Calls after which housekeeping should have come to its end.
const CHORE_STEPS_MAX: u32 = 10_000;

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
    chores: Vec<Chore>,
    auditor: Auditor,
    clocks: Clocks,
    /// Whether the engine accepts nothing more.
    is_latched: bool,
    /// The medium's failures when the engine was opened: without another, it has no reason to latch.
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
            chores: Vec::new(),
            auditor: Auditor::new(tuning.types_max),
            clocks: Clocks::new(),
            is_latched: false,
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
            7..=10 => self.keep_house(),
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
            // A host whose engine has latched goes on answering for a while.
            17.. if self.is_latched => self.restart(),
            17 => self.rest(),
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
        if self.engine().is_behind() && !self.chores.iter().any(Chore::is_urgent) && !self.is_latched {
            return Err("commits wait for housekeeping, and nobody was asked for what is urgent".to_string());
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
        let outcome = self.engine_mut().commit(now, &group);
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
            Ok(_) if self.is_latched => Err("a latched engine has accepted a commit".to_string()),
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
                if let CommitError::Latched(latch) = &error {
                    let is_first = !core::mem::replace(&mut self.is_latched, true);
                    if is_first && latch.in_doubt {
                        self.auditor.left_in_doubt(now, &group);
                    }
                }
                self.look_again()
            }
        }
    }

    /// Nothing waits to be committed.
    fn rest(&mut self) -> Result<(), String> {
        let rested = self.engine_mut().rest();
        self.note(|_| format!("rest: {}", outcome(&rested)));
        if let Err(error) = rested {
            self.refused(&error)?;
            self.is_latched |= matches!(error, CommitError::Latched(_));
        }
        self.look_again()
    }

    /// Makes durable what was committed.
    fn flush(&mut self) -> Result<(), String> {
        let flushed = self.engine_mut().flush();
        self.note(|_| format!("flush: {}", outcome(&flushed)));
        match flushed {
            Ok(()) if self.is_latched => return Err("a latched engine has flushed".to_string()),
            Ok(()) => {
                self.summary.flushes += 1;
                self.auditor.flushed();
            }
            Err(error) => {
                self.refused(&error)?;
                self.is_latched |= matches!(error, CommitError::Latched(_));
            }
        }
        self.look_again()
    }

    /// Does a little housekeeping.
    fn keep_house(&mut self) -> Result<(), String> {
        self.take_chores();
        if self.chores.is_empty() {
            return Ok(());
        }
        let chosen = self.source.index(self.chores.len());
        let chore = self.chores.swap_remove(chosen);
        let budget = self.source.pick(&[1_000, 1, 3, 10]);
        self.work(chore, budget)
    }

    /// Takes all chores that there are.
    fn take_chores(&mut self) {
        self.consider_the_clock();
        let (now, retention) = (self.clocks.moment(), self.retention);
        let before = retention.age.map(|age| Timestamp::from_nanos(self.clocks.credible(age) - age));
        self.auditor.allow(Expiry { before, first: retention.bytes.is_some() });
        while let Some(chore) = self.engine_mut().chore(now) {
            self.chores.push(chore);
        }
        if !self.is_latched {
            self.clocks.seen();
        }
    }

    /// Does a little of a chore.
    fn work(&mut self, mut chore: Chore, budget: u32) -> Result<(), String> {
        if chore.step(budget) == ChoreStep::Pending {
            self.chores.push(chore);
            return Ok(());
        }
        let what = format!("{chore:?}");
        let settled = self.settle(chore)?;
        self.note(|_| format!("{what}: {}", outcome(&settled)));
        match settled {
            Ok(()) => self.summary.chores += 1,
            Err(error) => {
                self.refused(&error)?;
                self.is_latched |= matches!(error, CommitError::Latched(_));
            }
        }
        self.look_again()
    }

    /// Settles a chore, and sees that what is told of it is what is gone.
    fn settle(&mut self, chore: Chore) -> Result<Result<(), CommitError>, String> {
        let stored = |world: &Self| {
            world.engine().snapshot().stats().map(|stats| stats.events).map_err(|error| error.to_string())
        };
        let before = stored(self)?;
        let settled = self.engine_mut().settle(chore);
        let told = settled.iter().flatten().map(|expired| expired.events).sum();
        let left = stored(self)?;
        if before.checked_sub(left) == Some(told) {
            Ok(settled.map(drop))
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
        while let Some(chore) = self.chores.pop() {
            self.work(chore, u32::MAX)?;
        }
        let healed = self.medium.heal();
        if healed || self.is_latched {
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
            self.take_chores();
            let Some(mut chore) = self.chores.pop() else { break };
            while chore.step(64) == ChoreStep::Pending {
                steps += 1;
            }
            self.settle(chore)?.map_err(|error| format!("housekeeping fails without a cause: {error}"))?;
            steps += 1;
            if steps > CHORE_STEPS_MAX {
                return Err("housekeeping goes on and on".to_string());
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
        let has_reason = self.is_latched || self.medium.is_rotten() || self.medium.failures() > self.failures;
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
