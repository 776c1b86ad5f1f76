//! `GET /events/{id}`.

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::Context;
use crate::failure::Outcome;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["fetch";
    "Routes": [
        event_by_own_id, event_by_generated_id, unknown_id, encoded_id, generated_id_in_capitals, head_of_an_event,
        names_of_routes_are_no_ids, deeper_paths, bad_percent_encoding, ids_are_compared_by_bytes,
    ],
];

fn event_by_own_id(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&json!({"id": "order-1", "event_type": "order", "timestamp": 1.5, "payload": {"sum": 3}}))?;
    let response = server.get("/events/order-1")?;
    response.expect(200)?;
    response.expect_header("content-type", "application/json")?;
    check_eq!(
        response.json_text()?,
        r#"{"id":"order-1","seq":1,"event_type":"order","timestamp":"1970-01-01T00:00:01.500Z","payload":{"sum":3}}"#,
        "the event"
    );
    Ok(())
}

fn event_by_generated_id(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for n in 0..3 {
        let ack = server.store(&json!({"event_type": "t", "timestamp": 0, "payload": n}))?;
        let id = ack["id"].as_str().unwrap_or_default().to_owned();
        let response = server.get(&format!("/events/{id}"))?;
        response.expect(200)?;
        check_eq!(response.member("payload")?, json!(n), "the payload of the event {id}");
        check_eq!(response.member("id")?, json!(id), "the id of the event");
    }
    Ok(())
}

fn unknown_id(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    server.get(&format!("/events/{}", ctx.unique("nothing")))?.problem(404)?;
    server.get("/events/01890a5d-ac96-774b-bcce-b302099a8057")?.problem(404)?;
    server.get(&format!("/events/{}", "x".repeat(500)))?.problem(404).map(drop)
}

fn encoded_id(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for id in ["a/b", "a b", "a+b", "ä", "%2F"] {
        server.store(&json!({"id": id, "event_type": "t", "timestamp": 0, "payload": id}))?;
    }
    for (target, id) in [
        ("/events/a%2Fb", "a/b"),
        ("/events/a%20b", "a b"),
        // A plus means a space only in a query.
        ("/events/a+b", "a+b"),
        ("/events/a%2Bb", "a+b"),
        ("/events/%C3%A4", "ä"),
        ("/events/%252F", "%2F"),
    ] {
        let response = server.get(target)?;
        response.expect(200).map_err(|failure| failure.within(&target))?;
        check_eq!(response.member("payload")?, json!(id), "the event at {target}");
    }
    Ok(())
}

fn generated_id_in_capitals(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let ack = server.store(&json!({"event_type": "t", "timestamp": 0, "payload": 1}))?;
    let id = ack["id"].as_str().unwrap_or_default().to_ascii_uppercase();
    // Generated ids are compared byte by byte as well: an id in capitals could be a caller's.
    let response = server.get(&format!("/events/{id}"))?;
    response.problem(404).map(drop)
}

fn head_of_an_event(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&json!({"id": "h", "event_type": "t", "timestamp": 0, "payload": "body"}))?;
    let mut connection = server.connect()?;
    let get = connection.request(&Request::get("/events/h"))?;
    let head = connection.request(&Request::new("HEAD", "/events/h"))?;
    head.expect(200)?;
    head.expect_header("content-length", &get.body.len().to_string())?;
    head.expect_header("content-type", "application/json")?;
    connection.request(&Request::new("HEAD", "/events/none"))?.expect(404)?;
    connection.request(&Request::get("/events/h"))?.expect(200)
}

fn names_of_routes_are_no_ids(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for name in ["aggregate", "types"] {
        server.store(&json!({"id": name, "event_type": "t", "timestamp": 0, "payload": name}))?;
        let response = server.get(&format!("/events/{name}"))?;
        response.expect(200)?;
        check!(response.json()?.get("payload").is_none(), "the answer of the route /events/{name}, not an event");
        check_eq!(server.payloads(&format!("id={name}"))?, [json!(name)], "the event with the id {name}");
    }
    Ok(())
}

fn deeper_paths(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["/events/", "/events/a/b", "/events/a/", "/events//", "//events"] {
        server.get(target)?.problem(404).map_err(|failure| failure.within(&target))?;
    }
    Ok(())
}

fn bad_percent_encoding(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for target in ["/events/%", "/events/%4", "/events/%zz", "/events/%ff"] {
        server.get(target)?.problem(400).map_err(|failure| failure.within(&target))?;
    }
    Ok(())
}

fn ids_are_compared_by_bytes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&json!({"id": "Key", "event_type": "t", "timestamp": 0, "payload": 1}))?;
    server.get("/events/key")?.problem(404)?;
    server.get("/events/Key%20")?.problem(404)?;
    let other = server.store(&json!({"id": "key", "event_type": "t", "timestamp": 0, "payload": 1}))?;
    check_eq!(other["duplicate"], json!(false), "whether an id in other letters is a duplicate");
    Ok(())
}
