//! One event in each request: what the service costs beyond its HTTP implementation.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{
    Scale,
    batches::accepted,
    load::{Extent, Load, Outcome},
    report::{Goal, Report, Row, as_f64, median, percentile_ms, rate, rounded},
    response::Response,
    server::{Server, Subject},
    workload::single_requests,
};

const EVENT_BYTES: usize = 250;
pub(super) const CONNECTIONS: usize = 64;
/// Enough that no server benefits from repeated bytes.
const DISTINCT_EVENTS: usize = 20_000;

/// The fraction of the empty handler's rate to reach.
const GOAL: f64 = 0.7;

/// Figures of one run, or medians of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    pub(super) rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    processor_us: f64,
}

/// With many connections one commit takes the events of several. With one, each request is a commit, so its whole path
/// counts.
pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    [CONNECTIONS, 1].into_iter().try_for_each(|connections| measure_with(connections, subject, scale, report))
}

fn measure_with(connections: usize, subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let requests = requests();
    let (mut floors, mut figures, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=scale.runs {
        let floor = subject.start_floor()?;
        let (floor, _) = load(&floor, connections, scale, &requests, accepted).context("the empty handler")?;
        let server = subject.start()?;
        let (figure, outcome) = load(&server, connections, scale, &requests, created)?;
        server.expect_stored(outcome.acknowledged)?;
        eprintln!(
            "  run {run} of {}: {}/s of {}/s, or {:.2}",
            scale.runs,
            rounded(figure.rate),
            rounded(floor.rate),
            figure.rate / floor.rate
        );
        ratios.push(figure.rate / floor.rate);
        floors.push(floor);
        figures.push(figure);
    }
    let ratio = median(&ratios);
    report.add(Row {
        measure: format!("POST one event of {EVENT_BYTES} B, {connections} connections"),
        subject: subject.name,
        figure: format!("{}; {ratio:.2} of the empty handler", Figures::medians(&figures)),
        floor: Figures::medians(&floors).to_string(),
        goal: Goal::AtLeast { goal: GOAL, is: ratio, unit: "of it" },
    });
    Ok(())
}

/// Whole requests, each with another event.
pub(super) fn requests() -> Vec<Vec<u8>> {
    single_requests(DISTINCT_EVENTS, EVENT_BYTES)
}

pub(super) fn load(
    server: &Server,
    connections: usize,
    scale: &Scale,
    requests: &[Vec<u8>],
    check: fn(&Response) -> Result<u64>,
) -> Result<(Figures, Outcome)> {
    let extent = Extent::For { warm_up: scale.warm_up, window: scale.window };
    let before = server.processor_time()?;
    let outcome = Load { address: server.address, connections, requests, extent, check }.run()?;
    let processor: Duration = server.processor_time()?.saturating_sub(before);
    ensure!(!outcome.latencies.is_empty(), "not one answer within the measured window");
    let figures = Figures {
        rate: rate(u64::try_from(outcome.latencies.len())?, outcome.elapsed),
        p50_ms: percentile_ms(&outcome.latencies, 50),
        p99_ms: percentile_ms(&outcome.latencies, 99),
        processor_us: processor.as_secs_f64() * 1e6 / as_f64(outcome.answers),
    };
    Ok((figures, outcome))
}

pub(super) fn created(response: &Response) -> Result<u64> {
    response.expect(201)?;
    // It has few members in a fixed order, so a search is as good as a parser and leaves more time for the server.
    ensure!(
        response.body.windows(17).any(|part| part == b"\"duplicate\":false"),
        "a new event is reported as a duplicate"
    );
    Ok(1)
}

impl Figures {
    pub(super) fn medians(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
        Self {
            rate: of(|run| run.rate),
            p50_ms: of(|run| run.p50_ms),
            p99_ms: of(|run| run.p99_ms),
            processor_us: of(|run| run.processor_us),
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rate, p50_ms, p99_ms, processor_us } = self;
        let rate = rounded(*rate);
        write!(f, "{rate}/s; p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms; {processor_us:.1} µs of CPU each")
    }
}
