//! What a process was started to do, from its command line.

use std::ffi::OsString;

use clap::{Args as _, Command, FromArgMatches as _};

use crate::check::Check;
use crate::settings::{self, Settings};
use crate::snapshot::Snapshot;

const SNAPSHOT: &str = "snapshot";
const CHECK: &str = "check";

/// What a process was started to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// To serve; that is, where nothing else is said.
    Serve(Box<Settings>),
    /// `snapshot FROM TO`: to copy a repository.
    Snapshot(Snapshot),
    /// `check PATH`: to look through a repository, and save what is whole of it.
    Check(Check),
}

impl Task {
    /// Reads the task and its settings from the arguments (the first is the program's name) and, behind them, the
    /// environment.
    ///
    /// # Errors
    ///
    /// As for [`Settings::read`].
    pub fn read<I, T>(name: &'static str, arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let mut command = command_of(name);
        let matches = settings::matches(&mut command, arguments)?;
        match matches.subcommand() {
            Some((CHECK, matches)) => Ok(Self::Check(Check::from_arg_matches(matches)?)),
            Some((_, matches)) => Ok(Self::Snapshot(Snapshot::from_arg_matches(matches)?)),
            None => Ok(Self::Serve(Box::new(Settings::of(&matches, &mut command)?))),
        }
    }
}

fn command_of(name: &'static str) -> Command {
    Settings::command_of(name)
        .subcommand(Snapshot::augment_args(Command::new(SNAPSHOT)))
        .subcommand(Check::augment_args(Command::new(CHECK)))
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read(arguments: &[&str]) -> Result<Task, clap::Error> {
        Task::read("argus-test", std::iter::once("argus-test").chain(arguments.iter().copied()))
    }

    #[test]
    fn the_command_is_consistent() {
        command_of("argus-test").debug_assert();
    }

    #[test]
    fn a_server_serves_unless_it_is_told_to_do_something_else() {
        assert!(matches!(read(&[]).unwrap(), Task::Serve(_)));
        assert!(matches!(read(&["--threads", "1"]).unwrap(), Task::Serve(_)));
        let Task::Snapshot(Snapshot { from, to }) = read(&["snapshot", "a", "disk:b"]).unwrap() else {
            panic!("it is to take a snapshot")
        };
        assert_eq!((from, to), ("a".into(), "b".into()));
        let Task::Check(check) = read(&["check", "disk:a", "--salvage", "b"]).unwrap() else {
            panic!("it is to check")
        };
        assert_eq!(check, Check { path: "a".into(), salvage: Some("b".into()) });
    }

    #[test]
    fn what_is_no_task_is_a_bad_argument() {
        for (arguments, expected) in [
            (&["snapshot"][..], "<FROM>"),
            (&["snapshot", "a"], "<TO>"),
            (&["snapshot", "a", "b", "c"], "unexpected argument 'c'"),
            (&["snapshot", "memory:", "b"], "what is in memory is gone with its process"),
            (&["check"], "<PATH>"),
            (&["check", "a", "--salvage"], "<TO>"),
            (&["check", "a", "b"], "unexpected argument 'b'"),
            (&["--threads", "1", "snapshot", "a", "b"], "cannot be used with"),
            (&["snapshots", "a", "b"], "'snapshots'"),
        ] {
            let error = read(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let help = read(&["snapshot", "--help"]).unwrap_err();
        assert_eq!(help.exit_code(), 0);
        assert!(help.to_string().contains("Usage: argus-test snapshot <FROM> <TO>"), "{help}");
    }
}
