//! The README's examples: its first event, its sample stream, the results of its queries, and its copy of events.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::binaries;
use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["readme";
    "GET /events": [examples_give_the_documented_results],
];

/// The start of a URL in the README.
const BASE: &str = "'http://127.0.0.1:3000";
/// The start of a URL of another server.
const OTHER_BASE: &str = "'http://127.0.0.1:3001";

/// The requests in the README, and their documented results.
struct Readme {
    first_event: String,
    sample_arguments: Vec<String>,
    acknowledgement: Value,
    /// Targets of `GET`, and the number of events that they find.
    queries: Vec<(String, usize)>,
    /// The targets of the `GET` and of the `POST` that copy events to another server.
    copy: (String, String),
}

fn examples_give_the_documented_results(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let readme = Readme::read()?;
    let sample = sample(&readme.sample_arguments)?;

    let response = server.send(&Request::post("/events", "application/json", readme.first_event))?;
    response.expect(201)?;
    let response = server.send(&Request::post("/events", "application/x-ndjson", sample))?;
    response.expect(201)?;
    check_eq!(response.acknowledgement()?, readme.acknowledgement, "the acknowledgement in the README");
    for (target, expected) in readme.queries {
        let response = server.send(&Request::get(&target).header("accept", "application/x-ndjson"))?;
        response.expect(200)?;
        let found = response.body.iter().filter(|byte| **byte == b'\n').count();
        check_eq!(found, expected, "the number of events for {target}");
    }

    let (from, to) = readme.copy;
    let export = server.send(&Request::get(&from).header("accept", "application/x-ndjson"))?;
    let other = ctx.empty()?;
    other.send(&Request::post(&to, "application/x-ndjson", export.body))?.expect(201)?;
    let without_seq = |server: &Server| -> Result<Vec<Value>, Failure> {
        let mut events = server.get(&from)?.events()?;
        events.iter_mut().for_each(|event| event["seq"] = Value::Null);
        Ok(events)
    };
    let copied = without_seq(&other)?;
    check!(!copied.is_empty() && copied == without_seq(&server)?, "the same events after the copy of the README");
    Ok(())
}

impl Readme {
    fn read() -> Result<Self, Failure> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("README.md");
        let text = std::fs::read_to_string(&path).map_err(|e| Failure::skipped(format!("{}: {e}", path.display())))?;
        let missing = |what: &str| Failure::unmet(format!("{what} in README.md"));
        let first = text.lines().find_map(|line| between(line, "--data '", "'"));
        let arguments = text.lines().find_map(|line| between(line, "cargo xtask sample ", " |"));
        let acknowledgement = text.lines().find(|line| line.starts_with(r#"{"accepted":"#));
        let mut acknowledgement: Value =
            serde_json::from_str(acknowledgement.ok_or_else(|| missing("an acknowledgement"))?)
                .map_err(|error| Failure::unmet(format!("the acknowledgement in README.md: {error}")))?;
        // Its value depends on the repository.
        acknowledgement.as_object_mut().map(|members| members.remove("durable"));
        let queries: Vec<_> = text.lines().filter_map(query).collect();
        check_eq!(queries.len(), 3, "queries in README.md with the number of events that they find");
        let copy = text.lines().find_map(|line| Some((between(line, BASE, "'")?, between(line, OTHER_BASE, "'")?)));
        let (from, to) = copy.ok_or_else(|| missing("a copy of events to another server"))?;
        Ok(Self {
            first_event: first.ok_or_else(|| missing("a first event"))?.to_owned(),
            sample_arguments: arguments
                .ok_or_else(|| missing("a call of `cargo xtask sample`"))?
                .split(' ')
                .map(str::to_owned)
                .collect(),
            acknowledgement,
            queries,
            copy: (from.to_owned(), to.to_owned()),
        })
    }
}

/// The target and the result of a line of the form `curl 'http://127.0.0.1:3000/events?type=a' | wc -l  # 3`.
fn query(line: &str) -> Option<(String, usize)> {
    let target = between(line, BASE, "'")?;
    let (_, result) = line.split_once("| wc -l")?;
    Some((target.to_owned(), result.trim().strip_prefix('#')?.trim().parse().ok()?))
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

/// The stream that `cargo xtask sample` writes.
fn sample(arguments: &[String]) -> Result<Vec<u8>, Failure> {
    let program = binaries::folder().map_err(Failure::unmet)?.join(binaries::XTASK);
    let output = Command::new(&program).arg("sample").args(arguments).output();
    let output = output.map_err(|error| {
        Failure::unmet(format!("{} to start ({error}); `cargo build -p xtask` builds it", program.display()))
    })?;
    let message = String::from_utf8_lossy(&output.stderr);
    check_eq!(output.status.code(), Some(0), "the exit code of the sample, with the message {message:?}");
    Ok(output.stdout)
}
