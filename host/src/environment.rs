//! The environment variables of settings.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

/// How the names of all variables of settings begin.
const PREFIX: &str = "ARGUS_";

/// The variable of `--port`.
const PORT: &str = "ARGUS_PORT";

/// Kubernetes sets a variable with this ending, and others that begin likewise, for each service.
const SERVICE: &str = "_SERVICE_HOST";

/// Parses the command line and, if it has no subcommand, the environment: the settings of a server are nothing to a
/// subcommand. Variables that [count as not set](is_unset) are left out.
pub(crate) fn matches<I, T>(command: &mut Command, arguments: I) -> Result<ArgMatches, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    match without(command, |_| true).try_get_matches_from(&arguments) {
        Ok(found) if found.subcommand().is_some() => return Ok(found),
        // Help names all variables.
        Err(error) if error.kind() == ErrorKind::DisplayHelp => return command.try_get_matches_from_mut(&arguments),
        Ok(_) | Err(_) => {}
    }
    *command = without(command, |name| env::var_os(name).is_some_and(|value| is_unset(name, &value)));
    let found = command.try_get_matches_from_mut(&arguments);
    found.map_err(|error| blame_environment(error, command, &arguments))
}

/// The command without these of its variables.
fn without(command: &Command, is_without: impl Fn(&OsStr) -> bool) -> Command {
    command.clone().mut_args(|argument| {
        if argument.get_env().is_some_and(&is_without) { argument.env(Resettable::Reset) } else { argument }
    })
}

/// Names the environment variable in an error about a value that was not given as a flag.
fn blame_environment(mut error: clap::Error, command: &Command, arguments: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(blamed)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = blamed.split(' ').next().unwrap_or_default();
    let given = arguments.iter().filter_map(|argument| argument.to_str());
    if given.map(|argument| argument.split('=').next()).any(|name| name == Some(flag)) {
        return error;
    }
    let argument = command.get_arguments().find(|argument| argument.get_long() == flag.strip_prefix("--"));
    if let Some(variable) = argument.and_then(|argument| argument.get_env()) {
        let named = format!("{blamed} (set by {})", variable.to_string_lossy());
        error.insert(ContextKind::InvalidArg, ContextValue::String(named));
    }
    error
}

/// Whether a variable with this value is as if it was not set.
///
/// An empty one is: compose files write `${X:-}` for "X, if it is set". So is a port that is a URL: Kubernetes sets
/// `ARGUS_PORT=tcp://ADDRESS:PORT` for a service named `argus`.
fn is_unset(name: &OsStr, value: &OsStr) -> bool {
    value.is_empty() || (name == PORT && value.to_string_lossy().contains("://"))
}

/// The names, in order, that look like those of variables of the command, but are not. Empty variables are left out,
/// and those that Kubernetes sets for a service.
pub(crate) fn unknown(command: &Command, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<String> {
    let names: BTreeSet<String> = variables
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX))
        .collect();
    let services: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(SERVICE)).collect();
    let is_of_service = |name: &str| {
        let rests = services.iter().filter_map(|service| name.strip_prefix(service));
        rests
            .into_iter()
            .any(|rest| rest == "_PORT" || ["_SERVICE_", "_PORT_"].iter().any(|next| rest.starts_with(next)))
    };
    let is_known = |name: &str| command.get_arguments().any(|argument| argument.get_env() == Some(OsStr::new(name)));
    names.iter().filter(|name| !is_known(name) && !is_of_service(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn an_error_names_the_environment_variable_that_set_the_value() {
        let command = || Settings::command_of("argus-test");
        let error = |arguments: &[&str]| command().try_get_matches_from(arguments).unwrap_err();
        let blamed = |arguments: &[&str]| {
            let given: Vec<OsString> = arguments.iter().map(Into::into).collect();
            blame_environment(error(&["argus-test", "--threads", "x"]), &command(), &given).to_string()
        };
        // Variables belong to the whole process, so the test pretends that the flag was not given instead of setting
        // one.
        assert!(blamed(&["argus-test"]).contains("'--threads <COUNT> (set by ARGUS_THREADS)'"));
        for given in [&["argus-test", "--threads", "x"][..], &["argus-test", "--threads=x"]] {
            assert!(blamed(given).contains("'--threads <COUNT>'"));
        }
    }

    #[test]
    fn empty_variables_and_links_count_as_not_set() {
        for (name, value, expected) in [
            ("ARGUS_LOG", "", true),
            ("ARGUS_LOG", " ", false),
            ("ARGUS_LOG", "info", false),
            (PORT, "", true),
            (PORT, "tcp://10.0.0.1:3000", true),
            (PORT, "http", false),
            ("ARGUS_REPOSITORY", "tcp://10.0.0.1:3000", false),
        ] {
            assert_eq!(is_unset(OsStr::new(name), OsStr::new(value)), expected, "{name}={value:?}");
        }
    }

    #[test]
    fn unknown_variables_are_those_of_no_setting_and_no_service() {
        for (names, expected) in [
            (&["ARGUS_LOG", "ARGUS_PORT", "PATH", "MY_ARGUS_LOG"][..], &[][..]),
            (&["ARGUS_LOGS", "ARGUS_", "ARGUS_LOG", "argus_log"], &["ARGUS_", "ARGUS_LOGS"]),
            (&["ARGUS_SERVICE_HOST", "ARGUS_SERVICE_PORT_HTTP", "ARGUS_PORT_3000_TCP_ADDR", "ARGUS_X"], &["ARGUS_X"]),
            (&["ARGUS_EVENTS_SERVICE_HOST", "ARGUS_EVENTS_PORT", "ARGUS_PORTS"], &["ARGUS_PORTS"]),
            (&["ARGUS_SERVICE_HOST", "ARGUS_PORTS", "ARGUS_PORTAL_URL"], &["ARGUS_PORTAL_URL", "ARGUS_PORTS"]),
            (&["ARGUS_SERVICE_PORT"], &["ARGUS_SERVICE_PORT"]),
        ] {
            let variables =
                names.iter().map(|name| (name.into(), "x".into())).chain([("ARGUS_EMPTY".into(), "".into())]);
            let found = unknown(&Settings::command_of("argus-test"), variables);
            assert_eq!(found, expected, "{names:?}");
        }
    }
}
