//! `GET /events`: types, times, order, limits and the form of the answer.

use std::thread;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::client::{Framing, Request};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["query";
    "GET /events": [
        nothing_stored, ascending_by_time_then_sequence, descending, one_type, any_of_several_types, types_by_prefix,
        many_types_by_prefix, empty_type_matches_nothing, unknown_type_matches_nothing, bounds_are_inclusive,
        start_alone, end_alone, start_later_than_end, after_seq, limit, bad_limits, bad_after_seq, bad_order,
        unknown_parameter, parameter_names_are_case_sensitive, repeated_parameter, conditions_are_combined,
        plus_and_percent, bad_percent_encoding, lines_on_request, array_by_default, accept_lists, head_has_no_body,
        large_answer_is_streamed, answer_is_one_snapshot, slow_reader_gets_everything, abandoned_answers_do_no_harm,
    ],
];

/// Five events, stored out of order: `a` at 10 and 30, `b` at 20 and 30, `c` at 40. The payload is the sequence number.
fn stored(ctx: &Context<'_>) -> Result<Server, Failure> {
    let server = ctx.empty()?;
    server.store(&json!([
        {"event_type": "a", "timestamp": 30, "payload": 1},
        {"event_type": "a", "timestamp": 10, "payload": 2},
        {"event_type": "c", "timestamp": 40, "payload": 3},
        {"event_type": "b", "timestamp": 30, "payload": 4},
        {"event_type": "b", "timestamp": 20, "payload": 5},
    ]))?;
    Ok(server)
}

/// Requires these payloads for this query string.
fn expect(server: &Server, query: &str, payloads: &[i64]) -> Outcome {
    let expected: Vec<Value> = payloads.iter().copied().map(Value::from).collect();
    check_eq!(server.payloads(query)?, expected, "the payloads of /events?{query}");
    Ok(())
}

/// Many events, all of one type and time; the payload is 100 bytes long.
fn many(count: usize) -> String {
    let payload = "x".repeat(98);
    format!("{{\"event_type\":\"many\",\"timestamp\":0,\"payload\":\"{payload}\"}}\n").repeat(count)
}

fn nothing_stored(ctx: &Context<'_>) -> Outcome {
    let response = ctx.empty()?.get("/events")?;
    response.expect(200)?;
    response.expect_header("content-type", "application/json")?;
    check_eq!(response.json_text()?, "[]", "the body");
    check_eq!(response.header("link"), None, "the Link");
    Ok(())
}

fn ascending_by_time_then_sequence(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "", &[2, 5, 1, 4, 3])?;
    expect(&server, "order=asc", &[2, 5, 1, 4, 3])
}

fn descending(ctx: &Context<'_>) -> Outcome {
    expect(&stored(ctx)?, "order=desc", &[3, 4, 1, 5, 2])
}

fn one_type(ctx: &Context<'_>) -> Outcome {
    expect(&stored(ctx)?, "type=a", &[2, 1])
}

fn any_of_several_types(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "type=c&type=a", &[2, 1, 3])?;
    expect(&server, "type=a&type=a", &[2, 1])?;
    expect(&server, "type=a&type=nothing", &[2, 1])
}

fn types_by_prefix(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let types = ["checkout.start", "search", "checkout", "Checkout.done", "checkout.done", "größe", "checkout/x"];
    let event =
        |(event_type, n)| json!({"id": format!("e{n}"), "event_type": event_type, "timestamp": 9 - n, "payload": n});
    server.store(&types.iter().zip(1..).map(event).collect())?;
    for (query, payloads) in [
        ("type[prefix]=checkout.", &[5, 1][..]),
        ("type%5Bprefix%5D=checkout.", &[5, 1]),
        ("type[prefix]=checkout", &[7, 5, 3, 1]),
        ("type[prefix]=checkout.&type=search", &[5, 2, 1]),
        ("type[prefix]=checkout.&type[prefix]=checkout.s&type[prefix]=C&type=checkout.done", &[5, 4, 1]),
        ("type[prefix]=gr%C3%B6", &[6]),
        ("type[prefix]=", &[7, 6, 5, 4, 3, 2, 1]),
        ("type[prefix]=&type=", &[7, 6, 5, 4, 3, 2, 1]),
        ("type[prefix]=checkout.starting", &[]),
        ("type[prefix]=nothing&type=search", &[2]),
        ("type[prefix]=checkout.&order=desc", &[1, 5]),
        ("type[prefix]=checkout.&order=seq", &[1, 5]),
        ("type[prefix]=checkout.&order=seq&limit=1&after_seq=1", &[5]),
        ("type[prefix]=checkout.&start=5", &[1]),
        ("type[prefix]=checkout.&id=e1&id=e2", &[1]),
    ] {
        expect(&server, query, payloads)?;
    }
    expect(&server, &format!("type[prefix]={}", "x".repeat(300)), &[])
}

