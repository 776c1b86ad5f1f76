//! Checks a repository on disk, and salvages its undamaged events.

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argus_core::engine::{self, Loss, Salvage, SalvageError, Seed};
use argus_core::storage::{BackupTarget as _, StorageReader as _};
use argus_disk::{DiskReader, DiskTarget, SystemError};
use clap::Args;
use thiserror::Error;

use crate::folder::parse_folder;

/// Checks a repository: reads all of it and lists everything that is damaged
///
/// Nothing is changed. No server may use the folder meanwhile; to check a repository that is being served, check a
/// snapshot of it. Lines that begin with `note:` report no damage, but the leftovers of an interrupted process, which
/// the next start of a server cleans up, or files that do not belong to the repository.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(
    after_help = "Exit codes: 0 nothing is damaged (with --salvage: nothing is lost), 1 something is, or the folder \
                  cannot be read or written, 2 a bad argument."
)]
pub struct CheckCommand {
    /// Folder of the repository, with or without `disk:` before it
    #[arg(value_parser = parse_folder)]
    pub path: PathBuf,

    /// Also copy all undamaged events to this folder, which must be empty or not exist, and list the lost ones. A
    /// server can use the new folder
    #[arg(long, value_name = "TO", value_parser = parse_folder)]
    pub salvage: Option<PathBuf>,
}

/// Why a folder could not be checked or salvaged.
#[derive(Debug, Error)]
pub enum CheckError {
    /// One of the folders could not be opened.
    #[error(transparent)]
    Folder(#[from] argus_disk::OpenError),
    /// Salvage failed.
    #[error("nothing was salvaged: {0}")]
    Salvage(#[from] SalvageError),
    /// The last step of salvage failed.
    #[error("the salvaged copy could not be completed: {0}")]
    Completion(#[source] SystemError),
    /// The system's random generator failed, which is needed for a seed.
    #[error("the system's random generator failed: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// The result of a check.
#[derive(Debug)]
pub struct Outcome<'a> {
    path: &'a Path,
    /// Files that are missing, unreadable or of a wrong length, one line each.
    file_errors: Vec<String>,
    /// Files in the folder that do not belong to the repository.
    unknown_files: Vec<PathBuf>,
    report: engine::Report,
    /// Whether a missing or short file may have held the end of the log.
    is_end_missing: bool,
    salvaged: Option<Salvaged<'a>>,
}

/// The result of a salvage.
#[derive(Debug)]
struct Salvaged<'a> {
    to: &'a Path,
    events: u64,
    losses: Vec<Loss>,
    has_other_ids: bool,
    /// How many events were left out because they had been erased.
    erased: u64,
    /// Whether erased events may have come back.
    may_miss_erasures: bool,
}

impl CheckCommand {
    /// Checks the repository, and salvages it if asked to. Salvaged events are durable on return.
    ///
    /// # Errors
    ///
    /// [`CheckError`]; the repository is unchanged, and a partial copy cannot be opened as a repository.
    pub fn check(&self) -> Result<Outcome<'_>, CheckError> {
        let reader = DiskReader::open(&self.path)?;
        let file_errors = reader.errors().iter().map(ToString::to_string).collect();
        let mut unknown_files = reader.unknown_files().to_vec();
        // If the names cannot be read, the check itself reports it.
        let others = reader.list().unwrap_or_default().into_iter().filter(|name| !engine::is_blob_name(name));
        unknown_files.extend(others.map(|name| self.path.join("blobs").join(name)));
        let path = &self.path;
        let Some(to) = &self.salvage else {
            let report = engine::check(&reader);
            let is_end_missing = is_end_missing(&reader, &report);
            return Ok(Outcome { path, file_errors, unknown_files, report, is_end_missing, salvaged: None });
        };
        let mut seed = [0; 16];
        getrandom::fill(&mut seed)?;
        let mut target = DiskTarget::for_salvage(to, &reader)?;
        let salvage = engine::salvage(&reader, target.medium(), Seed(u128::from_ne_bytes(seed)))?;
        target.complete().map_err(CheckError::Completion)?;
        let Salvage { source: report, copy, losses, has_other_ids, erased, may_miss_erasures } = salvage;
        let is_end_missing = is_end_missing(&reader, &report);
        // The end of the log may have had erasures, too.
        let may_miss_erasures = may_miss_erasures || is_end_missing;
        let salvaged = Salvaged { to, events: copy.events, losses, has_other_ids, erased, may_miss_erasures };
        Ok(Outcome { path, file_errors, unknown_files, report, is_end_missing, salvaged: Some(salvaged) })
    }

    /// Runs the check from a command line, and prints the result.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        match self.check() {
            Ok(outcome) => {
                // A closed standard output changes nothing; the exit code carries the result too.
                drop(write!(io::stdout(), "{outcome}"));
                if outcome.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => {
                drop(writeln!(io::stderr(), "error: {}: {error}", self.path.display()));
                ExitCode::FAILURE
            }
        }
    }
}

