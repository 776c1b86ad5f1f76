//! Live streams: many readers with few filters, one reader of everything, and a reader that comes back.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Scale,
    batches::{self, stored},
    client::{Client, PATIENCE, post},
    follow::{Reader, Transport, follow, followed, request},
    report::{Goal, Report, Row, median, percentile_ms, rate, rounded, thousands},
    server::{Server, Subject},
    workload::{Random, SHOPS, TYPES, batch_requests, kinds, stream},
};

const READERS: usize = 1_000;
const FILTERS: usize = 100;
/// Events in a second, and how many of them in a request.
const PACE: u64 = 10_000;
const PACED_BATCH: u64 = 50;

/// Milliseconds from the acknowledgement of an event to its receipt, at the 99th percentile.
const LATENCY_GOAL: f64 = 50.0;
/// The fraction of the speed of ingestion without readers.
const INGESTION_GOAL: f64 = 0.7;
/// The same beside readers that select a part of the events, which are read on the same processors.
const MATCHING_GOAL: f64 = 0.5;
/// Events per second of one reader.
const RATE_GOAL: f64 = 300_000.0;
/// Milliseconds to the first event of a reader that comes back.
const RESUME_GOAL: f64 = 5.0;
/// How many times as many events are stored when a reader comes back: five million in a full bench.
const RESUME_GROWTH: usize = 5;

pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    measure_many(subject, scale, report)?;
    measure_ingestion(subject, scale, report)?;
    measure_one(subject, scale, (Transport::ServerSentEvents, "SSE"), report)?;
    measure_one(subject, scale, (Transport::WebSocket, "WebSocket"), report)?;
    measure_resume(subject, scale, report)
}

/// A thousand readers, each with the query string of its number.
fn open_many(server: &Server, query: impl Fn(usize) -> String) -> Result<Vec<Reader>> {
    (0..READERS).map(|reader| Reader::open(server.address, Transport::ServerSentEvents, &query(reader))).collect()
}

/// The query for one of [`FILTERS`] types. Events of the web shop have other types.
fn by_type(reader: usize) -> String {
    format!("?type=t{}", reader % FILTERS)
}

/// A thousand readers at ten thousand events a second: each sees exactly its events, and how late.
fn measure_many(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let server = subject.start()?;
    let filters = u64::try_from(FILTERS)?;
    let seconds = scale.window.as_secs().max(1);
    let batches = PACE * seconds / PACED_BATCH;
    let last = batches * PACED_BATCH;
    let per_filter = usize::try_from(last / filters)?;
    let done = follow(open_many(&server, by_type)?, move |_, seen| seen.len() >= per_filter);
    let mut client = Client::connect(server.address)?;
    let begun = Instant::now();
    let mut acknowledged = Vec::new();
    for batch in 0..batches {
        let event =
            |n: u64| format!("{{\"event_type\":\"t{}\",\"timestamp\":{n},\"payload\":{{\"n\":{n}}}}}\n", n % filters);
        let lines: String = (batch * PACED_BATCH..(batch + 1) * PACED_BATCH).map(event).collect();
        let due = begun + Duration::from_micros(1_000_000 * batch * PACED_BATCH / PACE);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (response, _) = client.exchange(&post("application/x-ndjson", lines.as_bytes()))?;
        response.expect(201)?;
        acknowledged.push(Instant::now());
    }
    let took = begun.elapsed();
    let mut latencies = Vec::new();
    for (number, reader) in followed(&done)?.iter().enumerate() {
        let first = u64::try_from(number % FILTERS)? + 1;
        let expected = (0..last / filters).map(|n| first + n * filters);
        ensure!(
            reader.seen.iter().map(|(seq, _)| *seq).eq(expected),
            "reader {number} does not see exactly its events"
        );
        for (seq, received) in &reader.seen {
            let batch = usize::try_from((seq - 1) / PACED_BATCH)?;
            let acknowledged = acknowledged.get(batch).context("an event of no batch")?;
            latencies.push(received.saturating_duration_since(*acknowledged));
        }
    }
    latencies.sort_unstable();
    let (p50, p99) = (percentile_ms(&latencies, 50), percentile_ms(&latencies, 99));
    report.add(Row {
        measure: format!(
            "{} streams of {FILTERS} filters, {}/s",
            thousands(u64::try_from(READERS)?),
            rounded(rate(last, took))
        ),
        subject: subject.name,
        figure: format!("p50 {p50:.1} ms, p99 {p99:.1} ms from acknowledgement to receipt"),
        floor: String::new(),
        goal: Goal::AtMost { goal: LATENCY_GOAL, is: p99, unit: "ms at p99" },
    });
    Ok(())
}

/// The speed of ingestion beside a thousand readers: once their filters select none of the events, and once each
/// selects those of one type in one shop.
fn measure_ingestion(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let (requests, _) = batch_requests(&stream(scale.events, &mut Random::new(4)), scale.batch);
    let events = u64::try_from(scale.events)?;
    let counts = kinds(&requests);
    let (mut alone, mut idle, mut busy) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.runs {
        alone.push(rate(events, batches::load(&subject.start()?, &requests, stored)?.elapsed));
        let server = subject.start()?;
        let readers = open_many(&server, by_type)?;
        idle.push(rate(events, batches::load(&server, &requests, stored)?.elapsed));
        server.expect_stored(events)?;
        drop((readers, server));
        busy.push(rate(events, load_beside_matching(subject, &requests, &counts)?));
    }
    let without = median(&alone);
    for (what, rates, goal) in [("idle streams", idle, INGESTION_GOAL), ("streams of a part", busy, MATCHING_GOAL)] {
        let ratios: Vec<f64> = rates.iter().zip(&alone).map(|(with, without)| with / without).collect();
        let ratio = median(&ratios);
        report.add(Row {
            measure: format!("POST NDJSON beside {} {what}", thousands(u64::try_from(READERS)?)),
            subject: subject.name,
            figure: format!("{} events/s; {ratio:.2} of the speed without", rounded(median(&rates))),
            floor: format!("without streams {} events/s", rounded(without)),
            goal: Goal::AtLeast { goal, is: ratio, unit: "of the speed without" },
        });
    }
    Ok(())
}

