//! `GET /events`: pages.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::case::{Case, cases};
use crate::client::{Request, Response};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["cursor";
    "GET /events": [
        pages_add_up_to_the_whole_answer, pages_in_descending_order, pages_of_equal_times, pages_of_lines,
        no_link_after_the_last_page, no_link_without_limit, link_keeps_the_filters, link_of_a_head_request,
        events_stored_during_a_walk, types_stored_during_a_walk, events_stored_before_the_cursor_are_left_out,
        page_size_may_change, cursor_without_limit_returns_the_rest, cursor_with_other_filters_is_refused,
        invalid_cursor_is_refused, damaged_cursor_is_refused, cursor_can_be_used_again,
    ],
];

/// The target of the `Link` to the next page, if there is one.
pub(super) fn next(response: &Response) -> Result<Option<String>, Failure> {
    let Some(link) = response.header("link") else {
        check!(!response.head.headers.iter().any(|(name, _)| name == "link"), "one Link at most");
        return Ok(None);
    };
    let target = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
    let target = target.ok_or_else(|| Failure::unmet(format!("a Link to the next page, not {link:?}")))?;
    check!(target.starts_with("/events?"), "a Link to /events, not to {target:?}");
    Ok(Some(target.to_owned()))
}

/// The value of the parameter `cursor` in a target.
fn cursor_in(target: &str) -> Result<&str, Failure> {
    let cursor = target.split(['?', '&']).find_map(|parameter| parameter.strip_prefix("cursor="));
    cursor.ok_or_else(|| Failure::unmet(format!("a cursor in {target:?}")))
}

/// Follows the links from `target`; returns the events of each page.
pub(super) fn walk(server: &Server, target: &str) -> Result<Vec<Vec<Value>>, Failure> {
    let mut connection = server.connect()?;
    let mut pages = Vec::new();
    let mut target = target.to_owned();
    loop {
        let response = connection.request(&Request::get(&target))?;
        pages.push(response.events()?);
        match next(&response)? {
            Some(further) => target = further,
            None => return Ok(pages),
        }
        check!(pages.len() < 100_000, "a last page");
    }
}

/// A server with `count` events. Event `n` has the payload `n`. Three events share each time, and times are out of
/// order.
fn with(ctx: &Context<'_>, count: u64) -> Result<Server, Failure> {
    let server = ctx.empty()?;
    let events = (0..count).map(|n| event(n, (n * 7 % count) / 3)).collect();
    server.store(&Value::Array(events))?;
    Ok(server)
}

fn event(n: u64, timestamp: u64) -> Value {
    json!({"event_type": if n.is_multiple_of(2) { "even" } else { "odd" }, "timestamp": timestamp, "payload": n})
}

fn seqs(events: &[Value]) -> Vec<&Value> {
    events.iter().map(|event| &event["seq"]).collect()
}

fn pages_add_up_to_the_whole_answer(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 50)?;
    for (filters, limit) in [("", 1), ("", 7), ("", 50), ("type=odd&", 4), ("start=3&end=12&", 5)] {
        let whole = server.find(filters.trim_end_matches('&'))?;
        let pages = walk(&server, &format!("/events?{filters}limit={limit}"))?;
        let (last, full) = pages.split_last().ok_or_else(|| Failure::unmet("a page"))?;
        check!(full.iter().all(|page| page.len() == limit), "full pages before the last");
        check!(!last.is_empty(), "no empty page at the end");
        check_eq!(pages.concat(), whole, "the pages of {filters}limit={limit} put together");
    }
    Ok(())
}

fn pages_in_descending_order(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 50)?;
    let mut whole = server.find("")?;
    whole.reverse();
    check_eq!(walk(&server, "/events?order=desc&limit=7")?.concat(), whole, "the pages put together");
    Ok(())
}

fn pages_of_equal_times(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&Value::Array((0..20).map(|n| event(n, 5)).collect()))?;
    let events = walk(&server, "/events?limit=3")?.concat();
    let expected: Vec<Value> = (1..=20).map(Value::from).collect();
    check_eq!(seqs(&events), expected.iter().collect::<Vec<_>>(), "the sequence numbers");
    Ok(())
}

