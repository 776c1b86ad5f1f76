//! The limit of different event types.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::client::{Request, Response};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["event_types";
    "POST /events": [
        one_type_too_many_is_refused, known_types_are_still_accepted, all_or_nothing,
        lenient_stores_events_of_other_types, pointers_into_mapped_records, pointers_into_envelopes,
        one_body_with_too_many_types,
        concurrent_writers_share_the_limit,
    ],
    "Routes": [event_types_are_counted],
];

/// A server that stores at most this many types.
fn limited(ctx: &Context<'_>, types: &str) -> Result<Server, Failure> {
    ctx.start(&[("--max-event-types", types)])
}

fn event(event_type: &str) -> Value {
    json!({"event_type": event_type, "timestamp": 0, "payload": 1})
}

fn events(types: &[&str]) -> Value {
    types.iter().map(|event_type| event(event_type)).collect()
}

/// Requires a fault about too many types for each of these pointers.
fn expect_faults(listed: &Value, pointers: &[&str]) -> Outcome {
    let listed = listed.as_array().map(Vec::as_slice).unwrap_or_default();
    let found: Vec<&str> = listed.iter().filter_map(|fault| fault["pointer"].as_str()).collect();
    check_eq!(found, pointers, "the pointers to the events");
    for fault in listed {
        check_eq!(fault["code"], json!("too_many_types"), "the code of the fault");
    }
    Ok(())
}

fn expect_refused(response: &Response, pointers: &[&str]) -> Outcome {
    let problem = response.problem(422)?;
    check_eq!(problem["type"], json!("/problems/invalid-events"), "the type of the problem");
    expect_faults(&problem["errors"], pointers)
}

fn lenient(body: &Value) -> Request {
    Request::post("/events", "application/json", body.to_string()).header("prefer", "handling=lenient")
}

fn one_type_too_many_is_refused(ctx: &Context<'_>) -> Outcome {
    let server = limited(ctx, "2")?;
    for event_type in ["a", "b"] {
        server.store(&event(event_type))?;
    }
    let refused = server.submit(event("c").to_string())?;
    expect_refused(&refused, &["#/event_type"])?;
    let problem = refused.json()?;
    let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
    check!(
        detail.contains("at most 2 ") && detail.contains("--max-event-types"),
        "the limit and the setting in {detail:?}"
    );
    check_eq!(server.find("")?.len(), 2, "events stored");
    Ok(())
}

fn known_types_are_still_accepted(ctx: &Context<'_>) -> Outcome {
    let server = limited(ctx, "2")?;
    server.store(&events(&["a", "b", "a"]))?;
    expect_refused(&server.submit(event("A").to_string())?, &["#/event_type"])?;
    for event_type in ["a", "b"] {
        server.store(&event(event_type))?;
    }
    let acknowledged = server.store(&events(&["b", "a", "b"]))?;
    check_eq!(acknowledged["first_seq"], json!(6), "the next sequence number");
    Ok(())
}

fn all_or_nothing(ctx: &Context<'_>) -> Outcome {
    let server = limited(ctx, "3")?;
    server.store(&event("a"))?;
    expect_refused(
        &server.submit(events(&["b", "a", "c", "d", "b", "d"]).to_string())?,
        &["#/3/event_type", "#/5/event_type"],
    )?;
    let lines = ["a", "b", "c", "d"].map(|event_type| event(event_type).to_string()).join("\n");
    expect_refused(&server.submit_lines(lines)?, &["#/3/event_type"])?;
    check_eq!(server.find("")?.len(), 1, "events stored: none of these");
    // The refused types do not count.
    server.store(&events(&["x", "y"])).map(drop)
}

