//! API keys that are restricted to event types.

use serde_json::{Value, json};

use super::keys::{ALL, File, WEB, event};
use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::Context;
use crate::failure::Outcome;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["key_types";
    "Keys, limits, browsers": [
        other_types_cannot_be_written, other_types_are_rejected_leniently, other_types_of_mapped_records,
        other_types_are_not_seen, pages_of_a_restricted_key, an_id_of_another_type_is_a_duplicate,
    ],
];

fn other_types_cannot_be_written(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    WEB.post(&server, &event("web.click"))?.expect(201)?;
    WEB.post(&server, &event("login"))?.expect(201)?;
    for name in ["web", "website", "logins", "Web.click", "app.start"] {
        WEB.post(&server, &event(name))?.fault("#/event_type", "type_not_permitted")?;
    }
    let mixed = json!([event("web.a"), event("app.b"), event("login"), event("c")]);
    WEB.post(&server, &mixed)?.faults_at(&["#/1/event_type", "#/3/event_type"])?;
    check_eq!(ALL.types(&server, "?order=seq")?, ["web.click", "login"], "the types of the events stored");
    Ok(())
}

fn other_types_are_rejected_leniently(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let lines = [event("web.a"), event("app.b"), event("login")].map(|event| format!("{event}\n")).concat();
    let request = Request::post("/events", "application/x-ndjson", lines).header("prefer", "handling=lenient");
    let response = server.send(&WEB.on(request))?;
    response.expect(200)?;
    let answer = response.json()?;
    check_eq!(answer["accepted"], json!(2), "the events accepted");
    check_eq!(answer["rejected"].as_array().map(Vec::len), Some(1), "the events rejected");
    check_eq!(answer["rejected"][0]["code"], json!("type_not_permitted"), "the code of the fault");
    check_eq!(answer["rejected"][0]["line"], json!(2), "the line of the fault");
    check_eq!(ALL.types(&server, "?order=seq")?, ["web.a", "login"], "the types of the events stored");
    Ok(())
}

fn other_types_of_mapped_records(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let post = |query: &str, body: &str| {
        server.send(&WEB.on(Request::post(&format!("/events?time=now&{query}"), "application/json", body)))
    };
    post("type_from=/kind", r#"{"kind":"web.a"}"#)?.expect(201)?;
    post("type_from=/kind", r#"{"kind":"app.a"}"#)?.fault("#/kind", "type_not_permitted")?;
    post("type=app.a", "{}")?.problem(422)?;
    post("type=login", "{}")?.expect(201)
}

fn other_types_are_not_seen(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let events: Vec<Value> = ["web.a", "app.b", "login", "web.c", "logins"]
        .iter()
        .map(|name| json!({"id": format!("id-{name}"), "event_type": name, "timestamp": 1, "payload": {"n": 1}}))
        .collect();
    ALL.post(&server, &json!(events))?.expect(201)?;
    for (query, expected) in [
        ("?order=seq", &["web.a", "login", "web.c"][..]),
        ("", &["web.a", "login", "web.c"]),
        ("?order=desc", &["web.c", "login", "web.a"]),
        ("?type=app.b&type=web.c", &["web.c"]),
        ("?type=app.b", &[]),
        ("?type=", &[]),
        ("?type[prefix]=", &["web.a", "login", "web.c"]),
        ("?type[prefix]=log", &["login"]),
        ("?type[prefix]=web.c", &["web.c"]),
        ("?type[prefix]=app", &[]),
        ("?id=id-app.b&id=id-login", &["login"]),
        ("?payload.n=1&after_seq=1", &["login", "web.c"]),
    ] {
        check_eq!(WEB.types(&server, query)?, expected, "the types that {query} finds");
    }
    WEB.get(&server, "/events/id-web.a")?.expect(200)?;
    let hidden = WEB.get(&server, "/events/id-app.b")?;
    let absent = WEB.get(&server, "/events/id-app.x")?;
    hidden.problem(404)?;
    check_eq!(hidden.text()?.replace("app.b", "app.x"), absent.text()?, "the answer, as if there was no such event");
    ALL.get(&server, "/events/id-app.b")?.expect(200)
}

fn pages_of_a_restricted_key(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let events: Vec<Value> =
        (0..30).map(|number| event(if number % 3 == 0 { "web.page" } else { "app.page" })).collect();
    ALL.post(&server, &json!(events))?.expect(201)?;
    let mut target = "/events?limit=4".to_owned();
    let mut found = 0;
    loop {
        let page = WEB.get(&server, &target)?;
        let events = page.events()?;
        check!(events.iter().all(|event| event["event_type"] == "web.page"), "only events of the key's types");
        found += events.len();
        let Some(link) = page.header("link") else { break };
        target = link.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
    }
    check_eq!(found, 10, "the events on all pages");
    // A cursor belongs to what its caller sees.
    ALL.get(&server, &target)?.problem_naming(400, "cursor")
}

/// Ids are unique among all events, so an id that is taken by an event of another type is acknowledged as any duplicate.
fn an_id_of_another_type_is_a_duplicate(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let with_id = |name: &str| json!({"id": "same", "event_type": name, "timestamp": 0, "payload": 1});
    ALL.post(&server, &with_id("app.a"))?.expect(201)?;
    let response = WEB.post(&server, &with_id("web.a"))?;
    response.expect(201)?;
    check_eq!(response.json()?["duplicate"], json!(true), "whether it is a duplicate");
    WEB.get(&server, "/events/same")?.problem(404).map(drop)
}
