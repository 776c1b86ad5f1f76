//! `POST /events`: invalid bodies, and the faults that the answer lists.

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::Context;
use crate::failure::Outcome;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["submit_faults";
    "POST /events": [
        not_json, not_json_names_the_offset, not_json_in_a_line, not_json_is_a_fault_of_the_body,
        faults_have_lines, first_fault_in_the_detail, not_utf8,
        deep_nesting_is_refused, empty_body, empty_array, unknown_content_type, missing_content_type,
        scalar_is_not_an_event, elements_that_are_not_objects, a_hundred_faults_are_listed, faults_of_several_events,
        faults_in_lines_point_by_index, unknown_parameter, lenient_single_event_is_strict,
    ],
    "Events": [
        missing_fields, unknown_field, sequence_number_is_not_accepted, duplicate_field, fields_of_the_wrong_type,
        empty_event_type, control_characters, invisible_characters_in_types, id_limits, null_is_a_payload,
    ],
];

const EVENT: &str = r#"{"event_type":"login","timestamp":0,"payload":1}"#;

fn not_json(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let bodies = [
        "{",
        "[",
        "]",
        "nul",
        "{'event_type':1}",
        r#"{"event_type":"a","timestamp":0,"payload":1"#,
        r#"{"event_type":"a","timestamp":0,"payload":1,}"#,
        r#"{"event_type":"a" "timestamp":0,"payload":1}"#,
        r#"{"event_type":"a","timestamp":0,"payload":01}"#,
        r#"{"event_type":"a","timestamp":0,"payload":+1}"#,
        r#"{"event_type":"a","timestamp":0,"payload":.5}"#,
        r#"{"event_type":"a","timestamp":0,"payload":1.}"#,
        r#"{"event_type":"a","timestamp":0,"payload":NaN}"#,
        r#"{"event_type":"a","timestamp":0,"payload":"\x"}"#,
        r#"{"event_type":"a","timestamp":0,"payload":"\u12"}"#,
        "{\"event_type\":\"a\",\"timestamp\":0,\"payload\":\"\t\"}",
        r#"{"event_type":"a","timestamp":0,"payload":[1,]}"#,
        r#"{"event_type":"a","timestamp":0,"payload":{"a"}}"#,
        r#"{"event_type":"a","timestamp":0,"payload":1}x"#,
        r#"{"event_type":"a","timestamp":0,"payload":1}{"event_type":"a","timestamp":0,"payload":1}"#,
        r#"[{"event_type":"a","timestamp":0,"payload":1},]"#,
        r#"[{"event_type":"a","timestamp":0,"payload":1} {"event_type":"a","timestamp":0,"payload":1}]"#,
    ];
    for body in bodies {
        server.submit(body)?.problem(400).map_err(|failure| failure.within(&body))?;
    }
    server.expect_empty()
}

fn not_json_names_the_offset(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (body, offset) in [("[1,2,x]", "5"), (r#"{"event_type":?}"#, "14"), ("{}\n\n\n!", "5")] {
        server.submit(body)?.problem_naming(400, &format!("byte {offset}")).map_err(|failure| failure.within(&body))?;
    }
    Ok(())
}

fn not_json_in_a_line(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit_lines(format!("{EVENT}\n{{\"a\":}}\n{EVENT}\n"))?.problem_naming(400, "byte ")?;
    // An event must not span two lines.
    server.submit_lines(EVENT.replace(',', ",\n"))?.problem(400)?;
    server.submit_lines(format!("{EVENT}{EVENT}\n"))?.problem(400)?;
    server.expect_empty()
}

fn not_json_is_a_fault_of_the_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let line = format!("{EVENT}\n\n{{\"a\":}}\n");
    for (response, pointer) in
        [(server.submit("{")?, "#"), (server.submit(format!("[{EVENT},"))?, "#"), (server.submit_lines(line)?, "#/1")]
    {
        let problem = response.problem(400)?;
        check_eq!(problem["type"], json!("/problems/invalid-json"), "the type of the problem");
        let faults = problem.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
        let shown: Vec<_> = faults.iter().map(|fault| (fault["pointer"].clone(), fault["code"].clone())).collect();
        check_eq!(shown, [(json!(pointer), json!("invalid_json"))], "the faults of the body");
        let detail = faults.first().and_then(|fault| fault["detail"].as_str()).unwrap_or_default();
        check!(detail.contains("byte "), "a detail with the offset, not {detail:?}");
    }
    server.expect_empty()
}

