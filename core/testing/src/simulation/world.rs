//! One run of the simulation: the engine, its medium and its callers.

mod clocks;
mod commits;
mod erasures;
mod maintenance;
mod recovery;
mod second;

use std::fmt::Display;
use std::time::Duration;

use argus_core::batch::Batch;
use argus_core::engine::{Engine, Retention, TYPES_MAX_DEFAULT, Tuning};
use argus_core::event::Timestamp;
use argus_core::repository::{CommitError, MaintenanceTask};
use clocks::Clocks;
use recovery::FAULTY_OPENS_MAX;

use super::super::generate;
use super::super::medium::{Ending, FaultClass, Faults, InjectedFault, LockFile, Phase, SimStorage};
use super::super::random::Random;
use super::super::run::Pace;
use super::auditor::{Auditor, Finding};
use super::canary::Flawed;
use super::{Options, Summary};

const HOUR: i64 = 3_600_000_000_000;

/// One run: a store, its medium and its callers.
#[derive(Debug)]
pub(super) struct World {
    random: Random<'static>,
    options: Options,
    /// The classes of faults that this run has drawn.
    faults: Faults,
    tuning: Tuning,
    retention: Retention,
    /// Whether commits do not wait for the medium.
    is_deferred: bool,
    /// The time in which the bytes of erased events have to be gone.
    erase_within: Duration,
    /// How many events with a mark were drawn.
    marks: u64,
    medium: SimStorage,
    /// The lock of the running process, if one runs.
    held: Option<LockFile>,
    /// The lock file as a second process has opened it, before it tries to lock it.
    second: Option<LockFile>,
    engine: Option<Engine<Flawed>>,
    tasks: Vec<Box<dyn MaintenanceTask>>,
    auditor: Auditor,
    clocks: Clocks,
    /// The last sequence number when the engine was opened.
    found: u64,
    /// Whether the engine has failed.
    has_failed: bool,
    /// The number of the medium's failures when the engine was opened. Without a further one, the engine has no reason
    /// to fail.
    failures: u64,
    /// The group sent last. It may be sent again, as by callers who saw no success or did not wait for it.
    sent: Option<Vec<Batch>>,
    summary: Summary,
    trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, options: Options, is_traced: bool) -> Self {
        let mut random = Random::seeded(seed);
        // Faults hide each other, so many runs have few classes.
        let few = random.pick(&[1, 2, 3]);
        let drawn = options.faults.iter().filter(|_| !random.one_in(few)).fold(Faults::NONE, Faults::with);
        let tuning = Tuning {
            seal_events: random.pick(&[12, 5, 40, 1_000]),
            seal_bytes: random.pick(&[1 << 20, 4_096]),
            fresh_segments_max: random.pick(&[4, 20]),
            fan_in: random.pick(&[2, 3]),
            block_bytes: random.pick(&[200, 1 << 16]),
            segment_events_max: random.pick(&[1_000, 60]),
            filter_bytes_max: random.pick(&[1 << 20, 100]),
            types_max: random.pick(&[100_000, 100_000, 4, 12]),
        };
        let expires = random.one_in(3);
        let retention = Retention {
            age: random.pick(&[None, Some(0), Some(6_000_000_000), Some(HOUR), Some(HOUR)]).filter(|_| expires),
            bytes: random.pick(&[None, None, Some(4_000)]).filter(|_| expires),
        };
        let is_deferred = random.one_in(3);
        let erase_within = Duration::from_secs(random.pick(&[3_600, 0, 3_600]));
        let medium = SimStorage::new(random.number(), drawn);
        medium.crash_at(options.crash_at);
        Self {
            medium,
            random,
            options,
            faults: drawn,
            tuning,
            retention,
            is_deferred,
            erase_within,
            marks: 0,
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

    /// Runs all steps. An error says which promise was broken.
    pub(super) fn run(&mut self) -> Result<(), String> {
        let steps = 10 + self.random.below(51);
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
        self.finish()
    }

    fn step(&mut self) -> Result<(), String> {
        match self.random.below(24) {
            0..=6 => self.commit(),
            7..=10 => self.maintain(),
            12 if self.is_deferred => self.flush(),
            11 | 12 => self.ask(),
            13 => {
                self.note(|_| "keep a snapshot".to_string());
                let snapshot = self.engine().snapshot();
                self.auditor.keep(snapshot);
                Ok(())
            }
            14 | 15 => {
                self.inject_fault();
                Ok(())
            }
            16 if self.faults.has(FaultClass::Full) => {
                let free = self.random.one_in(2).then(|| self.random.index(3_000));
                self.note(|_| format!("space that is left: {free:?}"));
                self.medium.set_free(free);
                Ok(())
            }
            // A host goes on answering for a while after its engine has failed.
            17.. if self.has_failed => self.restart(),
            17 => self.on_idle(),
            18 if self.random.one_in(2) => self.restart(),
            // The types of erased events count until the events are removed, so that a limit of types is reached
            // earlier.
            22 | 23 if self.tuning.types_max >= TYPES_MAX_DEFAULT => self.erase(),
            20 => self.second_process(),
            21 => {
                self.change_clocks();
                Ok(())
            }
            _ => self.commit(),
        }
    }

    /// Runs a query, which faults may hit.
    fn ask(&mut self) -> Result<(), String> {
        let query = generate::scan(&mut self.random);
        let pace = Pace { budget: self.random.pick(&[u32::MAX, 1, 5]), stop_every: self.random.pick(&[0, 1, 3]) };
        let failures = self.medium.failures();
        let snapshot = self.engine().snapshot();
        let question = generate::question(&mut self.random);
        let answer = self.auditor.ask(&snapshot, &query, pace);
        let answer = answer.and_then(|()| self.auditor.ask_question(&snapshot, &question, pace.budget, 5));
        self.note(|_| format!("a query: {}", outcome(&answer)));
        match answer {
            Err(Finding::Unreadable(_)) if self.medium.failures() > failures || self.medium.is_off() => Ok(()),
            answer => self.judge(answer),
        }
    }

    fn inject_fault(&mut self) {
        let faults = [
            (
                FaultClass::Crash,
                InjectedFault::Crash(self.random.pick(&[Phase::During, Phase::Before, Phase::After])),
                12,
            ),
            (FaultClass::SyncError, InjectedFault::SyncError, 2),
            (FaultClass::WriteError, InjectedFault::WriteError, 4),
            (FaultClass::ReadError, InjectedFault::ReadError, 6),
            (FaultClass::Unlinked, InjectedFault::Unlink, 4),
        ];
        let mut faults = faults.into_iter().filter(|(class, ..)| self.faults.has(*class));
        let skipped = self.random.index(faults.clone().count());
        let Some((_, fault, within)) = faults.nth(skipped) else { return };
        let after = self.random.pick(&[0, 0, 1, 2, 5, 9]) % within;
        self.note(|_| format!("after {after} calls: {fault:?}"));
        self.medium.inject(fault, after);
    }

    /// Ends the faults. After a restart, if necessary, everything must work and all events must exist.
    fn finish(&mut self) -> Result<(), String> {
        self.note(|_| "no more faults".to_string());
        self.medium.clear_faults();
        self.medium.crash_at(None);
        // A task started before may still fail because of a fault.
        while let Some(task) = self.tasks.pop() {
            self.work(task, u32::MAX)?;
        }
        let healed = self.medium.repair();
        if healed || self.has_failed {
            self.stop(Ending::Process);
            let mut opens = FAULTY_OPENS_MAX;
            self.open_once(&mut opens)?;
        }
        for _ in 0..2 {
            let commits = self.summary.commits;
            self.commit()?;
            if self.summary.commits == commits {
                return Err("a commit is refused although the medium has no faults any more".to_string());
            }
        }
        self.set_clock_right()?;
        self.clocks.pass(HOUR);
        self.finish_maintenance()?;
        self.audit_all()?;
        self.check_erased()?;
        if let Some(age) = self.retention.age {
            let overdue = Timestamp::from_nanos(self.clocks.wall().as_nanos() - age - age / 8);
            self.without_faults(|world| world.auditor.check_expired(overdue))?;
        }
        self.ask()?;
        let flushes = self.summary.flushes;
        self.flush()?;
        if self.summary.flushes == flushes {
            return Err("a flush fails although the medium has no faults any more".to_string());
        }
        self.without_faults(|world| world.auditor.check_kept())?;
        self.stop(self.worst_ending());
        let mut opens = FAULTY_OPENS_MAX;
        self.open_once(&mut opens)?;
        self.open_twice(&mut opens)
    }

    /// Compares everything that can be read, unless the power is off.
    fn audit_all(&mut self) -> Result<(), String> {
        if self.medium.is_off() {
            return Ok(());
        }
        let snapshot = self.engine().snapshot();
        self.without_faults(|world| world.auditor.audit(&snapshot))
    }

    /// Checks that the medium gave the engine a reason to refuse, and notes whether the engine has failed.
    fn refused(&mut self, error: &CommitError) -> Result<(), String> {
        let has_reason = self.has_failed || self.medium.is_damaged() || self.medium.failures() > self.failures;
        self.has_failed |= matches!(error, CommitError::Failed { .. });
        if has_reason { Ok(()) } else { Err(format!("refused without a reason: {error}")) }
    }

    /// Asks the auditor while no fault can happen.
    fn without_faults(&mut self, audit: impl FnOnce(&mut Self) -> Result<(), Finding>) -> Result<(), String> {
        self.medium.pause_faults(true);
        let finding = audit(self);
        self.medium.pause_faults(false);
        self.judge(finding)
    }

    fn judge(&self, finding: Result<(), Finding>) -> Result<(), String> {
        match finding {
            Ok(()) => Ok(()),
            // After bit rot, an error is a correct answer; a wrong event is not.
            Err(Finding::Unreadable(_)) if self.medium.is_damaged() => Ok(()),
            Err(Finding::Unreadable(error)) => Err(format!("a read fails although the medium has no fault: {error}")),
            Err(Finding::Broken(what)) => Err(what),
        }
    }

    fn engine(&self) -> &Engine<Flawed> {
        self.engine.as_ref().expect("the store is open between restarts")
    }

    fn engine_mut(&mut self) -> &mut Engine<Flawed> {
        self.engine.as_mut().expect("the store is open between restarts")
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

/// The outcome as text.
fn outcome<T, E: Display>(result: &Result<T, E>) -> String {
    result.as_ref().map_or_else(ToString::to_string, |_| "done".to_string())
}
