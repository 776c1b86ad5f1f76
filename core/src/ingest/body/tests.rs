//! Unit tests of parsing bodies: faults, pointers and offsets.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::format;

use super::*;
use crate::batch::Batch;
use crate::ingest::{Dialect, EventFault, FAULTS_LISTED_MAX, Mapping, Pointer, TimeSource, TypeSource};

pub(super) const ARRIVAL: Timestamp = Timestamp::from_nanos(7);
pub(super) const GOOD: &str = r#"{"event_type":"t","timestamp":1,"payload":{}}"#;

fn parse(body: &[u8], options: &ParseOptions) -> Result<Parsed, IngestError> {
    super::parse(body, options, ARRIVAL, Room::unlimited())
}

pub(super) fn native(framing: Framing, handling: Handling) -> ParseOptions {
    ParseOptions {
        framing,
        records: None,
        dialect: Dialect::Native,
        handling,
        payload_bytes_max: 64,
        depth_max: 3,
        types_max: 3,
        permitted: None,
    }
}

pub(super) fn foreign(event_type: &str, timestamp: &str, id: Option<&str>) -> ParseOptions {
    let pointer = |text: &str| Pointer::parse(text).unwrap();
    let event_type = if event_type.starts_with('/') {
        TypeSource::Pointer(pointer(event_type))
    } else {
        TypeSource::Literal(event_type.into())
    };
    let timestamp = TimeSource { from: [pointer(timestamp)].into(), or_arrival: false };
    let mapping = Mapping { event_type, timestamp, id: id.map(pointer).into_iter().collect(), payload: None };
    ParseOptions { dialect: Dialect::Foreign(mapping), ..native(Framing::Lines, Handling::Lenient) }
}

/// Type, nanoseconds, payload and id of each event.
fn shown(batch: &Batch) -> Vec<String> {
    batch
        .events()
        .map(|event| {
            let id = event.id.map_or("-", crate::event::ClientId::as_str);
            format!("{} {} {} {id}", event.event_type, event.timestamp.as_nanos(), event.payload.as_str())
        })
        .collect()
}

pub(super) fn faults(listed: &[EventFault]) -> Vec<String> {
    listed.iter().map(|fault| format!("{} {} {}", fault.index, fault.pointer, fault.code.as_str())).collect()
}

fn many(body: &str, options: &ParseOptions) -> (Vec<String>, Vec<String>, usize) {
    match parse(body.as_bytes(), options).unwrap() {
        Parsed::Many { batch, rejected, rejected_count, .. } => (shown(&batch), faults(&rejected), rejected_count),
        Parsed::One(_) => panic!("one event"),
    }
}

fn one(body: &str) -> Vec<String> {
    match parse(body.as_bytes(), &native(Framing::Document, Handling::Lenient)).unwrap() {
        Parsed::One(batch) => shown(&batch),
        Parsed::Many { .. } => panic!("many events"),
    }
}

fn refused(body: &str, options: &ParseOptions) -> Vec<String> {
    match parse(body.as_bytes(), options) {
        Err(IngestError::Faults { listed, count }) => {
            assert_eq!(listed.len(), count.min(FAULTS_LISTED_MAX));
            faults(&listed)
        }
        other => panic!("{other:?}"),
    }
}