/// More types than a query usually names.
fn many_types_by_prefix(ctx: &Context<'_>) -> Outcome {
    const TYPES: i64 = 1_000;
    let server = ctx.empty()?;
    let event = |n: i64| {
        let event_type = if n % 10 == 0 { format!("few.{}", n % 3) } else { format!("many.{n}") };
        json!({"event_type": event_type, "timestamp": n * 7 % TYPES, "payload": n})
    };
    server.store(&(0..TYPES).map(event).collect())?;
    let mut many: Vec<i64> = (0..TYPES).filter(|n| n % 10 != 0).collect();
    expect(&server, "type[prefix]=many.&order=seq", &many)?;
    many.sort_by_key(|n| n * 7 % TYPES);
    expect(&server, "type[prefix]=many.", &many)?;
    many.reverse();
    expect(&server, "type[prefix]=many.&order=desc&limit=500", many.get(..500).unwrap_or_default())?;
    expect(&server, "type[prefix]=many.&type=few.0&start=3&end=3", &[429])
}

fn empty_type_matches_nothing(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let response = server.get("/events?type=")?;
    response.expect(200)?;
    check_eq!(response.json_text()?, "[]", "the body");
    expect(&server, "type=&type=c", &[3])
}

fn unknown_type_matches_nothing(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "type=A", &[])?;
    expect(&server, &format!("type={}", "x".repeat(300)), &[])?;
    expect(&server, "type=a%00", &[])
}

fn bounds_are_inclusive(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "start=20&end=30", &[5, 1, 4])?;
    expect(&server, "start=20.000000001&end=29.999999999", &[])?;
    expect(&server, "start=20&end=30&order=desc", &[4, 1, 5])?;
    expect(&server, "start=30&end=30", &[1, 4])?;
    expect(&server, "end=1970-01-01T00:00:20Z&start=20000e-3", &[5])?;
    expect(&server, "start=25&end=25", &[])
}

fn start_alone(ctx: &Context<'_>) -> Outcome {
    expect(&stored(ctx)?, "start=30", &[1, 4, 3])
}

fn end_alone(ctx: &Context<'_>) -> Outcome {
    expect(&stored(ctx)?, "end=20", &[2, 5])
}

fn start_later_than_end(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for query in ["start=20&end=10", "start=20.000000001&end=20", "end=1970-01-01T00:00:20Z&start=20001e-3"] {
        server
            .get(&format!("/events?{query}"))?
            .problem_naming(400, "start")
            .map_err(|failure| failure.within(&query))?;
    }
    Ok(())
}

fn after_seq(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "after_seq=0", &[2, 5, 1, 4, 3])?;
    expect(&server, "after_seq=2", &[5, 4, 3])?;
    expect(&server, "after_seq=5", &[])?;
    expect(&server, "after_seq=18446744073709551615", &[])
}

fn limit(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "limit=1", &[2])?;
    expect(&server, "limit=3&order=desc", &[3, 4, 1])?;
    expect(&server, "limit=10000", &[2, 5, 1, 4, 3])
}

fn bad_limits(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for limit in ["0", "10001", "-1", "1.5", "1e2", "", "ten", "0x10", "99999999999999999999", "%2B1", "%201"] {
        let response = server.get(&format!("/events?limit={limit}"))?;
        response.problem_naming(400, "limit").map_err(|failure| failure.within(&limit))?;
    }
    Ok(())
}

fn bad_after_seq(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for seq in ["-1", "", "1.0", "x", "18446744073709551616"] {
        let response = server.get(&format!("/events?after_seq={seq}"))?;
        response.problem_naming(400, "after_seq").map_err(|failure| failure.within(&seq))?;
    }
    Ok(())
}

fn bad_order(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for order in ["", "ASC", "ascending", "random"] {
        let response = server.get(&format!("/events?order={order}"))?;
        response.problem_naming(400, "order").map_err(|failure| failure.within(&order))?;
    }
    Ok(())
}

