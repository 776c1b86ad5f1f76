//! `POST /events`: records of other products, mapped to events by pointers.

use serde_json::json;

use crate::case::{Case, cases};
use crate::check_eq;
use crate::client::Request;
use crate::context::Context;
use crate::failure::Outcome;

pub(super) const CASES: &[Case] = cases!["foreign";
    "POST /events": [
        type_and_time_from_the_record, type_as_a_literal, id_from_the_record, record_is_the_payload, nested_pointers,
        escaped_pointers, numbers_as_time, array_of_records, single_record, native_fields_are_ignored,
        missing_value_is_a_fault, value_of_the_wrong_type_is_a_fault, lenient_records, type_without_time,
        time_without_type, type_together_with_type_from, not_a_pointer, empty_type, repeated_pointer,
        payload_of_mapped_records_can_be_queried,
    ],
];

const RECORD: &str = r#"{"kind":"push","at":"2015-02-22T21:00:00Z","who":"ada"}"#;

fn import(target: &str, body: &str) -> Request {
    Request::post(&format!("/events?{target}"), "application/x-ndjson", body)
}

fn type_and_time_from_the_record(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!("{RECORD}\n{}\n", RECORD.replace("push", "watch").replace("21:00", "20:00"));
    let response = server.send(&import("type_from=/kind&time_from=/at", &body))?;
    response.expect(201)?;
    check_eq!(
        response.acknowledgement()?,
        json!({"accepted": 2, "duplicates": 0, "first_seq": 1, "last_seq": 2}),
        "the acknowledgement"
    );
    let events = server.find("")?;
    let seen: Vec<_> = events.iter().map(|event| (event["event_type"].clone(), event["timestamp"].clone())).collect();
    check_eq!(
        seen,
        [(json!("watch"), json!("2015-02-22T20:00:00Z")), (json!("push"), json!("2015-02-22T21:00:00Z"))],
        "types and times"
    );
    Ok(())
}

fn type_as_a_literal(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&import("type=log%20line&time_from=%2Fat", RECORD))?.expect(201)?;
    check_eq!(server.find("type=log%20line")?.len(), 1, "events of the type given");
    Ok(())
}

fn id_from_the_record(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!("{RECORD}\n{RECORD}\n{}\n", RECORD.replace("ada", "bob"));
    let response = server.send(&import("type_from=/kind&time_from=/at&id_from=/who", &body))?;
    response.expect(201)?;
    check_eq!(
        response.acknowledgement()?,
        json!({"accepted": 2, "duplicates": 1, "first_seq": 1, "last_seq": 2}),
        "the acknowledgement"
    );
    check_eq!(server.get("/events/bob")?.member("seq")?, json!(2), "the sequence number of the event bob");
    Ok(())
}

fn record_is_the_payload(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let record = r#"{ "z" : 1.0, "at": 0, "k": "t", "id": "r", "z": [1e400, {"\u0061": null}] }"#;
    server.send(&import("type_from=/k&time_from=/at&id_from=/id", record))?.expect(201)?;
    check_eq!(
        server.get("/events/r")?.json_text()?,
        concat!(
            r#"{"id":"r","seq":1,"event_type":"t","timestamp":"1970-01-01T00:00:00Z","#,
            r#""payload":{"z":1.0,"at":0,"k":"t","id":"r","z":[1e400,{"\u0061":null}]}}"#
        ),
        "the event"
    );
    Ok(())
}

fn nested_pointers(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let record = r#"{"meta":{"names":["zero","one"],"when":{"s":60}}}"#;
    server.send(&import("type_from=/meta/names/1&time_from=/meta/when/s", record))?.expect(201)?;
    let events = server.find("type=one")?;
    check_eq!(events.len(), 1, "events of the type in the array");
    check_eq!(events[0]["timestamp"], json!("1970-01-01T00:01:00Z"), "the time");
    Ok(())
}

fn escaped_pointers(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let record = r#"{"a/b":"slash","m~n":0,"":"empty"}"#;
    server.send(&import("type_from=/a~1b&time_from=/m~0n&id_from=/", record))?.expect(201)?;
    check_eq!(server.get("/events/empty")?.member("event_type")?, json!("slash"), "the type");
    Ok(())
}

