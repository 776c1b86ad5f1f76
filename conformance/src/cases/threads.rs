//! A system that gives the server no further thread.

use std::process::Command;

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["threads";
    "Routes": [requests_are_served_by_the_threads_that_there_are],
];

const EVENT: &str = r#"{"event_type":"threads","timestamp":0,"payload":"0123456789"}"#;

/// Enough that the body is no small one, and that the answer which lists them goes out in pieces.
const MANY: usize = 10_000;

/// Turns into a program as a user whose threads the system limits, which it does not do for root. The files that it
/// needs may be in folders that only root can enter.
const LIMITED: [&str; 3] = [
    "sh",
    "-c",
    r#"[ "$(id -u)" = 0 ] || exec "$0" "$@"
        exec setpriv --reuid=65534 --inh-caps=+dac_override --ambient-caps=+dac_override "$0" "$@""#,
];

/// Lets the system give the server no thread from now on.
fn give_no_thread(server: &Server) -> Outcome {
    let process = server.process().ok_or_else(|| Failure::skipped("the process is not ours"))?;
    let [shell, arguments @ ..] = LIMITED;
    let prlimit = ["prlimit", "--pid", &process.to_string(), "--nproc=1:1"];
    let limit = Command::new(shell).args(arguments).args(prlimit).status();
    let limited = limit.map_err(|error| Failure::unmet(format!("{shell} to be run: {error}")))?;
    check!(limited.success(), "prlimit to limit the threads of process {process}");
    Ok(())
}

fn requests_are_served_by_the_threads_that_there_are(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start_in(&LIMITED.map(str::to_owned), &[])?;
    // A host may need a thread for a connection. It has that one already.
    let mut connection = server.connect()?;
    connection.request(&Request::post("/events", "application/json", EVENT))?.expect(201)?;
    give_no_thread(&server)?;
    let found = connection.request(&Request::get("/events?limit=10"))?;
    check_eq!(found.events()?.len(), 1, "events that are found");
    let body = vec![EVENT; MANY].join("\n");
    connection.request(&Request::post("/events", "application/x-ndjson", body))?.expect(201)?;
    let found = connection.request(&Request::get("/events"))?;
    check_eq!(found.events()?.len(), MANY + 1, "events that are found");
    connection.request(&Request::get("/health/ready"))?.expect(200)
}
