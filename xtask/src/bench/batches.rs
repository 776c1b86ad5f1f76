//! Many events in each request, and the memory that they take afterwards.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    Scale,
    load::{Extent, Load, Outcome},
    report::{Goal, Report, Row, as_f64, median, rate, rounded, thousands},
    response::Response,
    server::{Server, Subject},
    workload::{Random, batch_requests, stream},
};

const CONNECTIONS: usize = 4;

/// Events per second on two cores, with the client on one of them.
const RATE_GOAL: f64 = 600_000.0;

/// Bytes of memory per byte of JSON.
const MEMORY_GOAL: f64 = 2.0;

pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let (requests, json_bytes) = batch_requests(&stream(scale.events, &mut Random::new(4)), scale.batch);
    let events = u64::try_from(scale.events)?;
    let (mut floors, mut rates) = (Vec::new(), Vec::new());
    let (mut resident, mut peak, mut stable) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=scale.runs {
        let floor = load(&subject.start_floor()?, &requests, accepted).context("the empty handler")?;
        floors.push(rate(events, floor.elapsed));

        let server = subject.start()?;
        let outcome = load(&server, &requests, stored)?;
        let memory = server.memory()?;
        ensure!(outcome.acknowledged == events, "{} of {events} events were acknowledged", outcome.acknowledged);
        server.expect_stored(events)?;
        let after = server.stable_memory(scale.memory_wait)?;

        let rate = rate(events, outcome.elapsed);
        let of_json = |bytes: u64| as_f64(bytes) / as_f64(json_bytes);
        eprintln!("  run {run} of {}: {} events/s; {:.2} × JSON", scale.runs, rounded(rate), of_json(memory.resident));
        rates.push(rate);
        resident.push(of_json(memory.resident));
        peak.push(of_json(after.peak));
        stable.push(of_json(after.resident));
    }
    let rate = median(&rates);
    let megabytes_per_event = as_f64(json_bytes) / as_f64(events) / 1e6;
    let speed = |rate: f64| format!("{} events/s, {:.0} MB/s", rounded(rate), rate * megabytes_per_event);
    report.add(Row {
        measure: format!(
            "POST NDJSON, {} events a body, {CONNECTIONS} connections",
            thousands(u64::try_from(scale.batch)?)
        ),
        subject: subject.name,
        figure: speed(rate),
        floor: speed(median(&floors)),
        goal: Goal::AtLeast { goal: RATE_GOAL, is: rate, unit: "events/s" },
    });
    for (what, ratios) in [("resident", &resident), ("peak", &peak), ("stable", &stable)] {
        let ratio = median(ratios);
        let megabytes = ratio * as_f64(json_bytes) / 1e6;
        report.add(Row {
            measure: format!("memory after {} events, {what}", thousands(events)),
            subject: subject.name,
            figure: format!("{ratio:.2} × JSON ({megabytes:.0} MB of {:.0} MB)", as_f64(json_bytes) / 1e6),
            floor: String::new(),
            goal: Goal::AtMost { goal: MEMORY_GOAL, is: ratio, unit: "× JSON" },
        });
    }
    Ok(())
}

pub(super) fn load(server: &Server, requests: &[Vec<u8>], check: fn(&Response) -> Result<u64>) -> Result<Outcome> {
    Load { address: server.address, connections: CONNECTIONS, requests, extent: Extent::Once, check }.run()
}

/// Checks the answer to a batch of new events; returns how many were stored.
pub(super) fn stored(response: &Response) -> Result<u64> {
    response.expect(201)?;
    let answer = response.json()?;
    let number =
        |member: &str| answer.get(member).and_then(Value::as_u64).with_context(|| format!("no number '{member}'"));
    ensure!(number("duplicates")? == 0, "new events are reported as duplicates");
    number("accepted")
}

/// Checks an answer of the empty handler, which stores nothing.
pub(super) fn accepted(response: &Response) -> Result<u64> {
    ensure!((200..300).contains(&response.status), "status {}", response.status);
    Ok(0)
}
