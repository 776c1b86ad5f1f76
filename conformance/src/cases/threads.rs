//! A system that refuses the server more threads.

use std::process::Command;

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["threads";
    "Routes": [requests_are_served_without_new_threads],
];

const EVENT: &str = r#"{"event_type":"threads","timestamp":0,"payload":"0123456789"}"#;

/// So many events that their body is large, and the answer with them is streamed.
const MANY: usize = 10_000;

/// A wrapper that executes a program as another user than root, because the system does not limit root's threads. The
/// program may still enter folders that only root can enter: its files may be there.
const LIMITED: [&str; 3] = [
    "sh",
    "-c",
    r#"[ "$(id -u)" = 0 ] || exec "$0" "$@"
        exec setpriv --reuid=65534 --inh-caps=+dac_override --ambient-caps=+dac_override "$0" "$@""#,
];

/// Makes the system refuse more threads to the server.
fn refuse_threads(server: &Server) -> Outcome {
    let process = server.process().ok_or_else(|| Failure::skipped("the process is not ours"))?;
    let [shell, arguments @ ..] = LIMITED;
    let prlimit = ["prlimit", "--pid", &process.to_string(), "--nproc=1:1"];
    let limit = Command::new(shell).args(arguments).args(prlimit).status();
    let limited = limit.map_err(|error| Failure::unmet(format!("{shell} to be run: {error}")))?;
    check!(limited.success(), "prlimit to limit the threads of process {process}");
    Ok(())
}

fn requests_are_served_without_new_threads(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start_in(&LIMITED.map(str::to_owned), &[])?;
    // Opened before, because a host may need a thread for each connection.
    let mut connection = server.connect()?;
    connection.request(&Request::post("/events", "application/json", EVENT))?.expect(201)?;
    refuse_threads(&server)?;
    let found = connection.request(&Request::get("/events?limit=10"))?;
    check_eq!(found.events()?.len(), 1, "events found");
    let body = vec![EVENT; MANY].join("\n");
    connection.request(&Request::post("/events", "application/x-ndjson", body))?.expect(201)?;
    let found = connection.request(&Request::get("/events"))?;
    check_eq!(found.events()?.len(), MANY + 1, "events found");
    connection.request(&Request::get("/health/ready"))?.expect(200)
}