fn pages_of_lines(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 5)?;
    let page = server.send(&Request::get("/events?limit=3").header("accept", "application/x-ndjson"))?;
    check_eq!(page.text()?.lines().count(), 3, "lines of the first page");
    let target = next(&page)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    let page = server.send(&Request::get(&target).header("accept", "application/x-ndjson"))?;
    check_eq!(page.text()?.lines().count(), 2, "lines of the second page");
    check_eq!(next(&page)?, None, "the Link of the last page");
    Ok(())
}

fn no_link_after_the_last_page(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 10)?;
    check!(next(&server.get("/events?limit=9")?)?.is_some(), "a Link if one event is left");
    check_eq!(next(&server.get("/events?limit=10")?)?, None, "the Link if none is left");
    check_eq!(next(&server.get("/events?limit=11")?)?, None, "the Link if there are fewer than the limit");
    check_eq!(next(&server.get("/events?type=even&limit=5")?)?, None, "the Link if only other types are left");
    Ok(())
}

fn no_link_without_limit(ctx: &Context<'_>) -> Outcome {
    check_eq!(next(&with(ctx, 10)?.get("/events")?)?, None, "the Link of an answer without limit");
    Ok(())
}

fn link_keeps_the_filters(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let odd = "a b&c=d%+é";
    let events = (0..4).map(|n| json!({"event_type": odd, "timestamp": n, "payload": {"k": odd, "n": n}})).collect();
    server.store(&Value::Array(events))?;
    let encoded = "a+b%26c%3Dd%25%2B%C3%A9";
    let target =
        format!("/events?type={encoded}&payload.k%5Bprefix%5D={encoded}&start=0&end=1970-01-01T00:00:02Z&limit=1");
    let pages = walk(&server, &target)?;
    let numbers: Vec<&Value> = pages.iter().flatten().map(|event| &event["payload"]["n"]).collect();
    check_eq!(numbers, [&json!(0), &json!(1), &json!(2)], "the events of all pages");
    Ok(())
}

fn link_of_a_head_request(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 3)?;
    let get = server.get("/events?limit=2")?;
    let head = server.send(&Request::new("HEAD", "/events?limit=2"))?;
    check!(get.header("link").is_some(), "a Link");
    check_eq!(head.header("link"), get.header("link"), "the Link of HEAD");
    Ok(())
}

fn events_stored_during_a_walk(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 30)?;
    let before: BTreeSet<u64> = (1..=30).collect();
    let mut seen = Vec::new();
    let mut target = "/events?limit=4".to_owned();
    for n in 0.. {
        let response = server.get(&target)?;
        seen.extend(response.events()?.iter().filter_map(|event| event["seq"].as_u64()));
        // Before, within and after the rest of the walk.
        server.store(&json!([event(n, 0), event(n, 4), event(n, 1000)]))?;
        match next(&response)? {
            Some(further) if seen.len() < 1000 => target = further,
            Some(_) | None => break,
        }
        // New events at the end would prolong the walk for ever.
        if before.is_subset(&seen.iter().copied().collect()) {
            break;
        }
    }
    let distinct: BTreeSet<u64> = seen.iter().copied().collect();
    check_eq!(distinct.len(), seen.len(), "how many of the events seen are distinct");
    check!(before.is_subset(&distinct), "all events that were stored before the walk, not {distinct:?}");
    Ok(())
}

/// Each page has all types with the prefix, not only those of the first page.
fn types_stored_during_a_walk(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let event = |event_type: &str, n: u64| json!({"event_type": event_type, "timestamp": n, "payload": n});
    server.store(&json!([event("p.a", 1), event("q", 2), event("p.b", 3), event("p.c", 4)]))?;
    let first = server.get("/events?type[prefix]=p.&limit=2")?;
    check_eq!(seqs(&first.events()?), [&json!(1), &json!(3)], "the first page");
    let target = next(&first)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    server.store(&json!([event("p.new", 5), event("new", 6)]))?;
    check_eq!(seqs(&walk(&server, &target)?.concat()), [&json!(4), &json!(5)], "the rest");
    Ok(())
}

