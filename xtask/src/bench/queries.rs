//! The first hundred events of one type in one hour: among few other events, among many hours, and among many other
//! types.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    Scale,
    batches::{accepted, stored},
    client::{Client, get},
    load::{Extent, Load},
    report::{Goal, Report, Row, median, percentile_ms, thousands},
    response::Response,
    server::{Server, Subject},
    workload::{HOUR_MS, Hours, QUERIED, Random, batch_requests, rfc3339, shuffle},
};

/// `--events` must be a multiple of this, so that every hour has a whole number of events.
pub(super) const EVENTS_MIN: usize = 10_000;

const EVENTS_PER_HOUR: u64 = 1000;
/// Events of the queried type in each hour, however many others there are.
const QUERIED_PER_HOUR: u64 = 200;
/// How many events are asked for.
pub(super) const LIMIT: usize = 100;
/// How many times more events the larger repositories hold.
const GROWTH: u64 = 10;
const LOADING_CONNECTIONS: usize = 4;

/// The median to stay below.
const GOAL_MS: f64 = 1.0;

#[derive(Debug, Default)]
struct Latencies {
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
}

pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let few = u64::try_from(scale.events)? / GROWTH;
    let small =
        Hours { hours: few / EVENTS_PER_HOUR, events_per_hour: EVENTS_PER_HOUR, queried_per_hour: QUERIED_PER_HOUR };
    let longer = Hours { hours: small.hours * GROWTH, ..small };
    let denser = Hours { events_per_hour: small.events_per_hour * GROWTH, ..small };
    let floor = floor(subject, scale)?;
    for (what, hours) in [("", small), (", more hours", longer), (", more of other types", denser)] {
        for shuffled in [false, true] {
            let server = subject.start()?;
            fill(&server, hours, shuffled, scale)?;
            let latencies = query_runs(&server, hours, scale)?;
            let p50_ms = median(&latencies.p50_ms);
            let events = thousands(hours.hours * hours.events_per_hour);
            let order = if shuffled { "shuffled" } else { "in order" };
            report.add(Row {
                measure: format!("GET one type in one hour, first {LIMIT}, of {events} events{what}, {order}"),
                subject: subject.name,
                figure: format!("p50 {p50_ms:.3} ms, p99 {:.3} ms", median(&latencies.p99_ms)),
                floor: floor.clone(),
                goal: Goal::AtMost { goal: GOAL_MS, is: p50_ms, unit: "ms at p50" },
            });
        }
    }
    Ok(())
}

/// The latency of the empty handler.
fn floor(subject: &Subject, scale: &Scale) -> Result<String> {
    let server = subject.start_floor()?;
    let mut client = Client::connect(server.address)?;
    let mut latencies = Latencies::default();
    let request = get(&target(EVENTS_PER_HOUR));
    for _ in 0..scale.runs {
        let mut run = Vec::with_capacity(scale.queries);
        for _ in 0..scale.queries {
            let (response, latency) = client.exchange(&request).context("the empty handler")?;
            accepted(&response).context("the empty handler")?;
            run.push(latency);
        }
        latencies.add(run);
    }
    Ok(format!("p50 {:.3} ms, p99 {:.3} ms", median(&latencies.p50_ms), median(&latencies.p99_ms)))
}

/// Stores the events of these hours.
pub(super) fn fill(server: &Server, hours: Hours, shuffled: bool, scale: &Scale) -> Result<()> {
    let mut stamps = hours.stamps();
    if shuffled {
        shuffle(&mut stamps, &mut Random::new(5));
    }
    let (requests, _) = batch_requests(&stamps, scale.batch);
    let address = server.address;
    let load =
        Load { address, connections: LOADING_CONNECTIONS, requests: &requests, extent: Extent::Once, check: stored };
    let outcome = load.run().context("while events were stored")?;
    ensure!(outcome.acknowledged == hours.hours * hours.events_per_hour, "not every event was acknowledged");
    server.expect_stored(outcome.acknowledged)
}

