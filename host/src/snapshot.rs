//! A copy of a repository on disk, made while a server may use it.

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argus_core::engine::{Backup, BackupError, back_up};
use argus_disk::{DiskSource, DiskTarget, SystemError};
use clap::Args;
use thiserror::Error;

use crate::folder::parse_folder;

/// Copies a repository, even while a server uses it
///
/// The copy has every event that was acknowledged before the command started, and is on disk when the command ends. To
/// use it, start a server with `--repository disk:TO`. Segments never change, so that on the same file system they are
/// hard links. The log is copied, and each of its records is checked.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "Exit codes: 0 the copy is complete, 1 there is no copy (remove the incomplete folder TO), \
                  2 a bad argument.")]
pub struct SnapshotCommand {
    /// Folder of the repository, with or without `disk:` before it
    #[arg(value_parser = parse_folder)]
    pub from: PathBuf,

    /// Folder of the copy: must be empty or not exist
    #[arg(value_parser = parse_folder)]
    pub to: PathBuf,
}

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// One of the folders could not be opened.
    #[error(transparent)]
    Folder(#[from] argus_disk::OpenError),
    /// Copying failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The last step failed.
    #[error("the copy could not be completed: {0}")]
    Completion(#[source] SystemError),
}

/// The result of a copy.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// The parts that were copied.
    pub backup: Backup,
    /// Time from the start to the last sync.
    pub took: Duration,
}

impl SnapshotCommand {
    /// Makes the copy, which is durable on return.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]; the source is unchanged, and a partial copy cannot be opened as a repository.
    pub fn take(&self) -> Result<Report, SnapshotError> {
        let begun = Instant::now();
        let source = DiskSource::open(&self.from)?;
        let mut target = DiskTarget::for_backup(&self.to, &source)?;
        let backup = back_up(&source, &mut target)?;
        target.complete().map_err(SnapshotError::Completion)?;
        Ok(Report { backup, took: begun.elapsed() })
    }

    /// Makes the copy from a command line, and prints one line about it.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let (from, to) = (self.from.display(), self.to.display());
        match self.take() {
            Ok(report) => {
                // A closed standard output does not undo the copy.
                drop(writeln!(io::stdout(), "argus: copied {from} to {to}: {report}"));
                ExitCode::SUCCESS
            }
            Err(error) => {
                drop(writeln!(io::stderr(), "error: {from} was not copied to {to}: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Backup { segments, shared, log_bytes, last_seq, end_is_unknown, attempts: _ } = self.backup;
        let seconds = self.took.as_secs_f64();
        write!(
            f,
            "{segments} segments ({shared} linked), {log_bytes} bytes of log, events up to seq {last_seq}, \
             in {seconds:.3} s"
        )?;
        if end_is_unknown {
            f.write_str(
                "; the source's record of where its log ended is damaged: it is unknown whether the log had lost its \
                 end before it was copied",
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line() {
        let backup =
            Backup { segments: 3, shared: 2, log_bytes: 4096, last_seq: 77, end_is_unknown: false, attempts: 1 };
        let report = |backup| Report { backup, took: Duration::from_micros(12_345) }.to_string();
        let line = "3 segments (2 linked), 4096 bytes of log, events up to seq 77, in 0.012 s";
        assert_eq!(report(backup), line);
        let doubtful = report(Backup { end_is_unknown: true, ..backup });
        assert!(
            doubtful.starts_with(line) && doubtful.contains("record of where its log ended is damaged"),
            "{doubtful}"
        );
    }
}
