//! The lock of the simulated medium.

/// The lock file, as operating systems treat it: a name, the file it refers to, and locks on files.
///
/// A process that opened the file keeps the file that the name referred to then. Whether the name survives a power
/// failure does not matter: no process that opened it does.
#[derive(Debug, Default)]
pub(super) struct SimLock {
    /// The file that the name refers to, if it exists.
    named: Option<LockFile>,
    /// The locked files, whether or not the name still refers to them.
    held: Vec<LockFile>,
    /// The number of files created.
    created: u32,
}

/// The lock file as a process opened it: an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct LockFile(u32);

impl SimLock {
    /// Opens the file; creates it if it does not exist.
    pub(super) fn open(&mut self) -> LockFile {
        *self.named.get_or_insert_with(|| {
            self.created += 1;
            LockFile(self.created)
        })
    }

    /// Locks an opened file, unless it is locked. Never waits.
    pub(super) fn try_lock(&mut self, file: LockFile) -> bool {
        let is_free = !self.held.contains(&file);
        if is_free {
            self.held.push(file);
        }
        is_free
    }

    /// Removes the name. Processes that have the file open do not notice.
    pub(super) fn unlink(&mut self) {
        self.named = None;
    }

    /// Drops all locks: their processes have ended.
    pub(super) fn release_lock(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_holds_the_lock_at_a_time() {
        let mut lock = SimLock::default();
        let (first, second) = (lock.open(), lock.open());
        assert!(lock.try_lock(first));
        assert!(!lock.try_lock(second));
        lock.release_lock();
        assert!(lock.try_lock(second));
        let third = lock.open();
        assert!(!lock.try_lock(third));
    }

    #[test]
    fn two_processes_hold_a_lock_if_the_name_is_removed() {
        let mut lock = SimLock::default();
        let early = lock.open();
        lock.unlink();
        let late = lock.open();
        assert!(lock.try_lock(early));
        assert!(lock.try_lock(late));
    }
}
