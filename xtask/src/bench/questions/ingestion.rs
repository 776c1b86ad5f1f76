//! What questions cost those that store events, and the other way round.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    super::{
        Scale,
        batches::stored,
        client::{Client, post},
        load::{Extent, Load},
        report::{Goal, Report, Row, as_f64, median, percentile_ms, rate, rounded, thousands},
        server::{Server, Subject},
    },
    events::Events,
    file::Written,
    question,
    store::{self, CONNECTIONS, PATIENCE},
};

/// The part of the stored events that each load adds.
const PART: u64 = 5;

/// Loads without and with questions.
const ROUNDS: usize = 3;

/// Stores further events of the stream, with and without questions beside them. Returns how many.
pub(super) fn measure(
    subject: &Subject,
    server: &Server,
    written: &Written,
    events: &mut Events,
    scale: &Scale,
    report: &mut Report,
) -> Result<u64> {
    let stored_events = written.events;
    let count = usize::try_from(stored_events / PART)?;
    let mut added = 0;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let by_country = question::by_country_target();
    let mut asked = Vec::new();
    for round in 1..=ROUNDS.min(scale.question_runs) {
        for with_questions in [false, true] {
            let requests = requests(events, count, scale.batch)?;
            let load = || -> Result<f64> {
                let (address, requests) = (server.address, &requests);
                let load = Load { address, connections: CONNECTIONS, requests, extent: Extent::Once, check: stored };
                let outcome = load.run()?;
                Ok(rate(outcome.acknowledged, outcome.elapsed))
            };
            let rate = if with_questions {
                let (rate, mut times) = beside_questions(server.address, &[&by_country], load)?;
                asked.append(times.first_mut().context("no times")?);
                rate
            } else {
                load()?
            };
            added += u64::try_from(count)?;
            server.expect_stored(stored_events + added)?;
            let what = if with_questions { "beside questions" } else { "alone" };
            eprintln!("  round {round}: {} events/s {what}", rounded(rate));
            if with_questions { &mut beside } else { &mut alone }.push(rate);
            // Each load begins with the same maintenance behind it.
            store::rest(server, scale.memory_wait)?;
        }
    }
    let (alone, beside) = (median(&alone), median(&beside));
    asked.sort_unstable();
    report.add(Row {
        measure: format!("POST NDJSON beside a question by country over {} events", thousands(stored_events)),
        subject: subject.name,
        figure: format!("{} events/s; {:.2} of alone", rounded(beside), beside / alone),
        floor: format!("alone {} events/s; {} answers, {}", rounded(alone), asked.len(), percentiles(&asked)),
        goal: Goal::Open,
    });

    let requests = requests(events, count, scale.batch)?;
    let targets = question::small_targets(written);
    let pace = alone / 2.0;
    let (elapsed, mut times) = beside_questions(server.address, &[&targets[0].1, &targets[1].1], || {
        let started = Instant::now();
        at_pace(server.address, &requests, scale.batch, pace)?;
        Ok(started.elapsed())
    })?;
    added += u64::try_from(count)?;
    server.expect_stored(stored_events + added)?;
    let reached = rate(u64::try_from(count)?, elapsed);
    for ((what, _), times) in targets.iter().zip(&mut times) {
        times.sort_unstable();
        report.add(Row {
            measure: format!("{what}, beside NDJSON at half speed"),
            subject: subject.name,
            figure: percentiles(times),
            floor: format!("{} answers beside {} events/s", times.len(), rounded(reached)),
            goal: Goal::Open,
        });
    }
    Ok(added)
}

/// The next events of the stream as requests.
fn requests(events: &mut Events, count: usize, batch: usize) -> Result<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    let mut left = count;
    while left > 0 {
        let mut body = Vec::new();
        for event in events.take(left.min(batch)) {
            event.write(&mut body).context("cannot write an event")?;
        }
        requests.push(post("application/x-ndjson", &body));
        left -= left.min(batch);
    }
    Ok(requests)
}

/// Calls `act` while one connection asks these questions in turn, again and again. Returns also the times of the
/// answers to each.
fn beside_questions<T>(
    address: SocketAddr,
    targets: &[&str],
    act: impl FnOnce() -> Result<T>,
) -> Result<(T, Vec<Vec<Duration>>)> {
    let is_over = AtomicBool::new(false);
    let ask = || -> Result<Vec<Vec<Duration>>> {
        let mut client = Client::connect_for(address, PATIENCE)?;
        let mut times = vec![Vec::new(); targets.len()];
        while !is_over.load(Ordering::Relaxed) {
            for (target, times) in targets.iter().zip(&mut times) {
                let (response, elapsed) = client.get(target)?;
                response.expect(200).with_context(|| format!("GET {target}"))?;
                times.push(elapsed);
            }
        }
        Ok(times)
    };
    thread::scope(|scope| {
        let asking = scope.spawn(ask);
        let done = act();
        is_over.store(true, Ordering::Relaxed);
        let times = asking.join().expect("a question does not panic").context("a question")?;
        Ok((done?, times))
    })
}

/// Sends the requests over several connections, at most this many events per second in total.
fn at_pace(address: SocketAddr, requests: &[Vec<u8>], batch: usize, pace: f64) -> Result<()> {
    let interval = Duration::from_secs_f64(as_f64(u64::try_from(batch)?) / pace);
    let started = Instant::now();
    let send = |first: usize| -> Result<()> {
        let mut client = Client::connect(address)?;
        for (index, request) in requests.iter().enumerate().skip(first).step_by(CONNECTIONS) {
            let due = interval * u32::try_from(index)?;
            thread::sleep(due.saturating_sub(started.elapsed()));
            let (response, _) = client.exchange(request)?;
            ensure!(stored(&response)? > 0, "a batch of which nothing is stored");
        }
        Ok(())
    };
    thread::scope(|scope| {
        let sending: Vec<_> = (0..CONNECTIONS)
            .map(|first| {
                let send = &send;
                scope.spawn(move || send(first))
            })
            .collect();
        sending.into_iter().try_for_each(|thread| thread.join().expect("a client does not panic"))
    })
}

fn percentiles(sorted: &[Duration]) -> String {
    format!("p50 {:.2} ms, p99 {:.2} ms", percentile_ms(sorted, 50), percentile_ms(sorted, 99))
}