fn unknown_parameter(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (query, name) in [
        ("colour=red", "colour"),
        ("type=a&offset=3", "offset"),
        ("payload=1", "payload"),
        ("time_from=/t", "time_from"),
        ("event_type=a", "event_type"),
        ("timestamp=1", "timestamp"),
    ] {
        let response = server.get(&format!("/events?{query}"))?;
        response.problem_naming(400, name).map_err(|failure| failure.within(&query))?;
        let detail = response.problem(400)?["detail"].as_str().unwrap_or_default().to_owned();
        let known = [
            "type and type[prefix] (the event_type)",
            "start and end (the timestamp)",
            "id",
            "payload.<path>",
            "after_seq",
            "limit",
            "order",
            "cursor",
        ];
        check!(known.iter().all(|known| detail.contains(known)), "the parameters {known:?} in {detail:?}");
    }
    let one = server.get("/events/some-id?type=a")?;
    one.problem_naming(400, "'type': this route has no parameters")
}

fn parameter_names_are_case_sensitive(ctx: &Context<'_>) -> Outcome {
    ctx.server()?.get("/events?Type=a")?.problem_naming(400, "Type")
}

fn repeated_parameter(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (query, name) in [
        ("limit=1&limit=1", "limit"),
        ("start=1&start=2", "start"),
        ("end=1&end=2", "end"),
        ("order=asc&order=desc", "order"),
        ("after_seq=1&after_seq=1", "after_seq"),
        ("cursor=x&cursor=x", "cursor"),
        ("limit=1&%6cimit=2", "limit"),
    ] {
        server.get(&format!("/events?{query}"))?.problem_naming(400, name).map_err(|failure| failure.within(&query))?;
    }
    Ok(())
}

fn conditions_are_combined(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect(&server, "type=a&type=b&start=20&end=35&after_seq=1&order=desc&limit=1", &[4])?;
    expect(&server, "type=a&type=b&start=20&end=35&after_seq=1&order=desc", &[4, 5])
}

fn plus_and_percent(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&json!([
        {"event_type": "a b", "timestamp": 0, "payload": 1},
        {"event_type": "a+b", "timestamp": 0, "payload": 2},
        {"event_type": "a%20b", "timestamp": 0, "payload": 3},
        {"event_type": "a&b=c", "timestamp": 0, "payload": 4},
    ]))?;
    expect(&server, "type=a+b", &[1])?;
    expect(&server, "type=a%20b", &[1])?;
    expect(&server, "type=a%2Bb", &[2])?;
    expect(&server, "type=a%2520b", &[3])?;
    expect(&server, "%74ype=a%26b%3dc", &[4])
}

fn bad_percent_encoding(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for query in ["type=%", "type=%4", "type=%zz", "type=%ff", "type=%C0%80", "%=a"] {
        server.get(&format!("/events?{query}"))?.problem(400).map_err(|failure| failure.within(&query))?;
    }
    Ok(())
}

fn lines_on_request(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let request = Request::get("/events").header("accept", "application/x-ndjson");
    let nothing = server.send(&request)?;
    nothing.expect(200)?;
    nothing.expect_header("content-type", "application/x-ndjson")?;
    check_eq!(nothing.text()?, "", "no events as lines");
    server.store(&json!([
        {"id": "x", "event_type": "a", "timestamp": 0, "payload": 1},
        {"id": "y", "event_type": "b", "timestamp": 1, "payload": {"k": 2}},
    ]))?;
    let both = server.send(&request)?;
    check_eq!(
        both.text()?,
        "{\"id\":\"x\",\"seq\":1,\"event_type\":\"a\",\"timestamp\":\"1970-01-01T00:00:00Z\",\"payload\":1}\n\
         {\"id\":\"y\",\"seq\":2,\"event_type\":\"b\",\"timestamp\":\"1970-01-01T00:00:01Z\",\"payload\":{\"k\":2}}\n",
        "two events as lines"
    );
    Ok(())
}

fn array_by_default(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for accept in ["*/*", "application/json", "application/*", "application/json;q=0.5, */*;q=0.1"] {
        let response = server.send(&Request::get("/events?limit=1").header("accept", accept))?;
        response.expect(200).map_err(|failure| failure.within(&accept))?;
        response.expect_header("content-type", "application/json").map_err(|failure| failure.within(&accept))?;
    }
    Ok(())
}