/// Stores the events while each reader receives those of one type in one shop; returns how long storing took. `counts`
/// has the number of events of each kind. Every reader must see all of its own.
fn load_beside_matching(
    subject: &Subject,
    requests: &[Vec<u8>],
    counts: &BTreeMap<(String, usize), usize>,
) -> Result<Duration> {
    let kind = |reader: usize| (TYPES.get(reader % TYPES.len()).copied().unwrap_or_default(), reader % SHOPS);
    let query = |reader: usize| {
        let (event_type, shop) = kind(reader);
        format!("?type={event_type}&payload.path[prefix]=/shops/{shop:02}/")
    };
    let count = |reader: usize| {
        let (event_type, shop) = kind(reader);
        counts.get(&(event_type.to_owned(), shop)).copied()
    };
    let expected: Vec<usize> =
        (0..READERS).map(count).collect::<Option<_>>().context("a reader has no events: --events is too low")?;
    let server = subject.start()?;
    let enough = expected.clone();
    let done = follow(open_many(&server, query)?, move |reader, seen| {
        enough.get(reader).is_some_and(|enough| seen.len() >= *enough)
    });
    let took = batches::load(&server, requests, stored)?.elapsed;
    let seen: Vec<usize> = followed(&done)?.iter().map(|reader| reader.seen.len()).collect();
    ensure!(seen == expected, "the streams do not have exactly their events");
    Ok(took)
}

/// One reader of all events, first from history and then live.
fn measure_one(
    subject: &Subject,
    scale: &Scale,
    (transport, name): (Transport, &str),
    report: &mut Report,
) -> Result<()> {
    let (requests, _) = batch_requests(&stream(scale.events, &mut Random::new(4)), scale.batch);
    let events = u64::try_from(scale.events)?;
    let (mut history, mut live) = (Vec::new(), Vec::new());
    for _ in 0..scale.runs {
        let server = subject.start()?;
        let is_all =
            move |_: usize, seen: &[(u64, Instant)]| seen.len() >= usize::try_from(events).unwrap_or(usize::MAX);
        let done = follow(vec![Reader::open(server.address, transport, "")?], is_all);
        let begun = Instant::now();
        batches::load(&server, &requests, stored)?;
        live.push(rate(events, check_all(&followed(&done)?, events)?.saturating_duration_since(begun)));
        let begun = Instant::now();
        let done = follow(vec![Reader::open(server.address, transport, "?after_seq=0")?], is_all);
        history.push(rate(events, check_all(&followed(&done)?, events)?.saturating_duration_since(begun)));
    }
    for (what, rates) in [("live, beside the writers", live), ("from history", history)] {
        let rate = median(&rates);
        report.add(Row {
            measure: format!("one stream of all events, {name}, {what}"),
            subject: subject.name,
            figure: format!("{} events/s", rounded(rate)),
            floor: String::new(),
            goal: Goal::AtLeast { goal: RATE_GOAL, is: rate, unit: "events/s" },
        });
    }
    Ok(())
}

/// Checks that the one reader has seen all events in order; returns when it had.
fn check_all(readers: &[Reader], events: u64) -> Result<Instant> {
    let seen = &readers.first().context("no reader")?.seen;
    ensure!(seen.iter().map(|(seq, _)| *seq).eq(1..=events), "events are missing or out of order");
    Ok(seen.last().context("no events")?.1)
}

/// The time to the first event of a reader that comes back for the last hundred.
fn measure_resume(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let (requests, _) = batch_requests(&stream(scale.events, &mut Random::new(4)), scale.batch);
    let folder = subject.folder()?;
    let server = subject.start_on(folder.path())?;
    for _ in 0..RESUME_GROWTH {
        batches::load(&server, &requests, stored)?;
    }
    let events = u64::try_from(scale.events * RESUME_GROWTH)?;
    server.expect_stored(events)?;
    let mut latencies = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(server.address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let query = format!("?after_seq={}", events - 100);
        socket.write_all(request(Transport::ServerSentEvents, &query).as_bytes())?;
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        while !received.windows(4).any(|part| part == b"id: ") {
            let length = socket.read(&mut buffer)?;
            ensure!(length > 0, "a stream ended");
            received.extend_from_slice(buffer.get(..length).unwrap_or_default());
        }
        latencies.push(begun.elapsed());
    }
    latencies.sort_unstable();
    let p50 = percentile_ms(&latencies, 50);
    report.add(Row {
        measure: format!("first event behind the last 100 of {} on disk", thousands(events)),
        subject: subject.name,
        figure: format!("p50 {p50:.2} ms, slowest {:.2} ms", percentile_ms(&latencies, 99)),
        floor: String::new(),
        goal: Goal::AtMost { goal: RESUME_GOAL, is: p50, unit: "ms at p50" },
    });
    Ok(())
}