fn lenient_stores_events_of_other_types(ctx: &Context<'_>) -> Outcome {
    let server = limited(ctx, "3")?;
    server.store(&event("a"))?;
    let mut body = events(&["b", "a", "c", "d", "b", "d"]);
    // Pointers count faulty events as well.
    body[1] = json!(17);
    let response = server.send(&lenient(&body))?;
    response.expect(200)?;
    let answer = response.acknowledgement()?;
    check_eq!(answer["accepted"], json!(3), "events stored");
    let rejected = answer["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rejected: Vec<(&str, &str)> = rejected
        .iter()
        .map(|fault| (fault["pointer"].as_str().unwrap_or_default(), fault["code"].as_str().unwrap_or_default()))
        .collect();
    let expected =
        [("#/1", "not_an_object"), ("#/3/event_type", "too_many_types"), ("#/5/event_type", "too_many_types")];
    check_eq!(rejected, expected, "what was rejected");
    // A request with a single event is refused even under lenient handling.
    expect_refused(&server.send(&lenient(&event("d")))?, &["#/event_type"])?;
    check_eq!(server.find("")?.len(), 4, "events stored");
    Ok(())
}

fn pointers_into_mapped_records(ctx: &Context<'_>) -> Outcome {
    let server = limited(ctx, "1")?;
    let record = |event_type: &str| json!({"t": 0, "what": {"kind": event_type}});
    let post = |query: &str, body: Value| {
        server.send(&Request::post(&format!("/events?{query}"), "application/json", body.to_string()))
    };
    post("type_from=/what/kind&time_from=/t", record("a"))?.expect(201)?;
    let records = json!([record("a"), record("b")]);
    expect_refused(&post("type_from=/what/kind&time_from=/t", records)?, &["#/1/what/kind"])?;
    expect_refused(&post("type_from=/what/kind&time_from=/t", record("b"))?, &["#/what/kind"])?;
    expect_refused(&post("type=b&time_from=/t", json!([record("a")]))?, &["#/0"])?;
    post("type=a&time_from=/t", record("b"))?.expect(201)
}

/// The repository rejects these types, not the parser: each body has only one.
fn pointers_into_envelopes(ctx: &Context<'_>) -> Outcome {
    let server = limited(ctx, "1")?;
    server.store(&event("a"))?;
    let post = |media_type: &str, body: &str| {
        server.send(&Request::post("/events?type_from=/k&time=now&records_from=/r/s", media_type, body))
    };
    let b = r#"{"k":"b"}"#;
    let body = format!(r#"{{"r":[{{"s":[]}},{{"s":[{b},{b}]}},{{"s":[{b}]}}]}}"#);
    let faults = ["/r/1/s/0/k", "/r/1/s/1/k", "/r/2/s/0/k"];
    let at = |prefix: &str| faults.map(|fault| format!("#{prefix}{fault}"));
    let expect =
        |response: &Response, pointers: [String; 3]| expect_refused(response, &pointers.each_ref().map(String::as_str));
    expect(&post("application/json", &body)?, at(""))?;
    expect(&post("application/json", &format!("[{{\"r\":[]}},{body}]"))?, at("/1"))?;
    let response = post("application/x-ndjson", &format!("\n{{\"r\":[]}}\n\n{body}\n"))?;
    expect(&response, at("/1"))?;
    check_eq!(response.member("errors")?[2]["line"], json!(4), "the line of the last fault");
    let lines = server.submit_lines(format!("\n{0}\n\n{0}\n{0}\n", event("b")))?;
    let errors = lines.problem(422)?["errors"].clone();
    let numbers: Vec<_> = errors.as_array().into_iter().flatten().map(|fault| fault["line"].clone()).collect();
    check_eq!(numbers, [2, 4, 5], "the lines of events");
    Ok(())
}

fn one_body_with_too_many_types(ctx: &Context<'_>) -> Outcome {
    let server = limited(ctx, "1000")?;
    let types: Vec<String> = (0..2000).map(|number| format!("{number:0256}")).collect();
    let body = events(&types.iter().map(String::as_str).collect::<Vec<_>>());
    let pointers: Vec<String> = (1000..1100).map(|index| format!("#/{index}/event_type")).collect();
    let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
    expect_refused(&server.submit(body.to_string())?, &pointers)?;
    server.expect_empty()?;
    let response = server.send(&lenient(&body))?;
    response.expect(200)?;
    let answer = response.acknowledgement()?;
    check_eq!((&answer["accepted"], &answer["rejected_count"]), (&json!(1000), &json!(1000)), "accepted and rejected");
    expect_faults(&answer["rejected"], &pointers)
}

fn concurrent_writers_share_the_limit(ctx: &Context<'_>) -> Outcome {
    const WRITERS: usize = 8;
    const LIMIT: usize = 50;
    let server = limited(ctx, &LIMIT.to_string())?;
    // Each writer sends types that some others send as well, and events of a known type.
    server.store(&event("known"))?;
    let answers: Vec<Result<(usize, usize), Failure>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn({
                    let server = &server;
                    move || {
                        let (mut stored, mut refused) = (0, 0);
                        for number in 0..40 {
                            let name = format!("{}", number * (1 + writer % 3));
                            let response = server.submit(events(&[&name, "known"]).to_string())?;
                            match response.status() {
                                201 => stored += 2,
                                _ => {
                                    expect_refused(&response, &["#/0/event_type"])?;
                                    refused += 1;
                                }
                            }
                            server.store(&event("known"))?;
                            stored += 1;
                        }
                        Ok((stored, refused))
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::unmet("no panic")))).collect()
    });
    let (mut stored, mut refused) = (1, 0);
    for answer in answers {
        let (more_stored, more_refused) = answer?;
        stored += more_stored;
        refused += more_refused;
    }
    check!(refused > 0, "a refused request");
    let found = server.find("")?;
    check_eq!(found.len(), stored, "events stored: exactly those acknowledged");
    let types: BTreeSet<&str> = found.iter().filter_map(|event| event["event_type"].as_str()).collect();
    check_eq!(types.len(), LIMIT, "event types stored");
    Ok(())
}

fn event_types_are_counted(ctx: &Context<'_>) -> Outcome {
    let server = limited(ctx, "4")?;
    let expect = |types: u32| {
        let page = server.get("/metrics")?;
        let text = page.text()?;
        for line in [format!("argus_stored_event_types {types}"), "argus_event_types_limit 4".to_owned()] {
            check!(text.lines().any(|found| found == line), "the line {line:?} in the metrics");
        }
        Ok::<_, Failure>(())
    };
    expect(0)?;
    server.store(&events(&["a", "b", "a"]))?;
    server.submit(events(&["a", "c", "d", "e"]).to_string())?.problem(422)?;
    expect(2)?;
    server.send(&lenient(&events(&["a", "c", "d", "e"])))?.expect(200)?;
    expect(4)?;
    let rejected = "argus_events_rejected_total{reason=\"too_many_types\"} 2";
    let page = server.get("/metrics")?;
    check!(page.text()?.lines().any(|line| line == rejected), "the line {rejected:?} in the metrics");
    Ok(())
}
