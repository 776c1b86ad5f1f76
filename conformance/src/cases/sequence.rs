//! `GET /events`: the order of sequence numbers, the last sequence number, and ids.

use std::collections::BTreeSet;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use super::cursor::{next, walk};
use crate::case::{Case, cases};
use crate::client::{Request, Response, patience};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["sequence";
    "GET /events": [
        sequence_order, sequence_order_with_conditions, pages_in_sequence_order, events_stored_later_come_last,
        last_seq_is_in_every_answer, polling_misses_nothing_while_others_write,
        polling_in_the_order_of_time_is_warned_of, any_of_several_ids, ids_and_other_conditions, ids_in_every_order,
        ids_on_pages, too_many_ids,
    ],
];

/// Twelve events with the ids `e1` to `e12`, of three types. The payload is the sequence number. Times are in another
/// order.
fn stored(ctx: &Context<'_>) -> Result<Server, Failure> {
    let server = ctx.empty()?;
    for n in 1..=12 {
        server.store(&event(n))?;
    }
    Ok(server)
}

fn event(n: u64) -> Value {
    let event_type = ["a", "b", "c"][n as usize % 3];
    json!({"id": format!("e{n}"), "event_type": event_type, "timestamp": n * 5 % 13, "payload": n})
}

fn expect(server: &Server, query: &str, payloads: &[u64]) -> Outcome {
    let expected: Vec<Value> = payloads.iter().copied().map(Value::from).collect();
    check_eq!(server.payloads(query)?, expected, "the payloads of /events?{query}");
    Ok(())
}

fn payloads(events: &[Value]) -> Vec<u64> {
    events.iter().filter_map(|event| event["payload"].as_u64()).collect()
}

/// The header with the last sequence number of the snapshot.
fn last_seq(response: &Response) -> Result<u64, Failure> {
    let value = response.header("argus-last-seq").and_then(|value| value.parse().ok());
    value.ok_or_else(|| Failure::unmet("Argus-Last-Seq with a number"))
}

fn sequence_order(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "order=seq", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])?;
    expect(&server, "order=seq&after_seq=9", &[10, 11, 12])?;
    expect(&server, "order=seq&after_seq=12", &[])?;
    expect(&server, "order=seq&after_seq=18446744073709551615", &[])
}

fn sequence_order_with_conditions(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "order=seq&type=a", &[3, 6, 9, 12])?;
    expect(&server, "order=seq&type=a&type=b&after_seq=6", &[7, 9, 10, 12])?;
    // The times of the first twelve numbers: 5 10 2 7 12 4 9 1 6 11 3 8.
    expect(&server, "order=seq&start=9", &[2, 5, 7, 10])?;
    expect(&server, "order=seq&end=3&after_seq=3", &[8, 11])?;
    expect(&server, "order=seq&start=4&end=9&type=b", &[1, 4, 7])
}

fn pages_in_sequence_order(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    for limit in [1, 5, 12] {
        let pages = walk(&server, &format!("/events?order=seq&limit={limit}"))?;
        check_eq!(payloads(&pages.concat()), (1..=12).collect::<Vec<_>>(), "the pages of {limit} put together");
    }
    let pages = walk(&server, "/events?order=seq&type=b&after_seq=1&limit=2")?;
    check_eq!(payloads(&pages.concat()), [4, 7, 10], "the pages of a type put together");
    let first = server.get("/events?order=seq&limit=2")?;
    let target = next(&first)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    let other = target.replace("order=seq", "order=asc");
    server.get(&other)?.problem_naming(400, "cursor")
}

fn events_stored_later_come_last(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let first = server.get("/events?order=seq&limit=10")?;
    let target = next(&first)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    server.store(&json!({"event_type": "a", "timestamp": 0, "payload": 13}))?;
    check_eq!(payloads(&server.get(&target)?.events()?), [11, 12, 13], "the payloads of the second page");
    Ok(())
}

fn last_seq_is_in_every_answer(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    check_eq!(last_seq(&server.get("/events")?)?, 0, "the last number if nothing is stored");
    let server = stored(ctx)?;
    for query in ["", "?type=nobody", "?limit=1", "?order=desc&limit=100", "?order=seq&after_seq=12", "?id=e3"] {
        let target = format!("/events{query}");
        check_eq!(last_seq(&server.get(&target)?)?, 12, "the last number in the answer to {target}");
        check_eq!(last_seq(&server.send(&Request::new("HEAD", &target))?)?, 12, "the same for HEAD");
        let lines = server.send(&Request::get(&target).header("accept", "application/x-ndjson"))?;
        check_eq!(last_seq(&lines)?, 12, "the same for an answer in lines");
    }
    let many = json!({"event_type": "many", "timestamp": 0, "payload": "x".repeat(1000)});
    server.store(&Value::Array(vec![many; 1000]))?;
    check_eq!(last_seq(&server.get("/events")?)?, 1012, "the last number in a long answer");
    Ok(())
}

