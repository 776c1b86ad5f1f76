//! `POST /events`: records of other products, mapped to events by pointers.

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["foreign";
    "POST /events": [
        type_and_time_from_the_record, type_as_a_literal, id_from_the_record, id_of_several_values,
        record_without_an_id, invalid_ids, record_is_the_payload, nested_pointers, escaped_pointers, numbers_as_time,
        first_time_counts, time_of_arrival, array_of_records, single_record, native_fields_are_ignored,
        missing_value_is_a_fault, value_of_the_wrong_type_is_a_fault, lenient_records, payload_from_the_record,
        type_without_time, time_without_type, type_together_with_type_from, not_a_pointer, empty_type,
        repeated_pointer, payload_of_mapped_records_can_be_queried, events_go_in_again,
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

fn id_of_several_values(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = [
        r#"{"source":"a","id":"100"}"#,
        r#"{"source":"b","id":"100"}"#,
        r#"{"id":"10\u0030","source":"\u0061"}"#,
        r#"{"source":"a","id":100}"#,
        r#"{"source":"ü\/\"\\","id":1.0}"#,
    ]
    .join("\n");
    let response = server.send(&import("type=t&time=now&id_from=/source&id_from=/id", &body))?;
    response.expect(201)?;
    check_eq!(response.member("accepted")?, json!(4), "records accepted");
    check_eq!(response.member("duplicates")?, json!(1), "records with the id of another");
    let ids: Vec<_> = server.find("order=seq")?.iter().map(|event| event["id"].clone()).collect();
    let expected = [r#"["a","100"]"#, r#"["b","100"]"#, r#"["a",100]"#, r#"["ü/\"\\",1.0]"#];
    check_eq!(ids, expected, "the ids");
    let one = r#"{"source":"a","id":"100"}"#;
    let target = "/events?type=t&time=now&id_from=/source&id_from=/id";
    let response = server.send(&Request::post(target, "application/json", one))?;
    check_eq!(
        response.acknowledgement()?,
        json!({"id": r#"["a","100"]"#, "seq": 1, "duplicate": true}),
        "the acknowledgement of a single record"
    );
    let location = "/events/%5B%22a%22%2C%22100%22%5D";
    response.expect_header("location", location)?;
    check_eq!(server.get(location)?.member("seq")?, json!(1), "the event at the Location");
    Ok(())
}

fn record_without_an_id(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for record in [r#"{"b":"x"}"#, r#"{"a":null,"b":"x"}"#] {
        for ids in ["id_from=/a", "id_from=/a&id_from=/b", "id_from=/b&id_from=/a"] {
            let response = server.send(&import(&format!("type=t&time=now&{ids}"), record))?;
            response.expect(201)?;
            check_eq!(response.member("accepted")?, json!(1), "whether {record} with {ids} is new");
        }
    }
    let events = server.find("")?;
    let are_generated = events.iter().all(|event| event["id"].as_str().is_some_and(|id| id.len() == 36));
    check_eq!(are_generated, true, "whether all ids are generated");
    Ok(())
}

fn invalid_ids(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for (value, code) in [
        ("true", "wrong_type"),
        ("[]", "wrong_type"),
        ("{}", "wrong_type"),
        (r#""\ud800""#, "wrong_type"),
        (r#""""#, "invalid_id"),
        (r#""x\n""#, "invalid_id"),
        ("\"\u{85}\"", "invalid_id"),
    ] {
        let record = format!(r#"{{"a":"x","b":{value}}}"#);
        for ids in ["id_from=/b", "id_from=/a&id_from=/b", "id_from=/b&id_from=/c"] {
            let response = server.send(&import(&format!("type=t&time=now&{ids}"), &record))?;
            response.fault("#/0/b", code).map_err(|failure| failure.within(&format!("{value} with {ids}")))?;
        }
    }
    let record = json!({"a": "x".repeat(200), "b": "y".repeat(200)}).to_string();
    let response = server.send(&import("type=t&time=now&id_from=/a&id_from=/b", &record))?;
    response.fault("#/0", "invalid_id")?;
    response.problem_naming(422, "'/a', '/b'")?;
    server.expect_empty()
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

fn first_time_counts(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let target = "type=t&time_from=/a&time_from=/b/c&time_from=/d";
    let body = "{\"a\":1,\"b\":{\"c\":2}}\n{\"a\":null,\"b\":{\"c\":2},\"d\":3}\n{\"b\":{\"c\":null},\"d\":3}\n";
    server.send(&import(target, body))?.expect(201)?;
    let times: Vec<_> = server.find("order=seq")?.iter().map(|event| event["timestamp"].clone()).collect();
    check_eq!(times, ["1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z", "1970-01-01T00:00:03Z"], "the times");
    // A value that is there but no time is not skipped.
    for fallback in ["", "&time=now"] {
        let response = server.send(&import(&format!("{target}{fallback}"), r#"{"a":null,"b":{"c":"never"},"d":3}"#))?;
        response.fault("#/0/b/c", "invalid_timestamp").map_err(|failure| failure.within(&fallback))?;
    }
    let response = server.send(&import(target, r#"{"a":null}"#))?;
    response.fault("#/0/a", "missing_field")?;
    response.problem_naming(422, "'/a', '/b/c', '/d'")
}

fn time_of_arrival(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&import("type=first&time=now", "{\"n\":1}\n{\"n\":2}\n"))?.expect(201)?;
    server.send(&import("type=second&time_from=/t&time=now", "{\"t\":null}\n{\"t\":1}\n{}\n"))?.expect(201)?;
    // In the order of time: the texts themselves cannot be compared, their fractions have different lengths.
    let events = server.find("start=2026-01-01T00:00:00Z")?;
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].clone()).collect();
    check_eq!(seqs, [1, 2, 3, 5], "the events with a time of arrival, in the order of time");
    let times: Vec<_> = events.iter().map(|event| event["timestamp"].clone()).collect();
    check!(times[0] == times[1] && times[2] == times[3], "one time of arrival for each body, not {times:?}");
    let old: Vec<_> = server.find("end=2026-01-01T00:00:00Z")?.iter().map(|event| event["timestamp"].clone()).collect();
    check_eq!(old, ["1970-01-01T00:00:01Z"], "the time of the record that has one");
    for value in ["", "then", "2024-01-01T00:00:00Z", "NOW"] {
        let response = server.send(&import(&format!("type=t&time={value}"), "{}"))?;
        response.problem_naming(400, "time: the only value is now").map_err(|failure| failure.within(&value))?;
    }
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

fn payload_from_the_record(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let target = "type_from=/k&time_from=/t&payload_from=/p/q";
    let values = ["null", "false", "1.0", r#""s""#, "[1e2]", r#"{"b":1,"a":2}"#];
    let body: Vec<_> = values.map(|value| format!(r#"{{"k":"t","t":1,"p":{{"q": {value} }}}}"#)).into();
    server.send(&import(target, &body.join("\n")))?.expect(201)?;
    let stored = server.send(&Request::get("/events?order=seq").header("accept", "application/x-ndjson"))?;
    let payloads: Vec<_> = stored.text()?.lines().filter_map(|line| line.split_once(r#""payload":"#)).collect();
    let payloads: Vec<_> = payloads.into_iter().map(|(_, rest)| rest.strip_suffix('}').unwrap_or(rest)).collect();
    check_eq!(payloads, values, "the payloads");
    let response = server.send(&import(target, r#"{"k":"t","t":1,"p":{}}"#))?;
    response.fault("#/0/p/q", "missing_field")?;
    server.send(&import("type=t&time=now&payload_from=", "{\"whole\":1}"))?.expect(201)?;
    check_eq!(server.payloads("type=t&payload.whole=1")?, [json!({"whole": 1})], "the whole record");
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
    for query in ["time_from=/at", "time=now", "id_from=/who", "payload_from=/who", "records_from=/a&id_from=/who"] {
        let response = server.send(&import(query, RECORD))?;
        response.problem_naming(400, "type").map_err(|failure| failure.within(&query))?;
    }
    server.expect_empty()
}

fn type_together_with_type_from(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&import("type=a&type_from=/kind&time_from=/at", RECORD))?.problem_naming(400, "type")?;
    server.expect_empty()
}

fn not_a_pointer(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for pointer in ["at", "at/x", "/a~2b", "/a~", ""] {
        let response = server.send(&import(&format!("type=a&time_from={pointer}"), RECORD))?;
        response.problem_naming(400, "time_from").map_err(|failure| failure.within(&pointer))?;
    }
    for query in ["type_from=&time=now", "type=a&time=now&id_from="] {
        let response = server.send(&import(query, RECORD))?;
        response.problem_naming(400, "_from: empty").map_err(|failure| failure.within(&query))?;
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
    for name in ["type_from", "payload_from", "records_from"] {
        let response = server.send(&import(&format!("time_from=/at&{name}=/a&{name}=/b"), RECORD))?;
        response.problem_naming(400, name).map_err(|failure| failure.within(&name))?;
    }
    server.expect_empty()
}

fn payload_of_mapped_records_can_be_queried(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!("{RECORD}\n{}\n", RECORD.replace("ada", "bob"));
    server.send(&import("type_from=/kind&time_from=/at", &body))?.expect(201)?;
    check_eq!(server.find("payload.who=bob")?.len(), 1, "events of bob");
    Ok(())
}

/// The answer to a query is a body that stores the same events elsewhere.
fn events_go_in_again(ctx: &Context<'_>) -> Outcome {
    let source = ctx.empty()?;
    source.store(&json!([
        {"id": "a \"b\"", "event_type": "ü", "timestamp": "2024-05-01T12:00:00.123456789Z", "payload": {"z": 1}},
        {"id": "[\"a\",1]", "event_type": "t", "timestamp": -1, "payload": null},
        {"event_type": "t", "timestamp": 0, "payload": [{"payload": "\u{7f}"}]},
    ]))?;
    let target = "/events?type_from=/event_type&time_from=/timestamp&id_from=/id&payload_from=/payload";
    let shown = |server: &Server| -> Result<Vec<Value>, Failure> {
        let mut events = server.find("")?;
        events.iter_mut().for_each(|event| drop(event.as_object_mut().and_then(|members| members.remove("seq"))));
        Ok(events)
    };
    for media_type in ["application/x-ndjson", "application/json"] {
        let answer = source.send(&Request::get("/events").header("accept", media_type))?;
        let copy = ctx.empty()?;
        let response = copy.send(&Request::post(target, media_type, answer.text()?))?;
        response.expect(201).map_err(|failure| failure.within(&media_type))?;
        check_eq!(response.member("accepted")?, json!(3), "events accepted as {media_type}");
        check_eq!(shown(&copy)?, shown(&source)?, "the events stored from {media_type}");
    }
    Ok(())
}