fn numbers_as_time(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = "{\"t\":1424638800}\n{\"t\":1424638800123}\n{\"t\":1424638800.25}\n";
    server.send(&import("type=n&time_from=/t", body))?.expect(201)?;
    let times: Vec<_> = server.find("")?.iter().map(|event| event["timestamp"].clone()).collect();
    check_eq!(
        times,
        [json!("2015-02-22T21:00:00Z"), json!("2015-02-22T21:00:00.123Z"), json!("2015-02-22T21:00:00.250Z")],
        "the times"
    );
    Ok(())
}

fn array_of_records(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let request = Request::post("/events?type=a&time_from=/at", "application/json", format!("[{RECORD},{RECORD}]"));
    let response = server.send(&request)?;
    response.expect(201)?;
    check_eq!(response.member("accepted")?, json!(2), "events accepted");
    Ok(())
}

fn single_record(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let request = Request::post("/events?type=a&time_from=/at&id_from=/who", "application/json", RECORD);
    let response = server.send(&request)?;
    response.expect(201)?;
    response.expect_header("location", "/events/ada")?;
    check_eq!(response.acknowledgement()?, json!({"id": "ada", "seq": 1, "duplicate": false}), "the acknowledgement");
    Ok(())
}

fn native_fields_are_ignored(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let record = r#"{"event_type":7,"timestamp":"never","payload":"p","id":"i","at":0}"#;
    server.send(&import("type=a&time_from=/at", record))?.expect(201)?;
    server.get("/events/i")?.problem(404)?;
    check_eq!(server.payloads("")?[0]["payload"], json!("p"), "a member of the record");
    Ok(())
}

fn missing_value_is_a_fault(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!("{RECORD}\n{{\"kind\":\"push\"}}\n{{\"at\":0}}\n");
    server.send(&import("type_from=/kind&time_from=/at", &body))?.faults_at(&["#/1/at", "#/2/kind"])?;
    server.expect_empty()
}

fn value_of_the_wrong_type_is_a_fault(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let request = import(
        "type_from=/k&time_from=/t",
        "{\"k\":[\"a\"],\"t\":0}\n{\"k\":\"a\",\"t\":true}\n{\"k\":\"\",\"t\":0}\n",
    );
    server.send(&request)?.faults_at(&["#/0/k", "#/1/t", "#/2/k"])?;
    server.send(&import("type=a&time_from=/t", "[1]\n\"x\"\n"))?.problem(422)?;
    server.expect_empty()
}

fn lenient_records(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!("{RECORD}\n{{\"at\":\"never\"}}\n");
    let response = server.send(&import("type=a&time_from=/at", &body).header("prefer", "handling=lenient"))?;
    response.expect(200)?;
    check_eq!(response.member("accepted")?, json!(1), "events accepted");
    check_eq!(response.member("rejected")?[0]["pointer"], json!("#/1/at"), "the pointer of the rejected record");
    Ok(())
}

fn type_without_time(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&import("type_from=/kind", RECORD))?.problem_naming(400, "time_from")?;
    server.send(&import("type=a", RECORD))?.problem_naming(400, "time_from")?;
    server.expect_empty()
}

fn time_without_type(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&import("time_from=/at", RECORD))?.problem_naming(400, "type")?;
    server.send(&import("id_from=/who", RECORD))?.problem(400)?;
    server.expect_empty()
}

fn type_together_with_type_from(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&import("type=a&type_from=/kind&time_from=/at", RECORD))?.problem_naming(400, "type")?;
    server.expect_empty()
}

fn not_a_pointer(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for pointer in ["at", "at/x", "/a~2b", "/a~"] {
        let response = server.send(&import(&format!("type=a&time_from={pointer}"), RECORD))?;
        response.problem_naming(400, "time_from").map_err(|failure| failure.within(&pointer))?;
    }
    server.expect_empty()
}

fn empty_type(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&import("type=&time_from=/at", RECORD))?.problem_naming(400, "type")?;
    let too_long = "x".repeat(257);
    server.send(&import(&format!("type={too_long}&time_from=/at"), RECORD))?.problem_naming(400, "type")?;
    server.expect_empty()
}

fn repeated_pointer(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&import("type=a&time_from=/at&time_from=/who", RECORD))?.problem_naming(400, "time_from")?;
    server.expect_empty()
}

fn payload_of_mapped_records_can_be_queried(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!("{RECORD}\n{}\n", RECORD.replace("ada", "bob"));
    server.send(&import("type_from=/kind&time_from=/at", &body))?.expect(201)?;
    check_eq!(server.find("payload.who=bob")?.len(), 1, "events of bob");
    Ok(())
}