/// Whether a damaged file may have held the end of the log. If no file is damaged, the last one is complete.
fn is_end_missing(reader: &DiskReader, report: &engine::Report) -> bool {
    !reader.errors().is_empty() && reader.lacks(report.log_end.clone())
}

impl Outcome<'_> {
    /// Whether nothing is damaged, or, with salvage, whether nothing is lost.
    fn is_success(&self) -> bool {
        match &self.salvaged {
            None => self.file_errors.is_empty() && self.report.is_whole(),
            Some(salvaged) => {
                let has_doubts = salvaged.has_other_ids || salvaged.may_miss_erasures;
                !self.is_end_missing && salvaged.losses.is_empty() && !has_doubts
            }
        }
    }
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, file_errors, unknown_files, report, is_end_missing, salvaged } = self;
        for file in unknown_files {
            writeln!(f, "note: {} does not belong to the repository, and is ignored", file.display())?;
        }
        for error in file_errors {
            writeln!(f, "damaged: {error}")?;
        }
        for finding in &report.findings {
            writeln!(f, "{finding}")?;
        }
        let engine::Report { segments, blocks, records, events, last_seq, erasures, findings: _, log_end: _ } = report;
        write!(
            f,
            "argus: read {}: {segments} segments with {blocks} blocks, {records} records of the log, {events} events, \
             the last seq is {last_seq}: ",
            path.display()
        )?;
        if *erasures > 0 {
            write!(f, "{erasures} erasures whose events may still be among them, ")?;
        }
        match report.damage().count() + file_errors.len() {
            0 => writeln!(f, "nothing is damaged")?,
            1 => writeln!(f, "damaged in one place")?,
            places => writeln!(f, "damaged in {places} places")?,
        }
        salvaged.as_ref().map_or(Ok(()), |salvaged| salvaged.write(f, *is_end_missing, *last_seq))
    }
}

impl Salvaged<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>, is_end_missing: bool, last_seq: u64) -> fmt::Result {
        let Self { to, events, losses, has_other_ids, erased, may_miss_erasures } = self;
        for loss in losses {
            writeln!(f, "{loss}")?;
        }
        if is_end_missing {
            writeln!(
                f,
                "lost: any events that the log held after seq {last_seq}, where a file is missing or too short; their \
                 number is unknown"
            )?;
        }
        if *has_other_ids {
            writeln!(
                f,
                "WARNING: EVENTS THAT WERE SENT WITHOUT AN ID HAVE DIFFERENT IDS NOW. Their ids were computed from a \
                 number in the manifest, and both of its copies are damaged or missing. For the same reason, expired \
                 events may have come back"
            )?;
        }
        if *may_miss_erasures {
            writeln!(
                f,
                "WARNING: EVENTS THAT WERE ERASED MAY HAVE COME BACK. Erasures may have been lost with a damaged part \
                 of the log, or with the manifest. Send the DELETE requests of the last hours again"
            )?;
        }
        if *erased > 0 {
            writeln!(f, "left out {erased} events that had been erased")?;
        }
        let most = losses.iter().try_fold(0u64, |sum, loss| Some(sum.saturating_add(loss.events?)));
        let lost = match most {
            Some(0) if is_end_missing => "it is unknown how many are lost".to_owned(),
            Some(most) if is_end_missing => format!("{most} are lost, and perhaps more"),
            Some(0) => "nothing is lost".to_owned(),
            Some(most) if losses.iter().all(|loss| loss.is_exact) => format!("{most} are lost"),
            Some(most) => format!("at most {most} are lost"),
            None => "it is unknown how many are lost".to_owned(),
        };
        writeln!(f, "argus: saved {events} events to {}: {lost}", to.display())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use argus_core::damage::Affected;
    use argus_core::engine::{Finding, Report, Severity};

