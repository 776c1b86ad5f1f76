//! The lock that keeps other processes out of a folder.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::error::{OpenError, SystemError};
use crate::folder::{FILE_MODE, Folder};
use crate::identity::Identity;

const NAME: &str = "lock";

/// The right to use a folder: exclusive for a writer, shared for readers. Released when it is dropped or the process
/// ends.
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
        let mut file = opened.map_err(SystemError::of("open", &path))?;
        if !is_won(file.try_lock(), &path)? {
            // Only if another writer holds it, the number in the file is that of the holder.
            let is_written = !is_won(file.try_lock_shared(), &path)?;
            let pid = if is_written { holder(&file) } else { None };
            return Err(OpenError::InUse { path: folder.path().to_owned(), pid, advice: "choose another folder" });
        }
        // Padded, and written over the old number: the file does not grow, so this works on a full disk too.
        let pid = format!("{:<10}\n", std::process::id());
        let written = file.rewind().and_then(|()| file.write_all(pid.as_bytes()));
        written.map_err(SystemError::of("write", &path))?;
        Self::held(file, path)
    }

    /// Takes the lock of a reader, which writes nothing to the file and keeps writers out; `None` if there is no file,
    /// as in a folder that was copied by hand.
    pub(crate) fn take_unchanged(folder: &Folder) -> Result<Option<Self>, OpenError> {
        let path = folder.join(NAME);
        match File::open(&path) {
            Ok(file) if is_won(file.try_lock_shared(), &path)? => Ok(Some(Self::held(file, path)?)),
            Ok(file) => {
                let advice = "check a snapshot of the folder";
                Err(OpenError::InUse { path: folder.path().to_owned(), pid: holder(&file), advice })
            }
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

/// Whether the lock was free.
fn is_won(tried: Result<(), TryLockError>, path: &Path) -> Result<bool, SystemError> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(SystemError::of("lock", path)(error)),
    }
}

/// The id of the process that has written it into the file. `None` if it may mean another process here: the writer may
/// be in another container, where 1 is a common id, and so is that of this process.
fn holder(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    // The id is only for a message.
    let _unknown = file.read_to_string(&mut text);
    let pid: u32 = text.trim().parse().ok()?;
    let process = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let is_running = !matches!(test_kill_process(process), Err(Errno::SRCH));
    (is_running && pid != 1 && pid != std::process::id()).then_some(pid)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::process::{Command, Stdio};

    use super::*;

    /// The error for a writer while the lock is held, and its file has this text.
    fn refused(text: &str, hold: impl FnOnce(&Folder) -> Lock) -> OpenError {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        std::fs::write(folder.join(NAME), text).unwrap();
        let held = hold(&folder);
        // Whoever holds it, the text is as if it had been written by that process.
        std::fs::write(folder.join(NAME), text).unwrap();
        let error = Lock::take(&folder).unwrap_err();
        drop(held);
        assert!(folder.join(NAME).exists());
        Lock::take(&folder).unwrap();
        error
    }

    fn write(folder: &Folder) -> Lock {
        Lock::take(folder).unwrap()
    }

    fn read(folder: &Folder) -> Lock {
        Lock::take_unchanged(folder).unwrap().unwrap()
    }

    #[test]
    fn a_writer_is_known_by_its_id_and_a_reader_is_not_taken_for_the_last_writer() {
        // A process that lives until its input ends.
        let mut living = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        for (text, expected) in [
            (living.id().to_string(), Some(living.id())),
            (format!("{:<10}\n", living.id()), Some(living.id())),
            (std::process::id().to_string(), None),
            ("1\n".to_owned(), None),
            // Higher than any process id.
            ("2147483647\n".to_owned(), None),
            ("4294967295\n".to_owned(), None),
            ("0\n".to_owned(), None),
            ("-1\n".to_owned(), None),
            (String::new(), None),
        ] {
            let error = refused(&text, write);
            assert!(matches!(error, OpenError::InUse { pid, .. } if pid == expected), "{text:?}: {error}");
            let error = refused(&text, read);
            assert!(matches!(error, OpenError::InUse { pid: None, .. }), "{text:?}: {error}");
        }
        drop(living.stdin.take());
        living.wait().unwrap();
    }

    #[test]
    fn readers_share_the_lock_and_a_writer_keeps_them_out() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        assert!(Lock::take_unchanged(&folder).unwrap().is_none());
        let writer = Lock::take(&folder).unwrap();
        let error = Lock::take_unchanged(&folder).unwrap_err().to_string();
        assert!(error.ends_with("; stop it first, or check a snapshot of the folder"), "{error}");
        drop(writer);
        let _readers = [read(&folder), read(&folder)];
        let error = Lock::take(&folder).unwrap_err().to_string();
        assert!(error.ends_with("; stop it first, or choose another folder"), "{error}");
    }
}
