//! The subject with the events: loading them, waiting until maintenance rests, and asking.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
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
        report::median,
        server::Server,
    },
    answer::Rows,
    file::Written,
    question::Question,
};

/// Connections that send events.
pub(super) const CONNECTIONS: usize = 4;

/// Requests that are read from the file at a time, so that the events are never all in memory.
const REQUESTS: usize = 100;

/// A repository whose maintenance takes longer than this does not come to rest.
const REST_LIMIT: Duration = Duration::from_secs(900);

/// Longer than the server's own limit for an answer, `--request-timeout`, so that the server says what takes too long.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// The time between two looks at the server while it comes to rest.
const LOOK: Duration = Duration::from_millis(100);

/// How a question was answered.
#[derive(Debug)]
pub(super) struct Answered {
    /// Milliseconds of each run, from the request to the last byte of the answer.
    pub(super) times_ms: Vec<f64>,
    pub(super) rows: Rows,
}

/// Sends the events of the file. Returns the time that took, without that of reading the file.
pub(super) fn load(server: &Server, written: &Written, batch: usize) -> Result<Duration> {
    let file = File::open(&written.path).with_context(|| format!("cannot open {}", written.path.display()))?;
    let mut file = BufReader::new(file);
    let (mut elapsed, mut acknowledged) = (Duration::ZERO, 0);
    while acknowledged < written.events {
        let mut requests = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            let mut body = Vec::new();
            for _ in 0..batch {
                file.read_until(b'\n', &mut body).context("cannot read the events")?;
            }
            if body.is_empty() {
                break;
            }
            requests.push(post("application/x-ndjson", &body));
        }
        ensure!(!requests.is_empty(), "the file has fewer events than were written");
        let (address, requests) = (server.address, &requests);
        let load = Load { address, connections: CONNECTIONS, requests, extent: Extent::Once, check: stored };
        let outcome = load.run().context("while events were stored")?;
        elapsed += outcome.elapsed;
        acknowledged += outcome.acknowledged;
    }
    server.expect_stored(written.events)?;
    Ok(elapsed)
}

/// Waits until maintenance rests; returns how long it went on.
///
/// No metric says so directly. It rests when the number and the bytes of stored segments in `/metrics` have not
/// changed, and the process has used less than a tenth of a core, for `quiet`.
pub(super) fn rest(server: &Server, quiet: Duration) -> Result<Duration> {
    let started = Instant::now();
    let look = || -> Result<_> {
        let stored = (server.metric("argus_stored_segments")?, server.metric("argus_stored_bytes")?);
        Ok((stored, server.processor_time()?, Instant::now()))
    };
    let mut since = look()?;
    loop {
        thread::sleep(LOOK);
        let now = look()?;
        let elapsed = now.2 - since.2;
        let used = now.1.saturating_sub(since.1);
        if now.0 != since.0 || used > LOOK.max(elapsed) / 10 {
            since = now;
        } else if elapsed >= quiet {
            return Ok(since.2 - started);
        }
        ensure!(started.elapsed() < REST_LIMIT, "maintenance does not rest after {} s", REST_LIMIT.as_secs());
    }
}

/// Asks every question over one connection, after a warm-up each.
pub(super) fn ask(server: &Server, questions: &[Question], scale: &Scale) -> Result<Vec<Answered>> {
    let mut client = Client::connect_for(server.address, PATIENCE)?;
    let mut ask = |question: &Question| -> Result<Answered> {
        let (mut response, _) = client.get(&question.target)?;
        let mut times_ms = Vec::with_capacity(scale.question_runs);
        for _ in 0..scale.question_runs {
            let (next, elapsed) = client.get(&question.target)?;
            times_ms.push(elapsed.as_secs_f64() * 1e3);
            response = next;
        }
        response.expect(200)?;
        let rows = Rows::of_subject(question.shape, &response.json()?)?;
        ensure!(!rows.is_empty(), "an empty answer");
        eprintln!("  {}: {:.2} ms", question.what, median(&times_ms));
        Ok(Answered { times_ms, rows })
    };
    let answer = |question| ask(question).with_context(|| format!("GET {}", question.target));
    questions.iter().map(answer).collect()
}
