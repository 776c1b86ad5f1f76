//! `DELETE /events`.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};

use super::keys::{ALL, File, Key, NEXT, WEB, event};
use crate::case::{Case, cases};
use crate::client::{Request, Response};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::launcher::Signal;
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["erase";
    "DELETE /events": [
        every_filter_erases, everything, an_erasure_needs_a_filter, invalid_parameters, what_was_stored_later_stays,
        an_erased_id_is_new, cursors_go_on, sequence_numbers_stay, a_live_stream_after_an_erasure,
        a_stream_is_told_of_the_gap, erasures_survive_a_restart, the_bytes_leave_the_disk, metrics_say_what_is_pending,
    ],
    "Keys, limits, browsers": [erasing_needs_its_scope, a_restricted_key_erases_what_it_sees],
];

fn delete(query: &str) -> Request {
    Request::new("DELETE", &format!("/events{query}"))
}

/// The number of erased events.
fn count(response: &Response) -> Result<u64, Failure> {
    response.expect(200)?;
    let answer = response.json()?;
    check_eq!(answer.as_object().map(serde_json::Map::len), Some(1), "the members of the answer");
    answer["erased"].as_u64().ok_or_else(|| Failure::unmet(format!("no number of erased events: {answer}")))
}

fn erase(server: &Server, query: &str) -> Result<u64, Failure> {
    count(&server.send(&delete(query))?)
}

/// Stores ten events of different types, users and times, with ids `e1` to `e10`.
fn fill(server: &Server) -> Outcome {
    let events: Vec<Value> = (1..=10)
        .map(|n| {
            json!({
                "id": format!("e{n}"),
                "event_type": if n % 2 == 0 { "order.paid" } else { "visit" },
                "timestamp": 1_000 + n,
                "payload": {"user": format!("u{}", n % 3), "n": n},
            })
        })
        .collect();
    server.store(&json!(events)).map(drop)
}

fn seqs(server: &Server, query: &str) -> Result<Vec<u64>, Failure> {
    Ok(server.find(query)?.iter().filter_map(|event| event["seq"].as_u64()).collect())
}

fn every_filter_erases(ctx: &Context<'_>) -> Outcome {
    for (query, gone) in [
        ("?type=visit", &[1, 3, 5, 7, 9][..]),
        ("?type[prefix]=order.", &[2, 4, 6, 8, 10]),
        ("?type=", &[]),
        ("?id=e3&id=e4&id=nobody", &[3, 4]),
        ("?payload.user=u1", &[1, 4, 7, 10]),
        ("?payload.n[gt]=8", &[9, 10]),
        ("?start=1003&end=1005", &[3, 4, 5]),
        ("?after_seq=8", &[9, 10]),
        ("?type=visit&payload.user=u0&end=1005", &[3]),
    ] {
        let server = ctx.empty()?;
        fill(&server)?;
        check_eq!(erase(&server, query)?, gone.len() as u64, "the number of events that {query} erases");
        check_eq!(erase(&server, query)?, 0, "the number when it is sent again");
        let left: Vec<u64> = (1..=10).filter(|seq| !gone.contains(seq)).collect();
        check_eq!(seqs(&server, "order=seq")?, left, "the events that {query} leaves");
        check_eq!(seqs(&server, "")?, left, "the same by time");
        check_eq!(server.find(query.trim_start_matches('?'))?, Vec::<Value>::new(), "the events that {query} finds");
        for seq in 1..=10 {
            let status = if gone.contains(&seq) { 404 } else { 200 };
            let found = server.get(&format!("/events/e{seq}"))?;
            check_eq!(found.status(), status, "the status of event {seq} after {query}");
        }
    }
    Ok(())
}

fn everything(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    check_eq!(erase(&server, "?all=true")?, 0, "the number in an empty store");
    fill(&server)?;
    check_eq!(erase(&server, "?all=true")?, 10, "the number of erased events");
    server.expect_empty()
}

fn an_erasure_needs_a_filter(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    fill(&server)?;
    for query in ["", "?"] {
        server.send(&delete(query))?.problem_naming(400, "all=true")?;
    }
    check_eq!(server.find("")?.len(), 10, "the events that are left");
    Ok(())
}

