//! A file that appears under its name when it is complete.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Only the owner can read it, as with a repository.
const MODE: u32 = 0o600;

/// A file that is being written under a temporary name beside its own. If it is dropped before it is
/// [complete](Self::complete), it is removed.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Output {
    /// Creates the file. Its name is `path`, a dot, the number of this process and `.tmp`.
    ///
    /// # Errors
    ///
    /// There is a file of that name, or at `path`; or a system call failed.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        refuse_existing(path)?;
        let mut temporary = OsString::from(path);
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let file = File::options().write(true).create_new(true).mode(MODE).open(&temporary)?;
        Ok(Self { file, temporary, path: path.to_owned() })
    }

    /// The file, to write to.
    ///
    /// # Errors
    ///
    /// There is no file descriptor for another handle.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Makes the file durable under its own name. Returns its length in bytes.
    ///
    /// # Errors
    ///
    /// There is a file of that name by now, or a system call failed.
    pub(crate) fn complete(self) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        match fs::hard_link(&self.temporary, &self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists()),
            // A file system without links. A file that is created just now would be replaced.
            Err(_) => {
                refuse_existing(&self.path)?;
                fs::rename(&self.temporary, &self.path)?;
            }
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new(".")))?;
        // The other name goes first, so that the sync makes this durable, too.
        drop(self);
        folder.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // It has another name by now, or it is incomplete; if it stays, its name says so.
        let _stays = fs::remove_file(&self.temporary);
    }
}

fn refuse_existing(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Err(exists()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn exists() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "it exists, and is not replaced; choose another name, or remove it")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.csv");
        let output = Output::create(&path).unwrap();
        output.file().unwrap().write_all(b"abc").unwrap();
        assert!(!path.exists());
        assert_eq!(output.complete().unwrap(), 3);
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(names(folder.path()), ["events.csv"]);
    }

    #[test]
    fn nothing_stays_of_a_file_that_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        drop(Output::create(&folder.path().join("events.csv")).unwrap());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn no_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.csv");
        let output = Output::create(&path).unwrap();
        fs::write(&path, "other").unwrap();
        for error in [Output::create(&path).unwrap_err(), output.complete().unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert!(error.to_string().contains("choose another name"), "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"other");
        assert_eq!(names(folder.path()), ["events.csv"]);
        Output::create(&folder.path().join("missing/events.csv")).unwrap_err();
    }
}