fn faults_have_lines(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let shown = |faults: &Value| -> Vec<String> {
        let faults = faults.as_array().into_iter().flatten();
        faults.map(|fault| format!("{} {}", fault["pointer"].as_str().unwrap_or_default(), fault["line"])).collect()
    };
    let body = format!("\n{EVENT}\r\n \n{{}}\n7\n");
    let problem = server.submit_lines(body.clone())?.problem(422)?;
    let expected = ["#/1/event_type 4", "#/1/timestamp 4", "#/1/payload 4", "#/2 5"];
    check_eq!(shown(&problem["errors"]), expected, "the faults of lines");
    let request = Request::post("/events", "application/x-ndjson", format!("{body}\n{{\n"));
    let response = server.send(&request.header("prefer", "handling=lenient"))?;
    let rejected = response.member("rejected")?;
    check_eq!(shown(&rejected), [&expected[..], &["#/3 7"]].concat(), "the faults of the rejected lines");
    let problem = server.submit_lines(format!("{EVENT}\n\n{{\"a\":}}\n"))?.problem(400)?;
    check_eq!(shown(&problem["errors"]), ["#/1 3"], "the fault of a line that is not JSON");
    let detail = format!("expected a value at byte {}, line 3", EVENT.len() + 2 + 5);
    check_eq!(problem["detail"], json!(detail), "the detail of a line that is not JSON");
    let problem = server.submit("[{},\n{}]")?.problem(422)?;
    check_eq!(problem.pointer("/errors/0/line"), None, "the line of a fault in a JSON document");
    let problem = server.submit("[\n?]")?.problem(400)?;
    check_eq!(problem.pointer("/errors/0/line"), None, "the line of a JSON document that is not JSON");
    Ok(())
}

fn first_fault_in_the_detail(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = r#"{"event_type":"a","payload":0}"#;
    server.submit(event)?.problem_naming(422, "1 fault; nothing was stored; at #/timestamp: timestamp")?;
    server
        .submit_lines(format!("\n{EVENT}\n{event}"))?
        .problem_naming(422, "1 fault; nothing was stored; at line 3, #/1/timestamp: ")
}

fn not_utf8(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"] {
        let mut body = br#"{"event_type":"a","timestamp":0,"payload":""#.to_vec();
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\"}");
        server.submit(body)?.problem(400).map_err(|failure| failure.within(&bytes.escape_ascii()))?;
    }
    server.expect_empty()
}

fn deep_nesting_is_refused(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for unit in ["[", "{\"a\":"] {
        let body = format!(r#"{{"event_type":"deep","timestamp":0,"payload":{}"#, unit.repeat(100_000));
        let status = server.submit(body)?.status();
        check!(matches!(status, 400 | 413 | 422), "a refusal of 100,000 unclosed brackets, not {status}");
    }
    server.expect_empty()?;
    server.expect_alive()
}

fn empty_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit("")?.problem(400)?;
    server.submit(" \n ")?.problem(400)?;
    server.expect_empty()
}

fn empty_array(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for response in [server.submit("[]")?, server.submit(" [ ] ")?, server.submit_lines("\n\n")?] {
        response.expect(201)?;
        check_eq!(response.member("accepted")?, json!(0), "events accepted");
        check_eq!(response.member("duplicates")?, json!(0), "duplicates");
    }
    server.expect_empty()
}

fn unknown_content_type(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for content_type in
        ["text/plain", "application/jsonx", "application/xml", "multipart/form-data; boundary=x", "json", ""]
    {
        let request = Request::post("/events", content_type, EVENT);
        server.send(&request)?.problem(415).map_err(|failure| failure.within(&content_type))?;
    }
    server.expect_empty()
}

fn missing_content_type(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let request = Request::new("POST", "/events").body(EVENT);
    server.send(&request)?.problem_naming(415, "Content-Type is missing")?;
    let json = request.header("content-type", "application/json");
    let response = server.send(&json.header("content-type", "application/json"))?;
    response.problem_naming(415, "more than one Content-Type")?;
    server.expect_empty()
}

fn scalar_is_not_an_event(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for body in ["1", "null", "true", "\"event\"", "-0.5e-3"] {
        let problem = server.submit(body)?.problem(422).map_err(|failure| failure.within(&body))?;
        check_eq!(problem.pointer("/errors/0/code"), Some(&json!("not_an_object")), "the code of the fault of {body}");
        check_eq!(problem.pointer("/errors/0/pointer"), Some(&json!("#")), "the pointer of the fault of {body}");
    }
    server.expect_empty()
}

