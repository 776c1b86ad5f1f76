//! A second process that wants to have the store: who is in, and who is kept out.
//!
//! A process opens the lock file, tries to lock what it has opened, and ends if somebody else has. Between the first
//! two, anything may happen to others; that is where a second process waits. Nothing here says that two may not be in
//! at once: that is for the auditor to find.

use super::super::canary::Canary;
use super::World;
use crate::Ending;
use crate::medium::LockFile;

impl World {
    /// A second process begins to start or, if it has, goes on with it, while the first is up.
    pub(super) fn second_process(&mut self) -> Result<(), String> {
        match self.second.take() {
            None => {
                self.note(|_| "a second process opens the lock file".to_string());
                self.second = Some(self.medium.open_lock());
                Ok(())
            }
            Some(second) if self.meet(second)? => self.open(),
            Some(_) => Ok(()),
        }
    }

    /// A second process goes on, now that the first has ended and before that is started again. It works for a while,
    /// and the first is kept out; then it ends.
    pub(super) fn overtake(&mut self, second: LockFile) -> Result<(), String> {
        self.note(|_| "the second process goes on".to_string());
        self.lock(second)?;
        self.open_once(&mut 0)?;
        self.note(|_| "the first process is started again".to_string());
        let first = self.medium.open_lock();
        if !self.meet(first)? {
            self.commit()?;
            self.end_process();
        }
        Ok(())
    }

    /// Opens and locks the file, as a process does before it touches the store, if the one that is up has not done so
    /// yet.
    pub(super) fn enter(&mut self) -> Result<(), String> {
        if self.held.is_some() {
            return Ok(());
        }
        let file = self.medium.open_lock();
        self.lock(file)
    }

    /// The process that is up ends, and by the power also one that waits. The medium frees what was locked when it is
    /// restarted.
    pub(super) fn let_go(&mut self, ending: Ending) {
        // Whoever is killed in a call removes nothing.
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
            return Err("a process is kept out, and no other is up".to_string());
        }
        self.held = Some(file);
        Ok(())
    }

    /// A process tries to lock what it has opened, and another is up. Says whether it got in nevertheless; then both
    /// have ended.
    fn meet(&mut self, file: LockFile) -> Result<bool, String> {
        if !self.medium.try_lock(file) {
            self.note(|_| "another process finds the lock held, and ends".to_string());
            self.summary.kept_out += 1;
            return Ok(false);
        }
        self.note(|_| "another process is let in, beside the one that is up".to_string());
        self.share()?;
        self.end_process();
        Ok(true)
    }

    /// Another process opens the store beside the one that is up, and each commits something, unless a fault comes
    /// between.
    ///
    /// What the two append lies one behind the other on the medium. Processes that each keep the end of a file in mind
    /// would write over each other's records, which is worse.
    fn share(&mut self) -> Result<(), String> {
        let Ok(other) = self.open_engine() else { return Ok(()) };
        let before = self.engine.replace(other);
        self.commit()?;
        if self.has_failed || self.medium.is_off() {
            return Ok(());
        }
        self.note(|_| "the process that was up before goes on".to_string());
        self.engine = before;
        self.commit()
    }

    /// Ends whoever is up, in the way that is left after what has happened.
    fn end_process(&mut self) {
        self.take_notes();
        if self.medium.is_off() {
            self.after_power_failure();
        } else {
            self.go_down(Ending::Process);
        }
    }
}
