//! Where the thread of the request log writes to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::log_buffer::write_to_descriptor;
use crate::log_limit::LogLimit;

/// Reports errors of another sink to the log of the server, at most once a minute.
#[derive(Debug)]
pub(super) struct Reporting<W> {
    /// Where the request log goes, for the message.
    target: String,
    sink: W,
    failures: LogLimit,
}

impl<W: Write> Reporting<W> {
    pub(super) fn new(target: &impl ToString, sink: W) -> Self {
        Self { target: target.to_string(), sink, failures: LogLimit::default() }
    }
}

impl<W: Write> Write for Reporting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes);
        if let Err(error) = &written
            && error.kind() != io::ErrorKind::Interrupted
            && let Some(suppressed) = self.failures.due()
        {
            tracing::error!(path = self.target, %error, suppressed, "the request log cannot be written");
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// A file that is opened again when it is told to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    reopen: Arc<AtomicBool>,
}

impl LogFile {
    /// Opens the file, and creates it if it does not exist. Before a write with `reopen` set, it is opened again.
    pub(super) fn open(path: PathBuf, reopen: Arc<AtomicBool>) -> io::Result<Self> {
        let file = open(&path)?;
        Ok(Self { path, file, reopen })
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reopen.swap(false, Ordering::AcqRel) {
            match open(&self.path) {
                Ok(file) => self.file = file,
                // The lines go where they went before, which is better than nowhere.
                Err(error) => {
                    tracing::error!(path = %self.path.display(), %error, "the request log cannot be opened again");
                }
            }
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard output without std's lock, so that a full pipe does not block other writers.
#[derive(Debug)]
pub(super) struct StandardOutput;

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_to_descriptor(&io::stdout(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;
    use crate::testing::logged;

    #[test]
    fn a_renamed_file_is_followed_until_the_log_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let reopen = Arc::<AtomicBool>::default();
        let mut log = LogFile::open(path.clone(), Arc::clone(&reopen)).unwrap();
        log.write_all(b"a\n").unwrap();
        fs::rename(&path, &old).unwrap();
        log.write_all(b"b\n").unwrap();
        reopen.store(true, Ordering::Release);
        log.write_all(b"c\n").unwrap();
        assert_eq!(
            (fs::read_to_string(&old).unwrap().as_str(), fs::read_to_string(&path).unwrap().as_str()),
            ("a\nb\n", "c\n")
        );
        // The folder is gone: the open file is still written to.
        fs::remove_dir_all(folder.path()).unwrap();
        reopen.store(true, Ordering::Release);
        log.write_all(b"d\n").unwrap();
    }

    /// A full disk.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_first_failure_is_reported_with_its_reason() {
        let log = logged(|| {
            let mut sink = Reporting::new(&"/logs/requests", Full);
            assert!(sink.write(b"a\n").is_err() && sink.write(b"b\n").is_err());
        });
        assert_eq!(log.lines().count(), 1, "{log}");
        let full = io::Error::from(io::ErrorKind::StorageFull).to_string();
        for words in ["the request log cannot be written", "/logs/requests", &full] {
            assert!(log.contains(words), "{log}");
        }
    }
}
