//! Going down and coming up again, with faults in between.

use argus_core::engine::{Engine, OpenError, Seed};
use argus_core::repository::{CommitError, Repository};
use argus_core::storage::{StorageError, StorageWriter as _};

use super::super::auditor::Finding;
use super::super::canary::{Canary, Flawed, cut_after};
use super::{World, outcome};
use crate::{Ending, Fault};

/// Openings that may fail by faults before faults are taken away from them.
pub(super) const STRUCK_OPENS_MAX: u32 = 3;

/// How long a machine is away that has lost something.
const AWAY_NANOS: i64 = 1_000_000_000;

/// Openings in a row after which there is no hope. Each may find a canary's damage, a fault, or a bit that is healed
/// then.
const OPENS_MAX: u32 = 40;

impl World {
    /// Ends the process, or the machine, between two calls.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.in_quiet(|world| world.auditor.check_kept())?;
        // Rot of the only copy of a manifest is more than can be stood.
        let is_outdated = self.engine().recovery().manifest_outdated;
        // Without room there may be no note of it.
        let is_noted = self.medium.is_roomy();
        let is_closed = !self.has_failed && self.source.one_in(2) && self.close()? && is_noted;
        if self.medium.is_off() {
            // Whoever has called this goes down with it.
            return Ok(());
        }
        let ending = if self.source.one_in(2) { self.worst_ending() } else { Ending::Process };
        self.go_down(ending);
        if is_closed && self.faults.has(Fault::LostTail) && !self.medium.is_rotten() && self.source.one_in(2) {
            let place = self.medium.lose_tail();
            self.note(|_| format!("the end of the log is lost: {place:?}"));
        } else if self.faults.has(Fault::Rot) && !is_outdated && self.source.one_in(3) {
            let place = self.rot();
            self.note(|_| format!("the medium changes: {place:?}"));
        }
        self.open()
    }

    /// Changes what the medium has, in a way that checksums notice, or with one that they do not.
    fn rot(&self) -> Option<String> {
        match self.options.canary {
            Some(Canary::UncheckedRecord) => self.medium.forge(true),
            Some(Canary::UncheckedSegment) => self.medium.forge(false),
            Some(_) | None => self.medium.rot(),
        }
    }

    /// Closes the store; says whether it was.
    fn close(&mut self) -> Result<bool, String> {
        let closed = self.engine_mut().close();
        self.note(|_| format!("close: {}", outcome(&closed)));
        match closed {
            Ok(()) => {
                self.summary.closes += 1;
                self.auditor.flushed();
                self.look_again()?;
                Ok(true)
            }
            Err(error) => {
                self.refused(&error)?;
                self.has_failed |= matches!(error, CommitError::Failed { .. });
                Ok(false)
            }
        }
    }

    /// Goes down with the power failure that happened in a call.
    pub(super) fn after_power_failure(&mut self) {
        // Whoever kills a process at a call leaves the machine as it is.
        let killed = self.faults.has(Fault::Kill) && self.source.one_in(2);
        self.go_down(if killed { Ending::Process } else { Ending::Power });
    }

    pub(super) fn worst_ending(&self) -> Ending {
        if self.faults.has(Fault::Crash) { Ending::Power } else { Ending::Process }
    }

    pub(super) fn go_down(&mut self, ending: Ending) {
        self.note(|_| format!("restart: the end of the {ending:?}"));
        let is_intact = ending == Ending::Process && self.medium.failures() == self.failures;
        self.auditor.process_ended(is_intact);
        self.let_go(ending);
        (self.engine, self.has_failed) = (None, false);
        self.tasks.clear();
        self.medium = self.medium.restart(ending);
    }

    /// Opens the store, through all that may happen to that, and looks at what is there.
    pub(super) fn open(&mut self) -> Result<(), String> {
        if let Some(second) = self.second.take_if(|_| self.source.one_in(2)) {
            self.overtake(second)?;
        }
        let mut opens = 0;
        self.open_once(&mut opens)?;
        // What an opening had no room for is done by the next one.
        if self.medium.is_roomy() && self.source.one_in(4) {
            self.open_twice(&mut opens)?;
        }
        Ok(())
    }

    /// Opens what has just been opened: not a byte is different.
    pub(super) fn open_twice(&mut self, opens: &mut u32) -> Result<(), String> {
        let before = self.medium.contents();
        self.go_down(self.worst_ending());
        *opens = STRUCK_OPENS_MAX;
        self.open_once(opens)?;
        let after = self.medium.contents();
        if before.agrees_with(&after) {
            return Ok(());
        }
        Err(format!("recovering twice gives other bytes: {before:?} and then {after:?}"))
    }

    pub(super) fn open_once(&mut self, opens: &mut u32) -> Result<(), String> {
        loop {
            *opens += 1;
            if *opens > OPENS_MAX {
                return Err("the store cannot be opened, whatever is done".to_string());
            }
            self.enter()?;
            // What was to happen to the process before does not happen to this one.
            self.medium.calm();
            if self.faults.has(Fault::Recovery) && *opens <= STRUCK_OPENS_MAX && self.source.one_in(2) {
                self.prepare_a_fault();
            }
            if self.faults.has(Fault::Full)
                && *opens <= STRUCK_OPENS_MAX
                && self.sent.is_some()
                && self.source.one_in(8)
            {
                let free = self.source.index(500);
                self.note(|_| format!("space that is left: {free}"));
                self.medium.set_free(Some(free));
            }
            let failures = self.medium.failures();
            match self.open_engine() {
                _ if self.medium.is_off() => self.after_power_failure(),
                Ok(engine) => {
                    self.failures = self.medium.failures();
                    self.found = self.auditor.model().last_seq();
                    self.engine = Some(engine);
                    if self.recovered()? {
                        return Ok(());
                    }
                }
                Err(error) => self.not_opened(&error, failures)?,
            }
        }
    }

    /// One process opens the store, as all of a run do.
    pub(super) fn open_engine(&mut self) -> Result<Engine<Flawed>, OpenError> {
        let seed = Seed(self.source.number().into());
        let storage = Flawed { inner: self.medium.clone(), canary: self.options.canary };
        let opened = Engine::open_with(storage, seed, self.tuning);
        self.take_notes();
        self.note(|_| format!("open: {}", outcome(&opened)));
        self.summary.opens += 1;
        self.clocks.unseen();
        let mut engine = opened?;
        engine.retain(self.retention);
        if self.is_deferred {
            engine.defer_syncs();
        }
        Ok(engine)
    }

    /// Looks at what an opening has found. Says whether it can be read.
    fn recovered(&mut self) -> Result<bool, String> {
        let snapshot = self.engine().snapshot();
        let lost = self.auditor.lost();
        self.medium.set_quiet(true);
        let finding = self.auditor.recovered(&snapshot);
        self.medium.set_quiet(false);
        if self.auditor.lost() > lost {
            // The id of an event that is lost is given again to whatever comes to its place in the same millisecond. A
            // machine takes longer than that to come up, and longer than clocks are set back here.
            self.clocks.pass(AWAY_NANOS);
        }
        match finding {
            Err(Finding::Unreadable(error)) if self.medium.heal() => {
                self.note(|_| format!("the bit is changed back after {error}"));
                self.go_down(Ending::Process);
                Ok(false)
            }
            finding => self.judge(finding).map(|()| true),
        }
    }

    /// Sees whether an opening had a reason to fail, and takes it away.
    fn not_opened(&mut self, error: &OpenError, failures: u64) -> Result<(), String> {
        if let Some(offset) = cut_after(self.options.canary, error) {
            self.medium.calm();
            return self.medium.truncate(offset).map_err(|error| error.to_string());
        }
        match error {
            // It was made before anything was sent, and needs no room to be opened.
            OpenError::Storage(StorageError::Full(reason) | StorageError::Unavailable(reason))
                if self.sent.is_some() =>
            {
                return Err(format!("the store cannot be opened without room: {reason}"));
            }
            _ if self.medium.failures() > failures => self.go_down(Ending::Process),
            OpenError::Damaged { place, .. } if !place.is_empty() && self.medium.heal() => {
                self.summary.refused_opens += 1;
                self.note(|_| "the bit is changed back".to_string());
            }
            OpenError::Storage(_) | OpenError::Damaged { .. } | OpenError::TooManyTypes { .. } => {
                return Err(format!("the store cannot be opened, and nothing is wrong with it: {error}"));
            }
        }
        Ok(())
    }
}
