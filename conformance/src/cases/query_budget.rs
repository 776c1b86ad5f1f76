//! What one query may take: `--query-scan-bytes` and `--query-timeout`.

use std::collections::BTreeSet;

use crate::case::{Case, cases};
use crate::client::{End, Request};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["query_budget";
    "GET /events": [
        a_query_that_reads_too_much_is_stopped, a_query_that_takes_too_long_is_stopped,
        a_walk_over_pages_finds_everything, cheap_queries_are_not_stopped,
    ],
];

const EVENTS: usize = 60_000;

/// Events, of which every hundredth has a payload with `"rare"`.
fn fill(server: &Server) -> Outcome {
    let line = |number: usize| {
        let kind = if number.is_multiple_of(100) { "rare" } else { "common" };
        format!(
            "{{\"event_type\":\"budget\",\"timestamp\":{number},\"payload\":{{\"kind\":\"{kind}\",\"n\":{number}}}}}\n"
        )
    };
    server.submit_lines((0..EVENTS).map(line).collect::<String>())?.expect(201)
}

/// Whether the answer to a query without a limit is this refusal, or breaks off with a reset.
fn expect_stopped(server: &Server, query: &str, status: u16, kind: &str) -> Outcome {
    let mut connection = server.connect()?;
    let request = Request::get(&format!("/events?{query}")).header("connection", "close");
    connection.write(&request.to_bytes(&server.host()))?;
    let Some(head) = connection.read_head_unless_reset("GET")? else { return Ok(()) };
    if head.status == 200 {
        let (_, end) = connection.read_until_end()?;
        check_eq!(end, End::Reset, "the end of an answer to {query} that exceeds a limit");
        return Ok(());
    }
    check_eq!(head.status, status, "the status of {query}");
    let body = connection.read_body(&head)?;
    let problem: serde_json::Value =
        serde_json::from_slice(&body).map_err(|error| Failure::unmet(format!("a problem: {error}")))?;
    check_eq!(problem["type"], format!("/problems/{kind}"), "the type of the problem");
    let detail = problem["detail"].as_str().unwrap_or_default();
    check!(detail.contains("limit") && detail.contains("time range"), "what to do in the detail, not {detail:?}");
    Ok(())
}

fn stopped(server: &Server, limit: &str) -> Result<f64, Failure> {
    server.metric(&format!("argus_queries_stopped_total{{limit=\"{limit}\"}}"))
}

fn a_query_that_reads_too_much_is_stopped(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--query-scan-bytes", "500000")])?;
    fill(&server)?;
    // What equals a value can be found without reading the others; what contains a text cannot.
    let conditions = [
        "payload.kind[contains]=none",
        "order=seq&payload.kind[contains]=none",
        "order=desc&payload.kind[contains]=rare",
    ];
    for query in [""].into_iter().chain(conditions) {
        expect_stopped(&server, query, 422, "query-too-large").map_err(|failure| failure.within(&query))?;
    }
    check_eq!(stopped(&server, "bytes")?, 4.0, "the queries that were counted");
    check_eq!(stopped(&server, "time")?, 0.0, "the queries that took too long");
    server.expect_alive()
}

fn a_query_that_takes_too_long_is_stopped(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--query-timeout", "1ms")])?;
    fill(&server)?;
    for query in ["payload.kind[contains]=none", "order=seq&payload.kind[contains]=none"] {
        expect_stopped(&server, query, 503, "timeout").map_err(|failure| failure.within(&query))?;
    }
    check_eq!(stopped(&server, "time")?, 2.0, "the queries that were counted");
    server.expect_alive()
}

/// Pages end early instead, with a link to go on from: the walk over them finds each event once.
fn a_walk_over_pages_finds_everything(ctx: &Context<'_>) -> Outcome {
    for settings in [("--query-scan-bytes", "1000000"), ("--query-timeout", "50ms")] {
        let server = ctx.start(&[settings])?;
        fill(&server)?;
        for order in ["asc", "desc", "seq"] {
            let (mut found, mut pages) = (BTreeSet::new(), 0);
            let mut target = Some(format!("/events?payload.kind[contains]=rare&limit=10000&order={order}"));
            while let Some(page) = target.take() {
                let answer = server.get(&page)?;
                answer.expect(200).map_err(|failure| failure.within(&page))?;
                for event in answer.events()? {
                    check!(found.insert(event["seq"].as_u64()), "each event once, and not again {event}");
                }
                target =
                    answer.header("link").and_then(|link| Some(link.strip_prefix('<')?.split_once('>')?.0.to_owned()));
                check!(target.is_none() || answer.header("argus-scanned-to").is_some(), "how far the page goes");
                pages += 1;
                check!(pages <= EVENTS, "an end of the walk");
            }
            check_eq!(found.len(), EVENTS / 100, "the events found with {settings:?} and order={order}");
            if settings.0 == "--query-scan-bytes" {
                check!(pages > 1, "pages that end early with order={order}");
            }
        }
        check_eq!(stopped(&server, "bytes")?, 0.0, "pages that were stopped");
    }
    Ok(())
}

fn cheap_queries_are_not_stopped(ctx: &Context<'_>) -> Outcome {
    let server = ctx.start(&[("--query-scan-bytes", "500000"), ("--query-timeout", "10s")])?;
    fill(&server)?;
    check_eq!(server.find("start=100&end=199&payload.kind=rare")?.len(), 1, "events in a short range");
    check_eq!(server.find("type=nothing")?.len(), 0, "events of an unknown type");
    check_eq!(server.find("limit=100")?.len(), 100, "events of a page");
    check_eq!(server.find("after_seq=59990")?.len(), 10, "events after a sequence number");
    Ok(())
}
