//! `cargo xtask bench`: the speed from socket to socket, compared with floors measured in the same run.
//!
//! A floor is the same host with an empty handler or, for events on disk, with a repository in memory. Single events on
//! disk are also compared with `PostgreSQL`, and questions about many events with `DuckDB` and `ClickHouse`. Floor and
//! subject take turns, run by run, on fresh processes, so that other load on the machine affects both; figures are
//! medians. Every answer is checked, and at the end the server is asked how many events it holds, so a server that lost
//! or refused something gets no figure.

mod batches;
mod client;
mod durable;
mod fair;
mod follow;
mod in_mongodb;
mod in_postgres;
mod limits;
mod load;
mod machine;
mod postgres;
mod queries;
mod questions;
mod report;
mod response;
mod server;
mod single;
mod streams;
mod workload;

use std::{env, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{flags::BenchOptions, workspace::cargo};
use report::Report;
use server::Subject;

/// The amount of measurement.
#[derive(Debug)]
struct Scale {
    /// Runs of each measurement. The report has their median.
    runs: usize,
    /// For measurements over a time: the time without and with measurement.
    warm_up: Duration,
    window: Duration,
    /// Events that the larger measurements store.
    events: usize,
    /// Events in one NDJSON body.
    batch: usize,
    /// Measured queries in each run.
    queries: usize,
    /// How long a server may take to return memory before it is measured again.
    memory_wait: Duration,
    /// Events that questions are about, and runs of each question.
    question_events: usize,
    question_runs: usize,
    /// Ask also about fewer and about more events.
    curve: bool,
    /// Install packages to compare with, if they are missing.
    installs: bool,
}

const FULL: Scale = Scale {
    runs: 5,
    warm_up: Duration::from_millis(500),
    window: Duration::from_secs(3),
    events: 1_000_000,
    batch: 5_000,
    queries: 1_000,
    memory_wait: Duration::from_secs(3),
    question_events: 5_000_000,
    question_runs: 9,
    curve: false,
    installs: true,
};

/// Runs everything, without meaningful figures.
const SMOKE: Scale = Scale {
    runs: 1,
    warm_up: Duration::from_millis(50),
    window: Duration::from_millis(200),
    events: 20_000,
    batch: 1_000,
    queries: 20,
    memory_wait: Duration::from_millis(100),
    question_events: 20_000,
    question_runs: 1,
    curve: false,
    installs: false,
};

/// Measures one subject and adds the result to the report.
type Part = fn(&Subject, &Scale, &mut Report) -> Result<()>;

/// The parts of the bench, by the names that `--filter` looks at.
const PARTS: [(&str, Part); 10] = [
    ("single", single::measure),
    ("limits", limits::measure),
    ("batches and memory", batches::measure),
    ("queries", queries::measure),
    ("questions", questions::measure),
    ("fair", fair::measure),
    ("durable", durable::measure),
    ("streams", streams::measure),
    ("postgresql", in_postgres::measure),
    ("mongodb", in_mongodb::measure),
];

/// The names of the parts.
#[cfg(test)]
pub(crate) fn parts() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|(name, _)| *name)
}

/// Builds the subjects, measures, and prints one table. Missed goals are shown in the table and are no failure.
pub(crate) fn run(options: &BenchOptions) -> Result<bool> {
    if cfg!(debug_assertions) && !options.smoke {
        // The load generator shares the machine with the server, so it must be optimised as well.
        let again = ["run", "--quiet", "--release", "--package", "xtask", "--"];
        let status = cargo(again).args(env::args_os().skip(1)).status().context("cannot start the optimised xtask")?;
        return Ok(status.success());
    }
    let base = if options.smoke { SMOKE } else { FULL };
    let scale = Scale {
        runs: options.runs.unwrap_or(base.runs),
        events: options.events.unwrap_or(base.events),
        question_events: options.events.unwrap_or(base.question_events),
        question_runs: options.runs.unwrap_or(base.question_runs),
        curve: options.curve,
        ..base
    };
    ensure!(scale.runs > 0, "--runs must be at least 1");
    ensure!(
        scale.events >= queries::EVENTS_MIN && scale.events.is_multiple_of(queries::EVENTS_MIN),
        "--events must be a multiple of {}",
        queries::EVENTS_MIN
    );
    let wanted = |name: &str| options.filter.as_deref().is_none_or(|filter| name.contains(filter));
    ensure!(PARTS.iter().any(|(name, _)| wanted(name)), "no part of the bench has such a name");

    let subjects = server::build(options)?;
    let mut report = Report::new(machine::facts(&scale, options)?);
    for (name, measure) in PARTS.iter().filter(|(name, _)| wanted(name)) {
        for subject in &subjects {
            eprintln!("xtask bench: {name}, {}", subject.name);
            measure(subject, &scale, &mut report)?;
        }
    }
    print!("{report}");
    Ok(true)
}
