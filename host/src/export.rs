//! Writes the events of a repository on disk to a file, while a server may use it.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argus_core::api::read_filter;
use argus_export::{COLUMNS_DEFAULT, Export, ExportError, Format, Omitted, Progress, SourceError, Written};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, FromArgMatches as _};
use thiserror::Error;

use crate::descriptors::Descriptors;
use crate::folder::parse_folder;

/// How often a terminal shows the progress.
const SHOWN_EVERY: Duration = Duration::from_millis(500);

/// How often a line about the progress is written to what is no terminal.
const LOGGED_EVERY: Duration = Duration::from_secs(30);

/// Writes the events of a repository to a file, even while a server uses it
///
/// The file has every event that was acknowledged before the command started, by time. Nothing in the folder is
/// changed. The columns are `id`, `seq`, `event_type`, `timestamp`, `payload` (JSON, byte for byte), and one for each
/// path in payloads, named `payload.<path>`, with the type of its values; where these are of several kinds, or arrays,
/// it has their JSON texts. `ndjson` has no columns: each line is an event, as `GET /events` gives it.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Exit codes: 0 the file is complete, 1 there is no file, 2 a bad argument.")]
pub struct ExportArguments {
    /// Folder of the repository or of a snapshot, with or without `disk:` before it
    #[arg(value_parser = parse_folder)]
    pub path: PathBuf,

    /// `parquet` and `arrow` (both only in programs that are built with the feature `export`), `csv` or `ndjson`
    #[arg(long, value_name = "FORMAT")]
    pub format: Format,

    /// The file, which must not exist. Only its owner can read it
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,

    /// Only events of this type; may be repeated
    #[arg(long = "type", value_name = "TYPE", help_heading = "Filters")]
    pub types: Vec<String>,

    /// Only events whose type begins with this; may be repeated, also beside `--type`
    #[arg(long, value_name = "PREFIX", help_heading = "Filters")]
    pub type_prefix: Vec<String>,

    /// Only events at this time or later: RFC 3339 with an offset, or Unix time
    #[arg(long, value_name = "TIME", help_heading = "Filters", allow_negative_numbers = true)]
    pub start: Option<String>,

    /// Only events at this time or earlier
    #[arg(long, value_name = "TIME", help_heading = "Filters", allow_negative_numbers = true)]
    pub end: Option<String>,

    /// Only events with a higher sequence number, such as those that came after an earlier export
    #[arg(long, value_name = "SEQ", help_heading = "Filters")]
    pub after_seq: Option<String>,

    /// Only events whose payload meets a condition, as in a query: `user.plan=pro`, `amount[gte]=100`. What follows the
    /// first `=` is the value. May be repeated; all must hold
    #[arg(long, value_name = "PATH[OP]=VALUE", help_heading = "Filters")]
    pub payload: Vec<String>,

    /// The most columns for paths in payloads: those with the most values. The others are in `payload` alone
    #[arg(long, value_name = "COUNT", default_value_t = COLUMNS_DEFAULT)]
    pub max_columns: usize,
}

/// The command to write the events of a repository to a file.
#[derive(Clone, Debug)]
pub struct ExportCommand {
    /// The folder of the repository.
    pub path: PathBuf,
    /// What to write, and where.
    pub export: Export,
}

/// Why there is no file.
#[derive(Debug, Error)]
pub enum ExportCommandError {
    /// The repository could not be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The events could not be read, or the file could not be written.
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// What was written, and how long it took.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// What was written.
    pub written: Written,
    /// Time from the start to the last sync.
    pub took: Duration,
}

/// Shows on standard error how far an export is.
struct ProgressLine {
    begun: Instant,
    /// When it was shown last.
    shown: Instant,
    every: Duration,
    is_terminal: bool,
}

