//! Stopping and opening the store, with faults in between.

use argus_core::engine::{Engine, OpenError, Seed};
use argus_core::repository::Repository;
use argus_core::storage::{StorageError, StorageWriter as _};

use super::super::auditor::Finding;
use super::super::canary::{Canary, Flawed, cut_after};
use super::{World, outcome};
use crate::{Ending, FaultClass};

/// Faults are injected into this number of attempts to open at most.
pub(super) const FAULTY_OPENS_MAX: u32 = 3;

/// How long the machine takes to restart after events were lost.
const AWAY_NANOS: i64 = 1_000_000_000;

/// Attempts to open after which the run fails. Each may meet a canary's damage, a fault, or bit rot, which is then
/// repaired.
const OPENS_MAX: u32 = 40;

impl World {
    /// Stops the process or the machine between two calls.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.without_faults(|world| world.auditor.check_kept())?;
        // While only one copy of the manifest is current, damage to it cannot be repaired.
        let is_outdated = self.engine().recovery().manifest_outdated;
        // Without room, closing may not record the end of the log.
        let is_noted = self.medium.has_unlimited_space();
        let is_closed = !self.has_failed && self.random.one_in(2) && self.close()? && is_noted;
        if self.medium.is_off() {
            // The caller handles the power failure.
            return Ok(());
        }
        let ending = if self.random.one_in(2) { self.worst_ending() } else { Ending::Process };
        self.stop(ending);
        if is_closed && self.faults.has(FaultClass::LostTail) && !self.medium.is_damaged() && self.random.one_in(2) {
            let place = self.medium.lose_tail();
            self.note(|_| format!("the end of the log is lost at {place:?}"));
        } else if self.faults.has(FaultClass::Rot) && !is_outdated && self.random.one_in(3) {
            let place = self.rot();
            self.note(|_| format!("bit rot: {place:?}"));
        }
        self.open()
    }

    /// Changes data on the medium: so that checksums notice it, or, for a canary, so that they do not.
    fn rot(&self) -> Option<String> {
        match self.options.canary {
            Some(Canary::UncheckedRecord) => self.medium.forge(true),
            Some(Canary::UncheckedSegment) => self.medium.forge(false),
            Some(_) | None => self.medium.rot(),
        }
    }

    /// Closes the store; returns whether that succeeded.
    fn close(&mut self) -> Result<bool, String> {
        let closed = self.engine_mut().close();
        self.note(|_| format!("close: {}", outcome(&closed)));
        match closed {
            Ok(()) => {
                self.summary.closes += 1;
                self.auditor.flushed();
                self.audit_all()?;
                Ok(true)
            }
            Err(error) => {
                self.refused(&error)?;
                Ok(false)
            }
        }
    }

    /// Stops after a power failure in a call.
    pub(super) fn after_power_failure(&mut self) {
        // With `Kill`, only the process died at that call.
        let killed = self.faults.has(FaultClass::Kill) && self.random.one_in(2);
        self.stop(if killed { Ending::Process } else { Ending::Power });
    }

    pub(super) fn worst_ending(&self) -> Ending {
        if self.faults.has(FaultClass::Crash) { Ending::Power } else { Ending::Process }
    }

    pub(super) fn stop(&mut self, ending: Ending) {
        self.note(|_| {
            let end = match ending {
                Ending::Process => "the process ends",
                Ending::Power => "the power fails",
            };
            end.to_string()
        });
        let is_intact = ending == Ending::Process && self.medium.failures() == self.failures;
        self.auditor.process_ended(is_intact);
        self.release_lock(ending);
        (self.engine, self.has_failed) = (None, false);
        self.tasks.clear();
        self.medium = self.medium.restart(ending);
    }

    /// Opens the store despite faults, and compares everything.
    pub(super) fn open(&mut self) -> Result<(), String> {
        if let Some(second) = self.second.take_if(|_| self.random.one_in(2)) {
            self.run_second(second)?;
        }
        let mut opens = 0;
        self.open_once(&mut opens)?;
        // Without room, an opening leaves work to the next one, which then changes bytes.
        if self.medium.has_unlimited_space() && self.random.one_in(4) {
            self.open_twice(&mut opens)?;
        }
        Ok(())
    }

    /// Opens the store again. No byte may change.
    pub(super) fn open_twice(&mut self, opens: &mut u32) -> Result<(), String> {
        let before = self.medium.contents();
        self.stop(self.worst_ending());
        *opens = FAULTY_OPENS_MAX;
        self.open_once(opens)?;
        let after = self.medium.contents();
        if before.agrees_with(&after) {
            return Ok(());
        }
        Err(format!("a second recovery changes the bytes: {before:?} and then {after:?}"))
    }

    pub(super) fn open_once(&mut self, opens: &mut u32) -> Result<(), String> {
        loop {
            *opens += 1;
            if *opens > OPENS_MAX {
                return Err("the store cannot be opened after many attempts".to_string());
            }
            self.enter()?;
            // Faults injected into the last process do not hit this one.
            self.medium.clear_faults();
            if self.faults.has(FaultClass::Recovery) && *opens <= FAULTY_OPENS_MAX && self.random.one_in(2) {
                self.inject_fault();
            }
            if self.faults.has(FaultClass::Full)
                && *opens <= FAULTY_OPENS_MAX
                && self.sent.is_some()
                && self.random.one_in(8)
            {
                let free = self.random.index(500);
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
                Err(error) => self.open_failed(&error, failures)?,
            }
        }
    }

    /// Opens the store with the options of this run.
    pub(super) fn open_engine(&mut self) -> Result<Engine<Flawed>, OpenError> {
        let seed = Seed(self.random.number().into());
        let storage = Flawed { inner: self.medium.clone(), canary: self.options.canary };
        let opened = Engine::open_with(storage, seed, self.tuning);
        self.take_notes();
        self.note(|_| format!("open: {}", outcome(&opened)));
        self.summary.opens += 1;
        self.clocks.reset_seen();
        let mut engine = opened?;
        engine.retain(self.retention);
        engine.erase_within(self.erase_within);
        if self.is_deferred {
            engine.defer_syncs();
        }
        Ok(engine)
    }

    /// Compares everything after an opening. Returns whether the store can be read.
    fn recovered(&mut self) -> Result<bool, String> {
        let snapshot = self.engine().snapshot();
        let lost = self.auditor.lost();
        self.medium.pause_faults(true);
        let finding = self.auditor.recovered(&snapshot);
        self.medium.pause_faults(false);
        if self.auditor.lost() > lost {
            // An event that replaces a lost one in the same millisecond gets the same generated id. Restarting a
            // machine takes longer than that, and longer than clocks are set back here.
            self.clocks.pass(AWAY_NANOS);
        }
        match finding {
            Err(Finding::Unreadable(error)) if self.medium.repair() => {
                self.note(|_| format!("the damage is repaired after {error}"));
                self.stop(Ending::Process);
                Ok(false)
            }
            finding => self.judge(finding).map(|()| true),
        }
    }

    /// Checks that an opening had a reason to fail, and removes the reason.
    fn open_failed(&mut self, error: &OpenError, failures: u64) -> Result<(), String> {
        if let Some(offset) = cut_after(self.options.canary, error) {
            self.medium.clear_faults();
            return self.medium.truncate(offset).map_err(|error| error.to_string());
        }
        match error {
            // The store was created before anything was sent, and needs no room to open.
            OpenError::Storage(StorageError::Full(reason) | StorageError::Unavailable(reason))
                if self.sent.is_some() =>
            {
                return Err(format!("the store cannot be opened without room: {reason}"));
            }
            _ if self.medium.failures() > failures => self.stop(Ending::Process),
            OpenError::Damaged { place, .. } if !place.is_empty() && self.medium.repair() => {
                self.summary.refused_opens += 1;
                self.note(|_| "the damage is repaired".to_string());
            }
            OpenError::Storage(_) | OpenError::Damaged { .. } | OpenError::TooManyTypes { .. } => {
                return Err(format!("the store cannot be opened although it is undamaged: {error}"));
            }
        }
        Ok(())
    }
}
