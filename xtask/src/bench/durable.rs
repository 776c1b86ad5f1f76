//! Events that are on disk when they are acknowledged: the cost, the disk space, and the time of a restart.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Scale,
    batches::{self, stored},
    client::Client,
    postgres::{Postgres, Table},
    report::{Goal, Report, Row, as_f64, median, percentile_ms, rate, rounded, thousands},
    server::{Server, Subject},
    single,
    workload::{QUERIED, Random, batch_requests, stream},
};

/// How often the events are sent. Segments are sealed and the log is trimmed many times.
const ROUNDS: usize = 5;

/// The fraction of the rate in memory to reach.
const SINGLE_GOAL: f64 = 0.5;
/// The multiple of the rate of `PostgreSQL` to reach.
const POSTGRES_GOAL: f64 = 4.0;
/// What `PostgreSQL` does for each row.
const RIVALS: [(Table, &str); 2] = [(Table::Full, "as much as Argus does"), (Table::Lean, "a key and no id")];
/// Events per second on two cores, with the client on one of them.
const RATE_GOAL: f64 = 600_000.0;
/// The 99th percentile of batches, in multiples of the median.
const TAIL_GOAL: f64 = 10.0;
/// Bytes of disk per event.
const DISK_GOAL: f64 = 60.0;
/// MiB of memory, however many events there are.
const MEMORY_GOAL: f64 = 256.0;
/// Seconds from the start of a process to its readiness.
const RESTART_GOAL: f64 = 2.0;

pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    measure_single(subject, scale, report)?;
    measure_batches(subject, scale, report)
}

