//! Unit tests of `POST /events`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::{JSON, act, body, line, replied};
use crate::api::{Acknowledgement, Action, Draft, ProblemKind, Reply, Submission, Submitted};
use crate::batch::{Batch, Handling};
use crate::cause::{Cause, NamedPlace};
use crate::event::{Timestamp, Uuid};
use crate::ingest::{FaultCode, too_many_types};
use crate::repository::{CommitError, Duplicate, Receipt, Surplus};
use crate::room::{NoRoom, Room};

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const ARRIVAL: Timestamp = Timestamp::from_nanos(1_700_000_000_000_000_000);
const EVENT: &str = r#"{"event_type":"a","timestamp":1,"payload":{},"id":"x/ü"}"#;

fn submission(target: &str, fields: &[(&str, &str)]) -> Submission {
    match act("POST", target, fields) {
        Action::Submit(submission) => submission,
        other => panic!("{other:?}"),
    }
}

fn committed(submission: Submission, body: &str) -> (Batch, Acknowledgement) {
    match submission.handle_body(body.as_bytes(), ARRIVAL) {
        Submitted::Commit(batch, acknowledgement) => (batch, acknowledgement),
        Submitted::Reply(reply) => panic!("{reply:?}"),
    }
}

fn answered(submission: Submission, body: &[u8]) -> Reply {
    match submission.handle_body(body, ARRIVAL) {
        Submitted::Reply(Draft(reply)) => reply,
        Submitted::Commit(batch, _) => panic!("{batch:?}"),
    }
}

#[test]
fn unsupported_bodies_are_refused_before_they_are_read() {
    for (fields, status) in [
        (&[][..], 415),
        (&[("content-type", "text/plain")], 415),
        (&[("content-type", "application/json; charset=latin1")], 415),
        (&[("content-type", "json")], 415),
        (&[JSON, JSON], 415),
        (&[JSON, ("content-encoding", "br")], 415),
        (&[JSON, ("content-encoding", "gzip, gzip")], 415),
        (&[JSON, ("content-encoding", "identity, gzip, , zstd")], 415),
        (&[JSON, ("content-length", "1001")], 413),
    ] {
        let reply = replied(act("POST", "/events", fields));
        assert_eq!(reply.status, status, "{fields:?}");
        assert_eq!(reply.close, status == 413);
    }
    let reply = replied(act("POST", "/events", &[]));
    assert!(reply.header("accept-post").unwrap().contains("application/jsonl"));
    let reply = replied(act("POST", "/events", &[JSON, ("content-encoding", "br")]));
    assert_eq!((reply.header("accept-encoding"), reply.header("accept-post")), (Some("gzip, zstd"), None));
    let fields = [("content-type", "Application/JSONL ; charset=\"UTF-8\""), ("content-length", "1000")];
    let submission = submission("/events", &fields);
    assert_eq!((submission.expected_bytes(), submission.wire_bytes_max()), (Some(1000), 1000));
    assert!(!submission.is_compressed());
}

