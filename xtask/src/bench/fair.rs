//! Latency of single events while others scan all events without a match.

use std::{
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use super::{
    Scale, batches,
    client::Client,
    load::{Extent, Load, Outcome},
    report::{Goal, Report, Row, median, percentile_ms, rate, rounded, thousands},
    server::{Server, Subject},
    single,
    workload::{Random, batch_requests, stream},
};

/// The number of scans that run at a time, each on a connection of its own.
const SCANS: usize = 8;
/// Few, so that requests do not wait for each other at the client.
const CONNECTIONS: usize = 4;
/// Two conditions that no event matches, on a member at the end of each payload.
const SCAN: &str = "/events?payload.country=nowhere&payload.country[contains]=where";

/// The 99th percentile to stay below while scans run.
const GOAL_MS: f64 = 10.0;

/// Figures of one run.
#[derive(Clone, Copy, Debug)]
struct Figures {
    posts: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// Events per second, in finished scans only: 0 if the posts leave no scan the time to finish.
    scanned: f64,
}

pub(super) fn measure(subject: &Subject, scale: &Scale, report: &mut Report) -> Result<()> {
    let (stored, _) = batch_requests(&stream(scale.events, &mut Random::new(6)), scale.batch);
    let requests = single::requests();
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for run in 1..=scale.runs {
        let server = subject.start()?;
        batches::load(&server, &stored, batches::stored).context("while events were stored")?;
        let events = u64::try_from(scale.events)?;
        let (_, scanned_alone) = beside_scans(server.address, events, |finished| {
            let started = Instant::now();
            while started.elapsed() < scale.window {
                finished.recv().context("every scan has failed")?;
            }
            Ok(())
        })?;
        let posts_alone = post(&server, scale, &requests)?;
        alone.push(Figures::of(&posts_alone, scanned_alone));
        let (posts, scanned) = beside_scans(server.address, events, |_| post(&server, scale, &requests))?;
        server.expect_stored(events + posts_alone.acknowledged + posts.acknowledged)?;
        let figures = Figures::of(&posts, scanned);
        eprintln!("  run {run} of {}: {figures}", scale.runs);
        together.push(figures);
    }
    let figures = Figures::medians(&together);
    report.add(Row {
        measure: format!(
            "POST one event, {CONNECTIONS} connections, while {SCANS} scans go over {} events",
            thousands(u64::try_from(scale.events)?)
        ),
        subject: subject.name,
        figure: figures.to_string(),
        floor: format!("either alone: {}", Figures::medians(&alone)),
        goal: Goal::AtMost { goal: GOAL_MS, is: figures.p99_ms, unit: "ms at p99" },
    });
    Ok(())
}

fn post(server: &Server, scale: &Scale, requests: &[Vec<u8>]) -> Result<Outcome> {
    let extent = Extent::For { warm_up: scale.warm_up, window: scale.window };
    Load { address: server.address, connections: CONNECTIONS, requests, extent, check: single::created }.run()
}

/// Calls `act` while scans run over `events` events, and returns how many events they read per second. `act` can
/// receive a message for each scan that has finished.
fn beside_scans<T>(address: SocketAddr, events: u64, act: impl FnOnce(&Receiver<()>) -> Result<T>) -> Result<(T, f64)> {
    let (is_over, scans) = (AtomicBool::new(false), AtomicU64::new(0));
    let scan = |finish: Sender<()>| -> Result<()> {
        let mut client = Client::connect(address)?;
        while !is_over.load(Ordering::Relaxed) {
            let (response, _) = client.get(SCAN)?;
            response.expect(200)?;
            ensure!(response.body == b"[]\n", "an event that cannot be there was found");
            scans.fetch_add(1, Ordering::Relaxed);
            finish.send(()).context("nobody waits for scans")?;
        }
        Ok(())
    };
    let (finish, finished) = channel();
    thread::scope(|scope| {
        let scanning: Vec<_> = (0..SCANS)
            .map(|_| {
                let (scan, finish) = (&scan, finish.clone());
                scope.spawn(move || scan(finish))
            })
            .collect();
        drop(finish);
        let started = Instant::now();
        let done = act(&finished);
        let scanned = scans.load(Ordering::Relaxed) * events;
        let elapsed = started.elapsed();
        is_over.store(true, Ordering::Relaxed);
        for scan in scanning {
            scan.join().expect("a scan does not panic").context("a scan")?;
        }
        Ok((done?, rate(scanned, elapsed)))
    })
}

impl Figures {
    fn of(posts: &Outcome, scanned: f64) -> Self {
        Self {
            posts: rate(u64::try_from(posts.latencies.len()).expect("a usize fits into 64 bits"), posts.elapsed),
            p50_ms: percentile_ms(&posts.latencies, 50),
            p99_ms: percentile_ms(&posts.latencies, 99),
            scanned,
        }
    }

    fn medians(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
        Self {
            posts: of(|run| run.posts),
            p50_ms: of(|run| run.p50_ms),
            p99_ms: of(|run| run.p99_ms),
            scanned: of(|run| run.scanned),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { posts, p50_ms, p99_ms, scanned } = self;
        let (posts, scanned) = (rounded(*posts), rounded(*scanned));
        write!(f, "{posts}/s; p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms; {scanned} events/s in finished scans")
    }
}
