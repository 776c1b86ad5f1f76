//! `GET /metrics`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::json;

use crate::case::{Case, cases};
use crate::client::{Request, patience};
use crate::context::{Context, Server};
use crate::failure::{Failure, Outcome};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = cases!["metrics";
    "Routes": [
        text_format, well_formed, build_info, events_are_counted, requests_are_counted, broken_connections_are_counted,
        callers_cannot_create_labels, head,
    ],
];

/// The samples of a page of metrics: name with labels, and value.
fn samples(server: &Server) -> Result<BTreeMap<String, f64>, Failure> {
    let response = server.get("/metrics")?;
    response.expect(200)?;
    let mut samples = BTreeMap::new();
    for line in response.text()?.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').ok_or_else(|| Failure::unmet(format!("a sample, not {line:?}")))?;
        let value = value.parse().map_err(|_| Failure::unmet(format!("a number at the end of {line:?}")))?;
        check!(samples.insert(series.to_owned(), value).is_none(), "the series {series} once");
    }
    Ok(samples)
}

/// The sum of all series of this name whose labels contain all of these.
fn sum(samples: &BTreeMap<String, f64>, name: &str, labels: &[&str]) -> f64 {
    samples
        .iter()
        .filter(|(series, _)| {
            let (known, rest) = series.split_once('{').unwrap_or((series, ""));
            known == name && labels.iter().all(|label| rest.contains(label))
        })
        .map(|(_, value)| value)
        .sum()
}

fn text_format(ctx: &Context<'_>) -> Outcome {
    let response = ctx.server()?.get("/metrics")?;
    response.expect(200)?;
    let content_type = response.header("content-type").unwrap_or_default().replace(' ', "").to_ascii_lowercase();
    check!(content_type.starts_with("text/plain;version=0.0.4"), "the text format 0.0.4, not {content_type:?}");
    check!(response.text()?.ends_with('\n'), "a line feed at the end");
    Ok(())
}

fn well_formed(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    server.submit("{")?.expect(400)?;
    let page = server.get("/metrics")?;
    let text = page.text()?;
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeMap::new());
    let mut last_family = String::new();
    let mut finished = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            check!(!help.is_empty(), "help for {name}");
            check!(helped.insert(name.to_owned()), "help for {name} once");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            check!(["counter", "gauge", "histogram", "summary"].contains(&kind), "a type of metric, not {kind:?}");
            check!(typed.insert(name.to_owned(), kind.to_owned()).is_none(), "the type of {name} once");
            check_eq!(name.ends_with("_total"), kind == "counter", "whether {name} ends in _total, as counters do");
            continue;
        }
        check!(!line.is_empty() && !line.starts_with('#'), "a sample, not {line:?}");
        let series = line.rsplit_once(' ').map_or(line, |(series, _)| series);
        let name = series.split('{').next().unwrap_or_default();
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        check!(!name.is_empty() && name.chars().all(letters), "a name of a metric, not {name:?}");
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|family| typed.get(*family).is_some_and(|kind| kind == "histogram" || kind == "summary"))
            .unwrap_or(name);
        check!(helped.contains(family) && typed.contains_key(family), "HELP and TYPE before the sample {series}");
        if family != last_family {
            check!(finished.insert(family.to_owned()), "the samples of {family} together");
            family.clone_into(&mut last_family);
        }
    }
    samples(&server).map(drop)
}

fn build_info(ctx: &Context<'_>) -> Outcome {
    let samples = samples(&ctx.server()?)?;
    let series: Vec<_> = samples.iter().filter(|(series, _)| series.starts_with("argus_build_info{")).collect();
    check_eq!(series.len(), 1, "how many series argus_build_info has");
    check_eq!(series[0].1, &1.0, "the value of argus_build_info");
    check!(series[0].0.contains("version=\""), "the version among the labels of {}", series[0].0);
    Ok(())
}

fn events_are_counted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let names = [
        "argus_events_accepted_total",
        "argus_events_duplicate_total",
        "argus_events_rejected_total",
        "argus_stored_events",
    ];
    let values = |samples: &BTreeMap<String, f64>| names.map(|name| sum(samples, name, &[]));
    check_eq!(values(&samples(&server)?), [0.0; 4], "{names:?} at the beginning");
    let event = |id: &str| json!({"id": id, "event_type": "t", "timestamp": 0, "payload": 1});
    server.store(&json!([event("a"), event("b"), event("a")]))?;
    server.store(&event("b"))?;
    server
        .submit(json!([{"event_type": "", "timestamp": 0, "payload": 1}, {"event_type": "t"}]).to_string())?
        .expect(422)?;
    check_eq!(values(&samples(&server)?), [2.0, 2.0, 3.0, 2.0], "{names:?} afterwards");
    Ok(())
}

