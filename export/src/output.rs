//! A file that appears under its name when it is complete.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Only the owner can read it, as with a repository.
const MODE: u32 = 0o600;

/// The longest name of a file in a folder, in bytes, on the usual file systems.
const NAME_BYTES_MAX: usize = 255;

/// How many temporary names are tried. A process that was killed leaves one, and its number may be used again.
const NAMES_MAX: u32 = 100;

/// A file that is being written under a temporary name beside its own. If it is dropped before it is
/// [complete](Self::complete), it is removed.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    /// Open from the beginning, so that nothing but its sync can fail once the file has its name.
    folder: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Output {
    /// Creates the file. Its temporary name is that of `path`, a dot, the number of this process and `.tmp`; or the
    /// first of further names that is free.
    ///
    /// # Errors
    ///
    /// There is a file at `path`, all temporary names are taken, or a system call failed.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        refuse_existing(path)?;
        let bytes = path.as_os_str().as_bytes();
        let (folder, name) = bytes.split_at(bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1));
        let folder = Path::new(if folder.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(folder) });
        let opened = File::open(folder).map_err(|error| naming("its folder cannot be opened", folder, &error))?;
        let mut attempt = 0;
        let (file, temporary) = loop {
            let temporary = folder.join(temporary_name(name, attempt));
            match File::options().write(true).create_new(true).mode(MODE).open(&temporary) {
                Ok(file) => break (file, temporary),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt + 1 < NAMES_MAX => attempt += 1,
                Err(error) => return Err(naming("its temporary file cannot be created", &temporary, &error)),
            }
        };
        Ok(Self { file, folder: opened, temporary, path: path.to_owned() })
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
        self.complete_with(File::sync_all)
    }

    /// Completes it with this way to sync the folder.
    fn complete_with(self, sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        let (folder, path) = (self.folder.try_clone()?, self.path.clone());
        match fs::hard_link(&self.temporary, &self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists()),
            // A file system without links. A file that is created just now would be replaced.
            Err(_) => {
                refuse_existing(&self.path)?;
                fs::rename(&self.temporary, &self.path)
                    .map_err(|error| naming("it does not get its name from", &self.temporary, &error))?;
            }
        }
        // The other name goes first, so that the sync makes this durable, too.
        drop(self);
        if let Err(error) = sync(&folder) {
            // It may be gone after a crash, so it is not there now either.
            return Err(match fs::remove_file(&path) {
                Ok(()) => error,
                Err(stays) => naming(&format!("{error}; remove it, since that failed, too"), &path, &stays),
            });
        }
        Ok(bytes)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // It has another name by now, or it is incomplete; if it stays, its name says so.
        let _stays = fs::remove_file(&self.temporary);
    }
}

/// A name beside `name`, shorter at its end if it would be too long.
fn temporary_name(name: &[u8], attempt: u32) -> OsString {
    let number = if attempt == 0 { String::new() } else { format!("-{attempt}") };
    let suffix = format!(".{}{number}.tmp", std::process::id());
    let mut end = name.len().min(NAME_BYTES_MAX - suffix.len());
    // Some file systems take whole characters only.
    while name.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) && end > 0 {
        end -= 1;
    }
    let mut temporary = OsStr::from_bytes(name.get(..end).unwrap_or_default()).to_owned();
    temporary.push(suffix);
    temporary
}

/// An error that says what failed with which path.
fn naming(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} ({}): {error}", path.display()))
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
    }

    #[test]
    fn errors_name_the_folder_and_the_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = Output::create(&folder.path().join("missing/events.csv")).unwrap_err();
        assert!(error.kind() == io::ErrorKind::NotFound && error.to_string().contains("missing/)"), "{error}");
        for attempt in 0..NAMES_MAX {
            fs::write(folder.path().join(temporary_name(b"events.csv", attempt)), "").unwrap();
        }
        let error = Output::create(&folder.path().join("events.csv")).unwrap_err();
        let last = format!("events.csv.{}-{}.tmp", std::process::id(), NAMES_MAX - 1);
        assert!(error.kind() == io::ErrorKind::AlreadyExists && error.to_string().contains(&last), "{error}");
    }

    #[test]
    fn a_temporary_file_that_was_left_over_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(format!("events.csv.{}.tmp", std::process::id()));
        fs::write(&left, "left").unwrap();
        Output::create(&folder.path().join("events.csv")).unwrap().complete().unwrap();
        assert_eq!(fs::read(left).unwrap(), b"left");
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn a_name_may_be_as_long_as_the_file_system_takes() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x".repeat(NAME_BYTES_MAX), "ü".repeat(NAME_BYTES_MAX / 2)] {
            assert!(temporary_name(name.as_bytes(), NAMES_MAX).to_str().is_some_and(|name| name.len() > 250));
            Output::create(&folder.path().join(&name)).unwrap().complete().unwrap();
        }
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn nothing_stays_of_a_file_whose_name_is_not_durable() {
        let folder = tempfile::tempdir().unwrap();
        let output = Output::create(&folder.path().join("events.csv")).unwrap();
        let error = output.complete_with(|_| Err(io::Error::other("no sync"))).unwrap_err();
        assert_eq!(error.to_string(), "no sync");
        assert_eq!(names(folder.path()), [""; 0]);
    }
}
