//! `POST /events`: bodies that have their records in arrays within objects.

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::check_eq;
use crate::client::{Request, Response};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};

pub(super) const CASES: &[Case] = cases!["envelope";
    "POST /events": [
        records_of_one_object, records_of_lines, records_of_an_array, records_through_arrays, records_by_index,
        records_that_are_the_whole_text, events_in_an_envelope, one_record_is_a_list, empty_records,
        envelope_without_records, faults_of_records, lenient_envelopes, broken_envelope,
    ],
];

const TARGET: &str = "type_from=/k&time_from=/t&records_from=";
const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

fn post(server: &Server, query: &str, media_type: &str, body: &str) -> Result<Response, Failure> {
    server.send(&Request::post(&format!("/events?{query}"), media_type, body))
}

/// Stores a body with the records a, b, c, of which only the payloads are stored.
fn stores_abc(ctx: &Context<'_>, records_from: &str, media_type: &str, body: &str) -> Outcome {
    let server = ctx.empty()?;
    let query = format!("{TARGET}{records_from}&id_from=/k&payload_from=/t");
    let response = post(&server, &query, media_type, body)?;
    response.expect(201)?;
    check_eq!(
        response.acknowledgement()?,
        json!({"accepted": 3, "duplicates": 0, "first_seq": 1, "last_seq": 3}),
        "the acknowledgement"
    );
    let events = server.find("order=seq")?;
    let seen: Vec<_> = events.iter().map(|event| (event["id"].clone(), event["payload"].clone())).collect();
    check_eq!(seen, [(json!("a"), json!(1)), (json!("b"), json!(2)), (json!("c"), json!(3))], "the records in order");
    Ok(())
}

const A: &str = r#"{"k":"a","t":1}"#;
const B: &str = r#"{"k":"b","t":2}"#;
const C: &str = r#"{"k":"c","t":3}"#;

fn records_of_one_object(ctx: &Context<'_>) -> Outcome {
    stores_abc(ctx, "/Records", JSON, &format!("{{\"x\":[0], \"Records\" : [ {A} ,{B},\n{C}], \"y\":{{}}}}"))?;
    stores_abc(ctx, "/a~1b/%20", JSON, &format!("{{\"a/b\":{{\"\\u0020\":[{A},{B},{C}]}}}}"))
}

fn records_of_lines(ctx: &Context<'_>) -> Outcome {
    stores_abc(ctx, "/r", LINES, &format!("{{\"r\":[{A},{B}]}}\n\n{{\"r\":[]}}\n{{\"r\":[{C}]}}\n"))
}

fn records_of_an_array(ctx: &Context<'_>) -> Outcome {
    stores_abc(ctx, "/r", JSON, &format!("[{{\"r\":[{A}]}},{{\"r\":[{B},{C}]}}]"))
}

fn records_through_arrays(ctx: &Context<'_>) -> Outcome {
    let scopes = |records: &str| format!("{{\"scopeLogs\":[{{\"logRecords\":[{records}]}},{{\"logRecords\":[]}}]}}");
    let body = format!("{{\"resourceLogs\":[{},{}]}}", scopes(&format!("{A},{B}")), scopes(C));
    stores_abc(ctx, "/resourceLogs/scopeLogs/logRecords", JSON, &body)?;
    stores_abc(ctx, "/resourceLogs/scopeLogs/logRecords", LINES, &body)
}

fn records_by_index(ctx: &Context<'_>) -> Outcome {
    stores_abc(ctx, "/r/1", JSON, &format!("{{\"r\":[[{{}}],[{A},{B},{C}],7]}}"))
}

fn records_that_are_the_whole_text(ctx: &Context<'_>) -> Outcome {
    stores_abc(ctx, "", LINES, &format!("[{A}]\n[{B},{C}]\n"))
}

