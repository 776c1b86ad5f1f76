//! Events: their ids, types and payloads, as they are stored and returned.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["event";
    "Events": [
        generated_id_is_uuid_v7, id_of_the_caller_is_kept, location_leads_to_the_event, duplicate_id,
        duplicate_within_a_body, duplicate_keeps_the_first_payload, members_in_order, payload_tokens_are_kept,
        payload_of_any_type, insignificant_space_is_removed, event_type_of_256_bytes, event_type_is_case_sensitive,
        event_type_in_unicode, escaped_names_and_values, late_events_are_stored,
    ],
];

const EVENT: &str = r#"{"event_type":"login","timestamp":"2024-05-01T12:00:00Z","payload":{"user":"ada"}}"#;

fn generated_id_is_uuid_v7(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut ids = BTreeSet::new();
    for _ in 0..20 {
        let id = text(&server.submit(EVENT)?.json()?, "id")?;
        let shape: String = id.chars().map(|c| if matches!(c, '0'..='9' | 'a'..='f') { 'h' } else { c }).collect();
        check_eq!(shape, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh", "the shape of the id {id}");
        check_eq!(id.get(14..15), Some("7"), "the version of the id {id}");
        check!(id.get(19..20).is_some_and(|variant| "89ab".contains(variant)), "an id of RFC 9562, not {id}");
        ids.insert(id);
    }
    check_eq!(ids.len(), 20, "how many of 20 ids are distinct");
    Ok(())
}

fn id_of_the_caller_is_kept(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let id = ctx.unique("order");
    let ack = server.store(&json!({"id": id, "event_type": "order", "timestamp": 0, "payload": 1}))?;
    check_eq!(ack.get("id"), Some(&json!(id)), "the id acknowledged");
    let event = server.get(&format!("/events/{id}"))?;
    event.expect(200)?;
    check_eq!(event.member("id")?, json!(id), "the id of the event");
    Ok(())
}

fn location_leads_to_the_event(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for odd in ["a b", "a/b", "a?b#c", "100%", "käse", "..", "a+b&c=d", "\"\\", "~.-_"] {
        let id = format!("{odd} {}", ctx.unique(odd));
        let event = json!({"id": id, "event_type": "odd", "timestamp": 0, "payload": id});
        let response = server.submit(event.to_string())?;
        response.expect(201)?;
        let location = response.header("location").ok_or_else(|| Failure::unmet("a Location"))?.to_owned();
        check!(location.is_ascii() && !location.contains(' '), "a Location that is a URI, not {location:?}");
        let found = server.get(&location)?;
        found.expect(200).map_err(|failure| failure.within(&location))?;
        check_eq!(found.member("payload")?, json!(id), "the event at {location}");
    }
    Ok(())
}

fn duplicate_id(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = json!({"id": "twice", "event_type": "a", "timestamp": 0, "payload": 1});
    server.submit(EVENT)?.expect(201)?;
    server.store(&event)?;
    server.submit(EVENT)?.expect(201)?;
    let again = server.submit(event.to_string())?;
    again.expect(201)?;
    again.expect_header("location", "/events/twice")?;
    check_eq!(
        again.acknowledgement()?,
        json!({"id": "twice", "seq": 2, "duplicate": true}),
        "the second acknowledgement"
    );
    check_eq!(server.find("type=a")?.len(), 1, "how often the event is stored");
    let next = server.submit(EVENT)?;
    check_eq!(next.member("seq")?, json!(4), "the sequence number after a duplicate");
    Ok(())
}

fn duplicate_within_a_body(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = |id: &str| json!({"id": id, "event_type": "a", "timestamp": 0, "payload": id});
    let ack = server.store(&json!([event("x"), event("y"), event("x"), event("z"), event("x")]))?;
    check_eq!(ack, json!({"accepted": 3, "duplicates": 2, "first_seq": 1, "last_seq": 3}), "the acknowledgement");
    check_eq!(server.payloads("")?, [json!("x"), json!("y"), json!("z")], "what is stored");
    Ok(())
}

fn duplicate_keeps_the_first_payload(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&json!({"id": "k", "event_type": "a", "timestamp": 0, "payload": "first"}))?;
    let second = server.store(&json!({"id": "k", "event_type": "b", "timestamp": 9, "payload": "second"}))?;
    check_eq!(second.get("duplicate"), Some(&json!(true)), "whether the second is a duplicate");
    let event = server.get("/events/k")?;
    check_eq!(
        event.json_text()?,
        r#"{"id":"k","seq":1,"event_type":"a","timestamp":"1970-01-01T00:00:00Z","payload":"first"}"#,
        "the event"
    );
    Ok(())
}

