//! The member `durable` of an acknowledgement.

use serde_json::Value;

use crate::case::{Case, cases};
use crate::check_eq;
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};

pub(super) const CASES: &[Case] = cases!["durability";
    "POST /events": [weaker_settings_are_reported_as_not_durable, all_forms_of_submission_report_the_same_durability],
];

const EVENT: &str = r#"{"event_type":"login","timestamp":"2024-05-01T12:00:00Z","payload":{"user":"ada"}}"#;

fn weaker_settings_are_reported_as_not_durable(ctx: &Context<'_>) -> Outcome {
    for durability in ["os", "interval:20"] {
        let server = ctx.start(&[("--durability", durability)])?;
        check_eq!(reported(&server)?, [false; 4], "whether events are durable under --durability {durability}");
        check_eq!(server.find("")?.len(), 5, "how many events are visible");
    }
    Ok(())
}

fn all_forms_of_submission_report_the_same_durability(ctx: &Context<'_>) -> Outcome {
    let reported = reported(&ctx.empty()?)?;
    check_eq!(reported, [reported[0]; 4], "whether an event, an array, a line and a lenient line are durable");
    Ok(())
}

/// Whether one event, an array of two, a line, and a line under lenient handling are reported as durable.
fn reported(server: &Server) -> Result<[bool; 4], Failure> {
    let array = format!("[{EVENT},{EVENT}]");
    let lenient = Request::post("/events", "application/x-ndjson", EVENT).header("prefer", "handling=lenient");
    Ok([
        is_durable(server, &Request::post("/events", "application/json", EVENT), 201)?,
        is_durable(server, &Request::post("/events", "application/json", array), 201)?,
        is_durable(server, &Request::post("/events", "application/x-ndjson", EVENT), 201)?,
        is_durable(server, &lenient, 200)?,
    ])
}

fn is_durable(server: &Server, request: &Request, status: u16) -> Result<bool, Failure> {
    let response = server.send(request)?;
    response.expect(status)?;
    let body = response.json()?;
    let durable = body.get("durable").and_then(Value::as_bool);
    durable.ok_or_else(|| Failure::unmet(format!("a member \"durable\" that is true or false in {body}")))
}