fn measure_single(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let requests = single::requests();
    let mut rivals = Vec::new();
    for (table, what) in RIVALS {
        rivals.push((Postgres::new(subject.folder()?, table), what, Vec::new()));
    }
    let (mut floors, mut figures, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=scale.runs {
        let memory = subject.start()?;
        let (floor, outcome) = single::load(&memory, single::CONNECTIONS, scale, &requests, single::created)?;
        memory.expect_stored(outcome.acknowledged)?;
        drop(memory);
        let folder = subject.folder()?;
        let server = subject.start_on(folder.path())?;
        let (figure, outcome) = single::load(&server, single::CONNECTIONS, scale, &requests, single::created)?;
        server.expect_stored(outcome.acknowledged)?;
        drop(server);
        let ratio = figure.rate / floor.rate;
        eprintln!(
            "  run {run} of {}: {}/s of {}/s, or {ratio:.2}",
            scale.runs,
            rounded(figure.rate),
            rounded(floor.rate)
        );
        for (postgres, what, rows) in &mut rivals {
            if let Ok(postgres) = postgres {
                let rate = postgres.measure(payload(&requests)?, single::CONNECTIONS, scale.window)?;
                let times = figure.rate / rate;
                eprintln!("  run {run} of {}: PostgreSQL, {what}, {}/s, or {times:.2}", scale.runs, rounded(rate));
                rows.push(rate);
            }
        }
        ratios.push(ratio);
        floors.push(floor);
        figures.push(figure);
    }
    let ratio = median(&ratios);
    let measure = "durable POST of one event, 64 connections";
    report.add(Row {
        measure: measure.to_owned(),
        subject: subject.name,
        figure: format!("{}; {ratio:.2} of memory", single::Figures::medians(&figures)),
        floor: format!("in memory {}", single::Figures::medians(&floors)),
        goal: Goal::AtLeast { goal: SINGLE_GOAL, is: ratio, unit: "of memory" },
    });
    for (postgres, what, rows) in rivals {
        let measure = format!("{measure}, beside PostgreSQL, {what}");
        if let Err(reason) = postgres {
            report.skip(&measure, &reason);
            continue;
        }
        let times: Vec<f64> = figures.iter().zip(&rows).map(|(figure, row)| figure.rate / row).collect();
        let times = median(&times);
        report.add(Row {
            measure,
            subject: subject.name,
            figure: format!("{}/s; {times:.2} times PostgreSQL", rounded(single::Figures::medians(&figures).rate)),
            floor: format!("PostgreSQL 15, a prepared INSERT by pgbench: {}/s", rounded(median(&rows))),
            goal: Goal::AtLeast { goal: POSTGRES_GOAL, is: times, unit: "times PostgreSQL" },
        });
    }
    Ok(())
}

/// The payload of one of these events. The others differ only in its values.
fn payload(requests: &[Vec<u8>]) -> Result<&str> {
    let request = std::str::from_utf8(requests.first().context("no requests")?)?;
    let (_, payload) = request.split_once(r#""payload":"#).context("a request without a payload")?;
    payload.strip_suffix('}').context("an event without an end")
}

fn measure_batches(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let (requests, _) = batch_requests(&stream(scale.events, &mut Random::new(4)), scale.batch);
    let events = u64::try_from(scale.events * ROUNDS)?;
    let folder = subject.folder()?;
    let server = subject.start_on(folder.path())?;
    let (mut elapsed, mut latencies) = (Duration::ZERO, Vec::new());
    for round in 1..=ROUNDS {
        let outcome = batches::load(&server, &requests, stored)?;
        ensure!(outcome.acknowledged * u64::try_from(ROUNDS)? == events, "events are missing");
        eprintln!("  round {round} of {ROUNDS}: {} events/s", rounded(rate(outcome.acknowledged, outcome.elapsed)));
        elapsed += outcome.elapsed;
        latencies.extend(outcome.latencies);
    }
    server.expect_stored(events)?;
    ask(&server, scale, events)?;
    let memory = server.stable_memory(scale.memory_wait)?;
    latencies.sort_unstable();
    drop(server);

    let started = Instant::now();
    let server = subject.start_on(folder.path())?;
    let restart = started.elapsed();
    server.expect_stored(events)?;
    drop(server);
    let bytes = disk_bytes(folder.path())?;

    let rate = rate(events, elapsed);
    let (p50, p99) = (percentile_ms(&latencies, 50), percentile_ms(&latencies, 99));
    let of_events = as_f64(bytes) / as_f64(events);
    let mebibytes = as_f64(memory.peak) / 1_048_576.0;
    let measure = |what: &str| format!("durable, {} events: {what}", thousands(events));
    let rows = [
        (
            "batches",
            format!("{} events/s", rounded(rate)),
            Goal::AtLeast { goal: RATE_GOAL, is: rate, unit: "events/s" },
        ),
        (
            "p99 of a batch",
            format!("{p99:.1} ms, p50 {p50:.1} ms"),
            Goal::AtMost { goal: TAIL_GOAL, is: p99 / p50, unit: "medians" },
        ),
        (
            "disk",
            format!("{of_events:.1} B an event"),
            Goal::AtMost { goal: DISK_GOAL, is: of_events, unit: "B an event" },
        ),
        (
            "memory, peak of loading and querying",
            format!("{mebibytes:.0} MiB"),
            Goal::AtMost { goal: MEMORY_GOAL, is: mebibytes, unit: "MiB" },
        ),
        (
            "restart",
            format!("{:.2} s", restart.as_secs_f64()),
            Goal::AtMost { goal: RESTART_GOAL, is: restart.as_secs_f64(), unit: "s" },
        ),
    ];
    for (what, figure, goal) in rows {
        report.add(Row { measure: measure(what), subject: subject.name, figure, floor: String::new(), goal });
    }
    Ok(())
}

/// Runs small, large and fruitless queries, so that the measured memory includes theirs.
fn ask(server: &Server, scale: &Scale, events: u64) -> Result<()> {
    let mut client = Client::connect(server.address)?;
    for target in [
        format!("/events?type={QUERIED}&limit=100"),
        format!("/events?type={QUERIED}&limit=100&order=desc"),
        "/events?limit=10000".to_owned(),
        "/events?limit=10000&order=desc".to_owned(),
    ] {
        for _ in 0..scale.queries / 50 {
            let (response, _) = client.get(&target)?;
            response.expect(200)?;
            ensure!(response.body.starts_with(b"[{"), "no events for {target}");
        }
    }
    let (response, latency) = client.get("/events?payload.country=none&limit=1")?;
    response.expect(200)?;
    ensure!(response.body == b"[]\n", "an event that cannot exist was found");
    eprintln!("  a payload without a match: {} events/s examined", rounded(rate(events, latency)));
    Ok(())
}

/// The disk space of a folder.
pub(super) fn disk_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