/// Three clients write while one polls: it receives each event once, in the order of sequence numbers.
fn polling_misses_nothing_while_others_write(ctx: &Context<'_>) -> Outcome {
    const WRITERS: u64 = 3;
    const BATCHES: u64 = 40;
    let server = ctx.empty()?;
    let write = |writer: u64| -> Outcome {
        let mut connection = server.connect()?;
        for batch in 0..BATCHES {
            let events: Vec<Value> = (0..=batch % 4)
                .map(
                    |n| json!({"event_type": "p", "timestamp": (writer * 1000 + batch * 7 + n) % 100, "payload": null}),
                )
                .collect();
            let body = Value::Array(events).to_string();
            connection.request(&Request::post("/events", "application/json", body))?.expect(201)?;
        }
        Ok(())
    };
    let total = WRITERS * (0..BATCHES).map(|batch| batch % 4 + 1).sum::<u64>();
    let poll = || -> Result<Vec<u64>, Failure> {
        let mut connection = server.connect()?;
        let mut received: Vec<u64> = Vec::new();
        let mut after = 0;
        let mut progressed = Instant::now();
        while after < total {
            // A writer that has failed writes nothing more.
            check!(
                progressed.elapsed() < patience(),
                "{total} events, not {after} and then none within {:?}",
                patience()
            );
            let before = after;
            let response =
                connection.request(&Request::get(&format!("/events?order=seq&limit=7&after_seq={after}")))?;
            let events = response.events()?;
            received.extend(events.iter().filter_map(|event| event["seq"].as_u64()));
            // The last page has all remaining events of the snapshot.
            after = match (next(&response)?, received.last()) {
                (Some(_), Some(last)) => *last,
                (Some(_), None) => return Err(Failure::unmet("an event on a page that is followed by another")),
                (None, _) => last_seq(&response)?,
            };
            if after > before {
                progressed = Instant::now();
            }
        }
        Ok(received)
    };
    let received = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        let received = poll();
        // A writer that has failed is the reason for what is missing, so it is reported first.
        for writer in writers {
            writer.join().map_err(|_| Failure::unmet("a writer that does not panic"))??;
        }
        received
    })?;
    check_eq!(received, (1..=total).collect::<Vec<_>>(), "the sequence numbers that polling received");
    Ok(())
}

fn polling_in_the_order_of_time_is_warned_of(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    for (query, is_warned_of) in [
        ("after_seq=0&limit=5", true),
        ("after_seq=12&limit=5&order=asc", true),
        ("after_seq=3&limit=10000&order=desc&type=a", true),
        ("after_seq=0&limit=5&order=seq", false),
        ("after_seq=0", false),
        ("limit=5", false),
        ("", false),
    ] {
        let target = format!("/events?{query}");
        let lines = Request::get(&target).header("accept", "application/x-ndjson");
        for request in [Request::get(&target), Request::new("HEAD", &target), lines] {
            let response = server.send(&request)?;
            response.expect(200)?;
            let warning = response.header("argus-warning").unwrap_or_default();
            check_eq!(warning.contains("order=seq"), is_warned_of, "whether {target} has a warning");
            check_eq!(warning.is_empty(), !is_warned_of, "whether {target} has no warning");
        }
    }
    let second = next(&server.get("/events?after_seq=0&limit=5")?)?;
    let second = server.get(&second.ok_or_else(|| Failure::unmet("a Link to the next page"))?)?;
    check!(second.header("argus-warning").is_some(), "the same warning on the next page");
    check_eq!(server.get("/events?after_seq=0&limit=0")?.header("argus-warning"), None, "a warning in an error");
    Ok(())
}

fn any_of_several_ids(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "id=e3", &[3])?;
    expect(&server, "id=e1&id=e3&id=nobody&id=e1", &[3, 1])?;
    expect(&server, "id=nobody", &[])?;
    expect(&server, "id=", &[])?;
    let generated = server.store(&json!({"event_type": "a", "timestamp": 0, "payload": 13}))?;
    let id = generated["id"].as_str().unwrap_or_default();
    expect(&server, &format!("id={id}&id=e3"), &[13, 3])?;
    for id in ["a&b=c", "stream", "ä b"] {
        server.store(&json!({"id": id, "event_type": "odd", "timestamp": 0, "payload": 14}))?;
    }
    expect(&server, "id=a%26b%3Dc&id=stream&id=%C3%A4+b", &[14, 14, 14])
}

fn ids_and_other_conditions(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "id=e1&id=e2&id=e3&type=b", &[1])?;
    expect(&server, "id=e1&id=e2&id=e3&start=3", &[1, 2])?;
    expect(&server, "id=e1&id=e2&id=e3&after_seq=1&end=9", &[3])?;
    expect(&server, "id=e1&type=c", &[])
}

fn ids_in_every_order(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    // The times of these events are 8, 5, 1 and 4.
    let ids = "id=e12&id=e1&id=e8&id=e6";
    expect(&server, ids, &[8, 6, 1, 12])?;
    expect(&server, &format!("{ids}&order=desc"), &[12, 1, 6, 8])?;
    expect(&server, &format!("{ids}&order=seq"), &[1, 6, 8, 12])
}

fn ids_on_pages(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let ids: Vec<String> = (1..=9).map(|n| format!("id=e{n}")).collect();
    for order in ["asc", "desc", "seq"] {
        let pages = walk(&server, &format!("/events?{}&order={order}&limit=2", ids.join("&")))?;
        check!(pages.iter().all(|page| page.len() <= 2), "pages of two events at most");
        let distinct: BTreeSet<u64> = payloads(&pages.concat()).into_iter().collect();
        check_eq!((distinct.len(), pages.concat().len()), (9, 9), "the events of the pages in order {order}");
    }
    Ok(())
}

fn too_many_ids(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let ids = |count: usize| vec!["id=e1"; count].join("&");
    expect(&server, &ids(1_000), &[1])?;
    server.get(&format!("/events?{}", ids(1_001)))?.problem_naming(400, "id")
}
