//! `GET /events/aggregate`, and what all questions about many events have in common.

use serde_json::{Value, json};

use super::keys::{File, WEB, event};
use crate::case::{Case, cases};
use crate::client::Request;
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["questions";
    "GET /events/aggregate": [
        no_events_give_one_row, figures_by_group, buckets_follow_the_zone, empty_buckets_are_filled,
        the_largest_groups, arrays_and_missing_values, bad_aggregates, too_many_groups,
        a_year_of_seconds_is_refused, a_million_groups_are_refused, many_mean_questions_are_answered,
        questions_of_a_restricted_key, head_of_questions,
    ],
];

/// Seven events of four types, over two days.
pub(super) fn stored(ctx: &Context<'_>) -> Result<Server, Failure> {
    let server = ctx.empty()?;
    let at = |time: &str| format!("2026-03-{time}Z");
    let tagged = json!({"user": "ada", "ms": 10, "tags": ["a", "b"]});
    server.store(&json!([
        {"event_type": "view", "timestamp": at("28T10:00:00"), "payload": tagged},
        {"event_type": "view", "timestamp": at("28T10:00:30"), "payload": {"user": "bob", "ms": 20.5, "tags": []}},
        {"event_type": "buy", "timestamp": at("28T10:05:00"), "payload": {"user": "ada", "ms": 30, "price": 12.99}},
        {"event_type": "view", "timestamp": at("28T23:30:00"), "payload": {"user": "eve", "ms": "slow", "tags": "a"}},
        {"event_type": "buy", "timestamp": at("29T11:00:00"), "payload": {"user": "ada", "price": 0.01}},
        {"event_type": "view", "timestamp": at("29T12:00:00"), "payload": {"user": "bob", "ms": 1e1}},
        {"event_type": "leave", "timestamp": at("29T12:00:00"), "payload": {"user": null}},
    ]))?;
    Ok(server)
}

pub(super) fn answer(server: &Server, target: &str) -> Result<Value, Failure> {
    let response = server.get(target)?;
    response.expect(200).map_err(|failure| failure.within(&target))?;
    response.expect_header("content-type", "application/json")?;
    response.json()
}

/// Requires a number with this relative error at most.
pub(super) fn expect_close(found: &Value, exact: f64, error: f64, what: &str) -> Outcome {
    let found = found.as_f64().ok_or_else(|| Failure::unmet(format!("a number for {what}, not {found}")))?;
    let range = exact - exact.abs() * error..=exact + exact.abs() * error;
    check!(range.contains(&found), "{what} close to {exact}, not {found}");
    Ok(())
}

/// Requires these rows of an aggregate.
fn expect_rows(server: &Server, query: &str, rows: &Value) -> Outcome {
    let found = answer(server, &format!("/events/aggregate?{query}"))?;
    check_eq!(&found["rows"], rows, "the rows of {query}");
    Ok(())
}

/// Requires 400 whose detail has this word.
pub(super) fn expect_bad(server: &Server, target: &str, word: &str) -> Outcome {
    server.get(target)?.problem_naming(400, word).map_err(|failure| failure.within(&target))
}

fn no_events_give_one_row(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let whole = json!({"columns": ["count"], "rows": [[0]], "exact": true});
    check_eq!(answer(&server, "/events/aggregate")?, whole, "the answer without events");
    expect_rows(&server, "agg=sum(payload.a)&agg=avg(payload.a)&agg=min(payload.a)", &json!([[0, null, null]]))?;
    expect_rows(&server, "interval=1h", &json!([]))?;
    expect_rows(&server, "group_by=type", &json!([]))
}

