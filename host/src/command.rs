//! The command that a process was started with.

use std::ffi::OsString;

use clap::{Args as _, FromArgMatches as _};

use crate::check::CheckCommand;
use crate::copy::{CopyArguments, CopyCommand};
use crate::environment;
use crate::export::{ExportArguments, ExportCommand};
use crate::health::{HealthArguments, HealthCommand};
use crate::key::KeyCommand;
use crate::schema::SchemaCommand;
use crate::settings::Settings;
use crate::snapshot::SnapshotCommand;

const SNAPSHOT: &str = "snapshot";
const CHECK: &str = "check";
const COPY: &str = "copy";
const EXPORT: &str = "export";
const HEALTH: &str = "health";
const KEY: &str = "key";
const SCHEMA: &str = "schema";
const VERSION: &str = "version";

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Serve requests, if no other command is given.
    Serve(Box<Settings>),
    /// `snapshot FROM TO`: copy a repository.
    Snapshot(SnapshotCommand),
    /// `check PATH`: check a repository, and salvage its events if asked to.
    Check(CheckCommand),
    /// `copy FROM TO`: copy the events of one repository to another.
    Copy(Box<CopyCommand>),
    /// `export PATH --format FORMAT --output FILE`: write the events of a repository to a file.
    Export(Box<ExportCommand>),
    /// `health [URL]`: ask a server whether it is ready.
    Health(HealthCommand),
    /// `key new`: make an API key.
    Key(KeyCommand),
    /// `schema DATABASE`: print the statements that make the tables.
    Schema(SchemaCommand),
}

impl Command {
    /// Reads the command and its settings from the arguments (the first is the program's name), and from the
    /// environment where a flag is not given.
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
        let matches = environment::matches(&mut command, arguments)?;
        match matches.subcommand() {
            Some((CHECK, matches)) => Ok(Self::Check(CheckCommand::from_arg_matches(matches)?)),
            Some((COPY, matches)) => Ok(Self::Copy(Box::new(CopyCommand::of(matches, &mut command, name)?))),
            Some((EXPORT, matches)) => Ok(Self::Export(Box::new(ExportCommand::of(matches, &mut command)?))),
            Some((HEALTH, matches)) => Ok(Self::Health(HealthCommand::of(matches, name)?)),
            Some((KEY, matches)) => Ok(Self::Key(KeyCommand::from_arg_matches(matches)?)),
            Some((SCHEMA, matches)) => Ok(Self::Schema(SchemaCommand::from_arg_matches(matches)?)),
            Some((VERSION, _)) => Self::read(name, [name, "--version"]),
            Some((_, matches)) => Ok(Self::Snapshot(SnapshotCommand::from_arg_matches(matches)?)),
            None => Ok(Self::Serve(Box::new(Settings::of(&matches, &mut command)?))),
        }
    }
}

fn command_of(name: &'static str) -> clap::Command {
    Settings::command_of(name)
        .subcommand(SnapshotCommand::augment_args(clap::Command::new(SNAPSHOT)))
        .subcommand(CheckCommand::augment_args(clap::Command::new(CHECK)))
        .subcommand(CopyArguments::augment_args(clap::Command::new(COPY)))
        .subcommand(ExportArguments::augment_args(clap::Command::new(EXPORT)))
        .subcommand(HealthArguments::augment_args(clap::Command::new(HEALTH)))
        .subcommand(KeyCommand::augment_args(clap::Command::new(KEY)))
        .subcommand(SchemaCommand::augment_args(clap::Command::new(SCHEMA)))
        .subcommand(clap::Command::new(VERSION).about("Print version"))
        .args_conflicts_with_subcommands(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read(arguments: &[&str]) -> Result<Command, clap::Error> {
        Command::read("argus-test", std::iter::once("argus-test").chain(arguments.iter().copied()))
    }

    #[test]
    fn the_command_is_consistent() {
        command_of("argus-test").debug_assert();
    }

    #[test]
    fn the_default_command_is_to_serve() {
        assert!(matches!(read(&[]).unwrap(), Command::Serve(_)));
        assert!(matches!(read(&["--threads", "1"]).unwrap(), Command::Serve(_)));
        let Command::Snapshot(SnapshotCommand { from, to }) = read(&["snapshot", "a", "disk:b"]).unwrap() else {
            panic!("expected a snapshot")
        };
        let here = std::env::current_dir().unwrap();
        assert_eq!((from, to), (here.join("a"), here.join("b")));
        let Command::Check(check) = read(&["check", "disk:a", "--salvage", "b"]).unwrap() else {
            panic!("expected a check")
        };
        assert_eq!(check, CheckCommand { path: here.join("a"), salvage: Some(here.join("b")) });
    }

    #[test]
    fn wrong_commands_are_bad_arguments() {
        for (arguments, expected) in [
            (&["snapshot"][..], "<FROM>"),
            (&["snapshot", "a"], "<TO>"),
            (&["snapshot", "a", "b", "c"], "unexpected argument 'c'"),
            (&["snapshot", "memory:", "b"], "a repository in memory belongs to its process"),
            (&["copy", "a"], "<TO>"),
            (&["copy", "memory:", "b"], "FROM: a repository in memory belongs to its process"),
            (&["copy", "b", "memory"], "TO: a repository in memory belongs to its process"),
            (&["copy", "a", "disk:a"], "FROM and TO are the same repository"),
            (&["copy", "a", "s3://bucket"], "unknown kind of repository"),
            (&["health", "ftp://127.0.0.1:3000"], "or https://HOST:PORT"),
            (&["health", "a"], "expected http://HOST:PORT"),
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
    }

    #[test]
    fn help_and_version_are_flags_and_commands() {
        let printed = |arguments: &[&str]| {
            let error = read(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 0, "{arguments:?}");
            error.to_string()
        };
        for (command, flag, text) in [
            (&["help"][..], &["--help"][..], "--endpoint"),
            (&["help", "snapshot"], &["snapshot", "--help"], "Usage: argus-test snapshot <FROM> <TO>"),
            (&["version"], &["--version"], concat!("argus-test ", env!("CARGO_PKG_VERSION"))),
        ] {
            assert_eq!(printed(command), printed(flag));
            assert!(printed(command).contains(text), "{command:?}");
        }
    }
}
