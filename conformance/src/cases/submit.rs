//! `POST /events`: the forms of a body, the events stored, and the acknowledgement.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["submit";
    "POST /events": [
        single_event, array, array_of_one, lines, media_types_of_lines, blank_lines_and_carriage_returns,
        last_line_without_line_feed, content_type_parameters, charsets, byte_order_mark, content_type_in_capitals,
        visible_at_once, sequence_has_no_gaps,
        concurrent_submissions_get_distinct_sequences, all_or_nothing, lenient_stores_the_valid_events,
        body_sent_under_another_type, lenient_without_faults, lenient_skips_a_line_that_is_not_json, strict_preference,
        unknown_preference_is_ignored,
    ],
];

const EVENT: &str = r#"{"event_type":"login","timestamp":"2024-05-01T12:00:00Z","payload":{"user":"ada"}}"#;

fn single_event(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let response = server.submit(EVENT)?;
    response.expect(201)?;
    response.expect_header("content-type", "application/json")?;
    let body = response.acknowledgement()?;
    let id = body["id"].as_str().ok_or_else(|| Failure::unmet(format!("an id in {body}")))?;
    check_eq!(body, json!({"id": id, "seq": 1, "duplicate": false}), "the acknowledgement");
    response.expect_header("location", &format!("/events/{id}"))?;
    check_eq!(
        server.get("/events")?.json_text()?,
        format!(
            "[{{\"id\":\"{id}\",\"seq\":1,\"event_type\":\"login\",\"timestamp\":\"2024-05-01T12:00:00Z\",\
             \"payload\":{{\"user\":\"ada\"}}}}]"
        ),
        "the events stored"
    );
    Ok(())
}

fn array(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let response = server.submit(format!("[{EVENT},{EVENT},{EVENT}]"))?;
    response.expect(201)?;
    check_eq!(response.header("location"), None, "the Location of many");
    check_eq!(
        response.acknowledgement()?,
        json!({"accepted": 3, "duplicates": 0, "first_seq": 1, "last_seq": 3}),
        "the acknowledgement"
    );
    check_eq!(server.find("")?.len(), 3, "how many events are stored");
    Ok(())
}

fn array_of_one(ctx: &Context<'_>) -> Outcome {
    let response = ctx.empty()?.submit(format!("[{EVENT}]"))?;
    response.expect(201)?;
    check_eq!(
        response.acknowledgement()?,
        json!({"accepted": 1, "duplicates": 0, "first_seq": 1, "last_seq": 1}),
        "the acknowledgement of an array of one event"
    );
    Ok(())
}

fn lines(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let response = server.submit_lines(format!("{EVENT}\n{EVENT}\n"))?;
    response.expect(201)?;
    check_eq!(
        response.acknowledgement()?,
        json!({"accepted": 2, "duplicates": 0, "first_seq": 1, "last_seq": 2}),
        "the acknowledgement"
    );
    check_eq!(server.find("")?.len(), 2, "how many events are stored");
    Ok(())
}

fn media_types_of_lines(ctx: &Context<'_>) -> Outcome {
    for name in ["x-ndjson", "ndjson", "jsonl", "jsonlines", "x-jsonlines", "JSONLines; charset=utf-8"] {
        let server = ctx.empty()?;
        let request = Request::post("/events", &format!("application/{name}"), format!("{EVENT}\n{EVENT}\n"));
        let response = server.send(&request)?;
        response.expect(201).map_err(|failure| failure.within(&name))?;
        check_eq!(response.member("accepted")?, json!(2), "events accepted as {name}");
    }
    Ok(())
}

fn blank_lines_and_carriage_returns(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let response = server.submit_lines(format!("\n{EVENT}\r\n\r\n  \n{EVENT}\n\n"))?;
    response.expect(201)?;
    check_eq!(response.member("accepted")?, json!(2), "events accepted");
    Ok(())
}

fn last_line_without_line_feed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let response = server.submit_lines(format!("{EVENT}\n{EVENT}"))?;
    response.expect(201)?;
    check_eq!(response.member("accepted")?, json!(2), "events accepted");
    Ok(())
}

fn content_type_parameters(ctx: &Context<'_>) -> Outcome {
    ctx.server()?.send(&Request::post("/events", "application/json; charset=utf-8", EVENT))?.expect(201)
}