fn members_in_order(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit(r#"{"payload":[1],"timestamp":1714564800,"id":"i","event_type":"t"}"#)?.expect(201)?;
    check_eq!(
        server.get("/events")?.json_text()?,
        r#"[{"id":"i","seq":1,"event_type":"t","timestamp":"2024-05-01T12:00:00Z","payload":[1]}]"#,
        "the answer, byte for byte"
    );
    Ok(())
}

fn payload_tokens_are_kept(ctx: &Context<'_>) -> Outcome {
    let payloads = [
        "1.0",
        "1e400",
        "-0",
        "-0.0",
        "1E+2",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{"":{"":[]}}"#,
        r#""\u0041\/\u00e9é\ud83d\ude00""#,
        r#""  two  spaces  ""#,
        r#"[[[[[[]]]]]]"#,
        r#""\u0000""#,
        r#""\ud83d""#,
        r#"{"\udc00":["a\ud800b"]}"#,
    ];
    for payload in payloads {
        let body = format!(r#"{{"id":"p","event_type":"t","timestamp":0,"payload":{payload}}}"#);
        let fresh = ctx.empty()?;
        fresh.submit(body)?.expect(201).map_err(|failure| failure.within(&payload))?;
        check_eq!(
            fresh.get("/events/p")?.json_text()?,
            format!(r#"{{"id":"p","seq":1,"event_type":"t","timestamp":"1970-01-01T00:00:00Z","payload":{payload}}}"#),
            "the event"
        );
    }
    Ok(())
}

fn payload_of_any_type(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let payloads = [json!(null), json!(true), json!(false), json!(0), json!(""), json!([]), json!({})];
    for payload in &payloads {
        server.store(&json!({"event_type": "t", "timestamp": 0, "payload": payload}))?;
    }
    check_eq!(server.payloads("")?, payloads, "the payloads");
    Ok(())
}

fn insignificant_space_is_removed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server
        .submit(
            "\r\n\t { \"id\" : \"s\" ,\"event_type\":\t\"t\", \"timestamp\" : 0 , \
             \"payload\" : { \"a\" :\n [ 1 , \" b \" ] , \"c\" : { } } } \n",
        )?
        .expect(201)?;
    check_eq!(
        server.get("/events/s")?.json_text()?,
        r#"{"id":"s","seq":1,"event_type":"t","timestamp":"1970-01-01T00:00:00Z","payload":{"a":[1," b "],"c":{}}}"#,
        "the event"
    );
    Ok(())
}

fn event_type_of_256_bytes(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let longest = "é".repeat(128);
    server.store(&json!({"event_type": longest, "timestamp": 0, "payload": 1}))?;
    let too_long = json!({"event_type": format!("{longest}x"), "timestamp": 0, "payload": 1});
    server.submit(too_long.to_string())?.fault("#/event_type", "invalid_event_type")?;
    check_eq!(server.find("")?.len(), 1, "how many events are stored");
    Ok(())
}

fn event_type_is_case_sensitive(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for event_type in ["Login", "login", "LOGIN"] {
        server.store(&json!({"event_type": event_type, "timestamp": 0, "payload": event_type}))?;
    }
    check_eq!(server.payloads("type=login")?, [json!("login")], "events of the type login");
    Ok(())
}

fn event_type_in_unicode(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for event_type in ["поиск", "検索", "🔎", "a b", " "] {
        server.store(&json!({"event_type": event_type, "timestamp": 0, "payload": event_type}))?;
    }
    check_eq!(server.payloads("type=%E6%A4%9C%E7%B4%A2")?, [json!("検索")], "events of a type in Japanese");
    check_eq!(server.payloads("type=a%20b")?, [json!("a b")], "events of a type with a space");
    Ok(())
}

fn escaped_names_and_values(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = concat!(
        r#"{"\u0065vent_type":"\u006cogin","timestamp":"2024-05-01T12:00:00\u005a","#,
        r#""payload":1,"i\u0064":"\u0069"}"#
    );
    server.submit(event)?.expect(201)?;
    check_eq!(
        server.get("/events?type=login")?.json_text()?,
        r#"[{"id":"i","seq":1,"event_type":"login","timestamp":"2024-05-01T12:00:00Z","payload":1}]"#,
        "the events stored"
    );
    Ok(())
}

fn late_events_are_stored(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for timestamp in [3000, 1000, 2000, -5, 4_000_000_000_i64] {
        server.store(&json!({"event_type": "t", "timestamp": timestamp, "payload": timestamp}))?;
    }
    check_eq!(
        server.payloads("")?,
        [json!(-5), json!(1000), json!(2000), json!(3000), json!(4_000_000_000_u64)],
        "the events in the order of their time"
    );
    Ok(())
}

fn text(value: &Value, member: &str) -> Result<String, Failure> {
    let text = value.get(member).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| Failure::unmet(format!("a text {member:?} in {value}")))
}