fn accept_lists(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (accept, expected) in [
        ("text/html, application/x-ndjson", "application/x-ndjson"),
        ("application/x-ndjson;q=0.1, application/json", "application/json"),
        ("application/json;q=0.1, application/x-ndjson", "application/x-ndjson"),
        ("application/x-ndjson;q=0, */*", "application/json"),
        ("APPLICATION/X-NDJSON", "application/x-ndjson"),
        ("application/ndjson", "application/ndjson"),
        ("application/jsonl", "application/jsonl"),
        ("application/jsonlines, text/*", "application/jsonlines"),
        ("application/x-jsonlines, */*;q=0.1", "application/x-jsonlines"),
        ("application/ndjson, application/x-ndjson;q=0.9", "application/ndjson"),
    ] {
        let response = server.send(&Request::get("/events?limit=1").header("accept", accept))?;
        response.expect_header("content-type", expected).map_err(|failure| failure.within(&accept))?;
    }
    Ok(())
}

fn head_has_no_body(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let mut connection = server.connect()?;
    for target in ["/events", "/events?limit=2", "/events?type=", "/events?limit=x"] {
        let get = connection.request(&Request::get(target))?;
        let head = connection.request(&Request::new("HEAD", target))?;
        check_eq!(head.status(), get.status(), "the status of HEAD {target}");
        for field in ["content-type", "link"] {
            check_eq!(head.header(field), get.header(field), "{field} of HEAD {target}");
        }
        if let Some(length) = head.header("content-length") {
            check_eq!(length, get.body.len().to_string(), "Content-Length of HEAD {target}");
        }
    }
    // A body after any of the answers to HEAD would be read as the start of this answer.
    connection.request(&Request::get("/health"))?.expect(200)
}

fn large_answer_is_streamed(ctx: &Context<'_>) -> Outcome {
    const EVENTS: usize = 20_000;
    let server = ctx.empty()?;
    server.submit_lines(many(EVENTS))?.expect(201)?;
    let response = server.get("/events")?;
    check_eq!(response.head.framing, Framing::Chunked, "the framing of the answer");
    let events = response.events()?;
    check_eq!(events.len(), EVENTS, "how many events there are");
    let in_order = events.iter().zip(1..).all(|(event, seq)| event["seq"] == json!(seq));
    check!(in_order, "the sequence numbers 1 to {EVENTS} in their order");
    Ok(())
}

fn answer_is_one_snapshot(ctx: &Context<'_>) -> Outcome {
    const BEFORE: usize = 100_000;
    let server = ctx.empty()?;
    server.submit_lines(many(BEFORE))?.expect(201)?;
    let mut reader = server.connect()?;
    let host = server.host();
    reader.write(&Request::get("/events").to_bytes(&host))?;
    let head = reader.read_head("GET")?;
    // The answer is far larger than all socket buffers, so most of it is not yet computed when these are stored.
    for _ in 0..10 {
        server.submit_lines(many(100))?.expect(201)?;
    }
    let body = reader.read_body(&head)?;
    let events: Vec<Value> =
        serde_json::from_slice(&body).map_err(|error| Failure::unmet(format!("an array: {error}")))?;
    check_eq!(events.len(), BEFORE, "events in an answer that began before others were stored");
    check_eq!(server.find("after_seq=100000")?.len(), 1000, "events stored during the answer");
    Ok(())
}

fn slow_reader_gets_everything(ctx: &Context<'_>) -> Outcome {
    const EVENTS: usize = 60_000;
    let server = ctx.empty()?;
    server.submit_lines(many(EVENTS))?.expect(201)?;
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Outcome {
                    let mut connection = server.connect()?;
                    connection.write(&Request::get("/events").to_bytes(&server.host()))?;
                    let head = connection.read_head("GET")?;
                    // Others are served while this answer waits for its client.
                    for _ in 0..5 {
                        server.get("/health")?.expect(200)?;
                    }
                    let body = connection.read_body(&head)?;
                    let events: Vec<Value> =
                        serde_json::from_slice(&body).map_err(|error| Failure::unmet(format!("an array: {error}")))?;
                    check_eq!(events.len(), EVENTS, "events in the answer to a slow client");
                    Ok(())
                })
            })
            .collect();
        readers.into_iter().try_for_each(|reader| reader.join().unwrap_or_else(|_| Err(Failure::unmet("no panic"))))
    })
}

fn abandoned_answers_do_no_harm(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.submit_lines(many(60_000))?.expect(201)?;
    for _ in 0..20 {
        let mut connection = server.connect()?;
        connection.write(&Request::get("/events").to_bytes(&server.host()))?;
        connection.read_head("GET")?.header("content-type").ok_or_else(|| Failure::unmet("a Content-Type"))?;
    }
    server.expect_alive()
}
