//! Settings: the port, and variables of the environment. A subject that reads no variables passes what is about them.

use crate::case::{Case, cases};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["settings";
    "Routes": [
        a_port_replaces_that_of_the_endpoint, empty_variables_are_as_if_not_set, help_names_empty_variables,
        subcommands_need_no_settings, unknown_variables_are_named, health_asks_the_server_with_these_settings,
    ],
];

/// The variables that the subject's help names.
fn variables(ctx: &Context<'_>) -> Result<Vec<String>, Failure> {
    let help = ctx.run_to_exit(&["--help"])?.stdout;
    let named = help.split("[env: ").skip(1).filter_map(|rest| Some(rest.split_once('=')?.0.to_owned()));
    Ok(named.collect())
}

/// The wrapper that sets these variables.
fn env(variables: impl IntoIterator<Item = String>) -> Vec<String> {
    std::iter::once("env".to_owned()).chain(variables).collect()
}

/// The log of a server that works, once it has stopped.
fn log(mut server: Server) -> Result<String, Failure> {
    server.expect_alive()?;
    server.signal(Signal::Terminate)?;
    Ok(server.wait()?.stderr)
}

fn a_port_replaces_that_of_the_endpoint(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let host = server.host();
    let port = host.rsplit(':').next().unwrap_or_default();
    // A server that tries to listen on the port of the first says that it is occupied.
    for (variable, arguments) in [
        (None, &["--port", port][..]),
        (None, &["--endpoint", "127.0.0.1:1", "--port", port]),
        (None, &["--port", port, "--endpoint", "127.0.0.1:1"]),
        (Some("ARGUS_ENDPOINT=127.0.0.1:1"), &["--port", port]),
        (Some("ARGUS_PORT=1"), &["--endpoint", &host]),
        (Some("ARGUS_PORT=1"), &["--port", port]),
    ] {
        let place = format!("{} with {variable:?}", arguments.join(" "));
        let arguments = [&["--repository", "memory:"], arguments].concat();
        let exit = ctx.run_in(&env(variable.map(str::to_owned)), &arguments);
        let exit = exit.map_err(|failure| failure.within(&place))?;
        check_eq!(exit.code, Some(1), "the exit code of {place}");
        check!(exit.stderr.contains(&host), "a message that names {host} from {place}, not {:?}", exit.stderr);
    }
    server.expect_alive()
}

fn empty_variables_are_as_if_not_set(ctx: &Context<'_>) -> Outcome {
    let variables = variables(ctx)?;
    let empty = env(variables.iter().map(|name| format!("{name}=")));
    let log_of_empty = log(ctx.start_in(&empty, &[])?)?;
    check!(!log_of_empty.contains("ARGUS_"), "no line about empty variables, not {log_of_empty}");
    // As Kubernetes does for a service named `argus`.
    let link = env(["ARGUS_PORT=tcp://10.0.0.1:3000", "ARGUS_SERVICE_HOST=10.0.0.1"].map(str::to_owned));
    let log_of_link = log(ctx.start_in(&link, &[])?)?;
    check!(!log_of_link.contains("ARGUS_"), "no line about the variables of a service, not {log_of_link}");
    Ok(())
}

fn help_names_empty_variables(ctx: &Context<'_>) -> Outcome {
    let variables = variables(ctx)?;
    let empty = env(variables.iter().map(|name| format!("{name}=")));
    for asked in ["--help", "help"] {
        let help = ctx.run_in(&empty, &[asked])?.stdout;
        for name in &variables {
            check!(help.contains(&format!("[env: {name}=]")), "{name} in {asked} if it is empty, not {help}");
        }
    }
    Ok(())
}

fn subcommands_need_no_settings(ctx: &Context<'_>) -> Outcome {
    let wrong = env(["ARGUS_PORT=x", "ARGUS_THREADS=0", "ARGUS_REPOSITORY=s3://x"].map(str::to_owned));
    check_eq!(ctx.run_in(&wrong, &["version"])?.code, Some(0), "the exit code of version");
    let mut server = ctx.empty()?;
    let Some(folder) = server.folder().map(|folder| folder.display().to_string()) else { return Ok(()) };
    server.signal(Signal::Terminate)?;
    server.wait()?;
    let root = tempfile::tempdir().map_err(|error| Failure::unmet(format!("a temporary folder: {error}")))?;
    let copy = root.path().join("copy").display().to_string();
    for arguments in [&["check", &folder][..], &["snapshot", &folder, &copy], &["check", &copy]] {
        let exit = ctx.run_in(&wrong, arguments)?;
        check_eq!(exit.code, Some(0), "the exit code of {arguments:?}: {}", exit.stderr);
    }
    let exit = ctx.run_in(&wrong, &[])?;
    check_eq!(exit.code, Some(2), "the exit code of a server with a wrong setting");
    check!(exit.stderr.contains("(set by ARGUS_"), "a message that names the variable, not {}", exit.stderr);
    Ok(())
}

fn unknown_variables_are_named(ctx: &Context<'_>) -> Outcome {
    if variables(ctx)?.is_empty() {
        return Ok(());
    }
    // The empty one counts as not set.
    let unknown = ["ARGUS_ENDPIONT=127.0.0.1:1", "ARGUS_LIMIT=", "ARGUS_LOGS=debug", "ARGUS_LOG=info"];
    let unknown = env(unknown.map(str::to_owned));
    let log = log(ctx.start_in(&unknown, &[])?)?;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("ARGUS_")).collect();
    let [line] = lines.as_slice() else {
        return Err(Failure::unmet(format!("one line about unknown variables, not {log}")));
    };
    check!(line.contains("WARN"), "a warning, not {line}");
    check!(line.contains("ARGUS_ENDPIONT, ARGUS_LOGS"), "a line that names both unknown variables, not {line}");
    Ok(())
}

fn health_asks_the_server_with_these_settings(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    let url = server.to_string();
    let port = url.rsplit(':').next().unwrap_or_default();
    let here = format!("ARGUS_PORT={port}");
    let everywhere = format!("ARGUS_ENDPOINT=0.0.0.0:{port}");
    for (variable, arguments) in
        [(&here, &["health"][..]), (&everywhere, &["health"]), (&"ARGUS_PORT=1".to_owned(), &["health", &url])]
    {
        let exit = ctx.run_in(&env([variable.clone()]), arguments)?;
        check_eq!(exit.code, Some(0), "the exit code of {arguments:?} with {variable}: {}", exit.stderr);
        let is_shown = exit.stdout.lines().count() == 1 && exit.stdout.contains(r#"200 {"status":"pass""#);
        check!(is_shown, "one line with the answer from {arguments:?} with {variable}, not {:?}", exit.stdout);
    }
    let other = ctx.run_to_exit(&["health", &format!("{url}/nowhere")])?;
    check_eq!(other.code, Some(1), "the exit code after another answer");
    check!(other.stderr.contains("404"), "the answer, not {:?}", other.stderr);
    server.signal(Signal::Terminate)?;
    server.wait()?;
    check_eq!(ctx.run_to_exit(&["health", &url])?.code, Some(1), "the exit code when nobody answers");
    check_eq!(ctx.run_to_exit(&["health", "ftp://localhost"])?.code, Some(2), "the exit code of a bad URL");
    Ok(())
}