    use super::*;

    fn outcome(file_errors: &[&str], losses: Option<Vec<Loss>>, has_other_ids: bool) -> Outcome<'static> {
        let finding = Finding {
            place: "the log".into(),
            offset: Some(7),
            severity: Severity::Damage,
            reason: "it ends".into(),
            affected: Affected::Nothing,
        };
        let findings = if losses.as_ref().is_some_and(Vec::is_empty) { Vec::new() } else { vec![finding] };
        let report = Report {
            findings,
            segments: 2,
            blocks: 5,
            records: 1,
            events: 40,
            log_end: 0..56,
            last_seq: 44,
            erasures: 0,
        };
        let salvaged = losses.map(|losses| Salvaged {
            to: Path::new("b"),
            events: 40,
            losses,
            has_other_ids,
            erased: 0,
            may_miss_erasures: has_other_ids,
        });
        let file_errors = file_errors.iter().map(ToString::to_string).collect();
        Outcome {
            path: Path::new("a"),
            is_end_missing: false,
            file_errors,
            unknown_files: Vec::new(),
            report,
            salvaged,
        }
    }

    fn lost(events: Option<u64>, is_exact: bool) -> Loss {
        Loss { place: "the log".into(), seqs: vec![(3, 6)], events, is_exact }
    }

    #[test]
    fn the_last_lines_show_the_result() {
        let checked = outcome(&["x"], None, false);
        assert!(!checked.is_success());
        assert_eq!(
            checked.to_string(),
            "damaged: x\ndamaged: the log at offset 7: it ends; no event is affected\nargus: read a: 2 segments with \
             5 blocks, 1 records of the log, 40 events, the last seq is 44: damaged in 2 places\n"
        );
        let last = |outcome: Outcome<'_>| outcome.to_string().lines().last().unwrap().to_owned();
        let whole = outcome(&[], Some(vec![]), false);
        assert!(whole.is_success());
        assert_eq!(last(whole), "argus: saved 40 events to b: nothing is lost");
        assert_eq!(
            last(outcome(&[], Some(vec![lost(Some(4), true)]), false)),
            "argus: saved 40 events to b: 4 are lost"
        );
        let bounded = outcome(&[], Some(vec![lost(Some(4), true), lost(Some(2), false)]), false);
        assert_eq!(last(bounded), "argus: saved 40 events to b: at most 6 are lost");
        let unknown = outcome(&[], Some(vec![lost(None, false)]), false);
        assert_eq!(last(unknown), "argus: saved 40 events to b: it is unknown how many are lost");
    }

    #[test]
    fn a_damaged_file_loses_an_unknown_number_of_events() {
        let salvaged = outcome(&["x"], Some(vec![]), false);
        assert!(salvaged.is_success(), "no event is lost");
        assert!(salvaged.to_string().ends_with("argus: saved 40 events to b: nothing is lost\n"));
        let without_end = Outcome { is_end_missing: true, ..salvaged };
        assert!(!without_end.is_success());
        let text = without_end.to_string();
        assert!(text.contains("\nlost: any events that the log held after seq 44"), "{text}");
        assert!(text.ends_with("argus: saved 40 events to b: it is unknown how many are lost\n"), "{text}");
    }

    #[test]
    fn changed_ids_are_not_a_success() {
        let salvaged = outcome(&[], Some(vec![]), true);
        assert!(!salvaged.is_success());
        assert!(salvaged.to_string().contains("WARNING: EVENTS THAT WERE SENT WITHOUT AN ID HAVE DIFFERENT IDS NOW"));
    }
}