fn events_in_an_envelope(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = json!({"id": "e", "event_type": "a", "timestamp": 1, "payload": {"n": 1}});
    post(&server, "records_from=/batch", JSON, &json!({"batch": [event, event]}).to_string())?.expect(201)?;
    check_eq!(server.payloads("id=e&type=a")?, [json!({"n": 1})], "the payload of the event");
    let response = post(&server, "records_from=/batch", JSON, r#"{"batch":[{"event_type":"a","timestamp":1}]}"#)?;
    response.fault("#/batch/0/payload", "missing_field")
}

fn one_record_is_a_list(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let response = post(&server, &format!("{TARGET}/r"), JSON, &format!("{{\"r\":[{A}]}}"))?;
    response.expect(201)?;
    check_eq!(response.header("location"), None, "the Location");
    check_eq!(
        response.acknowledgement()?,
        json!({"accepted": 1, "duplicates": 0, "first_seq": 1, "last_seq": 1}),
        "the acknowledgement"
    );
    Ok(())
}

fn empty_records(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for (media_type, body) in [(JSON, r#"{"r":[]}"#), (JSON, "[]"), (LINES, "\n"), (LINES, "{\"r\":[]}\n{\"r\":[]}")] {
        let response = post(&server, &format!("{TARGET}/r"), media_type, body)?;
        response.expect(201).map_err(|failure| failure.within(&body))?;
        check_eq!(response.member("accepted")?, json!(0), "events accepted of {body}");
    }
    server.expect_empty()
}

fn envelope_without_records(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for (records_from, body, pointer, code) in [
        ("/r", "{}", "#/r", "missing_field"),
        ("/r", "7", "#/r", "missing_field"),
        ("/r", r#"{"r":null}"#, "#/r", "wrong_type"),
        ("/r", r#"{"r":{"k":"a"}}"#, "#/r", "wrong_type"),
        ("/r", r#"{"r":[],"\u0072":[]}"#, "#/r", "duplicate_field"),
        ("/r/s", r#"{"r":"x"}"#, "#/r/s", "missing_field"),
        ("/r/s", r#"{"r":[{"s":[]},{}]}"#, "#/r/1/s", "missing_field"),
        ("/r/s", r#"{"r":[[{"s":[]}]]}"#, "#/r/0/s", "missing_field"),
        ("/r/s", r#"[{"r":[{"s":[]},{"s":1}]}]"#, "#/0/r/1/s", "wrong_type"),
        ("/r/3", r#"{"r":[[]]}"#, "#/r/3", "missing_field"),
        ("", "{}", "#", "wrong_type"),
        ("", "[{}]", "#/0", "wrong_type"),
    ] {
        let response = post(&server, &format!("{TARGET}{records_from}"), JSON, body)?;
        response.fault(pointer, code).map_err(|failure| failure.within(&format!("{records_from} of {body}")))?;
    }
    server.expect_empty()
}

fn faults_of_records(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let query = format!("{TARGET}/r%20s/u&payload_from=/p");
    let body = r#"{"r s":[{"u":[]},{"u":[{"k":"a","t":1,"p":0},{"k":7,"t":"x"},3]}]}"#;
    let faults = ["/r%20s/1/u/1/t", "/r%20s/1/u/1/p", "/r%20s/1/u/2"];
    let at = |prefix: &str| faults.map(|fault| format!("#{prefix}{fault}"));
    for (media_type, body, pointers) in [
        (JSON, body.to_owned(), at("")),
        (JSON, format!("[{body}]"), at("/0")),
        (LINES, format!("\n{{\"r s\":[]}}\n\n{body}"), at("/1")),
    ] {
        let response = post(&server, &query, media_type, &body)?;
        response.faults_at(&pointers.each_ref().map(String::as_str)).map_err(|failure| failure.within(&body))?;
        let line = if media_type == LINES { json!(4) } else { Value::Null };
        check_eq!(response.member("errors")?[0]["line"], line, "the line of {body}");
    }
    server.expect_empty()
}

fn lenient_envelopes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!("{{\"r\":[{A},{{}},{B}]}}\n{{\"r\":[{C}}}\n{{}}\n{{\"r\":[4,{C}]}}\n");
    let request =
        Request::post("/events?type=t&time_from=/t&records_from=/r", LINES, body).header("prefer", "handling=lenient");
    let response = server.send(&request)?;
    response.expect(200)?;
    check_eq!(response.member("accepted")?, json!(3), "records accepted");
    let rejected = response.member("rejected")?;
    let faults = rejected.as_array().into_iter().flatten();
    let shown: Vec<_> = faults.map(|fault| format!("{} {}", fault["pointer"], fault["line"])).collect();
    let expected = [r##""#/0/r/1/t" 1"##, r##""#/1" 2"##, r##""#/2/r" 3"##, r##""#/3/r/0" 4"##];
    check_eq!(shown, expected, "the pointers and lines of the rejected records");
    Ok(())
}

fn broken_envelope(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for (media_type, body) in
        [(JSON, format!("{{\"r\":[{A},{B}")), (LINES, format!("{{\"r\":[{A}]}}\n{{\"r\":[{A}]}}x"))]
    {
        post(&server, &format!("{TARGET}/r"), media_type, &body)?
            .problem_naming(400, "at byte ")
            .map_err(|failure| failure.within(&body))?;
    }
    server.expect_empty()
}