impl ExportCommand {
    /// Reads the command from its arguments. `command` is the program's, for messages.
    pub(crate) fn of(matches: &ArgMatches, command: &mut clap::Command) -> Result<Self, clap::Error> {
        let arguments = ExportArguments::from_arg_matches(matches)?;
        let filter = arguments.filter().map_err(|reason| command.error(ErrorKind::ValueValidation, reason))?;
        let ExportArguments { path, format, output, max_columns: columns_max, .. } = arguments;
        Ok(Self { path, export: Export { format, filter, columns_max, output } })
    }

    /// Writes the file, which is durable on return. `progress` is called often.
    ///
    /// # Errors
    ///
    /// [`ExportCommandError`]; there is no file, and the repository is unchanged.
    pub fn write(&self, progress: &mut dyn FnMut(Progress)) -> Result<Report, ExportCommandError> {
        let begun = Instant::now();
        // Each segment is an open file.
        let _limit = Descriptors::raise_limit();
        let export = self.export.begin()?;
        let snapshot = argus_export::open(&self.path)?;
        let written = export.run(&snapshot, progress)?;
        Ok(Report { written, took: begun.elapsed() })
    }

    /// Writes the file from a command line, and prints one line about it.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let (from, to) = (self.path.display(), self.export.output.display());
        let mut line = ProgressLine::new();
        let outcome = self.write(&mut |progress| line.show(progress));
        line.clear();
        // A closed standard error changes nothing; the exit code carries the result too.
        match outcome {
            Ok(report) => {
                drop(writeln!(io::stderr(), "argus: exported {from} to {to}: {report}"));
                ExitCode::SUCCESS
            }
            Err(error) => {
                drop(writeln!(io::stderr(), "error: {from} was not exported to {to}: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

impl ExportArguments {
    /// The filter, as the query string of `GET /events` would have it.
    fn filter(&self) -> Result<argus_core::query::Filter, String> {
        let types = self.types.iter().map(|value| ("type".to_owned(), value.as_str()));
        let prefixes = self.type_prefix.iter().map(|value| ("type[prefix]".to_owned(), value.as_str()));
        let others = [("start", &self.start), ("end", &self.end), ("after_seq", &self.after_seq)];
        let others = others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.as_deref()?)));
        let mut parameters: Vec<(String, &str)> = types.chain(prefixes).chain(others).collect();
        for condition in &self.payload {
            let Some((path, value)) = condition.split_once('=') else {
                return Err(format!("--payload {condition}: expected PATH=VALUE or PATH[OP]=VALUE"));
            };
            parameters.push((format!("payload.{path}"), value));
        }
        read_filter(parameters.iter().map(|(name, value)| (name.as_str(), *value)))
    }
}

impl ProgressLine {
    fn new() -> Self {
        let is_terminal = io::stderr().is_terminal();
        let begun = Instant::now();
        Self { begun, shown: begun, every: if is_terminal { SHOWN_EVERY } else { LOGGED_EVERY }, is_terminal }
    }

    fn show(&mut self, progress: Progress) {
        if self.shown.elapsed() < self.every {
            return;
        }
        self.shown = Instant::now();
        let seconds = self.begun.elapsed().as_secs();
        let text = match progress {
            Progress::Discovering(events) => format!("argus: pass 1 of 2: read {events} events in {seconds} s"),
            Progress::Writing(events) => format!("argus: wrote {events} events in {seconds} s"),
        };
        let mut stderr = io::stderr();
        drop(if self.is_terminal { write!(stderr, "\r{text}\x1b[K") } else { writeln!(stderr, "{text}") });
    }

    /// Makes room for another line.
    fn clear(&self) {
        if self.is_terminal {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { events, bytes, columns, omitted: Omitted { known, has_others }, last_seq } = self.written;
        let seconds = self.took.as_secs_f64();
        write!(f, "{events} events, {bytes} bytes, up to seq {last_seq}, in {seconds:.3} s")?;
        if columns > 0 {
            write!(f, "; {columns} columns for paths in payloads")?;
        }
        match (known, has_others) {
            (0, false) => Ok(()),
            (known, false) => write!(f, "; {known} paths have no column"),
            (known, true) => write!(f, "; more than {known} paths have no column"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use argus_core::query::{Operand, PayloadFilter, PayloadPath, Test, TypeTest};

    use super::*;
    use crate::command::Command;

    fn read(arguments: &str) -> Result<ExportCommand, clap::Error> {
        let words = ["argus-test", "export", "a", "--output", "f"].into_iter().chain(arguments.split_whitespace());
        match Command::read("argus-test", words)? {
            Command::Export(export) => Ok(*export),
            other @ (Command::Serve(_)
            | Command::Snapshot(_)
            | Command::Check(_)
            | Command::Copy(_)
            | Command::Health(_)
            | Command::Key(_)
            | Command::Schema(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn filters_are_those_of_queries() {
        let arguments = "--format csv --type a --type-prefix b. --start -1 --end 2026-01-01T00:00:00Z --after-seq 7 \
                         --payload x.y=1=2 --payload n[gte]=100";
        let ExportCommand { path, export } = read(arguments).unwrap();
        assert_eq!(path, std::env::current_dir().unwrap().join("a"));
        assert_eq!((export.format, export.columns_max), (Format::Csv, COLUMNS_DEFAULT));
        let filter = export.filter;
        assert_eq!(filter.types, Some(vec![TypeTest::Eq("a".into()), TypeTest::Prefix("b.".into())]));
        assert_eq!(filter.start.map(argus_core::event::Timestamp::as_nanos), Some(-1_000_000_000));
        assert_eq!(filter.after_seq, Some(7));
        let path = |text| PayloadPath::parse(text).unwrap();
        let conditions = [
            PayloadFilter { path: path("x.y"), test: Test::Eq(Operand::new("1=2")) },
            PayloadFilter { path: path("n"), test: Test::Gte(Operand::new("100")) },
        ];
        assert_eq!(filter.payload, conditions);
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (arguments, expected) in [
            ("", "--format"),
            ("--format xml", "the formats are parquet, arrow, csv and ndjson"),
            ("--format csv --payload a", "--payload a: expected PATH=VALUE"),
            ("--format csv --payload a[is]=1", "unknown operator"),
            ("--format csv --start 2026-01-01", "start: "),
            ("--format csv --start 2 --end 1", "start: later than end"),
            ("--format csv --after-seq x", "after_seq: must be a sequence number"),
        ] {
            let error = read(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments}");
            assert!(error.to_string().contains(expected), "{arguments}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_in_the_way_is_noticed_before_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = read("--format csv").unwrap();
        command.path = folder.path().join("nowhere");
        command.export.output = folder.path().join("events.csv");
        let error = command.write(&mut |_| {}).unwrap_err();
        assert!(matches!(error, ExportCommandError::Source(_)), "{error}");
        std::fs::write(&command.export.output, "precious").unwrap();
        let error = command.write(&mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("is not replaced"), "{error}");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["events.csv"]);
    }

    #[test]
    fn a_report_is_one_line() {
        let omitted = Omitted { known: 0, has_others: false };
        let written = Written { events: 3, bytes: 4096, columns: 2, omitted, last_seq: 77 };
        let report = |written| Report { written, took: Duration::from_micros(12_345) }.to_string();
        let line = "3 events, 4096 bytes, up to seq 77, in 0.012 s";
        assert_eq!(report(Written { columns: 0, ..written }), line);
        let line = format!("{line}; 2 columns for paths in payloads");
        assert_eq!(report(written), line);
        let omitted = Omitted { known: 5, has_others: false };
        assert_eq!(report(Written { omitted, ..written }), format!("{line}; 5 paths have no column"));
        let omitted = Omitted { known: 5, has_others: true };
        assert_eq!(report(Written { omitted, ..written }), format!("{line}; more than 5 paths have no column"));
    }
}
