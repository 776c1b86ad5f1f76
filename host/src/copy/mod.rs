//! The command `copy`: moves the events of one repository to another.
//!
//! The target gets the events with their numbers, ids and times of commit, in the order of the numbers. So its last
//! number tells how far a copy is, and one that was interrupted is simply started again. First, the events that are in
//! the target already are compared with the source, so that nothing is mixed. At the end, the target is opened anew and
//! read back.

mod comparison;
mod digest;
mod error;
mod progress;
mod reading;
mod report;
mod writing;

#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use argus_core::event::Event;
use argus_core::repository::{Flow, ReadError, Snapshot};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, FromArgMatches as _};

use crate::backend::{BackendOptions, DatabaseOptions, Location, OpenError};
use crate::descriptors::Descriptors;

use comparison::compare;
use digest::Digest;
pub use error::CopyError;
use progress::{Phase, Progress};
use reading::EventScan;
pub use report::Report;
use writing::write;

/// Copies the events of a repository to another one, of whatever kind
///
/// The events keep their sequence numbers, ids, times and payloads, byte for byte, and the times when they were stored.
/// The copy has the events that were there when the command started. A copy that was interrupted is continued by the
/// same command. At the end, it is read back and compared with what was read: the number of events, and a checksum of
/// everything that they have.
///
/// FROM does not change, and a server may use it meanwhile. TO must be empty, or have the beginning of a copy of FROM;
/// no server may use it.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Exit codes: 0 both have the same events, 1 they have not (run it again to go on), \
                  2 a bad argument.")]
pub struct CopyArguments {
    /// The repository to read: a folder (`disk:PATH` or PATH), `postgres://USER@HOST/DATABASE` or
    /// `mongodb://HOST/DATABASE`. Its retention and its limits do not matter
    pub from: Location,

    /// The repository to write, as FROM. A folder or tables that do not exist are made
    pub to: Location,

    /// How databases are used.
    #[command(flatten)]
    pub database: DatabaseOptions,
}

/// The command to copy events.
#[derive(Clone, Debug)]
pub struct CopyCommand {
    from: Location,
    to: Location,
    backends: BackendOptions,
    /// The name of this program.
    program: &'static str,
}

impl CopyCommand {
    /// Reads the command from its arguments. `command` is the program's, for messages.
    pub(crate) fn of(
        matches: &ArgMatches,
        command: &mut clap::Command,
        program: &'static str,
    ) -> Result<Self, clap::Error> {
        let CopyArguments { from, to, database } = CopyArguments::from_arg_matches(matches)?;
        let backends = BackendOptions::of_copy(database);
        let mut refuse = |reason: String| command.error(ErrorKind::ValueValidation, reason);
        for (name, location) in [("FROM", &from), ("TO", &to)] {
            if *location == Location::Memory {
                return Err(refuse(format!("{name}: {}", OpenError::Memory)));
            }
            backends.check(location).map_err(|reason| refuse(format!("{name}: {reason}")))?;
        }
        if from == to {
            return Err(refuse("FROM and TO are the same repository".to_owned()));
        }
        Ok(Self { from, to, backends, program })
    }

    /// Makes the copy, which is durable on return.
    ///
    /// # Errors
    ///
    /// [`CopyError`]. The source is unchanged. The target has the events up to some number, and another run goes on
    /// after it.
    pub fn copy(&self) -> Result<Report, CopyError> {
        let begun = Instant::now();
        // Each segment of a repository on disk is an open file.
        let _limit = Descriptors::raise_limit();
        let from = self.backends.open_source(&self.from).map_err(CopyError::Source)?;
        let mut to = self.backends.open(&self.to, self.program).map_err(CopyError::Target)?.repository;
        if let Some(failure) = to.failure() {
            return Err(CopyError::Unavailable(failure.clone()));
        }
        let mut progress = Progress::new(from.last_seq());

        progress.begin(Phase::Comparing);
        let existing = to.reader().take().map_err(CopyError::ReadTarget)?;
        let mut found = compare(&from, &existing, &mut progress)?;
        let after = existing.last_seq();
        drop(existing);

        progress.begin(Phase::Copying);
        let written = write(&from, after, to.as_mut(), &mut found.digest, &mut progress)?;
        drop(to);

        progress.begin(Phase::ReadingBack);
        let to = self.backends.open_source(&self.to).map_err(CopyError::Target)?;
        let read = digest(&to, &mut progress).map_err(CopyError::ReadTarget)?.without(&found.left_over);
        progress.end();
        let (last_seq, to_seq) = (from.last_seq(), to.last_seq());
        if read != found.digest || to_seq != last_seq {
            return Err(CopyError::Different { from: found.digest, to: read, from_seq: last_seq, to_seq });
        }
        let has_lost_events = from.has_lost_events().map_err(CopyError::ReadSource)?;
        let left_over = found.left_over.events();
        Ok(Report { digest: found.digest, written, left_over, has_lost_events, last_seq, took: begun.elapsed() })
    }

    /// Makes the copy from a command line, and prints what came of it.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        let Self { from, to, .. } = self;
        // A closed output changes nothing; the exit code carries the result too.
        match self.copy() {
            Ok(report) => {
                for note in report.notes() {
                    drop(writeln!(io::stderr(), "warning: {note}"));
                }
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

/// Reads all events.
fn digest(snapshot: &Arc<dyn Snapshot>, progress: &mut Progress) -> Result<Digest, ReadError> {
    let mut digest = Digest::default();
    let mut scan = EventScan::begin(snapshot, 0, snapshot.last_seq())?;
    let mut take = |event: Event<'_>| {
        digest.add(&event);
        progress.reach(event.seq);
        Flow::More
    };
    while scan.poll(&mut take)?.is_pending() {}
    Ok(digest)
}