fn invalid_parameters(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    fill(&server)?;
    for (query, name) in [
        ("?all=yes", "all"),
        ("?all=true&type=visit", "all"),
        ("?type=visit&limit=1", "limit"),
        ("?type=visit&order=desc", "order"),
        ("?type=visit&cursor=x", "cursor"),
        ("?kind=visit", "kind"),
        ("?start=2&end=1", "start"),
        ("?payload.n[like]=1", "like"),
    ] {
        server.send(&delete(query))?.problem_naming(400, name)?;
    }
    check_eq!(server.find("")?.len(), 10, "the events that are left");
    Ok(())
}

fn what_was_stored_later_stays(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    for round in 0..3 {
        fill(&server)?;
        check_eq!(erase(&server, "?type=visit")?, 5, "the number in round {round}");
        check_eq!(erase(&server, "?type[prefix]=order.")?, 5, "the number in round {round}");
    }
    fill(&server)?;
    check_eq!(seqs(&server, "order=seq")?, (31..=40).collect::<Vec<_>>(), "the events that are left");
    Ok(())
}

fn an_erased_id_is_new(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let order = |n: u64| json!({"id": "order-1", "event_type": "order", "timestamp": n, "payload": n});
    for n in 1..=3 {
        let stored = server.store(&order(n))?;
        check_eq!((&stored["duplicate"], &stored["seq"]), (&json!(false), &json!(n)), "the answer");
        check_eq!(server.store(&order(0))?["duplicate"], json!(true), "whether it is a duplicate");
        check_eq!(server.get("/events/order-1")?.json()?["payload"], json!(n), "the payload");
        check_eq!(erase(&server, "?id=order-1")?, 1, "the number of erased events");
        server.get("/events/order-1")?.problem(404)?;
    }
    let generated = server.store(&json!({"event_type": "order", "timestamp": 1, "payload": null}))?;
    let id = generated["id"].as_str().unwrap_or_default().to_owned();
    check_eq!(erase(&server, &format!("?id={id}"))?, 1, "the number of erased events");
    server.get(&format!("/events/{id}"))?.problem(404).map(drop)
}

fn cursors_go_on(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    fill(&server)?;
    let page = server.get("/events?limit=3")?;
    check_eq!(page.events()?.len(), 3, "the events of the first page");
    let next = page.header("link").and_then(|link| link.split(['<', '>']).nth(1)).unwrap_or_default().to_owned();
    // Also the event that the cursor stands at.
    check_eq!(erase(&server, "?id=e3&id=e4&id=e10")?, 3, "the number of erased events");
    let rest: Vec<u64> = server.get(&next)?.events()?.iter().filter_map(|event| event["seq"].as_u64()).collect();
    check_eq!(rest, [5, 6, 7], "the events of the next page");
    Ok(())
}

fn sequence_numbers_stay(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    fill(&server)?;
    erase(&server, "?after_seq=8")?;
    let response = server.get("/events?order=seq&after_seq=7")?;
    check_eq!(response.header("argus-last-seq"), Some("10"), "the last sequence number");
    let stored = server.store(&json!({"event_type": "a", "timestamp": 1, "payload": null}))?;
    check_eq!(stored["seq"], json!(11), "the sequence number of the next event");
    check_eq!(seqs(&server, "order=seq&after_seq=7")?, [8, 11], "the events after 7");
    Ok(())
}

fn a_live_stream_after_an_erasure(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let mut all = server.stream("")?;
    let mut visits = server.stream("type=visit")?;
    fill(&server)?;
    check_eq!(all.seqs(10)?, (1..=10).collect::<Vec<_>>(), "the events of a stream");
    check_eq!(visits.seqs(5)?, [1, 3, 5, 7, 9], "the events of a stream with a filter");
    erase(&server, "?type=visit")?;
    fill_again(&server)?;
    check_eq!(all.seqs(5)?, (11..=15).collect::<Vec<_>>(), "the events that the stream goes on with");
    check_eq!(visits.seqs(5)?, (11..=15).collect::<Vec<_>>(), "the same with a filter");
    Ok(())
}

/// Stores the visits again, whose ids are new.
fn fill_again(server: &Server) -> Outcome {
    let events: Vec<Value> = [1, 3, 5, 7, 9]
        .iter()
        .map(|n| json!({"id": format!("e{n}"), "event_type": "visit", "timestamp": n, "payload": n}))
        .collect();
    server.store(&json!(events)).map(drop)
}