fn syntax_offset(body: &[u8], options: &ParseOptions) -> usize {
    match parse(body, options) {
        Err(IngestError::Syntax { offset, .. }) => offset,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_object_is_one_event() {
    assert_eq!(one(GOOD), ["t 1000000000 {} -"]);
    assert_eq!(
        one(" { \"payload\" : [ 1.0, \"a b\" ] , \"id\" : \"\\u0041\", \
               \"timestamp\" : \"1970-01-01T00:00:00.5Z\", \"event_type\" : \"x\\/y\" }\r\n"),
        [r#"x/y 500000000 [1.0,"a b"] A"#]
    );
    assert_eq!(one(r#"{"event\u005ftype":"t","timestamp":-1e-9,"payload":null}"#), ["t -1 null -"]);
}

#[test]
fn a_payload_keeps_its_tokens() {
    let payload = r#"{"a":1.0,"b":1e400,"a":123456789012345678901234567890,"\ud800":"\ud800"}"#;
    let mut options = native(Framing::Document, Handling::Strict);
    options.payload_bytes_max = payload.len();
    let body = format!(r#"[{{"event_type":"t","timestamp":0,"payload":{payload}}}]"#);
    assert_eq!(many(&body, &options).0, [format!("t 0 {payload} -")]);
    options.payload_bytes_max -= 1;
    assert_eq!(refused(&body, &options), ["0 #/0/payload payload_too_large"]);
}

#[test]
fn the_limit_of_payloads_applies_to_compact_json() {
    let spaced = format!(r#"{{"event_type":"t","timestamp":0,"payload":[{}"{}"]}}"#, " ".repeat(100), "x".repeat(60));
    assert_eq!(one(&spaced).len(), 1);
    let too_long = format!(r#"{{"event_type":"t","timestamp":0,"payload":[{}"{}"]}}"#, " ".repeat(100), "x".repeat(61));
    assert_eq!(refused(&too_long, &native(Framing::Document, Handling::Strict)), ["0 #/payload payload_too_large"]);
}

#[test]
fn arrays_and_lines_are_lists_of_events() {
    let document = native(Framing::Document, Handling::Strict);
    let lines = native(Framing::Lines, Handling::Strict);
    let expected = ["t 1000000000 {} -", "t 1000000000 {} -"].map(ToString::to_string).to_vec();
    assert_eq!(many(&format!("[{GOOD} , {GOOD}]"), &document).0, expected);
    assert_eq!(many(&format!("\n{GOOD}\r\n \t\r\n{GOOD}"), &lines).0, expected);
    assert_eq!(many("[]", &document), (Vec::new(), Vec::new(), 0));
    for body in ["", "\n", " \r\n\t\n"] {
        assert_eq!(many(body, &lines), (Vec::new(), Vec::new(), 0));
        assert_eq!(syntax_offset(body.as_bytes(), &document), body.len());
    }
}

#[test]
fn every_fault_is_listed_with_a_pointer() {
    let strict = native(Framing::Document, Handling::Strict);
    let body = format!(
        r#"[{GOOD},{{}},{{"event_type":7,"timestamp":true,"payload":0,"id":null}},3,
        {{"event_type":"","timestamp":"yesterday","payload":0,"id":"\u0007"}},
        {{"event_type":"\ud800","timestamp":1e400,"payload":0,"seq":1,"a/b c":1,"payload":1,"payload":2}}]"#
    );
    let expected = [
        "1 #/1/event_type missing_field",
        "1 #/1/timestamp missing_field",
        "1 #/1/payload missing_field",
        "2 #/2/event_type wrong_type",
        "2 #/2/timestamp wrong_type",
        "2 #/2/id wrong_type",
        "3 #/3 not_an_object",
        "4 #/4/event_type invalid_event_type",
        "4 #/4/timestamp invalid_timestamp",
        "4 #/4/id invalid_id",
        "5 #/5/seq unknown_field",
        "5 #/5/a~1b%20c unknown_field",
        "5 #/5/payload duplicate_field",
        "5 #/5/event_type wrong_type",
        "5 #/5/timestamp invalid_timestamp",
    ];
    assert_eq!(refused(&body, &strict), expected);
    let (kept, rejected, count) = many(&body, &native(Framing::Document, Handling::Lenient));
    assert_eq!((kept.len(), count), (1, 5));
    assert_eq!(rejected, expected);
}

#[test]
fn a_single_object_is_strict_and_has_no_index() {
    for handling in [Handling::Strict, Handling::Lenient] {
        let options = native(Framing::Document, handling);
        assert_eq!(refused(r#"{"event_type":"t","payload":0}"#, &options), ["0 #/timestamp missing_field"]);
        assert_eq!(refused("42", &options), ["0 # not_an_object"]);
    }
}

#[test]
fn events_with_too_many_types_are_faults() {
    let lines = |types: &[&str]| -> String {
        let line = |event_type: &&str| format!("{{\"event_type\":\"{event_type}\",\"timestamp\":0,\"payload\":0}}\n");
        types.iter().map(line).collect()
    };
    let body = lines(&["a", "b", "a", "c", "d", "c", "e", "d", "a"]);
    let expected =
        ["4 #/4/event_type too_many_types", "6 #/6/event_type too_many_types", "7 #/7/event_type too_many_types"];
    assert_eq!(refused(&body, &native(Framing::Lines, Handling::Strict)), expected);
    let (kept, rejected, count) = many(&body, &native(Framing::Lines, Handling::Lenient));
    assert_eq!((kept.len(), count), (6, 3));
    assert_eq!(rejected, expected);
    let records = "{\"t\":0,\"e\":{\"k\":1}}\n{\"t\":0,\"e\":{\"k\":2}}\n";
    let options = ParseOptions { types_max: 1, ..foreign("/e/k", "/t", None) };
    assert_eq!(many(records, &options).1, ["1 #/1/e/k too_many_types"]);
}

#[test]
fn a_hundred_faults_are_listed_and_all_are_counted() {
    let body = format!("[{}]", ["{}"; 1_000].join(","));
    match parse(body.as_bytes(), &native(Framing::Document, Handling::Strict)) {
        Err(IngestError::Faults { listed, count }) => assert_eq!((listed.len(), count), (100, 3_000)),
        other => panic!("{other:?}"),
    }
    let (_, rejected, count) = many(&body, &native(Framing::Document, Handling::Lenient));
    assert_eq!((rejected.len(), count), (100, 1_000));
}

#[test]
fn offsets_of_syntax_errors_count_from_the_start_of_the_body() {
    let strict = native(Framing::Lines, Handling::Strict);
    for bad in ["{", "{}x", "{} {}", "\u{feff}{}"] {
        let body = format!("{GOOD}\n\n{bad}\n{GOOD}");
        let within = if bad.starts_with('\u{feff}') { 0 } else { bad.len().min(3) - usize::from(bad == "{}x") };
        assert_eq!(syntax_offset(body.as_bytes(), &strict), GOOD.len() + 2 + within, "{bad}");
    }
    for handling in [Handling::Strict, Handling::Lenient] {
        let document = native(Framing::Document, handling);
        assert_eq!(syntax_offset(format!("{GOOD} {GOOD}").as_bytes(), &document), GOOD.len() + 1);
        assert_eq!(syntax_offset(format!("[{GOOD}").as_bytes(), &document), GOOD.len() + 1);
        assert_eq!(syntax_offset(format!("[{GOOD}]]").as_bytes(), &document), GOOD.len() + 2);
        assert_eq!(syntax_offset(b"[\"\xff\"]", &document), 2);
    }
    assert_eq!(syntax_offset(b"{}\n\"\xff\"", &strict), 4);
}

#[test]
fn a_byte_order_mark_at_the_start_of_the_body_is_skipped() {
    let lines = native(Framing::Lines, Handling::Strict);
    assert_eq!(one(&format!("\u{feff} {GOOD}")).len(), 1);
    assert_eq!(many(&format!("\u{feff}{GOOD}\n{GOOD}"), &lines).0.len(), 2);
    assert_eq!(many("\u{feff}", &lines).0.len(), 0);
    let document = native(Framing::Document, Handling::Strict);
    for (options, body, offset) in [
        (&document, "\u{feff}", 3),
        (&document, "\u{feff}[1,?]", 6),
        (&lines, "\u{feff}?", 3),
        (&lines, "\u{feff}\n?", 4),
        (&document, "\u{feff}\u{feff}{}", 3),
        (&document, " \u{feff}{}", 1),
        (&lines, "\n\u{feff}{}", 1),
    ] {
        assert_eq!(syntax_offset(body.as_bytes(), options), offset, "{body:?}");
    }
}

#[test]
fn a_bad_line_does_not_affect_the_others_with_lenient_handling() {
    let body = [
        GOOD.as_bytes(),
        b"{\"x\":1,",
        b"",
        b"\"\xff\"",
        GOOD.as_bytes(),
        b"17",
        format!("{GOOD}{GOOD}").as_bytes(),
        format!("\u{feff}{GOOD}").as_bytes(),
    ]
    .join(&b'\n');
    match parse(&body, &native(Framing::Lines, Handling::Lenient)).unwrap() {
        Parsed::Many { batch, rejected, rejected_count, .. } => {
            assert_eq!((shown(&batch).len(), rejected_count), (2, 5));
            assert_eq!(
                faults(&rejected),
                [
                    "1 #/1 invalid_json",
                    "2 #/2 invalid_json",
                    "4 #/4 not_an_object",
                    "5 #/5 invalid_json",
                    "6 #/6 invalid_json"
                ]
            );
            assert_eq!(rejected[0].detail, "the line is not JSON: expected a member name at its byte 7");
        }
        Parsed::One(_) => panic!("one event"),
    }
}

#[test]
fn a_foreign_record_becomes_the_payload() {
    let body = r#"{"kind": "a", "meta": {"at": [ "1970-01-01T00:00:01Z" ], "n": 1.0}}
        {"kind":5,"meta":{"at":[2],"n":"x\ty"}}"#;
    let (kept, rejected, _) = many(body, &foreign("/kind", "/meta/at/0", Some("/meta/n")));
    assert_eq!(kept, [r#"a 1000000000 {"kind":"a","meta":{"at":["1970-01-01T00:00:01Z"],"n":1.0}} 1.0"#]);
    assert_eq!(rejected, ["1 #/1/meta/n invalid_id"]);
    let (kept, _, _) = many(r#"{"at":3}"#, &foreign("log line", "/at", None));
    assert_eq!(kept, [r#"log line 3000000000 {"at":3} -"#]);
}

#[test]
fn faults_of_foreign_records_point_into_the_record() {
    let body = r#"{"a b":"t"}
        {"a b":null,"at":{},"id":[]}
        {"a b":"t","a b":"u","at":1,"id":1}
        [1]
        {"a b":"t","at":1,"id":"i","more":"................................................................"}"#;
    let (kept, rejected, count) = many(body, &foreign("/a b", "/at", Some("/id")));
    assert!(kept.is_empty());
    assert_eq!(count, 5);
    assert_eq!(
        rejected,
        [
            "0 #/0/at missing_field",
            "1 #/1/a%20b wrong_type",
            "1 #/1/at wrong_type",
            "1 #/1/id wrong_type",
            "2 #/2/a%20b duplicate_field",
            "3 #/3 not_an_object",
            "4 #/4 payload_too_large",
        ]
    );
}

pub(super) fn with_ids(pointers: &[&str]) -> ParseOptions {
    let pointer = |text: &&str| Pointer::parse(text).unwrap();
    let timestamp = TimeSource { from: [pointer(&"/t")].into(), or_arrival: true };
    let event_type = TypeSource::Literal("r".into());
    let mapping = Mapping { event_type, timestamp, id: pointers.iter().map(pointer).collect(), payload: None };
    ParseOptions { dialect: Dialect::Foreign(mapping), ..native(Framing::Lines, Handling::Lenient) }
}

#[test]
fn parts_of_ids_have_faults_of_their_own() {
    for (record, fault) in [
        (r#"{"a":"x\n","b":1}"#, "#/0/a: id has the control character U+000A at byte 1"),
        ("{\"a\":\"x\",\"b\":\"\u{85}\"}", "#/0/b: id has the control character U+0085 at byte 0"),
        (r#"{"a":"x","b":"\ud800"}"#, "#/0/b: a part of the id has a lone surrogate"),
        (r#"{"a":"","b":1}"#, "#/0/a: a part of the id is empty"),
        (r#"{"a":"x","b":[]}"#, "#/0/b: a part of the id is a string or a number, not an array"),
        (r#"{"a":"x","b":1,"b":1}"#, "#/0/b: there is more than one member with this name"),
        (r#"{"t":1,"t":1}"#, "#/0/t: there is more than one member with this name"),
    ] {
        match parse(record.as_bytes(), &with_ids(&["/a", "/b"])).unwrap() {
            Parsed::Many { rejected, .. } => {
                let shown: Vec<_> =
                    rejected.iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail)).collect();
                assert_eq!(shown.len(), 1, "{record}");
                assert!(shown[0].starts_with(fault), "{shown:?}");
            }
            Parsed::One(_) => panic!("one event"),
        }
    }
    assert_eq!(many(r#"{"a":"x","a":"x"}"#, &with_ids(&["/a"])).1, ["0 #/0/a duplicate_field"]);
}

#[test]
fn the_depth_of_payloads_is_limited() {
    let mut options = native(Framing::Document, Handling::Strict);
    options.payload_bytes_max = 1 << 20;
    let brackets = |count: usize| "[".repeat(count) + &"]".repeat(count);
    let body = |payload: &str| format!(r#"[{{"event_type":"t","timestamp":0,"payload":{payload}}}]"#);
    for payload in ["[[[]]]", r#"[[],[{}],[{"a":1}]]"#, r#""[[[[[[[[""#, " [ [ [ 1 ] ] ] "] {
        assert_eq!(many(&body(payload), &options).0.len(), 1, "{payload}");
    }
    for payload in ["[[[[]]]]", r#"[[],[{}],[{"a":[1]}]]"#, &brackets(100_000)] {
        assert_eq!(refused(&body(payload), &options), ["0 #/0/payload payload_too_deep"]);
    }
    let unclosed: Box<str> = "[".repeat(100_000).into();
    assert_eq!(syntax_offset(unclosed.as_bytes(), &options), 100_000);
    options.depth_max = 100_000;
    assert_eq!(many(&body(&brackets(100_000)), &options).0.len(), 1);
    // Only the payload counts.
    let deep_id = format!(r#"[{{"event_type":"t","timestamp":0,"payload":1,"id":{}}}]"#, brackets(100));
    assert_eq!(refused(&deep_id, &native(Framing::Document, Handling::Strict)), ["0 #/0/id wrong_type"]);
    let records = "{\"t\":1,\"a\":[[1]]}\n{\"t\":2,\"a\":[[[1]]]}\n";
    assert_eq!(many(records, &foreign("r", "/t", None)).1, ["1 #/1 payload_too_deep"]);
}

#[test]
fn the_digits_of_numbers_in_payloads_are_limited() {
    let mut options = native(Framing::Lines, Handling::Lenient);
    options.payload_bytes_max = 1 << 20;
    let digits = |count: usize| "7".repeat(count);
    let body = |payload: &str| format!(r#"{{"event_type":"t","timestamp":0,"payload":{payload}}}"#);
    for payload in [
        digits(1000),
        format!("-{}.{}e+{}", digits(500), digits(499), digits(1)),
        format!("[1,{},2]", digits(1000)),
        format!(r#""{}""#, digits(2000)),
        format!(r#"{{"{}":1}}"#, digits(2000)),
    ] {
        assert_eq!(many(&body(&payload), &options).0.len(), 1, "{payload}");
    }
    for payload in [
        digits(1001),
        format!("-0.{}", digits(1000)),
        format!("1e-{}", digits(1000)),
        format!(r#"[1,{{"a":{}}},2]"#, digits(1001)),
    ] {
        assert_eq!(many(&body(&payload), &options).1, ["0 #/0/payload number_too_long"], "{payload}");
    }
    let records = format!("{{\"t\":1,\"n\":{}}}\n{{\"t\":2,\"n\":{}}}\n", digits(1000), digits(1001));
    let options = ParseOptions { payload_bytes_max: 1 << 20, ..foreign("r", "/t", None) };
    assert_eq!(many(&records, &options).1, ["1 #/1 number_too_long"]);
}