fn events_stored_before_the_cursor_are_left_out(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 30)?;
    let whole = server.find("")?;
    let first = server.get("/events?limit=10")?;
    let target = next(&first)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    server.store(&Value::Array((0..40).map(|n| event(n, 0)).collect()))?;
    let rest = walk(&server, &target)?.concat();
    check_eq!([first.events()?, rest].concat(), whole, "the walk, without the events stored before its cursor");
    Ok(())
}

fn page_size_may_change(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 20)?;
    let first = server.get("/events?limit=5")?;
    let target = next(&first)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    let second = server.find(&format!("limit=12&cursor={}", cursor_in(&target)?))?;
    check_eq!([first.events()?, second].concat().as_slice(), &server.find("")?[..17], "both pages");
    Ok(())
}

fn cursor_without_limit_returns_the_rest(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 20)?;
    let first = server.get("/events?limit=5")?;
    let target = next(&first)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    let rest = server.find(&format!("cursor={}", cursor_in(&target)?))?;
    check_eq!([first.events()?, rest].concat(), server.find("")?, "the first page and the rest");
    Ok(())
}

fn cursor_with_other_filters_is_refused(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 20)?;
    let first = server.get("/events?type=even&start=0&payload.x[exists]=false&limit=2")?;
    let target = next(&first)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    let cursor = cursor_in(&target)?;
    server.find(&format!("type=even&start=0&payload.x[exists]=false&limit=2&cursor={cursor}"))?;
    for other in [
        "limit=2",
        "type=odd&start=0&payload.x[exists]=false&limit=2",
        "type[prefix]=even&start=0&payload.x[exists]=false&limit=2",
        "type=even&type=odd&start=0&payload.x[exists]=false&limit=2",
        "type=even&start=1&payload.x[exists]=false&limit=2",
        "type=even&start=0&end=9&payload.x[exists]=false&limit=2",
        "type=even&start=0&payload.x[exists]=true&limit=2",
        "type=even&start=0&payload.y[exists]=false&limit=2",
        "type=even&start=0&payload.x[exists]=false&after_seq=1&limit=2",
        "type=even&start=0&payload.x[exists]=false&order=desc&limit=2",
    ] {
        let response = server.get(&format!("/events?{other}&cursor={cursor}"))?;
        response.problem_naming(400, "cursor").map_err(|failure| failure.within(&other))?;
    }
    Ok(())
}

fn invalid_cursor_is_refused(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    for cursor in ["", "x", "0", "AAAAAAAAAAAAAAAAAAAAAAAA", "%00", "%C3%A9", &"A".repeat(5000)] {
        let response = server.get(&format!("/events?limit=2&cursor={cursor}"))?;
        response.problem_naming(400, "cursor").map_err(|failure| failure.within(&cursor))?;
    }
    Ok(())
}

fn damaged_cursor_is_refused(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 20)?;
    let first = server.get("/events?limit=2")?;
    let target = next(&first)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    let cursor = cursor_in(&target)?;
    check!(
        cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)),
        "a cursor that needs no encoding"
    );
    for at in 0..cursor.len() {
        let other = if cursor.as_bytes()[at] == b'A' { "B" } else { "A" };
        let damaged = format!("{}{other}{}", &cursor[..at], &cursor[at + 1..]);
        let response = server.get(&format!("/events?limit=2&cursor={damaged}"))?;
        response.problem_naming(400, "cursor").map_err(|failure| failure.within(&damaged))?;
        let cut = server.get(&format!("/events?limit=2&cursor={}", &cursor[..at]))?;
        cut.problem_naming(400, "cursor").map_err(|failure| failure.within(&at))?;
    }
    server.get(&format!("/events?limit=2&cursor={cursor}A"))?.problem_naming(400, "cursor")
}

fn cursor_can_be_used_again(ctx: &Context<'_>) -> Outcome {
    let server = with(ctx, 4)?;
    let first = server.get("/events?limit=2")?;
    let target = next(&first)?.ok_or_else(|| Failure::unmet("a Link to the next page"))?;
    check_eq!(server.get(&target)?.events()?, server.find("")?[2..], "the second page");
    server.store(&event(9, 1000))?;
    check_eq!(walk(&server, &target)?.concat(), server.find("")?[2..], "the second page with an event stored later");
    Ok(())
}