/// The median and the 99th percentile of the time to get a page of the queried type in one hour.
pub(super) fn page_ms(server: &Server, hours: Hours, scale: &Scale) -> Result<(f64, f64)> {
    let latencies = query_runs(server, hours, scale)?;
    Ok((median(&latencies.p50_ms), median(&latencies.p99_ms)))
}

/// The median time to answer a question, of the runs after the first one.
pub(super) fn answer_ms(server: &Server, target: &str, scale: &Scale) -> Result<f64> {
    let mut client = Client::connect(server.address)?;
    let mut latencies = Vec::new();
    for _ in 0..=scale.runs {
        let (response, latency) = client.get(target)?;
        response.expect(200)?;
        latencies.push(latency);
    }
    let mut measured = latencies.split_off(1);
    measured.sort_unstable();
    Ok(percentile_ms(&measured, 50))
}

/// A value that some event has: that of a member of the first event's payload.
pub(super) fn value_of(server: &Server, member: &str) -> Result<String> {
    let (response, _) = Client::connect(server.address)?.get("/events?limit=1")?;
    response.expect(200)?;
    let answer = response.json()?;
    let value = answer.pointer(&format!("/0/payload/{member}")).and_then(Value::as_str);
    Ok(value.with_context(|| format!("no {member} in {answer}"))?.to_owned())
}

/// The median and the 99th percentile of the time to get the latest events for which a condition holds.
pub(super) fn latest_ms(server: &Server, condition: &str, scale: &Scale) -> Result<(f64, f64)> {
    let mut client = Client::connect(server.address)?;
    let mut latencies = Vec::new();
    for _ in 0..scale.queries.min(200) {
        let (response, latency) = client.get(&format!("/events?{condition}&order=desc&limit=100"))?;
        response.expect(200)?;
        ensure!(response.json()?.as_array().is_some_and(|events| !events.is_empty()), "no event has {condition}");
        latencies.push(latency);
    }
    latencies.sort_unstable();
    Ok((percentile_ms(&latencies, 50), percentile_ms(&latencies, 99)))
}

/// The measured runs, after one that is not measured.
fn query_runs(server: &Server, hours: Hours, scale: &Scale) -> Result<Latencies> {
    let mut client = Client::connect(server.address)?;
    let mut latencies = Latencies::default();
    for run in 0..=scale.runs {
        let mut measured = Vec::with_capacity(scale.queries);
        for hour in (0..hours.hours).cycle().take(scale.queries) {
            let target = target(hours.start(hour));
            let (response, latency) = client.get(&target)?;
            check(&response, hours, hour).with_context(|| format!("GET {target}"))?;
            measured.push(latency);
        }
        if run > 0 {
            latencies.add(measured);
        }
    }
    Ok(latencies)
}

/// The query for the type in the hour that starts at this time.
fn target(start_ms: u64) -> String {
    let (start, end) = (rfc3339(start_ms), rfc3339(start_ms + HOUR_MS - 1));
    format!("/events?type={QUERIED}&start={start}&end={end}&limit={LIMIT}")
}

/// Fails unless the answer holds exactly the first events of the hour, in order.
fn check(response: &Response, hours: Hours, hour: u64) -> Result<()> {
    response.expect(200)?;
    let answer = response.json()?;
    let events = answer.as_array().context("the answer is no array")?;
    ensure!(events.len() == LIMIT, "{} events instead of {LIMIT}", events.len());
    for (event, time_ms) in events.iter().zip(hours.queried(hour)) {
        let member = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        let (event_type, timestamp, expected) = (member("event_type"), member("timestamp"), rfc3339(time_ms));
        ensure!(event_type == QUERIED && timestamp == expected, "{event_type} at {timestamp} instead of {expected}");
    }
    Ok(())
}

impl Latencies {
    fn add(&mut self, mut run: Vec<Duration>) {
        run.sort_unstable();
        self.p50_ms.push(percentile_ms(&run, 50));
        self.p99_ms.push(percentile_ms(&run, 99));
    }
}
