//! What an acknowledgement says of the disk.

use serde_json::Value;

use crate::case::{Case, cases};
use crate::check_eq;
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};

pub(super) const CASES: &[Case] = cases!["durability";
    "POST /events": [what_was_not_waited_for_is_not_durable, all_forms_of_submission_promise_the_same],
];

const EVENT: &str = r#"{"event_type":"login","timestamp":"2024-05-01T12:00:00Z","payload":{"user":"ada"}}"#;

fn what_was_not_waited_for_is_not_durable(ctx: &Context<'_>) -> Outcome {
    for durability in ["os", "interval:20"] {
        let server = ctx.start(&[("--durability", durability)])?;
        check_eq!(promises(&server)?, [false; 4], "whether events are durable under --durability {durability}");
        check_eq!(server.find("")?.len(), 5, "how many events are visible");
    }
    Ok(())
}

fn all_forms_of_submission_promise_the_same(ctx: &Context<'_>) -> Outcome {
    let promises = promises(&ctx.empty()?)?;
    check_eq!(
        promises,
        [promises[0]; 4],
        "whether an event is durable, and an array, and lines, and what is good of them"
    );
    Ok(())
}

/// Whether one event, an array of two, a line, and a line under lenient handling are said to be durable.
fn promises(server: &Server) -> Result<[bool; 4], Failure> {
    let array = format!("[{EVENT},{EVENT}]");
    let lenient = Request::post("/events", "application/x-ndjson", EVENT).header("prefer", "handling=lenient");
    Ok([
        promise(server, &Request::post("/events", "application/json", EVENT), 201)?,
        promise(server, &Request::post("/events", "application/json", array), 201)?,
        promise(server, &Request::post("/events", "application/x-ndjson", EVENT), 201)?,
        promise(server, &lenient, 200)?,
    ])
}

fn promise(server: &Server, request: &Request, status: u16) -> Result<bool, Failure> {
    let response = server.send(request)?;
    response.expect(status)?;
    let body = response.json()?;
    let durable = body.get("durable").and_then(Value::as_bool);
    durable.ok_or_else(|| Failure::unmet(format!("a member \"durable\" that is true or false in {body}")))
}
