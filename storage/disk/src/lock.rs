//! The lock that keeps other processes out of a folder.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::error::{OpenError, SystemError};
use crate::folder::{FILE_MODE, Folder};
use crate::identity::Identity;

const NAME: &str = "lock";

/// The exclusive right to use a folder. Released when it is dropped or the process ends.
///
/// The file is never removed: otherwise one process could hold a lock on the removed file and another on a new one.
#[derive(Debug)]
pub(crate) struct Lock {
    held: File,
    path: PathBuf,
    identity: Identity,
}

impl Lock {
    pub(crate) fn take(folder: &Folder) -> Result<Self, OpenError> {
        let path = folder.join(NAME);
        let mut options = File::options();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
        let mut file = hold(opened.map_err(SystemError::of("open", &path))?, folder)?;
        // Padded, and written over the old number: the file does not grow, so this works on a full disk too.
        let pid = format!("{:<10}\n", std::process::id());
        let written = file.rewind().and_then(|()| file.write_all(pid.as_bytes()));
        written.map_err(SystemError::of("write", &path))?;
        Self::held(file, path)
    }

    /// Takes the lock without writing to its file; `None` if there is no file, as in a folder that was copied by hand.
    pub(crate) fn take_unchanged(folder: &Folder) -> Result<Option<Self>, OpenError> {
        let path = folder.join(NAME);
        match File::open(&path) {
            Ok(file) => Ok(Some(Self::held(hold(file, folder)?, path)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SystemError::of("open", &path)(error).into()),
        }
    }

    /// Checks that the lock file is still in its place. If not, another process could lock a different file.
    pub(crate) fn verify(&self) -> Result<(), SystemError> {
        self.identity.verify(&self.held, &self.path)
    }

    fn held(held: File, path: PathBuf) -> Result<Self, OpenError> {
        let identity = Identity::of(&held, &path)?;
        Ok(Self { held, path, identity })
    }
}

fn hold(mut file: File, folder: &Folder) -> Result<File, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // The id is only for the message.
            let _unknown = file.read_to_string(&mut text);
            Err(OpenError::InUse { path: folder.path().to_owned(), pid: running(&text) })
        }
        Err(TryLockError::Error(error)) => Err(SystemError::of("lock", &folder.join(NAME))(error).into()),
    }
}

/// The id in the text of a lock, if there is such a process. If not, the id is that of the last writer, and the lock is
/// held by a process that only reads, or by one of another container.
fn running(text: &str) -> Option<u32> {
    let pid: u32 = text.trim().parse().ok()?;
    let process = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let is_running = !matches!(test_kill_process(process), Err(Errno::SRCH));
    is_running.then_some(pid)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn one_process_holds_the_lock_and_its_id_is_known() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        std::fs::write(folder.join(NAME), "4294967295\n").unwrap();
        let lock = Lock::take(&folder).unwrap();
        let OpenError::InUse { path, pid } = Lock::take(&folder).unwrap_err() else { panic!("it is in use") };
        assert_eq!((path.as_path(), pid), (root.path(), Some(std::process::id())));
        drop(lock);
        assert!(folder.join("lock").exists());
        Lock::take(&folder).unwrap();
    }

    #[test]
    fn a_reader_is_not_taken_for_the_last_writer() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        // Higher than any process id.
        for last_writer in ["2147483647\n", "0\n", "-1\n", ""] {
            std::fs::write(folder.join(NAME), last_writer).unwrap();
            let _reader = Lock::take_unchanged(&folder).unwrap().unwrap();
            let error = Lock::take(&folder).unwrap_err();
            assert!(matches!(error, OpenError::InUse { pid: None, .. }), "{last_writer:?}: {error}");
        }
    }
}