fn elements_that_are_not_objects(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit(format!("[{EVENT},1,null,[],\"x\",{EVENT}]"))?.faults_at(&["#/1", "#/2", "#/3", "#/4"])?;
    server.submit(format!("[[{EVENT}]]"))?.faults_at(&["#/0"])?;
    server.expect_empty()
}

fn a_hundred_faults_are_listed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = format!("[{}{EVENT}]", r#"{"event_type":"a","timestamp":0},"#.repeat(150));
    let expected: Vec<String> = (0..100).map(|index| format!("#/{index}/payload")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    server.submit(body)?.faults_at(&expected)?;
    server.expect_empty()
}

fn faults_of_several_events(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let body = json!([
        {"event_type": "", "timestamp": 0, "payload": 1},
        {"event_type": "ok", "timestamp": 0, "payload": 1},
        {"event_type": "ok", "timestamp": "yesterday", "payload": 1},
        {"event_type": "ok", "timestamp": 0, "payload": 1, "colour": "red"},
    ]);
    let response = server.submit(body.to_string())?;
    response.faults_at(&["#/0/event_type", "#/2/timestamp", "#/3/colour"])?;
    let codes: Vec<Value> =
        (0..3).filter_map(|index| response.json().ok()?.pointer(&format!("/errors/{index}/code")).cloned()).collect();
    check_eq!(codes, ["invalid_event_type", "invalid_timestamp", "unknown_field"], "the codes of the faults");
    server.expect_empty()
}

fn faults_in_lines_point_by_index(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    // Blank lines have no index.
    server
        .submit_lines(format!("\n\n{EVENT}\n\n{{\"event_type\":\"a\",\"timestamp\":0}}\n"))?
        .faults_at(&["#/1/payload"])?;
    server.expect_empty()
}

fn unknown_parameter(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.send(&Request::post("/events?colour=red", "application/json", EVENT))?.problem_naming(400, "colour")?;
    server.expect_empty()
}

fn lenient_single_event_is_strict(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let request = Request::post("/events", "application/json", r#"{"event_type":"a","timestamp":0}"#)
        .header("prefer", "handling=lenient");
    server.send(&request)?.faults_at(&["#/payload"])?;
    server.expect_empty()
}

fn missing_fields(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let whole = json!({"event_type": "a", "timestamp": 0, "payload": 1});
    for field in ["event_type", "timestamp", "payload"] {
        let mut event = whole.clone();
        event.as_object_mut().and_then(|members| members.remove(field));
        let single = server.submit(event.to_string())?;
        single.fault(&format!("#/{field}"), "missing_field").map_err(|failure| failure.within(&field))?;
        let second = server.submit(json!([whole, event]).to_string())?;
        second.fault(&format!("#/1/{field}"), "missing_field").map_err(|failure| failure.within(&field))?;
    }
    server.expect_empty()
}

fn unknown_field(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for (name, token) in
        [("colour", "colour"), ("Event_type", "Event_type"), ("a/b", "a~1b"), ("a~b", "a~0b"), ("", "")]
    {
        let mut event = json!({"event_type": "a", "timestamp": 0, "payload": 1});
        event.as_object_mut().and_then(|members| members.insert(name.to_owned(), json!(1)));
        let response = server.submit(event.to_string())?;
        response.fault(&format!("#/{token}"), "unknown_field").map_err(|failure| failure.within(&name))?;
    }
    server.expect_empty()
}

fn sequence_number_is_not_accepted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let response = server.submit(r#"{"event_type":"a","timestamp":0,"payload":1,"seq":7}"#)?;
    response.fault("#/seq", "unknown_field")?;
    // The sender may have an answer of the server, which can be stored again.
    response.problem_naming(422, "?type_from=/event_type&time_from=/timestamp&id_from=/id&payload_from=/payload")?;
    server.expect_empty()
}

fn duplicate_field(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for (field, value) in [("event_type", "\"a\""), ("timestamp", "0"), ("payload", "1"), ("id", "\"i\"")] {
        let body = format!(r#"{{"id":"i","event_type":"a","timestamp":0,"payload":1,"{field}":{value}}}"#);
        let response = server.submit(body)?;
        response.fault(&format!("#/{field}"), "duplicate_field").map_err(|failure| failure.within(&field))?;
    }
    // The same name, spelled with an escape.
    server
        .submit(r#"{"event_type":"a","timestamp":0,"payload":1,"p\u0061yload":2}"#)?
        .fault("#/payload", "duplicate_field")?;
    server.expect_empty()
}

fn fields_of_the_wrong_type(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let values = ["1", "null", "true", "[]", "{}", "[\"a\"]"];
    for value in values {
        let body = format!(r#"{{"event_type":{value},"timestamp":0,"payload":1}}"#);
        server.submit(body)?.fault("#/event_type", "wrong_type").map_err(|failure| failure.within(&value))?;
        let body = format!(r#"{{"event_type":"a","timestamp":0,"payload":1,"id":{value}}}"#);
        server.submit(body)?.fault("#/id", "wrong_type").map_err(|failure| failure.within(&value))?;
    }
    for value in ["null", "true", "[]", "{}"] {
        let body = format!(r#"{{"event_type":"a","timestamp":{value},"payload":1}}"#);
        server.submit(body)?.fault("#/timestamp", "wrong_type").map_err(|failure| failure.within(&value))?;
    }
    server.expect_empty()
}

fn empty_event_type(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit(r#"{"event_type":"","timestamp":0,"payload":1}"#)?.fault("#/event_type", "invalid_event_type")?;
    server.expect_empty()
}

fn control_characters(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for control in ["\\u0000", "\\n", "\\t", "\\u001f", "\\u007f", "\\u0085", "\u{80}"] {
        let body = format!(r#"{{"event_type":"a{control}b","timestamp":0,"payload":1}}"#);
        let response = server.submit(body)?;
        response.fault("#/event_type", "invalid_event_type").map_err(|failure| failure.within(&control))?;
        let body = format!(r#"{{"event_type":"a","timestamp":0,"payload":1,"id":"a{control}b"}}"#);
        server.submit(body)?.fault("#/id", "invalid_id").map_err(|failure| failure.within(&control))?;
    }
    server.expect_empty()
}

fn invisible_characters_in_types(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let controls = (0x202a..=0x202e).chain(0x2066..=0x2069).chain([0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0xfeff]);
    for code in controls {
        let event = |value: &str| format!(r#"{{"event_type":"é{value}b","timestamp":0,"payload":1}}"#);
        let character = char::from_u32(code).unwrap_or_default();
        for value in [character.to_string(), format!("\\u{code:04x}")] {
            let response = server.submit(event(&value))?;
            response.fault("#/event_type", "invalid_event_type").map_err(|failure| failure.within(&value))?;
            let problem = response.json()?;
            let detail = problem["errors"][0]["detail"].as_str().unwrap_or_default();
            let named = format!("U+{code:04X}");
            check!(detail.contains(&named) && detail.contains("byte 2"), "{named} and its place in {detail:?}");
        }
        let encoded: String = character.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
        let request =
            Request::post(&format!("/events?type=a{encoded}&time_from=/at"), "application/json", r#"{"at":0}"#);
        server.send(&request)?.problem_naming(400, "type")?;
    }
    server.expect_empty()?;
    // Ids may have them.
    server.submit("{\"id\":\"a\u{202e}\",\"event_type\":\"a\",\"timestamp\":0,\"payload\":1}")?.expect(201)
}

fn id_limits(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = |id: &str| json!({"id": id, "event_type": "a", "timestamp": 0, "payload": 1}).to_string();
    server.submit(event(""))?.fault("#/id", "invalid_id")?;
    server.submit(event(&"é".repeat(128)))?.fault("#/id", "invalid_id")?;
    server.submit(event(&"x".repeat(256)))?.fault("#/id", "invalid_id")?;
    server.expect_empty()?;
    let longest = format!("{}x", "é".repeat(127));
    server.submit(event(&longest))?.expect(201)?;
    let again = server.submit(event(&longest))?;
    check_eq!(again.member("duplicate")?, json!(true), "whether the second is a duplicate");
    let location = again.header("location").unwrap_or_default();
    check_eq!(server.get(location)?.member("id")?, json!(longest), "the id of the event");
    server.submit(event("x"))?.expect(201)
}

fn null_is_a_payload(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit(r#"{"event_type":"a","timestamp":0,"payload":null}"#)?.expect(201)?;
    check_eq!(server.payloads("")?, [Value::Null], "the payload stored");
    Ok(())
}