fn figures_by_group(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let target = "/events/aggregate?group_by=type&agg=count&agg=sum(payload.price)&agg=avg(payload.ms)\
                  &agg=min(payload.ms)&agg=max(payload.ms)&agg=unique(payload.user)";
    let whole = json!({
        "columns": [
            "type", "count", "sum(payload.price)", "avg(payload.ms)", "min(payload.ms)", "max(payload.ms)",
            "unique(payload.user)",
        ],
        "rows": [
            ["buy", 2, 13, 30, 30, 30, 1],
            ["leave", 1, 0, null, null, null, 0],
            ["view", 4, 0, 13.5, 10, 20.5, 3],
        ],
        "exact": true,
    });
    check_eq!(answer(&server, target)?, whole, "the answer");
    let percentiles = answer(&server, "/events/aggregate?agg=p50(payload.ms)&agg=p99(payload.ms)")?;
    check_eq!(percentiles["exact"], json!(false), "whether percentiles are exact");
    check_eq!(percentiles["error"]["p50(payload.ms)"], json!(0.01), "the error of percentiles");
    for (column, exact) in [(0, 10.0), (1, 30.0)] {
        expect_close(&percentiles["rows"][0][column], exact, 0.01, "a percentile")?;
    }
    Ok(())
}

/// Daylight saving time began in Berlin on 2026-03-29.
fn buckets_follow_the_zone(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect_rows(&server, "interval=1d", &json!([["2026-03-28T00:00:00Z", 4], ["2026-03-29T00:00:00Z", 3]]))?;
    let berlin = json!([["2026-03-28T00:00:00+01:00", 3], ["2026-03-29T00:00:00+01:00", 4]]);
    expect_rows(&server, "interval=1d&timezone=Europe/Berlin", &berlin)?;
    let noon = json!([["2026-03-28T12:00:00+01:00", 0], ["2026-03-29T00:00:00+01:00", 1]]);
    let query = "interval=12h&timezone=Europe/Berlin&start=2026-03-28T12:00:00Z&end=2026-03-29T00:00:00Z&fill=true";
    expect_rows(&server, query, &noon)?;
    expect_rows(&server, "interval=1w", &json!([["2026-03-23T00:00:00Z", 7]]))?;
    expect_rows(&server, "interval=1q&timezone=America/New_York", &json!([["2026-01-01T00:00:00-05:00", 7]]))
}

fn empty_buckets_are_filled(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    let rows = json!([
        ["2026-03-28T10:00:00Z", 1, 12.99, 30],
        ["2026-03-28T11:00:00Z", 0, 0, null],
        ["2026-03-28T12:00:00Z", 0, 0, null],
    ]);
    let query = "type=buy&interval=1h&fill=true&start=2026-03-28T10:00:00Z&end=2026-03-28T12:30:00Z\
                 &agg=count&agg=sum(payload.price)&agg=avg(payload.ms)";
    expect_rows(&server, query, &rows)?;
    let groups = json!([
        ["2026-03-28T00:00:00Z", "leave", 0],
        ["2026-03-28T00:00:00Z", "view", 3],
        ["2026-03-29T00:00:00Z", "leave", 1],
        ["2026-03-29T00:00:00Z", "view", 1],
    ]);
    expect_rows(&server, "type=view&type=leave&interval=1d&fill=true&group_by=type", &groups)
}

fn the_largest_groups(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect_rows(&server, "group_by=type&top=2", &json!([["view", 4], ["buy", 2]]))?;
    expect_rows(&server, "group_by=type&top=1&agg=sum(payload.price)&agg=count", &json!([["buy", 13, 2]]))?;
    let by_day = json!([
        ["2026-03-28T00:00:00Z", "ada", 2],
        ["2026-03-28T00:00:00Z", "bob", 1],
        ["2026-03-29T00:00:00Z", "ada", 1],
        ["2026-03-29T00:00:00Z", "bob", 1],
    ]);
    expect_rows(&server, "group_by=payload.user&top=2&interval=1d", &by_day)?;
    // Of equally large groups, that whose text comes first: 10 before 9.
    let values = json!([9, 10, "b", "a", "a b", -3, true, null, "10", "9"]);
    let event = |value: &Value| json!({"event_type": "tie", "timestamp": 1, "payload": {"v": value, "w": 9}});
    let mut events: Vec<Value> = values.as_array().into_iter().flatten().map(event).collect();
    events.push(json!({"event_type": "tie", "timestamp": 2, "payload": {"v": "b", "w": 10}}));
    server.store(&json!(events))?;
    let ranked = ["\"10\"", "\"9\"", "\"a\"", "\"a b\"", "-3", "10", "9", "null", "true"];
    let ranked = ranked.iter().map(|text| serde_json::from_str(text)).collect::<Result<Vec<Value>, _>>();
    let ranked = ranked.expect("these are values of JSON");
    for top in 1..=10 {
        let rows = ranked.iter().map(|value| json!([value, 1]));
        let rows: Vec<Value> = std::iter::once(json!(["b", 2])).chain(rows).take(top).collect();
        expect_rows(&server, &format!("type=tie&group_by=payload.v&top={top}"), &json!(rows))?;
    }
    // Several columns are compared one after the other.
    let pairs = json!([["a", 9, 1], ["a b", 9, 1], ["b", 10, 1], ["b", 9, 1]]);
    expect_rows(&server, "type=tie&payload.v[gte]=a&group_by=payload.v&group_by=payload.w&top=9", &pairs)
}

