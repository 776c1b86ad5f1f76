//! The lock of the simulated medium.

/// The lock file of a medium, as operating systems have it: a name, what the name refers to, and what of that is
/// locked.
///
/// Whoever has opened the file has what the name referred to at that moment, whatever becomes of the name. Whether the
/// name survives a loss of power is not asked: nobody who has opened it does.
#[derive(Debug, Default)]
pub(super) struct SimLock {
    /// What the name refers to, if it is there.
    named: Option<LockFile>,
    /// What is locked, by that name, an earlier one, or none any more.
    held: Vec<LockFile>,
    /// Files that were created.
    created: u32,
}

/// The lock file as a process has opened it: an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct LockFile(u32);

impl SimLock {
    /// Opens the file, and creates it where there is none.
    pub(super) fn open(&mut self) -> LockFile {
        *self.named.get_or_insert_with(|| {
            self.created += 1;
            LockFile(self.created)
        })
    }

    /// Locks a file that was opened, unless somebody has. Never waits.
    pub(super) fn try_lock(&mut self, file: LockFile) -> bool {
        let is_free = !self.held.contains(&file);
        if is_free {
            self.held.push(file);
        }
        is_free
    }

    /// Removes the name. Those who have opened the file do not notice.
    pub(super) fn unlink(&mut self) {
        self.named = None;
    }

    /// Whoever has locked anything has ended.
    pub(super) fn let_go(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_holder_at_a_time() {
        let mut lock = SimLock::default();
        let (first, second) = (lock.open(), lock.open());
        assert!(lock.try_lock(first));
        assert!(!lock.try_lock(second));
        lock.let_go();
        assert!(lock.try_lock(second));
        let third = lock.open();
        assert!(!lock.try_lock(third));
    }

    #[test]
    fn there_are_two_if_the_name_is_removed() {
        let mut lock = SimLock::default();
        let early = lock.open();
        lock.unlink();
        let late = lock.open();
        assert!(lock.try_lock(early));
        assert!(lock.try_lock(late));
    }
}
