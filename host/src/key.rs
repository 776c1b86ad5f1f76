//! Makes API keys.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use argus_core::auth::{KeyName, NewKey, Scope, Scopes, parse_pattern};
use argus_core::event::{Timestamp, TypeTest};
use clap::{Args, Subcommand};
use thiserror::Error;

/// Makes API keys for --keys
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct KeyCommand {
    #[command(subcommand)]
    action: KeyAction,
}

#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
enum KeyAction {
    /// Make a new key
    ///
    /// Standard output gets the entry for the file of keys, standard error the key. So `key new … >> keys.toml` adds
    /// the entry to the file and shows the key, which is nowhere else: give it to its user. To keep it in a file of its
    /// own, add `2> KEYFILE`.
    New(NewKeyOptions),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
struct NewKeyOptions {
    /// Name of the key in logs and metrics: letters, digits, '.', '_' and '-'
    #[arg(long, value_parser = KeyName::parse)]
    name: KeyName,

    /// What the key is for: write, read, stream, erase or metrics; repeatable, or separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_parser = parse_scope)]
    scope: Vec<Scope>,

    /// Event types that the key may write and see: a type, 'prefix.*', or '*'; repeatable [default: all]
    #[arg(long = "type", value_name = "PATTERN", value_parser = parse_pattern)]
    types: Vec<TypeTest>,

    /// When the key expires, as in 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_expiry)]
    expires: Option<Timestamp>,
}

/// Why there is no new key.
#[derive(Debug, Error)]
enum NewKeyError {
    #[error("no key was made: the system's random generator failed: {0}")]
    Randomness(#[from] getrandom::Error),
    #[error("no key was made: its entry could not be printed, at least not as a whole: {0}")]
    Entry(#[source] io::Error),
    #[error("the key could not be shown and is lost: {0}. Remove its entry, which was printed")]
    Key(#[source] io::Error),
}

impl KeyCommand {
    /// Makes the key and prints it. Exit code 1 if there is no randomness, or if it cannot be printed.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let KeyAction::New(options) = self.action;
        match options.print(&mut io::stdout(), &mut io::stderr(), io::stderr().is_terminal()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                drop(writeln!(io::stderr(), "error: {error}"));
                ExitCode::FAILURE
            }
        }
    }
}

impl NewKeyOptions {
    /// Prints the entry and then the key, so that there is no key without an entry.
    fn print(
        self,
        entries: &mut impl io::Write,
        keys: &mut impl io::Write,
        for_people: bool,
    ) -> Result<(), NewKeyError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        let mut scopes = Scopes::default();
        for scope in self.scope {
            scopes.insert(scope);
        }
        let mut types: Vec<TypeTest> = Vec::new();
        for test in self.types {
            if !types.contains(&test) {
                types.push(test);
            }
        }
        let (secret, entry) = NewKey { name: self.name, scopes, types, expires: self.expires }.make(random);
        entries.write_all(entry.as_bytes()).and_then(|()| entries.flush()).map_err(NewKeyError::Entry)?;
        let label = if for_people { "\nThe key, shown only this once: " } else { "" };
        writeln!(keys, "{label}{}", secret.expose()).map_err(NewKeyError::Key)
    }
}

fn parse_scope(text: &str) -> Result<Scope, String> {
    Scope::named(text).ok_or_else(|| {
        let names: Vec<_> = Scope::ALL.into_iter().map(Scope::as_str).collect();
        format!("the scopes are {}", names.join(", "))
    })
}

fn parse_expiry(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok()
        .filter(|_| !text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| "expected a date and a time with an offset, as in 2027-01-31T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use argus_core::auth::Keys;

    use super::*;
    use crate::command::Command;

    fn read(arguments: &[&str]) -> Result<KeyCommand, clap::Error> {
        let arguments = ["argus-test", "key", "new"].into_iter().chain(arguments.iter().copied());
        Command::read("argus-test", arguments).map(|command| match command {
            Command::Key(command) => command,
            other @ (Command::Serve(_)
            | Command::Snapshot(_)
            | Command::Check(_)
            | Command::Copy(_)
            | Command::Export(_)
            | Command::Health(_)
            | Command::Schema(_)) => panic!("{other:?}"),
        })
    }

    fn printed(arguments: &[&str], for_people: bool) -> (String, String) {
        let KeyAction::New(options) = read(arguments).unwrap().action;
        let (mut entries, mut keys) = (Vec::new(), Vec::new());
        options.print(&mut entries, &mut keys, for_people).unwrap();
        (String::from_utf8(entries).unwrap(), String::from_utf8(keys).unwrap())
    }

    #[test]
    fn entries_are_appended_and_keys_are_shown_once() {
        let flags = ["--name", "web", "--scope", "write,read", "--type", "web.*", "--type", "web.*"];
        let (first, key) = printed(&flags, false);
        let (second, other) = printed(&["--name", "b", "--scope", "read", "--expires", "2027-01-31T00:00:00Z"], false);
        let keys = Keys::parse(&[first.as_str(), &second].concat()).unwrap();
        let now = Timestamp::from_nanos(0);
        assert_eq!(keys.find(key.trim_end(), now), Some(0));
        assert_eq!(keys.find(other.trim_end(), now), Some(1));
        assert!(key.starts_with("argus_") && key.len() == 6 + 43 + 1 && key != other);
        assert!(!first.contains(key.trim_end()));
        let (_, shown) = printed(&flags, true);
        assert!(shown.contains("only this once: argus_"), "{shown}");
    }

    #[test]
    fn a_failure_says_whether_there_is_an_entry() {
        let failure = |mut entries: &mut dyn io::Write, mut keys: &mut dyn io::Write| {
            let KeyAction::New(options) = read(&["--name", "argus_backup", "--scope", "read"]).unwrap().action;
            options.print(&mut entries, &mut keys, false).unwrap_err().to_string()
        };
        // A slice takes no more than its length.
        let (mut printed, mut nothing) = (Vec::new(), [0; 0]);
        let lost = failure(&mut printed, &mut &mut nothing[..]);
        assert!(lost.contains("Remove its entry") && !printed.is_empty(), "{lost}");
        let mut shown = Vec::new();
        let unmade = failure(&mut &mut nothing[..], &mut shown);
        assert!(unmade.starts_with("no key was made") && shown.is_empty(), "{unmade}");
    }

    #[test]
    fn wrong_arguments_say_what_is_right() {
        for (arguments, expected) in [
            (&["--scope", "read"][..], "--name"),
            (&["--name", "a"], "--scope"),
            (&["--name", "a b", "--scope", "read"], "a name has 1 to 64"),
            (&["--name", "argus_0123456789abcdefghij", "--scope", "read"], "does not look like a key"),
            (&["--name", "a", "--scope", "admin"], "the scopes are write, read, stream, erase, metrics"),
            (&["--name", "a", "--scope", "read", "--type", "a*"], "as in web.*"),
            (&["--name", "a", "--scope", "read", "--expires", "tomorrow"], "as in 2027-01-31T00:00:00Z"),
        ] {
            let error = read(arguments).unwrap_err();
            assert!(error.exit_code() == 2 && error.to_string().contains(expected), "{error}");
        }
    }
}