fn charsets(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (charset, status) in [
        ("utf-8", 201),
        ("UTF8", 201),
        ("unicode-1-1-utf-8", 201),
        ("unicode11utf8", 201),
        ("unicode20utf8", 201),
        ("x-unicode20utf8", 201),
        ("us-ascii", 201),
        ("\"US-ASCII\"", 201),
        ("ascii", 201),
        ("ansi_x3.4-1968", 201),
        ("iso646-us", 201),
        ("\"iso_646.irv:1991\"", 201),
        ("latin1", 415),
        ("iso-8859-1", 415),
        ("windows-1252", 415),
        ("utf-16", 415),
        ("utf-8x", 415),
    ] {
        for media_type in ["application/json", "application/x-ndjson"] {
            let request = Request::post("/events", &format!("{media_type}; charset={charset}"), EVENT);
            let response = server.send(&request)?;
            response.expect(status).map_err(|failure| failure.within(&charset))?;
            if status == 415 {
                response.problem_naming(
                    415,
                    &format!("the charset in Content-Type must be UTF-8 or ASCII, not '{charset}'"),
                )?;
            }
        }
    }
    // The label changes nothing: the body is UTF-8.
    let body = EVENT.replace("ada", "ü");
    server.send(&Request::post("/events", "application/json; charset=us-ascii", body))?.expect(201)?;
    let body = [&EVENT.as_bytes()[..EVENT.len() - 3], b"\xfc\"}}"].concat();
    server.send(&Request::post("/events", "application/json; charset=us-ascii", body))?.expect(400)
}

fn byte_order_mark(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit(format!("\u{feff}{EVENT}"))?.expect(201)?;
    server.submit(format!("\u{feff}[{EVENT}]"))?.expect(201)?;
    server.submit_lines(format!("\u{feff}{EVENT}\n{EVENT}\n"))?.expect(201)?;
    check_eq!(server.find("")?.len(), 4, "how many events are stored");
    // Offsets count it, and it has a meaning only at the start of the body.
    server.submit("\u{feff}{?")?.problem_naming(400, "byte 4")?;
    server.submit_lines(format!("{EVENT}\n\u{feff}{EVENT}\n"))?.problem_naming(400, "byte order mark")?;
    server.submit(format!("\u{feff}\u{feff}{EVENT}"))?.problem_naming(400, "byte order mark")
}

fn content_type_in_capitals(ctx: &Context<'_>) -> Outcome {
    ctx.server()?.send(&Request::post("/events", "Application/JSON", EVENT))?.expect(201)
}

fn visible_at_once(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut writer = server.connect()?;
    let mut reader = server.connect()?;
    for count in 1..=50 {
        writer.request(&Request::post("/events", "application/json", EVENT))?.expect(201)?;
        let seen = reader.request(&Request::get("/events"))?.events()?.len();
        check_eq!(seen, count, "events seen after the acknowledgement of {count}");
    }
    Ok(())
}

fn sequence_has_no_gaps(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit(EVENT)?.expect(201)?;
    server.submit(r#"[{"event_type":"","timestamp":0,"payload":1}]"#)?.expect(422)?;
    let many = server.submit(format!("[{EVENT},{EVENT}]"))?;
    check_eq!(many.member("first_seq")?, json!(2), "the sequence number after a refusal");
    let one = server.submit(EVENT)?;
    check_eq!(one.member("seq")?, json!(4), "the sequence number after an array");
    Ok(())
}

fn concurrent_submissions_get_distinct_sequences(ctx: &Context<'_>) -> Outcome {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let server = ctx.empty()?;
    let results: Vec<Result<Vec<u64>, Failure>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|_| {
                let connection = server.connect();
                scope.spawn(move || {
                    let mut connection = connection?;
                    let request = Request::post("/events", "application/json", EVENT);
                    (0..EACH).map(|_| number(&connection.request(&request)?.json()?, "seq")).collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::unmet("no panic")))).collect()
    });
    let mut all = BTreeSet::new();
    for result in results {
        let of_one = result?;
        check!(of_one.is_sorted(), "ascending sequence numbers on each connection, not {of_one:?}");
        all.extend(of_one);
    }
    check_eq!(all, (1..=(WRITERS * EACH) as u64).collect(), "the sequence numbers given");
    Ok(())
}