fn requests_are_counted(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    server.store(&json!({"event_type": "t", "timestamp": 0, "payload": 1}))?;
    for _ in 0..3 {
        server.get("/events?type=t")?.expect(200)?;
    }
    server.get("/events/none")?.expect(404)?;
    server.get("/nowhere")?.expect(404)?;
    server.get("/")?.expect(307)?;
    let samples = samples(&server)?;
    let count = |labels: &[&str]| sum(&samples, "argus_http_requests_total", labels);
    check_eq!(count(&[r#"method="POST""#, r#"route="/events""#, r#"status="201""#]), 1.0, "POST /events with 201");
    check_eq!(count(&[r#"method="GET""#, r#"route="/events""#, r#"status="200""#]), 3.0, "GET /events with 200");
    check_eq!(count(&[r#"route="/events/{id}""#, r#"status="404""#]), 1.0, "GET /events/{{id}} with 404");
    check_eq!(count(&[r#"route="other""#, r#"status="404""#]), 1.0, "other paths with 404");
    check_eq!(count(&[r#"route="/""#, r#"status="307""#]), 1.0, "GET / with 307");
    Ok(())
}

fn broken_connections_are_counted(ctx: &Context<'_>) -> Outcome {
    const EVENTS: usize = 100_000;
    let event = r#"{"event_type":"broken","timestamp":0,"payload":1}"#;
    let server = ctx.empty()?;
    server.submit_lines(format!("{event}\n").repeat(EVENTS))?.expect(201)?;
    // Clients that wait for nothing may reset their connections.
    for _ in 0..5 {
        server.connect()?.reset()?;
        let mut answered = server.connect()?;
        answered.request(&Request::get("/health"))?.expect(200)?;
        answered.reset()?;
    }
    // The server has said that it reads the body. If a reset came with the head, it would see nothing of a request.
    let (half, _) = event.as_bytes().split_at(event.len() / 2);
    let mut closed = server.begin_submission(event)?;
    closed.write(half)?;
    drop(closed);
    expect_broken(&server, 1.0, "a connection closed within a body")?;
    let mut reset = server.begin_submission(event)?;
    reset.write(half)?;
    reset.reset()?;
    expect_broken(&server, 2.0, "a connection reset within a body")?;
    let mut reader = server.connect()?;
    reader.write(&Request::get("/events").to_bytes(&server.host()))?;
    check_eq!(reader.read_head("GET")?.status, 200, "the status of a large answer");
    reader.reset()?;
    expect_broken(&server, 3.0, "a connection reset within an answer")
}

/// Waits until this many connections have been counted as broken.
pub(super) fn expect_broken(server: &Server, count: f64, what: &str) -> Outcome {
    let deadline = Instant::now() + patience();
    loop {
        let counted = sum(&samples(server)?, "argus_connection_incidents_total", &[r#"kind="broken""#]);
        if counted >= count {
            check_eq!(counted, count, "broken connections counted after {what}");
            return Ok(());
        }
        check!(Instant::now() < deadline, "{what} to be counted: {count} broken connections, not {counted}");
    }
}

fn callers_cannot_create_labels(ctx: &Context<'_>) -> Outcome {
    let server = ctx.empty()?;
    let probe = |n: usize| -> Outcome {
        let name = ctx.unique(&format!("label{n}"));
        server.get(&format!("/{name}"))?.expect(404)?;
        server.get(&format!("/events/{name}"))?.expect(404)?;
        server.send(&Request::new(&name.to_ascii_uppercase(), "/events"))?.expect(405)?;
        server.get(&format!("/events?{name}=1"))?.expect(400)?;
        let event = format!(r#"{{"event_type":"{name}","timestamp":0,"payload":1,"{name}":1}}"#);
        server.submit(event)?.expect(422)?;
        server.store(&json!({"event_type": name, "timestamp": 0, "payload": name})).map(drop)
    };
    probe(0)?;
    let before = samples(&server)?.len();
    (1..10).try_for_each(probe)?;
    let after = samples(&server)?;
    check!(!after.keys().any(|series| series.to_ascii_lowercase().contains("label")), "no label from a caller");
    check!(
        after.len() <= before + 3,
        "as many series after ten callers as after one, not {} and then {}",
        before,
        after.len()
    );
    Ok(())
}

fn head(ctx: &Context<'_>) -> Outcome {
    let server = ctx.server()?;
    let mut connection = server.connect()?;
    let head = connection.request(&Request::new("HEAD", "/metrics"))?;
    head.expect(200)?;
    connection.request(&Request::get("/metrics"))?.expect(200)
}
