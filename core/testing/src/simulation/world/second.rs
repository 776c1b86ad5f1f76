//! A second process that tries to open the store.
//!
//! A process opens the lock file, then tries to lock it, and ends if another process holds the lock. The second process
//! waits between these two steps, where anything may happen. Nothing here checks that only one process is in: the
//! auditor must find that out.

use super::super::canary::Canary;
use super::World;
use crate::Ending;
use crate::medium::LockFile;

impl World {
    /// Starts a second process or continues it, while the first one runs.
    pub(super) fn second_process(&mut self) -> Result<(), String> {
        match self.second.take() {
            None => {
                self.note(|_| "a second process opens the lock file".to_string());
                self.second = Some(self.medium.open_lock());
                Ok(())
            }
            Some(second) if self.try_enter(second)? => self.open(),
            Some(_) => Ok(()),
        }
    }

    /// Continues the second process after the first has ended. It works for a while, the restarted first process is
    /// kept out, and then the second one ends.
    pub(super) fn run_second(&mut self, second: LockFile) -> Result<(), String> {
        self.note(|_| "the second process continues".to_string());
        self.lock(second)?;
        self.open_once(&mut 0)?;
        self.note(|_| "the first process restarts".to_string());
        let first = self.medium.open_lock();
        if !self.try_enter(first)? {
            self.commit()?;
            self.end_process();
        }
        Ok(())
    }

    /// Opens and locks the lock file, unless the running process already holds it.
    pub(super) fn enter(&mut self) -> Result<(), String> {
        if self.held.is_some() {
            return Ok(());
        }
        let file = self.medium.open_lock();
        self.lock(file)
    }

    /// Releases the lock of the process that ends. A power failure also ends a waiting second process. The medium drops
    /// its locks on restart.
    pub(super) fn release_lock(&mut self, ending: Ending) {
        // A process killed in a call cannot remove files.
        let is_stopped = ending == Ending::Process && !self.medium.is_off();
        if is_stopped && self.options.canary == Some(Canary::UnlinkedLock) {
            self.note(|_| "the lock file is removed".to_string());
            self.medium.unlink_lock();
        }
        self.held = None;
        if ending == Ending::Power {
            self.second = None;
        }
    }

    fn lock(&mut self, file: LockFile) -> Result<(), String> {
        if !self.medium.try_lock(file) {
            return Err("the lock is held although no process runs".to_string());
        }
        self.held = Some(file);
        Ok(())
    }

    /// Another process tries to lock the file that it has opened. Returns whether it got in beside the running one;
    /// both have ended then.
    fn try_enter(&mut self, file: LockFile) -> Result<bool, String> {
        if !self.medium.try_lock(file) {
            self.note(|_| "another process finds the store locked and ends".to_string());
            self.summary.kept_out += 1;
            return Ok(false);
        }
        self.note(|_| "another process opens the store beside the running one".to_string());
        self.run_both()?;
        self.end_process();
        Ok(true)
    }

    /// Opens the store a second time; each process commits something, unless a fault intervenes.
    ///
    /// Their appends follow each other on the medium. Real processes, which remember the end of the file, would
    /// overwrite each other's records, which is worse.
    fn run_both(&mut self) -> Result<(), String> {
        let Ok(other) = self.open_engine() else { return Ok(()) };
        let before = self.engine.replace(other);
        self.commit()?;
        if self.has_failed || self.medium.is_off() {
            return Ok(());
        }
        self.note(|_| "the first process continues".to_string());
        self.engine = before;
        self.commit()
    }

    /// Ends the running process: by a power failure if there was one.
    fn end_process(&mut self) {
        self.take_notes();
        if self.medium.is_off() {
            self.after_power_failure();
        } else {
            self.stop(Ending::Process);
        }
    }
}