fn all_or_nothing(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit(format!(r#"[{EVENT},{{"event_type":"x","payload":1}},{EVENT}]"#))?.faults_at(&["#/1/timestamp"])?;
    server.expect_empty()
}

fn lenient_stores_the_valid_events(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!(r#"[{EVENT},{{"event_type":"","timestamp":0,"payload":1}},{EVENT}]"#);
    let request = Request::post("/events", "application/json", body).header("prefer", "handling=lenient");
    let response = server.send(&request)?;
    response.expect(200)?;
    response.expect_header("preference-applied", "handling=lenient")?;
    let mut body = response.acknowledgement()?;
    let rejected = body.as_object_mut().and_then(|members| members.remove("rejected")).unwrap_or_default();
    check_eq!(
        body,
        json!({"accepted": 2, "duplicates": 0, "first_seq": 1, "last_seq": 2}),
        "the acknowledgement without the rejected events"
    );
    check_eq!(rejected.as_array().map(Vec::len), Some(1), "how many events are rejected");
    check_eq!(rejected.pointer("/0/pointer"), Some(&json!("#/1/event_type")), "the pointer of the rejected event");
    check_eq!(server.find("")?.len(), 2, "how many events are stored");
    Ok(())
}

fn lenient_without_faults(ctx: &Context<'_>) -> Outcome {
    let request =
        Request::post("/events", "application/json", format!("[{EVENT}]")).header("prefer", "handling=lenient");
    let response = ctx.empty()?.send(&request)?;
    response.expect(200)?;
    response.expect_header("preference-applied", "handling=lenient")?;
    check_eq!(
        response.acknowledgement()?,
        json!({"accepted": 1, "duplicates": 0, "first_seq": 1, "last_seq": 1, "rejected": []}),
        "the acknowledgement"
    );
    Ok(())
}

fn lenient_skips_a_line_that_is_not_json(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let request = Request::post("/events", "application/x-ndjson", format!("{EVENT}\n{{\"cut\n{EVENT}\n"))
        .header("prefer", "handling=lenient");
    let response = server.send(&request)?;
    response.expect(200)?;
    check_eq!(response.member("accepted")?, json!(2), "events accepted");
    let rejected = response.member("rejected")?;
    check_eq!(rejected.pointer("/0/pointer"), Some(&json!("#/1")), "the pointer of the line that is not JSON");
    check_eq!(rejected.pointer("/0/code"), Some(&json!("invalid_json")), "the code of its fault");
    check_eq!(server.find("")?.len(), 2, "how many events are stored");
    Ok(())
}

fn strict_preference(ctx: &Context<'_>) -> Outcome {
    let request =
        Request::post("/events", "application/json", format!("[{EVENT},1]")).header("prefer", "handling=strict");
    let server = ctx.empty()?;
    server.send(&request)?.faults_at(&["#/1"])?;
    server.expect_empty()
}

fn unknown_preference_is_ignored(ctx: &Context<'_>) -> Outcome {
    let request = Request::post("/events", "application/json", format!("[{EVENT}]"))
        .header("prefer", "respond-async, wait=100, handling=\"no such\"");
    let response = ctx.server()?.send(&request)?;
    response.expect(201)?;
    check_eq!(response.header("preference-applied"), None, "the preferences applied");
    Ok(())
}

fn number(value: &Value, member: &str) -> Result<u64, Failure> {
    value.get(member).and_then(Value::as_u64).ok_or_else(|| Failure::unmet(format!("a number {member:?} in {value}")))
}

/// The answer names the type under which the body would be valid, where this is plain.
fn body_sent_under_another_type(ctx: &Context<'_>) -> Outcome {
    const JSON: &str = "application/json";
    const LINES: &str = "application/x-ndjson";
    let server = ctx.empty()?;
    let offset = EVENT.len() + 1;
    let advice = "several JSON texts: send each on a line of its own, as content-type application/x-ndjson";
    server.submit(format!("{EVENT}\n{EVENT}\n"))?.problem_naming(400, &format!("byte {offset}; {advice}"))?;
    let pretty = EVENT.replace(',', ",\n");
    for (sent_as, body, advised) in [
        (JSON, format!("\u{feff}\n{EVENT} \r\n\n {EVENT}"), Some(LINES)),
        (JSON, "{}\n{".to_owned(), Some(LINES)),
        (JSON, format!("{EVENT}{EVENT}"), Some(LINES)),
        (JSON, format!("{EVENT} {EVENT}\n"), Some(LINES)),
        (JSON, format!("{pretty}\n{EVENT}"), Some(LINES)),
        (JSON, format!("[{EVENT}\n{EVENT}]"), None),
        (JSON, format!("{EVENT}\nx"), None),
        (JSON, format!("{EVENT},\n{EVENT}"), None),
        (LINES, pretty.clone(), Some(JSON)),
        (LINES, format!("\u{feff}\n[\n{EVENT},\n{pretty}\n]\n"), Some(JSON)),
        (LINES, format!("[{EVENT},{EVENT}]\n"), Some(JSON)),
        (LINES, format!("{EVENT}\n{pretty}"), None),
        (LINES, format!("{pretty}\n{pretty}"), None),
        (LINES, "{\n".to_owned(), None),
        (LINES, "7\n".to_owned(), None),
    ] {
        let response = server.send(&Request::post("/events", sent_as, body.clone()))?;
        let detail = response.json()?["detail"].as_str().unwrap_or_default().to_owned();
        for media_type in [JSON, LINES] {
            let is_named = detail.contains(&format!("as content-type {media_type}"));
            check_eq!(is_named, advised == Some(media_type), "whether {detail:?} names {media_type} for {body:?}");
        }
    }
    for body in [format!("{EVENT}\n{pretty}"), format!("{pretty}\r\n{pretty}"), "{\n".to_owned(), "{".to_owned()] {
        let response = server.send(&Request::post("/events", LINES, body))?;
        response.problem_naming(400, "; each line is a whole JSON text")?;
    }
    server.expect_empty()
}