#[test]
fn invalid_parameters_are_refused_by_name() {
    for (query, name) in [
        ("typ=a", "'typ'"),
        ("type=a", "time_from"),
        ("type_from=/a", "time_from"),
        ("time_from=/a", "type_from"),
        ("id_from=/a", "id_from"),
        ("type=a&type_from=/a&time_from=/a", "type_from"),
        ("type=&time_from=/a", "type"),
        ("type=%0A&time_from=/a", "type"),
        ("type_from=a&time_from=/a", "type_from"),
        ("type_from=/a&time_from=/~2", "time_from"),
        ("type=a&time=then", "time"),
        ("type=a&time=", "time"),
        ("type=a&time=now&time=now", "time"),
        ("time=now", "type_from"),
        ("payload_from=/a", "payload_from"),
        ("records_from=/a&payload_from=/a", "payload_from"),
        ("records_from=a", "records_from"),
        ("records_from=/a&records_from=/a", "records_from"),
        ("type=a&time=now&payload_from=/a&payload_from=/a", "payload_from"),
        (&format!("type=a{}", "&time_from=/a".repeat(9)), "time_from"),
        (&format!("type=a&time=now{}", "&id_from=/a".repeat(9)), "id_from"),
        (&format!("type=a&time_from={}", "/a".repeat(65)), "time_from"),
        ("type=a&type=a&time_from=/a", "type"),
        ("type_from=&time_from=/a", "type_from"),
        ("type=a&time_from=", "time_from"),
        ("type=a&time=now&id_from=/a&id_from=", "id_from"),
    ] {
        let reply = replied(act("POST", &format!("/events?{query}"), &[JSON]));
        assert_eq!(reply.problem, Some(ProblemKind::InvalidParameter), "{query}");
        let detail = body(&reply)["detail"].as_str().unwrap().to_string();
        assert!(detail.starts_with(&format!("{name}: ")), "{query}: {detail}");
    }
    let most = format!("/events?type=a{}{}", "&time_from=/a".repeat(8), "&id_from=/a".repeat(8));
    submission(&most, &[JSON]);
    submission("/events?type=a&time=now&payload_from=&records_from=", &[JSON]);
    for (query, part) in [
        ("id_from=&type=a&time=now", "id_from: empty"),
        ("timestamp=/a", "time_from or time (the timestamp)"),
        ("event_type=/a", "type or type_from (the event_type)"),
    ] {
        let reply = replied(act("POST", &format!("/events?{query}"), &[JSON]));
        assert!(body(&reply)["detail"].as_str().unwrap().contains(part), "{:?}", body(&reply));
    }
    let target = "/events?type=a&time_from=/t&id_from=/i";
    let (batch, _) = committed(submission(target, &[JSON]), r#"{"t":1,"i":"x"}"#);
    let event = batch.events().next().unwrap();
    assert_eq!((event.event_type.as_str(), event.payload.as_str()), ("a", r#"{"t":1,"i":"x"}"#));
}

#[test]
fn a_single_event_is_acknowledged_with_its_id() {
    let receipt = |stored, duplicates: &[Duplicate], generated_id| {
        Ok::<_, CommitError>(Receipt {
            first_seq: 7,
            stored,
            duplicates: duplicates.into(),
            surplus: None,
            generated_id,
            expired: 0,
            durable: true,
        })
    };
    let (_, acknowledgement) = committed(submission("/events", &[JSON]), EVENT);
    let reply = acknowledgement.reply(&receipt(1, &[], None)).0;
    assert_eq!((reply.status, line(&reply)), (201, r#"{"id":"x/ü","seq":7,"duplicate":false,"durable":true}"#));
    assert_eq!(reply.header("location"), Some("/events/x%2F%C3%BC"));

    let (_, acknowledgement) = committed(submission("/events", &[JSON]), EVENT);
    let reply = acknowledgement.reply(&receipt(1, &[], None).map(|receipt| Receipt { expired: 1, ..receipt })).0;
    assert_eq!(body(&reply), json!({"id": "x/ü", "seq": 7, "duplicate": false, "durable": true, "expired": 1}));

    let (_, acknowledgement) = committed(submission("/events", &[JSON]), EVENT);
    let reply = acknowledgement.reply(&receipt(0, &[Duplicate { index: 0, seq: 3 }], None)).0;
    assert_eq!((reply.status, line(&reply)), (201, r#"{"id":"x/ü","seq":3,"duplicate":true,"durable":true}"#));

    let without_id = r#"{"event_type":"a","timestamp":1,"payload":{}}"#;
    let lenient = [JSON, ("prefer", "handling=lenient")];
    let (_, acknowledgement) = committed(submission("/events", &lenient), without_id);
    let reply = acknowledgement.reply(&receipt(1, &[], Some(Uuid([0x11; 16])))).0;
    let id = "11111111-1111-1111-1111-111111111111";
    assert_eq!((reply.status, body(&reply)), (201, json!({"id": id, "seq": 7, "duplicate": false, "durable": true})));
    assert_eq!(reply.header("location"), Some(format!("/events/{id}").as_str()));
    assert_eq!(reply.header("preference-applied"), None);
}

#[test]
fn many_events_are_acknowledged_with_a_summary() {
    let outcome = |stored, duplicates: &[Duplicate]| {
        Ok::<_, CommitError>(Receipt {
            first_seq: 7,
            stored,
            duplicates: duplicates.into(),
            surplus: None,
            generated_id: None,
            expired: 0,
            durable: true,
        })
    };
    let array = format!("[{EVENT},{EVENT},{EVENT}]");
    let (batch, acknowledgement) = committed(submission("/events", &[JSON]), &array);
    assert_eq!(batch.len(), 3);
    let reply = acknowledgement.reply(&outcome(2, &[Duplicate { index: 0, seq: 3 }])).0;
    assert_eq!(line(&reply), r#"{"accepted":2,"duplicates":1,"first_seq":7,"last_seq":8,"durable":true}"#);
    assert_eq!((reply.status, reply.header("location")), (201, None));

    let (_, acknowledgement) = committed(submission("/events", &[NDJSON]), &format!("\n{EVENT}\n\n"));
    let reply = acknowledgement.reply(&outcome(0, &[Duplicate { index: 0, seq: 3 }])).0;
    assert_eq!(line(&reply), r#"{"accepted":0,"duplicates":1,"first_seq":null,"last_seq":null,"durable":true}"#);

    let (_, acknowledgement) = committed(submission("/events", &[JSON]), &array);
    let reply = acknowledgement.reply(&outcome(3, &[]).map(|receipt| Receipt { expired: 2, ..receipt })).0;
    let expected = r#"{"accepted":3,"duplicates":0,"first_seq":7,"last_seq":9,"durable":true,"expired":2}"#;
    assert_eq!(line(&reply), expected);

    for (fields, text) in [(JSON, "[]"), (NDJSON, ""), (NDJSON, "\n\n")] {
        let reply = answered(submission("/events", &[fields]), text.as_bytes());
        assert_eq!(
            (reply.status, line(&reply)),
            (201, r#"{"accepted":0,"duplicates":0,"first_seq":null,"last_seq":null}"#)
        );
    }
}

#[test]
fn lenient_handling_stores_the_valid_events() {
    let lenient = [NDJSON, ("prefer", "wait=1"), ("prefer", "Handling=\"Lenient\"")];
    let (batch, acknowledgement) = committed(submission("/events", &lenient), &format!("{EVENT}\n{{}}\n"));
    assert_eq!(batch.len(), 1);
    let outcome = Ok(Receipt {
        first_seq: 1,
        stored: 1,
        duplicates: [].into(),
        surplus: None,
        generated_id: None,
        expired: 0,
        durable: true,
    });
    let reply = acknowledgement.reply(&outcome).0;
    assert_eq!((reply.status, reply.header("preference-applied")), (200, Some("handling=lenient")));
    let body_of = body(&reply);
    assert_eq!(body_of["accepted"], 1);
    assert_eq!(body_of["rejected"][0]["code"], "missing_field");
    assert!(!reply.rejected.is_empty());
    let rejected = |field: &str| {
        format!(r##"{{"pointer":"#/1/{field}","line":2,"code":"missing_field","detail":"{field} is required"}}"##)
    };
    let expected = ["event_type", "timestamp", "payload"].map(rejected).join(",");
    let expected =
        format!(r#"{{"accepted":1,"duplicates":0,"first_seq":1,"last_seq":1,"durable":true,"rejected":[{expected}]}}"#);
    assert_eq!(line(&reply), expected);

    // There is nothing to store, and more events are rejected than listed.
    let reply = answered(submission("/events", &lenient), "1\n".repeat(101).as_bytes());
    let start = r##"{"accepted":0,"duplicates":0,"first_seq":null,"last_seq":null,"rejected":[{"pointer":"#/0","##;
    assert!(line(&reply).starts_with(start), "{:?}", reply.body);
    assert!(line(&reply).ends_with(r#"}],"rejected_count":101}"#), "{:?}", reply.body);

    let reply = answered(submission("/events", &lenient), b"{}\n");
    assert_eq!((reply.status, &body(&reply)["first_seq"]), (200, &Value::Null));

    let strict = [NDJSON, ("prefer", "handling=strict, handling=lenient")];
    let reply = answered(submission("/events", &strict), format!("{EVENT}\n{{}}\n").as_bytes());
    assert_eq!((reply.status, reply.header("preference-applied")), (422, None));
}

#[test]
fn events_with_too_many_types_are_rejected() {
    let outcome = |stored, indexes: &[u32]| {
        let surplus = Surplus { indexes: indexes.into(), types_max: 5 };
        let surplus = Some(Box::new(surplus));
        Ok(Receipt {
            first_seq: 7,
            stored,
            duplicates: [].into(),
            surplus,
            generated_id: None,
            expired: 0,
            durable: true,
        })
    };
    let pointers = |body: &Value, list: &str| -> Vec<String> {
        let listed = body[list].as_array().unwrap().iter();
        listed.map(|fault| format!("{} {}", fault["pointer"].as_str().unwrap(), fault["code"])).collect()
    };
    let fault = |pointer: &str| format!("{pointer} \"too_many_types\"");

    let (_, acknowledgement) = committed(submission("/events", &[JSON]), EVENT);
    let reply = acknowledgement.reply(&outcome(0, &[0])).0;
    assert_eq!((reply.status, reply.problem), (422, Some(ProblemKind::InvalidEvents)));
    assert_eq!(pointers(&body(&reply), "errors"), [fault("#/event_type")]);
    assert_eq!(reply.rejected, [(FaultCode::TooManyTypes, 1)]);

    let array = format!("[{EVENT},{EVENT},{EVENT}]");
    let (batch, acknowledgement) = committed(submission("/events", &[JSON]), &array);
    assert_eq!(batch.handling(), Handling::Strict);
    let reply = acknowledgement.reply(&outcome(0, &[0, 2])).0;
    let detail = format!("2 faults; nothing was stored; the first at #/0/event_type: {}", too_many_types(5));
    assert_eq!((reply.status, &body(&reply)["detail"]), (422, &json!(detail)));
    assert_eq!(pointers(&body(&reply), "errors"), [fault("#/0/event_type"), fault("#/2/event_type")]);

    // Pointers count the events that parsing rejected, and the list is in the order of the body.
    let lenient = [JSON, ("prefer", "handling=lenient")];
    let (batch, acknowledgement) =
        committed(submission("/events", &lenient), &format!("[{EVENT},1,{EVENT},2,{EVENT}]"));
    assert_eq!((batch.len(), batch.handling()), (3, Handling::Lenient));
    let reply = acknowledgement.reply(&outcome(2, &[1])).0;
    assert_eq!((reply.status, &body(&reply)["accepted"]), (200, &json!(2)));
    let expected = ["#/1 \"not_an_object\"".to_string(), fault("#/2/event_type"), "#/3 \"not_an_object\"".to_string()];
    assert_eq!(pointers(&body(&reply), "rejected"), expected);
}

#[test]
fn invalid_bodies_are_refused_with_a_pointer() {
    let reply = answered(submission("/events", &[JSON]), b"{\"event_type\":");
    assert_eq!((reply.status, reply.problem), (400, Some(ProblemKind::InvalidJson)));
    assert!(body(&reply)["detail"].as_str().unwrap().contains("at byte 14"), "{}", body(&reply)["detail"]);
    let detail = body(&reply)["detail"].clone();
    assert_eq!(body(&reply)["errors"], json!([{"pointer": "#", "code": "invalid_json", "detail": detail}]));
    let reply = answered(submission("/events", &[NDJSON]), format!("{EVENT}\n\n{{\n").as_bytes());
    assert_eq!((reply.status, &body(&reply)["errors"][0]["pointer"]), (400, &json!("#/1")));
    let reply = answered(submission("/events", &[JSON]), format!("[{EVENT},{{}}]").as_bytes());
    assert_eq!((reply.status, reply.problem), (422, Some(ProblemKind::InvalidEvents)));
    assert!(body(&reply)["errors"][0]["pointer"].as_str().unwrap().starts_with("#/1"));
    let reply = answered(submission("/events", &[JSON]), " ".repeat(1001).as_bytes());
    assert_eq!((reply.status, reply.close), (413, true));
    let one =
        answered(submission("/events", &[NDJSON]), b"{\"event_type\":\"a\",\"timestamp\":1,\"payload\":1,\"id\":1}");
    let detail = "1 fault; nothing was stored; at line 1, #/0/id: id is a string, not a number";
    assert_eq!((one.status, &body(&one)["detail"]), (422, &json!(detail)));
    let gzip = [JSON, ("content-encoding", "gzip")];
    assert!(submission("/events", &gzip).is_compressed());
    let reply = answered(submission("/events", &gzip), EVENT.as_bytes());
    assert_eq!((reply.status, reply.problem), (400, Some(ProblemKind::BadRequest)));
    assert_eq!(body(&reply)["detail"], "damaged gzip body: no gzip header at byte 0");
}

/// Many programs write a document over several lines, and some callers send it under the type of lines.
#[test]
fn the_type_of_a_document_is_named_if_it_was_sent_as_lines() {
    let pretty = format!("[\n  {},\n  {EVENT}\n]\n", EVENT.replace(',', ",\n    "));
    for (text, status, is_document) in [
        (pretty.as_str(), 400, true),
        (&format!("\n\u{feff}{pretty}"), 400, false),
        (&format!("\u{feff}\n{pretty}"), 400, true),
        (&format!("{pretty}{pretty}"), 400, false),
        ("{\n}", 400, true),
        ("{\n", 400, false),
        (&format!("{EVENT}\n{{\n}}"), 400, false),
        (&format!("[{EVENT},{EVENT}]\n"), 422, true),
        ("[]\n[]\n", 422, true),
        ("7\n", 422, false),
    ] {
        let reply = answered(submission("/events", &[NDJSON]), text.as_bytes());
        let detail = body(&reply)["detail"].as_str().unwrap().to_string();
        assert_eq!((reply.status, detail.contains("content-type application/json")), (status, is_document), "{detail}");
        if status == 400 {
            assert_eq!(body(&reply)["errors"][0]["detail"], json!(detail));
        }
    }
    // In envelopes, an array is what is looked into.
    let reply = answered(submission("/events?records_from=/r", &[NDJSON]), b"[7]\n{\"r\":[[1]]}\n");
    assert!(!body(&reply)["detail"].as_str().unwrap().contains("application/json"), "{:?}", body(&reply));
}

/// A pointer can be as long as the names in a body.
#[test]
fn the_detail_has_room_for_the_reason() {
    let target = format!("/events?type=a&time_from=/{}", "n".repeat(900));
    let reply = answered(submission(&target, &[NDJSON]), format!("{{\"{}\":true}}", "n".repeat(900)).as_bytes());
    let detail = body(&reply)["detail"].as_str().unwrap().to_string();
    let (start, end) = (
        "2 faults; nothing was stored; the first at line 1, #/0/nnn",
        "…: a timestamp is a string or a number, not true",
    );
    assert!(detail.starts_with(start) && detail.ends_with(end) && detail.len() < 200, "{detail}");
}

#[test]
fn bodies_that_exceed_the_memory_limit_are_refused() {
    let lines = format!("{EVENT}\n").repeat(10);
    for (no_room, status, kind) in
        [(NoRoom::Now, 503, ProblemKind::Overloaded), (NoRoom::Ever, 413, ProblemKind::ContentTooLarge)]
    {
        let answered = |room_bytes: usize| {
            let mut ask = |bytes| if bytes > room_bytes { Err(no_room) } else { Ok(()) };
            submission("/events", &[NDJSON]).handle_body_within(lines.as_bytes(), ARRIVAL, Room::new(&mut ask))
        };
        assert!(matches!(answered(20_000), Submitted::Commit(..)));
        for room_bytes in [0, 100, lines.len()] {
            let Submitted::Reply(Draft(reply)) = answered(room_bytes) else {
                panic!("{room_bytes} bytes are not enough")
            };
            assert_eq!((reply.status, reply.problem), (status, Some(kind)));
        }
    }
}

#[test]
fn failed_commits_say_whether_events_may_be_stored() {
    let cause = || Cause::at(NamedPlace::new("/srv/data", "one of its files"), "EIO");
    for (error, kind, nothing_was_stored) in [
        (CommitError::Full(cause()), ProblemKind::StorageFull, true),
        (CommitError::unavailable(cause()), ProblemKind::StorageUnavailable, true),
        (CommitError::Unavailable { cause: cause(), in_doubt: true }, ProblemKind::StorageUnavailable, false),
        (CommitError::in_doubt(cause()), ProblemKind::StorageFailed, false),
        (CommitError::failed(cause()), ProblemKind::StorageFailed, true),
    ] {
        let (_, acknowledgement) = committed(submission("/events", &[JSON]), EVENT);
        let reply = acknowledgement.reply(&Err(error)).0;
        assert_eq!((reply.status, reply.problem), (503, Some(kind)));
        assert!(reply.header("retry-after").is_some());
        let body = body(&reply);
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.ends_with("one of its files: EIO") && !detail.contains("srv"), "{detail}");
        assert_eq!(detail.contains("nothing was stored"), nothing_was_stored, "{detail}");
        assert_eq!(detail.contains("is unknown"), !nothing_was_stored, "{detail}");
    }
}