fn arrays_and_missing_values(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    expect_rows(&server, "group_by=payload.tags", &json!([[null, 5], ["a", 2], ["b", 1]]))?;
    expect_rows(&server, "group_by=payload.ms", &json!([[null, 2], [10, 2], [20.5, 1], [30, 1], ["slow", 1]]))?;
    expect_rows(&server, "agg=unique(payload.tags)&agg=unique(payload.ms)", &json!([[2, 4]]))
}

fn bad_aggregates(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for (query, word) in [
        ("interval=7m", "interval"),
        ("interval=2d", "interval"),
        ("interval=", "interval"),
        ("interval=1h&interval=1h", "interval"),
        ("interval=1h&timezone=Mars/Olympus", "timezone"),
        ("timezone=UTC", "timezone"),
        ("fill=true", "fill"),
        ("interval=1h&fill=yes", "fill"),
        ("group_by=id", "group_by"),
        ("group_by=type&group_by=type", "group_by"),
        ("group_by=type&group_by=payload.a&group_by=payload.b&group_by=payload.c", "group_by"),
        (r"group_by=payload.\x", "group_by"),
        ("agg=median(payload.a)", "agg"),
        ("agg=sum", "agg"),
        ("agg=count&agg=count", "agg"),
        ("top=0&group_by=type", "top"),
        ("top=3", "top"),
        ("limit=3", "limit"),
        ("start=2&end=1", "start"),
        ("by=payload.a", "by"),
    ] {
        expect_bad(&server, &format!("/events/aggregate?{query}"), word)?;
    }
    let response = server.send(&Request::get("/events/aggregate").header("accept", "text/html"))?;
    response.problem(406).map(drop)
}