fn a_stream_is_told_of_the_gap(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    fill(&server)?;
    erase(&server, "?id=e4&id=e5")?;
    let mut stream = server.stream("after_seq=2")?;
    check_eq!(stream.seqs(1)?, [3], "the events before the gap");
    stream.expect_notice("gap", "first_seq", 6)?;
    check_eq!(stream.seqs(5)?, [6, 7, 8, 9, 10], "the events after the gap");
    Ok(())
}

fn erasures_survive_a_restart(ctx: &Context<'_>) -> Outcome {
    let mut server = ctx.empty()?;
    let Some(repository) = server.repository() else { return Ok(()) };
    fill(&server)?;
    check_eq!(erase(&server, "?payload.user=u1")?, 4, "the number of erased events");
    server.signal(Signal::Kill)?;
    server.wait()?;
    let again = ctx.start_again(Some(&repository), &[])?;
    check_eq!(seqs(&again, "order=seq")?, [2, 3, 5, 6, 8, 9], "the events after a restart");
    again.get("/events/e1")?.problem(404).map(drop)
}

fn the_bytes_leave_the_disk(ctx: &Context<'_>) -> Outcome {
    const SECRET: &str = "jane.doe@example.org";
    // In memory there are no bytes to look for.
    if ctx.empty()?.folder().is_none() {
        return Ok(());
    }
    let server = ctx.start(&[("--erase-within", "0s")])?;
    let Some(folder) = server.folder().map(Path::to_owned) else { return Ok(()) };
    fill(&server)?;
    server.store(&json!({"event_type": "signup", "timestamp": 1, "payload": {"email": SECRET}}))?;
    check!(holds(&folder, SECRET), "the store has the bytes of its events, or the search is wrong");
    check_eq!(erase(&server, &format!("?payload.email={SECRET}"))?, 1, "the number of erased events");
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.metric("argus_erasures_pending")? > 0.0 || holds(&folder, SECRET) {
        check!(Instant::now() < deadline, "the bytes of an erased event leave the disk");
        thread::sleep(Duration::from_millis(50));
    }
    check_eq!(server.find("")?.len(), 10, "the events that are left");
    Ok(())
}

/// Whether any file in a folder has these bytes.
fn holds(folder: &Path, text: &str) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

fn metrics_say_what_is_pending(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    fill(&server)?;
    for series in ["argus_erasures_pending", "argus_erasure_oldest_seconds", "argus_erasure_pending_bytes"] {
        check_eq!(server.metric(series)?, 0.0, "{series} without an erasure");
    }
    erase(&server, "?type=visit")?;
    check_eq!(server.metric("argus_erasures_pending")?, 1.0, "the pending erasures");
    let age = server.metric("argus_erasure_oldest_seconds")?;
    check!((0.0..3_600.0).contains(&age), "the age of the erasure in seconds, not {age}");
    Ok(())
}

fn erasing_needs_its_scope(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    ALL.post(&server, &event("web.click"))?.expect(201)?;
    server.send(&delete("?all=true"))?.problem(401)?;
    server.send(&WEB.on(delete("?all=true")))?.problem_naming(403, "erase")?;
    check_eq!(count(&server.send(&ALL.on(delete("?all=true")))?)?, 1, "the number of erased events");
    Ok(())
}

fn a_restricted_key_erases_what_it_sees(ctx: &Context<'_>) -> Outcome {
    let some: &Key = &NEXT;
    let entries = [
        ALL.entry("all", "scopes = [\"write\", \"read\", \"erase\"]"),
        some.entry("some", "scopes = [\"erase\"]\ntypes = [\"web.*\", \"login\"]"),
    ];
    let server = File::new(&entries.concat())?.start(ctx)?;
    for name in ["web.a", "app.b", "login", "web.c", "logins"] {
        ALL.post(&server, &event(name))?.expect(201)?;
    }
    check_eq!(count(&server.send(&some.on(delete("?type=app.b")))?)?, 0, "the number of another type");
    check_eq!(count(&server.send(&some.on(delete("?type=web.c&type=logins")))?)?, 1, "the number of both types");
    check_eq!(count(&server.send(&some.on(delete("?all=true")))?)?, 2, "the number of all that it sees");
    check_eq!(ALL.types(&server, "?order=seq")?, ["app.b", "logins"], "the types of the events that are left");
    Ok(())
}