/// Requires 422 whose detail names the setting and a parameter to change.
fn expect_too_large(server: &Server, target: &str, setting: &str, parameter: &str) -> Outcome {
    let problem = server.get(target)?.problem(422).map_err(|failure| failure.within(&target))?;
    check_eq!(problem["type"], json!("/problems/query-too-large"), "the type of the problem for {target}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    check!(detail.contains(setting) && detail.contains(parameter), "{setting} and {parameter} in {detail:?}");
    Ok(())
}

/// Events with a number each.
pub(super) fn numbers(server: &Server, count: usize) -> Outcome {
    for from in (0..count).step_by(50_000) {
        let line = |n: usize| {
            format!("{{\"event_type\":\"n\",\"timestamp\":{n},\"payload\":{{\"n\":{n},\"user\":\"user-{n}\"}}}}\n")
        };
        server.submit_lines((from..count.min(from + 50_000)).map(line).collect::<String>())?.expect(201)?;
    }
    Ok(())
}

fn too_many_groups(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--query-groups", "10"), ("--query-memory", "65536")])?;
    numbers(&server, 3_000)?;
    expect_too_large(&server, "/events/aggregate?group_by=payload.n", "--query-groups", "group_by")?;
    expect_too_large(&server, "/events/aggregate?interval=1s", "--query-groups", "interval")?;
    expect_too_large(&server, "/events/retention?first=n&then=n&by=payload.n", "--query-memory", "by")?;
    expect_too_large(&server, "/events/funnel?step=n&step=m&by=payload.n", "--query-memory", "by")?;
    expect_rows(&server, "group_by=payload.n&end=9", &json!((0..10).map(|n| json!([n, 1])).collect::<Vec<_>>()))?;
    server.expect_alive()
}

fn a_year_of_seconds_is_refused(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let year = "/events/aggregate?interval=1s&fill=true&start=2025-01-01T00:00:00Z&end=2026-01-01T00:00:00Z";
    expect_too_large(&server, year, "--query-groups", "interval")
}

fn a_million_groups_are_refused(ctx: &Context<'_>) -> Outcome {
    // Longer than any repository takes to read all events.
    let server = ctx.start(&[("--request-timeout", "5m"), ("--query-timeout", "5m")])?;
    numbers(&server, 120_000)?;
    expect_too_large(&server, "/events/aggregate?group_by=payload.user", "--query-groups", "group_by")?;
    expect_rows(&server, "agg=count&agg=sum(payload.n)", &json!([[120_000, 7_199_940_000_i64]]))?;
    let unique = answer(&server, "/events/aggregate?agg=unique(payload.user)")?;
    expect_close(&unique["rows"][0][0], 120_000.0, 0.033, "the different users")?;
    check_eq!(unique["exact"], json!(false), "whether an estimate is exact");
    let steps = &answer(&server, "/events/funnel?step=n&step=n&by=payload.user")?["steps"];
    check_eq!((&steps[0]["count"], &steps[1]["count"]), (&json!(120_000), &json!(0)), "the steps of many users");
    server.expect_alive()
}

fn many_mean_questions_are_answered(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let deep = vec!["a"; 100].join(".");
    expect_rows(&server, &format!("id=nobody&agg=sum(payload.{deep})"), &json!([[0]]))?;
    let filters = "payload.a[ne]=1&".repeat(1_500);
    expect_bad(&server, &format!("/events/aggregate?{filters}"), "payload.a")?;
    let aggs: String = (0..33).map(|n| format!("agg=sum(payload.a{n})&")).collect();
    expect_bad(&server, &format!("/events/aggregate?{aggs}"), "agg")?;
    let long = "x".repeat(1_025);
    expect_bad(&server, &format!("/events/aggregate?group_by=payload.{long}"), "group_by")
}

fn questions_of_a_restricted_key(ctx: &Context<'_>) -> Outcome {
    let server = File::usual()?.start(ctx)?;
    let events: Vec<Value> = ["web.a", "app.b", "login", "web.c"].map(event).into();
    super::keys::ALL.post(&server, &json!(events))?.expect(201)?;
    let get = |target: &str| server.send(&WEB.on(Request::get(target)))?.json();
    check_eq!(get("/events/aggregate")?["rows"], json!([[3]]), "the events that a key counts");
    let named: Vec<Value> =
        get("/events/types")?.as_array().into_iter().flatten().map(|entry| entry["type"].clone()).collect();
    check_eq!(json!(named), json!(["login", "web.a", "web.c"]), "the types that a key sees");
    let funnel = get("/events/funnel?step=app.b&step=web.a&by=payload.a")?;
    check_eq!(funnel["steps"][0]["count"], json!(0), "those who reached a step that the key does not see");
    server.get("/events/aggregate")?.problem(401).map(drop)
}

fn head_of_questions(ctx: &Context<'_>) -> Outcome {
    let server = stored(ctx)?;
    for target in [
        "/events/aggregate?group_by=type",
        "/events/types",
        "/events/fields",
        "/events/funnel?step=view&step=buy&by=payload.user",
        "/events/retention?first=view&then=buy&by=payload.user",
    ] {
        let get = server.get(target)?;
        let head = server.send(&Request::new("HEAD", target))?;
        head.expect(200)?;
        check_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "the length of {target}");
        check_eq!(get.header("argus-last-seq"), Some("7"), "the last sequence number of {target}");
        server.send(&Request::new("POST", target))?.problem(405)?;
    }
    Ok(())
}
